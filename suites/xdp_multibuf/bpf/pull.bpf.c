// SPDX-License-Identifier: GPL-2.0
/* bpf_xdp_pull_data: one pull, and the frame's shape before and after it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <ktrial_maps.h>

extern int bpf_xdp_pull_data(struct xdp_md *xdp, __u32 length) __ksym;

/* As test_pull_data.py has it. */
struct pull {
	__u32 asked;
	__s32 result;
	__u32 length; /* bpf_xdp_get_buff_len, linear part and metadata after it */
	__u32 linear;
	__u32 metadata;
	__u32 last; /* the last byte that was asked for, by direct access */
	__s32 tail; /* by which to adjust the tail after that, 0: not at all */
	__s32 tail_result;
	__u32 after; /* bpf_xdp_get_buff_len in the end */
};

SHARED(struct pull, pulls);

SEC("xdp.frags")
int pull_machine(struct xdp_md *ctx)
{
	__u32 zero = 0, offset;
	struct pull *pull = bpf_map_lookup_elem(&pulls, &zero);
	__u8 *data, *end;

	if (!pull)
		return XDP_ABORTED;
	pull->result = bpf_xdp_pull_data(ctx, pull->asked);
	pull->length = bpf_xdp_get_buff_len(ctx);
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	pull->linear = end - data;
	pull->metadata = data - (__u8 *)(long)ctx->data_meta;
	offset = (pull->asked - 1) & 0x7fff;
	pull->last = data + offset + 1 > end ? 0xffffffff : data[offset];
	pull->tail_result = pull->tail ? bpf_xdp_adjust_tail(ctx, pull->tail) : 0;
	pull->after = bpf_xdp_get_buff_len(ctx);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
