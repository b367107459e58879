// SPDX-License-Identifier: GPL-2.0-only
/* Steers the frames of one receive queue into AF_XDP sockets; everything else goes on to the stack. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>

#define MAX_SOCKETS 64

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, MAX_SOCKETS);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

/* Set before loading. ethertype: in network order, 0 for every frame. */
const volatile __u32 queue = 0;
const volatile __u32 sockets = 1;
const volatile __u32 ethertype = 0;

/* The socket whose turn it is. One queue runs on one processor at a time. */
__u32 turn = 0;

static __always_inline int wanted(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;

	if (ctx->rx_queue_index != queue)
		return 0;
	if (!ethertype)
		return 1;
	return (void *)(eth + 1) <= end && eth->h_proto == ethertype;
}

static __always_inline int steer(struct xdp_md *ctx)
{
	__u32 index = 0;

	if (!wanted(ctx))
		return XDP_PASS;
	if (sockets > 1) {
		index = turn;
		turn = index + 1 < sockets ? index + 1 : 0;
	}
	return bpf_redirect_map(&xsks, index, XDP_PASS);
}

SEC("xdp")
int steer_plain(struct xdp_md *ctx)
{
	return steer(ctx);
}

SEC("xdp.frags")
int steer_frags(struct xdp_md *ctx)
{
	return steer(ctx);
}

char LICENSE[] SEC("license") = "GPL";
