// SPDX-License-Identifier: GPL-2.0
/* Programs of both kinds with a global function, which an extension may replace (replacement.bpf.c). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} frags_jumps SEC(".maps"), plain_jumps SEC(".maps");

/* Adjusting the tail tells the verifier that packet pointers may change, also in what replaces it. */
__noinline int frags_hook(struct xdp_md *ctx)
{
	bpf_xdp_adjust_tail(ctx, 0);
	return XDP_DROP;
}

SEC("xdp.frags")
int frags_target(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &frags_jumps, 0);
	return frags_hook(ctx);
}

__noinline int plain_hook(struct xdp_md *ctx)
{
	bpf_xdp_adjust_tail(ctx, 0);
	return XDP_DROP;
}

SEC("xdp")
int plain_target(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &plain_jumps, 0);
	return plain_hook(ctx);
}

char _license[] SEC("license") = "GPL";
