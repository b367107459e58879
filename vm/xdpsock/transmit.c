// SPDX-License-Identifier: GPL-2.0-only
/* txonly: frames of our own. */
#include <errno.h>
#include <string.h>

#include "traffic.h"

static void put_metadata(struct run *run, __u64 base, struct xdp_desc *desc)
{
	const struct options *o = run->options;
	struct tx_metadata *metadata = (void *)(run->umem->area + base);

	*metadata = (struct tx_metadata){
		.flags = (o->tx_timestamp ? XDP_TXMD_FLAGS_TIMESTAMP : 0) | (o->tx_checksum ? XDP_TXMD_FLAGS_CHECKSUM : 0),
	};
	if (o->tx_checksum) {
		metadata->request.csum_start = run->recipe.l4;
		metadata->request.csum_offset = 6; /* in a UDP header */
	}
	if (o->tx_timestamp)
		run->sent_at[base / o->frame_size] = nanoseconds(CLOCK_TAI);
	desc->options |= XDP_TX_METADATA;
}

/* One frame into `buffers` entries of the transmit ring from `index` on. */
static void put_frame(struct run *run, struct socket *socket, __u32 index, __u32 buffers)
{
	struct umem *umem = run->umem;
	const __u32 before = umem->tx_metadata_len, room = run->options->frame_size - before;
	__u32 done = 0;

	recipe_next(&run->recipe, run->sequence++);
	for (__u32 i = 0; i < buffers; i++) {
		struct xdp_desc *desc = xsk_ring_prod__tx_desc(&socket->tx, index + i);
		const __u64 base = ledger_take(&umem->ledger);
		const __u32 rest = run->recipe.size - done;

		desc->addr = base + before;
		desc->len = rest < room ? rest : room;
		desc->options = i + 1 < buffers ? XDP_PKT_CONTD : 0;
		/* In one buffer and always the same: it lies there already. */
		if (buffers > 1 || run->recipe.changes)
			memcpy(umem->area + desc->addr, run->recipe.frame + done, desc->len);
		if (before && i == 0)
			put_metadata(run, base, desc);
		done += desc->len;
		ledger_give(&umem->ledger, base, OWNER_TX);
	}
}

static __u32 buffers_of_a_frame(const struct run *run)
{
	const __u32 room = run->options->frame_size - run->umem->tx_metadata_len;

	return (run->recipe.size + room - 1) / room;
}

void transmit_prepare(struct run *run)
{
	struct umem *umem = run->umem;

	for (__u32 i = 0; i < umem->ledger.chunks && buffers_of_a_frame(run) == 1; i++)
		memcpy(umem->area + (__u64)i * umem->ledger.chunk_size + umem->tx_metadata_len, run->recipe.frame,
		       run->recipe.size);
}

static void wait_for_cycle(struct run *run)
{
	const struct options *o = run->options;
	struct cycle *c = &run->cycle;
	struct timespec at;
	__u64 now, late;

	c->due = (c->due ? c->due : nanoseconds(o->clock)) + o->cycle_us * 1000ULL;
	at = (struct timespec){ c->due / SECOND, c->due % SECOND };
	while (clock_nanosleep(o->clock, TIMER_ABSTIME, &at, NULL) == EINTR)
		if (run_over(run))
			return;
	now = nanoseconds(o->clock);
	late = now > c->due ? now - c->due : 0;
	c->count++;
	c->lateness += late;
	c->least = c->count == 1 || late < c->least ? late : c->least;
	c->most = late > c->most ? late : c->most;
}

static void send_batch(struct run *run, struct socket *socket)
{
	const __u32 buffers = buffers_of_a_frame(run);
	__u32 frames = run_packets_to_go(run), room, index = 0;

	room = xsk_prod_nb_free(&socket->tx, frames * buffers) / buffers;
	frames = room < frames ? room : frames;
	room = run->umem->ledger.spares / buffers;
	frames = room < frames ? room : frames;
	if (frames) {
		xsk_ring_prod__reserve(&socket->tx, frames * buffers, &index);
		for (__u32 i = 0; i < frames; i++)
			put_frame(run, socket, index + i * buffers, buffers);
		xsk_ring_prod__submit(&socket->tx, frames * buffers);
		socket->sent.packets += frames;
		socket->sent.buffers += frames * buffers;
		socket->sent.bytes += (__u64)frames * run->recipe.size;
		run_count(run, frames);
	}
	buffers_complete(run);
}

void transmit(struct run *run)
{
	if (run->options->cycle_us)
		wait_for_cycle(run);
	for (__u32 i = 0; i < run->umem->sockets && !run_over(run); i++)
		send_batch(run, &run->umem->socket[i]);
}

