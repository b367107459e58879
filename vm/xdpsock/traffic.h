/* SPDX-License-Identifier: GPL-2.0-only */
/* The three jobs: receive and drop, send, forward. */
#ifndef XDPSOCK_TRAFFIC_H
#define XDPSOCK_TRAFFIC_H

#include "frame.h"
#include "options.h"
#include "umem.h"

struct cycle {
	__u64 due;                          /* nanoseconds of --clock */
	__u64 count, lateness, least, most; /* nanoseconds after the time a batch was due */
};

struct completions {
	__u64 with_timestamp, before_sending;
	__u64 latency_sum, latency_least, latency_most; /* nanoseconds of CLOCK_TAI from submission */
};

struct run {
	const struct options *options;
	struct umem *umem;
	struct recipe recipe;
	struct verification verification;
	struct cycle cycle;
	struct completions completions;
	__u64 packets;   /* of those that --tx-pkt-count counts */
	__u32 sequence;
	__u64 began, ended, reported; /* nanoseconds */
	const char *why; /* it ended, NULL: it has not yet */
	int error;       /* why the device is gone */
	__u8 *whole;     /* room to put a packet's buffers together */
	__u64 *sent_at;  /* by chunk, nanoseconds of CLOCK_TAI; with --tx-metadata=timestamp */
};

#define SECOND 1000000000ULL

/* Do the job until its end. */
void run_traffic(struct run *run, const struct options *options, struct umem *umem);
__u64 nanoseconds(clockid_t clock);

/* Whether it is time to stop; looks after signals and statistics. */
bool run_over(struct run *run);
void run_end_by_error(struct run *run, int error);

/* So many packets more of those that --tx-pkt-count counts. */
void run_count(struct run *run, __u32 packets);
bool run_has_counted(const struct run *run);

/* A batch, or what is left to do. */
__u32 run_packets_to_go(const struct run *run);

/* transmit.c, receive.c: one round over all sockets; before the first one, the frames that never change. */
void transmit_prepare(struct run *run);
void transmit(struct run *run);
void receive(struct run *run);

/* buffers.c: give unused chunks to the fill ring; take back what was sent, driving the transmitter (gives how many came);
 * wait for the last ones, as long as some come within --retries seconds.
 */
void buffers_refill(struct run *run);
__u32 buffers_complete(struct run *run);
void buffers_drain(struct run *run);

/* wakeup.c: sleep in poll() (timeout in milliseconds); drive the device where it asks for it. */
void wakeup_wait(struct run *run, int timeout);
void wakeup_transmitter(struct run *run);
void wakeup_receiver(struct run *run, struct socket *socket, __u64 *counter);

#endif
