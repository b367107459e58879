// SPDX-License-Identifier: GPL-2.0
/* Programs for devices: each adjusts a frame and does with it what its entry in `orders` says, and counts what it saw.
 *
 * Frames of other EtherTypes than the tests' own are passed and not counted: a guest has a life of its own.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <ktrial_maps.h>

#define TEST_TYPE 0x88B5 /* as suites/net/wire.py */
#define ETH_HLEN 14
#define MOST_GROWTH 64
#define FILL 0xA5

enum slot { FRAGS_A, FRAGS_B, PLAIN_A, PLAIN_B, WITNESS, SLOTS };
enum target { DEVICES, CPUS };

/* What a program is to do. head, tail: as the argument of bpf_xdp_adjust_head and bpf_xdp_adjust_tail. */
struct order {
	__u32 action;
	__s32 head;
	__s32 tail;
	__u32 target;
};

/* What a program saw. length, linear: of its last frame, as it came. failed: adjustments that were refused. */
struct sight {
	__u64 runs;
	__u64 bytes;
	__u64 length;
	__u64 linear;
	__u64 failed;
};

/* What the tracepoints of XDP told, on any device. */
struct trace {
	__u64 exceptions;
	__u64 last_exception; /* the action */
	__u64 redirect_errors;
	__u64 last_redirect_error; /* the errno, positive */
	__u64 devmap_sent;
	__u64 devmap_dropped;
};

/* One element each, so that all of it can be mapped at once. */
struct orders {
	struct order of[SLOTS];
};

struct sights {
	struct sight of[SLOTS];
};

SHARED(struct orders, orders);
SHARED(struct sights, sights);
SHARED(struct trace, traces);

/* A map of devices or processors belongs to programs with frags support or to those without, never to both
 * (bpf_prog_map_compatible): each kind has its own, with the same entries.
 */
REDIRECT_MAP(BPF_MAP_TYPE_DEVMAP, __u32, 1, frags_devices);
REDIRECT_MAP(BPF_MAP_TYPE_DEVMAP, __u32, 1, plain_devices);
REDIRECT_MAP(BPF_MAP_TYPE_CPUMAP, __u32, 1, frags_cpus);
REDIRECT_MAP(BPF_MAP_TYPE_CPUMAP, __u32, 1, plain_cpus);

static __always_inline bool ours(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u16 *type = data + 12;

	return data + ETH_HLEN <= end && *type == bpf_htons(TEST_TYPE);
}

/* Move the head, and the Ethernet header with it; bytes that come between header and payload are FILL. */
static __always_inline int move_head(struct xdp_md *ctx, __s32 by)
{
	char header[ETH_HLEN], fill[MOST_GROWTH];
	int error = bpf_xdp_load_bytes(ctx, 0, header, sizeof(header));
	__u64 more;

	error = error ?: bpf_xdp_adjust_head(ctx, by);
	error = error ?: bpf_xdp_store_bytes(ctx, 0, header, sizeof(header));
	if (error || by >= 0)
		return error;
	if (by < -MOST_GROWTH)
		return -1;
	__builtin_memset(fill, FILL, sizeof(fill));
	more = -by;
	barrier_var(more);
	/* 1 to MOST_GROWTH, in a way that every verifier follows. */
	more = ((more - 1) & (MOST_GROWTH - 1)) + 1;
	return bpf_xdp_store_bytes(ctx, ETH_HLEN, fill, more);
}

static __always_inline int obey(struct xdp_md *ctx, __u32 slot, void *devices, void *cpus)
{
	__u32 only = 0;
	struct orders *every_order = bpf_map_lookup_elem(&orders, &only);
	struct sights *every_sight = bpf_map_lookup_elem(&sights, &only);
	__u64 length = bpf_xdp_get_buff_len(ctx);
	struct order *order;
	struct sight *sight;

	if (!every_order || !every_sight || !ours(ctx))
		return XDP_PASS;
	order = &every_order->of[slot];
	sight = &every_sight->of[slot];
	__sync_fetch_and_add(&sight->runs, 1);
	__sync_fetch_and_add(&sight->bytes, length);
	sight->length = length;
	sight->linear = ctx->data_end - ctx->data;
	if (order->head && move_head(ctx, order->head))
		__sync_fetch_and_add(&sight->failed, 1);
	if (order->tail && bpf_xdp_adjust_tail(ctx, order->tail))
		__sync_fetch_and_add(&sight->failed, 1);
	if (order->action != XDP_REDIRECT)
		return order->action;
	if (order->target == CPUS)
		return bpf_redirect_map(cpus, 0, 0);
	return bpf_redirect_map(devices, 0, 0);
}

#define OBEY_FRAGS(slot) obey(ctx, slot, &frags_devices, &frags_cpus)
#define OBEY_PLAIN(slot) obey(ctx, slot, &plain_devices, &plain_cpus)

SEC("xdp.frags") int frags_a(struct xdp_md *ctx) { return OBEY_FRAGS(FRAGS_A); }
SEC("xdp.frags") int frags_b(struct xdp_md *ctx) { return OBEY_FRAGS(FRAGS_B); }
SEC("xdp") int plain_a(struct xdp_md *ctx) { return OBEY_PLAIN(PLAIN_A); }
SEC("xdp") int plain_b(struct xdp_md *ctx) { return OBEY_PLAIN(PLAIN_B); }

/* On the device that receives what another sends by XDP (veth takes such frames with a program only). */
SEC("xdp.frags") int witness(struct xdp_md *ctx) { return OBEY_FRAGS(WITNESS); }

static __always_inline struct trace *trace(void)
{
	__u32 only = 0;

	return bpf_map_lookup_elem(&traces, &only);
}

/* include/trace/events/xdp.h: xdp_exception(dev, prog, act) */
SEC("raw_tp/xdp_exception") int on_exception(struct bpf_raw_tracepoint_args *ctx)
{
	struct trace *told = trace();

	if (told) {
		__sync_fetch_and_add(&told->exceptions, 1);
		told->last_exception = (__u32)ctx->args[2];
	}
	return 0;
}

/* xdp_redirect_err(dev, prog, tgt, err, map_type, map_id, index) */
SEC("raw_tp/xdp_redirect_err") int on_redirect_error(struct bpf_raw_tracepoint_args *ctx)
{
	struct trace *told = trace();

	if (told) {
		__sync_fetch_and_add(&told->redirect_errors, 1);
		told->last_redirect_error = -(int)ctx->args[3];
	}
	return 0;
}

/* xdp_devmap_xmit(from_dev, to_dev, sent, drops, err) */
SEC("raw_tp/xdp_devmap_xmit") int on_devmap_xmit(struct bpf_raw_tracepoint_args *ctx)
{
	struct trace *told = trace();

	if (told) {
		__sync_fetch_and_add(&told->devmap_sent, (int)ctx->args[2]);
		__sync_fetch_and_add(&told->devmap_dropped, (int)ctx->args[3]);
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
