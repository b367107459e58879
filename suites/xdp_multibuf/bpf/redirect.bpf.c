// SPDX-License-Identifier: GPL-2.0
/* Programs that redirect whole frames to a CPU or a device, and programs that look at them on the way. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <ktrial_maps.h>

DEVICES(1, devices);

CPUS(1, cpus);

/* What the programs do to a frame and have seen of it; as redirect.py has it. */
struct stage {
	__s32 tail; /* by which the redirecting program adjusts the tail, 0: not at all */
	__s32 head;
	__s32 late_tail; /* the same, of the program that runs in the map */
	__u32 late_action;
	__u32 runs;
	__u32 length; /* bpf_xdp_get_buff_len in the map's program, before it adjusts anything */
	__u32 linear;
	__s32 refused; /* the first error of an adjustment */
};

SHARED(struct stage, stages);

static __always_inline struct stage *stage(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&stages, &zero);
}

static __always_inline void adjust(struct xdp_md *ctx, struct stage *s)
{
	int error = 0;

	if (s->head)
		error = bpf_xdp_adjust_head(ctx, s->head);
	if (!error && s->tail)
		error = bpf_xdp_adjust_tail(ctx, s->tail);
	if (error)
		s->refused = error;
}

SEC("xdp.frags")
int to_cpu(struct xdp_md *ctx)
{
	struct stage *s = stage();

	if (!s)
		return XDP_ABORTED;
	adjust(ctx, s);
	return bpf_redirect_map(&cpus, 0, XDP_ABORTED);
}

SEC("xdp.frags")
int to_device(struct xdp_md *ctx)
{
	struct stage *s = stage();

	if (!s)
		return XDP_ABORTED;
	adjust(ctx, s);
	return bpf_redirect_map(&devices, 0, XDP_ABORTED);
}

SEC("xdp.frags")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

static __always_inline int look(struct xdp_md *ctx)
{
	struct stage *s = stage();
	int error;

	if (!s)
		return XDP_ABORTED;
	s->runs++;
	s->length = bpf_xdp_get_buff_len(ctx);
	s->linear = (long)ctx->data_end - (long)ctx->data;
	if (s->late_tail) {
		error = bpf_xdp_adjust_tail(ctx, s->late_tail);
		if (error)
			s->refused = error;
	}
	return s->late_action;
}

SEC("xdp.frags/cpumap")
int on_cpu(struct xdp_md *ctx)
{
	return look(ctx);
}

SEC("xdp.frags/devmap")
int on_device(struct xdp_md *ctx)
{
	return look(ctx);
}

char _license[] SEC("license") = "GPL";
