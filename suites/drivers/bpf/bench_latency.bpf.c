// SPDX-License-Identifier: GPL-2.0
/* How long one packet takes from the XDP program that passes it to the socket that it is for. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <ktrial_maps.h>
#include <ktrial_laps.h>

#define MOST 1024 /* a power of two; as in bench_latency.py */

struct waits {
	__u64 count;
	__u64 since; /* 0: no packet is on its way */
	__u64 took[MOST];
};

SHARED(struct waits, waits);

static __always_inline struct waits *the_waits(void)
{
	__u32 only = 0;

	return bpf_map_lookup_elem(&waits, &only);
}

SEC("xdp.frags")
int pass(struct xdp_md *ctx)
{
	struct waits *all = the_waits();

	if (all)
		all->since = bpf_ktime_get_ns();
	return XDP_PASS;
}

/* The socket's filter, the last thing before its queue. It keeps nothing: nobody reads there. */
SEC("socket")
int arrived(struct __sk_buff *skb)
{
	struct waits *all = the_waits();

	if (all && all->since) {
		all->took[all->count++ % MOST] = bpf_ktime_get_ns() - all->since;
		all->since = 0;
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
