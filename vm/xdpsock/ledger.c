// SPDX-License-Identifier: GPL-2.0-only
#include "ledger.h"

#include <errno.h>
#include <stdlib.h>

#include <xdp/xsk.h>

#include "failure.h"

void ledger_open(struct ledger *ledger, __u32 chunks, __u32 chunk_size, bool unaligned)
{
	*ledger = (struct ledger){ .chunks = chunks, .chunk_size = chunk_size, .unaligned = unaligned };
	ledger->owner = calloc(chunks, sizeof(*ledger->owner));
	ledger->spare = calloc(chunks, sizeof(*ledger->spare));
	if (!ledger->owner || !ledger->spare)
		refused(ENOMEM, "fewer --frames", "no memory to keep account of %u chunks", chunks);
	/* The lowest address is the first to be taken. */
	while (ledger->spares < chunks) {
		ledger->spare[ledger->spares] = chunks - 1 - ledger->spares;
		ledger->spares++;
	}
}

void ledger_close(struct ledger *ledger)
{
	free(ledger->owner);
	free(ledger->spare);
}

__u64 ledger_take(struct ledger *ledger)
{
	return (__u64)ledger->spare[--ledger->spares] * ledger->chunk_size;
}

void ledger_put(struct ledger *ledger, __u64 base)
{
	ledger->spare[ledger->spares++] = base / ledger->chunk_size;
}

void ledger_give(struct ledger *ledger, __u64 base, enum owner kernel)
{
	ledger->owner[base / ledger->chunk_size] = kernel;
	ledger->given[kernel]++;
}

bool ledger_return(struct ledger *ledger, __u64 address, enum owner kernel, __u64 *base)
{
	__u64 chunk = (ledger->unaligned ? xsk_umem__extract_addr(address) : address) / ledger->chunk_size;

	if (chunk >= ledger->chunks) {
		ledger->strangers++;
		return false;
	}
	if (ledger->owner[chunk] != kernel) {
		ledger->duplicates++;
		return false;
	}
	ledger->owner[chunk] = OWNER_US;
	ledger->returned[kernel]++;
	*base = chunk * ledger->chunk_size;
	return true;
}

__u64 ledger_outstanding(const struct ledger *ledger, enum owner kernel)
{
	return ledger->given[kernel] - ledger->returned[kernel];
}
