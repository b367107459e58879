/* SPDX-License-Identifier: GPL-2.0-only */
/* Who owns each chunk of the umem. Every address given to the kernel must come back exactly once:
 * one given through the fill ring comes back through a receive ring, one given through a transmit
 * ring comes back through the completion ring.
 */
#ifndef XDPSOCK_LEDGER_H
#define XDPSOCK_LEDGER_H

#include <linux/types.h>
#include <stdbool.h>

enum owner { OWNER_US, OWNER_FILL, OWNER_TX, OWNERS };

struct ledger {
	__u32 chunks;
	__u32 chunk_size;
	bool unaligned;
	__u8 *owner;       /* by chunk */
	__u32 *spare;      /* a stack of chunks that are ours and unused */
	__u32 spares;
	__u64 given[OWNERS];
	__u64 returned[OWNERS];
	__u64 duplicates;  /* came back, but the kernel did not have it (any more) */
	__u64 strangers;   /* came back from outside the umem */
};

void ledger_open(struct ledger *ledger, __u32 chunks, __u32 chunk_size, bool unaligned);
void ledger_close(struct ledger *ledger);

/* An unused chunk's address; call only while there are spares. */
__u64 ledger_take(struct ledger *ledger);
void ledger_put(struct ledger *ledger, __u64 base);

/* The kernel gets the chunk at `base`. */
void ledger_give(struct ledger *ledger, __u64 base, enum owner kernel);

/* An address that the kernel handed back. base: where its chunk begins. False where it was not the kernel's to give. */
bool ledger_return(struct ledger *ledger, __u64 address, enum owner kernel, __u64 *base);

/* Chunks that the kernel has now. */
__u64 ledger_outstanding(const struct ledger *ledger, enum owner kernel);

#endif
