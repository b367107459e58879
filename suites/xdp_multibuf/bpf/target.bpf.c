// SPDX-License-Identifier: GPL-2.0
/* Programs of both kinds with a global function, which an extension may replace (replacement.bpf.c). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Opaque to clang, which would put a constant in place of the call's result. */
static __always_inline int drop(void)
{
	int action = XDP_DROP;

	asm volatile("" : "+r"(action));
	return action;
}

/* Adjusting the tail tells the verifier that packet pointers may change, also in what replaces it. */
__noinline int frags_hook(struct xdp_md *ctx)
{
	bpf_xdp_adjust_tail(ctx, 0);
	return drop();
}

SEC("xdp.frags")
int frags_target(struct xdp_md *ctx)
{
	return frags_hook(ctx);
}

__noinline int plain_hook(struct xdp_md *ctx)
{
	bpf_xdp_adjust_tail(ctx, 0);
	return drop();
}

SEC("xdp")
int plain_target(struct xdp_md *ctx)
{
	return plain_hook(ctx);
}

char _license[] SEC("license") = "GPL";
