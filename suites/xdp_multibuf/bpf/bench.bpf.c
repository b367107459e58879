// SPDX-License-Identifier: GPL-2.0
/* The shortest program around each helper. A run leaves the frame as it was, for the next one gets the same
 * (bpf_test_run in net/bpf/test_run.c repeats on one xdp_buff).
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <ktrial_maps.h>

#define BYTES 64

struct order {
	__u32 offset; /* of load and store */
	__s32 by;
	__u8 bytes[BYTES];
	__u64 took; /* nanoseconds, by the clock around one call */
};

SHARED(struct order, orders);

static __always_inline struct order *order(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&orders, &zero);
}

SEC("xdp.frags")
int nothing(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("xdp.frags")
int length(struct xdp_md *ctx)
{
	return bpf_xdp_get_buff_len(ctx) ? XDP_DROP : XDP_ABORTED;
}

SEC("xdp.frags")
int load(struct xdp_md *ctx)
{
	struct order *o = order();

	return o && !bpf_xdp_load_bytes(ctx, o->offset, o->bytes, BYTES) ? XDP_DROP : XDP_ABORTED;
}

SEC("xdp.frags")
int store(struct xdp_md *ctx)
{
	struct order *o = order();

	return o && !bpf_xdp_store_bytes(ctx, o->offset, o->bytes, BYTES) ? XDP_DROP : XDP_ABORTED;
}

SEC("xdp.frags")
int tail(struct xdp_md *ctx)
{
	struct order *o = order();

	if (!o || bpf_xdp_adjust_tail(ctx, -o->by) || bpf_xdp_adjust_tail(ctx, o->by))
		return XDP_ABORTED;
	return XDP_DROP;
}

SEC("xdp.frags")
int head(struct xdp_md *ctx)
{
	struct order *o = order();

	if (!o || bpf_xdp_adjust_head(ctx, -o->by) || bpf_xdp_adjust_head(ctx, o->by))
		return XDP_ABORTED;
	return XDP_DROP;
}

SEC("xdp.frags")
int meta(struct xdp_md *ctx)
{
	struct order *o = order();

	if (!o || bpf_xdp_adjust_meta(ctx, -o->by) || bpf_xdp_adjust_meta(ctx, o->by))
		return XDP_ABORTED;
	return XDP_DROP;
}

/* One call of a helper by itself, on a frame of its own. */
#define ALONE(name, helper)                                                                                            \
	SEC("xdp.frags")                                                                                               \
	int name##_alone(struct xdp_md *ctx)                                                                           \
	{                                                                                                              \
		struct order *o = order();                                                                             \
		__u64 before;                                                                                          \
		long error;                                                                                            \
                                                                                                                       \
		if (!o)                                                                                                \
			return XDP_ABORTED;                                                                            \
		before = bpf_ktime_get_ns();                                                                           \
		error = helper(ctx, o->by);                                                                            \
		o->took = bpf_ktime_get_ns() - before;                                                                 \
		return error ? XDP_ABORTED : XDP_DROP;                                                                 \
	}

ALONE(tail, bpf_xdp_adjust_tail)
ALONE(head, bpf_xdp_adjust_head)
ALONE(meta, bpf_xdp_adjust_meta)

char _license[] SEC("license") = "GPL";
