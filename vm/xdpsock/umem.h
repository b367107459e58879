/* SPDX-License-Identifier: GPL-2.0-only */
/* The umem, its fill and completion ring, and the sockets on it.
 *
 * The calls are made by hand and not through xsk_umem__create(): libxdp before 1.5 has no way to ask for room for
 * transmit metadata. The rings are accessed through <xdp/xsk.h>.
 */
#ifndef XDPSOCK_UMEM_H
#define XDPSOCK_UMEM_H

#include <xdp/xsk.h>

#include "abi.h"
#include "ledger.h"
#include "options.h"

#define TX_METADATA_LEN 16

struct mapping {
	void *at;
	size_t size;
};

/* Counted by us; by the kernel: struct xdp_statistics. */
struct traffic {
	__u64 packets, bytes, buffers;
};

struct calls {
	__u64 rx_empty_polls, fill_fail_polls, copy_tx_sendtos, tx_wakeup_sendtos, opt_polls;
};

struct socket {
	int fd;
	struct xsk_ring_cons rx;
	struct xsk_ring_prod tx;
	struct mapping rx_map, tx_map;
	struct traffic received, sent;
	/* Buffers of a packet whose end has not been received yet. */
	struct xdp_desc part[64];
	__u32 parts;
	__u64 part_bytes;
	bool part_lost;
};

struct umem {
	char *area;
	__u64 size;
	__u32 tx_metadata_len;
	struct ledger ledger;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons completion;
	struct mapping fill_map, completion_map;
	struct calls calls;
	bool zero_copy; /* what the kernel chose */
	__u32 sockets;
	struct socket socket[64];
};

/* Make and bind everything, or say what was refused and exit. */
void umem_open(struct umem *umem, const struct options *options);
void umem_close(struct umem *umem);

/* What the kernel counted, over all sockets. */
struct xdp_statistics umem_statistics(const struct umem *umem);
struct xdp_statistics socket_statistics(const struct socket *socket);

/* 0, or why the kernel unbound the sockets (ENETDOWN: the device is gone). */
int umem_error(const struct umem *umem);

/* Entries given to the kernel that it has not taken out of the ring yet. */
__u32 ring_waiting(const struct xsk_ring_prod *ring);

#endif
