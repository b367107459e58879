// SPDX-License-Identifier: GPL-2.0-only
/* Programs that put a test's frames, and no others, into the socket of their queue. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <ktrial_maps.h>

#define TEST_TYPE 0x88B5
#define METADATA 8
#define MARK 0x5ec0a1b2c3d4e5f6ULL

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

struct counts {
	__u64 seen[8];       /* test frames, by queue */
	__u64 redirected[8]; /* what bpf_redirect_map() took */
	__u64 turn;
};

SHARED(struct counts, counts);

static __always_inline struct counts *counted(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	__u32 zero = 0;
	struct counts *all;

	if ((void *)(eth + 1) > end || eth->h_proto != bpf_htons(TEST_TYPE))
		return 0;
	all = bpf_map_lookup_elem(&counts, &zero);
	if (all)
		__sync_fetch_and_add(&all->seen[ctx->rx_queue_index & 7], 1);
	return all;
}

static __always_inline int redirect(struct counts *all, __u32 key)
{
	/* The fallback is to drop: a test's frame goes to a socket or nowhere. */
	int action = bpf_redirect_map(&xsks, key, XDP_DROP);

	if (action == XDP_REDIRECT)
		__sync_fetch_and_add(&all->redirected[key & 7], 1);
	return action;
}

static __always_inline int by_queue(struct xdp_md *ctx)
{
	struct counts *all = counted(ctx);

	return all ? redirect(all, ctx->rx_queue_index) : XDP_PASS;
}

SEC("xdp")
int plain(struct xdp_md *ctx)
{
	return by_queue(ctx);
}

SEC("xdp.frags")
int frags(struct xdp_md *ctx)
{
	return by_queue(ctx);
}

/* All queues' frames to the socket at key 0, whatever queue it is bound to. */
SEC("xdp")
int to_first(struct xdp_md *ctx)
{
	struct counts *all = counted(ctx);

	return all ? redirect(all, 0) : XDP_PASS;
}

/* One frame to each of the first two sockets in turn. */
SEC("xdp")
int in_turn(struct xdp_md *ctx)
{
	struct counts *all = counted(ctx);

	return all ? redirect(all, all->turn++ & 1) : XDP_PASS;
}

static __always_inline int mark(struct xdp_md *ctx)
{
	struct counts *all = counted(ctx);
	__u64 *meta;

	if (!all)
		return XDP_PASS;
	if (bpf_xdp_adjust_meta(ctx, -METADATA))
		return XDP_ABORTED;
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 1) > (void *)(long)ctx->data)
		return XDP_ABORTED;
	*meta = MARK;
	return redirect(all, ctx->rx_queue_index);
}

/* With eight bytes of metadata before the frame. */
SEC("xdp")
int with_metadata(struct xdp_md *ctx)
{
	return mark(ctx);
}

SEC("xdp.frags")
int with_metadata_frags(struct xdp_md *ctx)
{
	return mark(ctx);
}

/* Everything to the stack. */
SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return counted(ctx) ? XDP_PASS : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
