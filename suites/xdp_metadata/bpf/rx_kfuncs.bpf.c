// SPDX-License-Identifier: GPL-2.0
/* One program for each thing that a device may tell of a frame it received. A test loads one of them, bound to a device. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <ktrial_maps.h>

struct told {
	__u32 runs;
	__s32 error;
	__u64 timestamp;
	__u32 hash;
	__u32 hash_type;
	__u16 vlan_protocol; /* network byte order */
	__u16 vlan_tci;
	__u32 length;
};

SHARED(struct told, told);

/* Weak: a kernel may have some of them only. */
extern int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, __u64 *timestamp) __ksym __weak;
enum xdp_rss_hash_type;
extern int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, __u32 *hash, enum xdp_rss_hash_type *type) __ksym __weak;
extern int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, __u16 *protocol, __u16 *tci) __ksym __weak;

static __always_inline struct told *told_of(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct told *t = bpf_map_lookup_elem(&told, &zero);

	if (t)
		t->length = bpf_xdp_get_buff_len(ctx);
	return t;
}

SEC("xdp")
int rx_timestamp(struct xdp_md *ctx)
{
	struct told *t = told_of(ctx);
	__u64 timestamp = 0xeeeeeeeeeeeeeeee;

	if (!t)
		return XDP_ABORTED;
	t->error = bpf_xdp_metadata_rx_timestamp(ctx, &timestamp);
	t->timestamp = timestamp;
	t->runs++;
	return XDP_PASS;
}

static __always_inline int tell_hash(struct xdp_md *ctx)
{
	struct told *t = told_of(ctx);
	__u32 hash = 0xeeeeeeee, type = 0xeeeeeeee;

	if (!t)
		return XDP_ABORTED;
	t->error = bpf_xdp_metadata_rx_hash(ctx, &hash, (void *)&type);
	t->hash = hash;
	t->hash_type = type;
	t->runs++;
	return XDP_PASS;
}

SEC("xdp")
int rx_hash(struct xdp_md *ctx)
{
	return tell_hash(ctx);
}

SEC("xdp.frags")
int rx_hash_frags(struct xdp_md *ctx)
{
	return tell_hash(ctx);
}

SEC("xdp")
int rx_vlan_tag(struct xdp_md *ctx)
{
	struct told *t = told_of(ctx);
	__u16 protocol = 0xeeee, tci = 0xeeee;

	if (!t)
		return XDP_ABORTED;
	t->error = bpf_xdp_metadata_rx_vlan_tag(ctx, &protocol, &tci);
	t->vlan_protocol = protocol;
	t->vlan_tci = tci;
	t->runs++;
	return XDP_PASS;
}

/* No map: a device that runs programs itself could otherwise refuse it for that. */
SEC("xdp")
int rx_timestamp_alone(struct xdp_md *ctx)
{
	__u64 timestamp = 0;

	return bpf_xdp_metadata_rx_timestamp(ctx, &timestamp) ? XDP_DROP : XDP_PASS;
}

/* No kfunc: what is refused to it is refused because it is bound. */
SEC("xdp")
int nothing(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp/devmap")
int nothing_on_device(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp/cpumap")
int nothing_on_cpu(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("tc")
int nothing_of_tc(struct __sk_buff *skb)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
