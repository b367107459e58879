/* SPDX-License-Identifier: GPL-2.0 */
/* What a packet costs, by the clock at every 64th packet: #include <ktrial_laps.h>, after <ktrial_maps.h>.
 *
 * The stamps are taken where the packets are, and not around the call that sends them: that one idles for as long as it
 * takes to set up and to take apart. suites/laps.py reads them.
 */
#pragma once

#define LAP 64       /* packets; as in suites/laps.py */
#define LAPS 1024    /* a power of two */
#define LAP_TYPE 0x88B5 /* as suites/net/wire.py */

struct laps {
	__u64 packets;
	__u64 drained;
	__u64 stamps[LAPS];
};

SHARED(struct laps, laps);

static __always_inline struct laps *the_laps(void)
{
	__u32 only = 0;

	return bpf_map_lookup_elem(&laps, &only);
}

/* One packet more. */
static __always_inline void lap(void)
{
	struct laps *all = the_laps();

	if (!all)
		return;
	if (!(all->packets % LAP))
		all->stamps[all->packets / LAP % LAPS] = bpf_ktime_get_ns();
	all->packets++;
}

/* Run by bpf_prog_test_run on live frames, it sends them out of the device that they seem to have come in on. */
SEC("xdp")
int inject(struct xdp_md *ctx)
{
	return XDP_TX;
}

/* Where frames end that XDP sent. */
SEC("xdp.frags")
int drain(struct xdp_md *ctx)
{
	struct laps *all = the_laps();

	if (all)
		all->drained++;
	return XDP_DROP;
}
