// SPDX-License-Identifier: GPL-2.0
/* Extensions (freplace) for the functions of target.bpf.c. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <ktrial_maps.h>

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} jumps SEC(".maps");

/* As test_freplace.py has it. */
struct seen {
	__u32 runs;
	__u32 length;
	__s32 loaded; /* what loading the frame's last byte returned, or the last that an offset reaches */
	__u8 last[4];
};

SHARED(struct seen, sights);

SEC("freplace/hook")
int replacement(struct xdp_md *ctx)
{
	__u32 zero = 0, last;
	struct seen *seen = bpf_map_lookup_elem(&sights, &zero);

	if (!seen)
		return XDP_ABORTED;
	seen->runs++;
	seen->length = bpf_xdp_get_buff_len(ctx);
	last = seen->length - 1;
	if (last > 0xffff)
		last = 0xffff;
	seen->loaded = bpf_xdp_load_bytes(ctx, last, seen->last, 1);
	return XDP_TX;
}

SEC("freplace/hook")
int jumping_replacement(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, 0);
	return XDP_TX;
}

char _license[] SEC("license") = "GPL";
