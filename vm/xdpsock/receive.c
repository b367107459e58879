// SPDX-License-Identifier: GPL-2.0-only
/* rxdrop and l2fwd: frames of others. */
#include <linux/if_ether.h>
#include <string.h>

#include "traffic.h"

static char *data_of(const struct umem *umem, const struct xdp_desc *desc)
{
	return umem->area + (umem->ledger.unaligned ? xsk_umem__add_offset_to_addr(desc->addr) : desc->addr);
}

static void give_up(struct run *run, struct socket *socket)
{
	const struct ledger *ledger = &run->umem->ledger;

	for (__u32 i = 0; i < socket->parts; i++) {
		const __u64 address = socket->part[i].addr;

		ledger_put(&run->umem->ledger, (ledger->unaligned ? xsk_umem__extract_addr(address) : address) /
						       ledger->chunk_size * ledger->chunk_size);
	}
}

static void swap_addresses(char *frame)
{
	char other[ETH_ALEN];

	memcpy(other, frame, ETH_ALEN);
	memcpy(frame, frame + ETH_ALEN, ETH_ALEN);
	memcpy(frame + ETH_ALEN, other, ETH_ALEN);
}

/* The last packet of --tx-pkt-count goes out as well, as long as others come back within --retries seconds. */
static bool waits_for_the_last(const struct run *run, __u64 progress)
{
	return run_has_counted(run) && !run->error &&
	       nanoseconds(CLOCK_MONOTONIC) - progress < run->options->retries * SECOND;
}

static void forward(struct run *run, struct socket *socket)
{
	struct ledger *ledger = &run->umem->ledger;
	__u64 progress = 0;
	__u32 index;

	while (!xsk_ring_prod__reserve(&socket->tx, socket->parts, &index)) {
		if (buffers_complete(run) || !progress)
			progress = nanoseconds(CLOCK_MONOTONIC);
		if (run_over(run) && !waits_for_the_last(run, progress)) {
			give_up(run, socket);
			return;
		}
	}
	swap_addresses(data_of(run->umem, &socket->part[0]));
	for (__u32 i = 0; i < socket->parts; i++) {
		const __u64 address = socket->part[i].addr;
		struct xdp_desc *desc = xsk_ring_prod__tx_desc(&socket->tx, index + i);

		*desc = socket->part[i];
		desc->options = i + 1 < socket->parts ? XDP_PKT_CONTD : 0;
		ledger_give(ledger, ledger->unaligned ? xsk_umem__extract_addr(address) : address, OWNER_TX);
	}
	xsk_ring_prod__submit(&socket->tx, socket->parts);
	socket->sent.packets++;
	socket->sent.buffers += socket->parts;
	socket->sent.bytes += socket->part_bytes;
}

static void verify_packet(struct run *run, const struct socket *socket)
{
	__u32 length = 0;

	if (socket->parts == 1) {
		verify_frame(&run->verification, (__u8 *)data_of(run->umem, &socket->part[0]), socket->part[0].len);
		return;
	}
	for (__u32 i = 0; i < socket->parts && length + socket->part[i].len <= 4 * LONGEST_FRAME; i++) {
		memcpy(run->whole + length, data_of(run->umem, &socket->part[i]), socket->part[i].len);
		length += socket->part[i].len;
	}
	verify_frame(&run->verification, run->whole, length);
}

static void end_of_packet(struct run *run, struct socket *socket)
{
	socket->received.packets++;
	run_count(run, 1);
	if (socket->part_lost) {
		give_up(run, socket);
	} else {
		if (run->options->verify)
			verify_packet(run, socket);
		if (run->options->job == JOB_L2FWD)
			forward(run, socket);
		else
			give_up(run, socket);
	}
	socket->parts = 0;
	socket->part_bytes = 0;
	socket->part_lost = false;
}

static void buffer_came(struct run *run, struct socket *socket, const struct xdp_desc *desc)
{
	const __u32 room = sizeof(socket->part) / sizeof(socket->part[0]);
	__u64 base;

	socket->received.buffers++;
	socket->received.bytes += desc->len;
	if (!ledger_return(&run->umem->ledger, desc->addr, OWNER_FILL, &base)) {
		socket->part_lost = true;
	} else if (socket->parts == room) {
		ledger_put(&run->umem->ledger, base);
		socket->part_lost = true;
	} else {
		socket->part[socket->parts++] = *desc;
		socket->part_bytes += desc->len;
	}
	if (!(desc->options & XDP_PKT_CONTD))
		end_of_packet(run, socket);
}

static void receive_from(struct run *run, struct socket *socket)
{
	__u32 index, count = xsk_ring_cons__peek(&socket->rx, run_packets_to_go(run), &index);

	if (!count) {
		wakeup_receiver(run, socket, &run->umem->calls.rx_empty_polls);
		return;
	}
	for (__u32 i = 0; i < count; i++)
		buffer_came(run, socket, xsk_ring_cons__rx_desc(&socket->rx, index + i));
	xsk_ring_cons__release(&socket->rx, count);
}

void receive(struct run *run)
{
	for (__u32 i = 0; i < run->umem->sockets && !run_over(run); i++)
		receive_from(run, &run->umem->socket[i]);
	if (run->options->job == JOB_L2FWD)
		buffers_complete(run);
	buffers_refill(run);
}

