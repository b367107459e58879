/* SPDX-License-Identifier: GPL-2.0-only */
/* The command line. Letters and long names are those of the well-known xdpsock sample. */
#ifndef XDPSOCK_OPTIONS_H
#define XDPSOCK_OPTIONS_H

#include <linux/types.h>
#include <stdbool.h>
#include <time.h>

enum job { JOB_RXDROP, JOB_TXONLY, JOB_L2FWD };
enum attach { ATTACH_ANY, ATTACH_NATIVE, ATTACH_SKB };

#define MOST_COUNTERS 1024

struct options {
	enum job job;
	const char *interface;
	unsigned int ifindex;
	__u32 queue;

	enum attach attach;
	bool zero_copy, copy;
	bool force;           /* take the place of a program that is attached */
	const char *map;      /* a pinned XSKMAP of somebody else's program */
	__u16 ethertype;      /* only frames of this type; 0: all */

	bool poll, busy_poll;
	bool need_wakeup;
	bool frags, unaligned;
	__u32 frame_size, headroom, frames, ring_size;
	__u32 sockets;

	__u32 batch;
	__u64 count;          /* packets, 0: without end */
	__u32 duration;       /* seconds, 0: without end */
	__u32 laps;           /* packets of one, 0: none */
	int laps_fd[MOST_COUNTERS]; /* counters in the place of the clock */
	__u32 counters;             /* how many of them */
	__u32 retries;        /* seconds to wait for the last completions */

	__u32 size;           /* bytes of a frame to send */
	__u32 pattern;
	bool vlan;
	__u32 vlan_id, vlan_priority;
	__u8 dmac[6], smac[6];
	__u32 cycle_us;
	bool tstamp;
	bool tx_timestamp, tx_checksum, tx_sw_checksum;
	bool verify;

	clockid_t clock;
	int policy, priority;
	bool reduce_cap;

	__u32 interval;       /* seconds */
	bool extra_stats, app_stats, quiet, json;
	const char *interrupt;
	int ready_fd;         /* -1: none */
};

/* Parse and check. Exits on --help and on what makes no sense. */
void parse_options(struct options *options, int argc, char **argv);

const char *job_name(enum job job);

#endif
