// SPDX-License-Identifier: GPL-2.0-only
/* Buffers on their way to the kernel to be filled, and on their way back after they were sent. */
#include <poll.h>

#include "traffic.h"

void buffers_refill(struct run *run)
{
	struct umem *umem = run->umem;
	struct ledger *ledger = &umem->ledger;
	__u32 room, index = 0;

	if (!ledger->spares)
		return;
	room = xsk_prod_nb_free(&umem->fill, ledger->spares);
	if (!room) {
		if (xsk_ring_prod__needs_wakeup(&umem->fill))
			wakeup_receiver(run, &umem->socket[0], &umem->calls.fill_fail_polls);
		return;
	}
	if (room > ledger->spares)
		room = ledger->spares;
	xsk_ring_prod__reserve(&umem->fill, room, &index);
	for (__u32 i = 0; i < room; i++) {
		const __u64 base = ledger_take(ledger);

		*xsk_ring_prod__fill_addr(&umem->fill, index + i) = base;
		ledger_give(ledger, base, OWNER_FILL);
	}
	xsk_ring_prod__submit(&umem->fill, room);
}

static void note_timestamp(struct run *run, __u64 base)
{
	const struct tx_metadata *metadata = (void *)(run->umem->area + base);
	struct completions *c = &run->completions;
	const __u64 stamp = metadata->completion.tx_timestamp, sent = run->sent_at[base / run->options->frame_size];

	if (!stamp)
		return;
	c->with_timestamp++;
	if (stamp < sent) {
		c->before_sending++;
		return;
	}
	c->latency_sum += stamp - sent;
	c->latency_least = c->latency_least && c->latency_least < stamp - sent ? c->latency_least : stamp - sent;
	c->latency_most = c->latency_most > stamp - sent ? c->latency_most : stamp - sent;
}

/* Take back what was sent. */
static __u32 reap(struct run *run)
{
	struct umem *umem = run->umem;
	__u32 index, count = xsk_ring_cons__peek(&umem->completion, umem->completion.size, &index);
	__u64 base;

	for (__u32 i = 0; i < count; i++) {
		const __u64 address = *xsk_ring_cons__comp_addr(&umem->completion, index + i);

		if (!ledger_return(&umem->ledger, address, OWNER_TX, &base))
			continue;
		if (run->options->tx_timestamp)
			note_timestamp(run, base);
		ledger_put(&umem->ledger, base);
	}
	if (count)
		xsk_ring_cons__release(&umem->completion, count);
	return count;
}

__u32 buffers_complete(struct run *run)
{
	if (!ledger_outstanding(&run->umem->ledger, OWNER_TX))
		return 0;
	wakeup_transmitter(run);
	return reap(run);
}

/* Wait for the last completions, as long as some come within --retries seconds. */
void buffers_drain(struct run *run)
{
	const __u64 patience = run->options->retries * SECOND;
	__u64 progress = nanoseconds(CLOCK_MONOTONIC);

	while (ledger_outstanding(&run->umem->ledger, OWNER_TX) && !run->error) {
		const __u64 now = nanoseconds(CLOCK_MONOTONIC);

		if (buffers_complete(run))
			progress = now;
		else if (now - progress > patience)
			return;
		else
			poll(NULL, 0, 1);
	}
}

