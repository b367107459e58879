// SPDX-License-Identifier: GPL-2.0
/* Programs that do what a test wrote into a map: to XDP metadata on the way in, and one that tells what an skb came with.
 *
 * Four places where XDP programs run have a script each. The layout is that of script.py.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <ktrial_maps.h>

#define STEPS 12
#define ROOM 256 /* more than the kernel takes as metadata */
#define FRAMES 64
#define HEAD 64
#define OUTGOING 16
#define OUTGOING_SIZE 128

enum stage { FIRST, SECOND, ON_CPU, ON_DEVICE, STAGES };

enum kind {
	END,
	LENGTH, /* bpf_xdp_get_buff_len */
	METADATA, /* data - data_meta */
	ADJUST_HEAD,
	ADJUST_TAIL,
	ADJUST_META,
	WRITE, /* the metadata, all of it, from script::write; gives its length */
	FLIP, /* every bit of the byte `by` of the metadata */
	READ, /* the metadata, all of it, into script::read; gives its length */
	FILL, /* the frame's first bytes from `outgoing`, by the number of the run */
};

struct step {
	__u32 kind;
	__s32 by;
	__u32 runs; /* a bit for each run that takes this step; 0 for all of them */
	__u32 unused;
	__s64 result;
};

struct script {
	__u32 action;
	__u32 to_cpu;
	__u32 runs;
	__u32 unused;
	struct step steps[STEPS];
	__u8 write[ROOM];
	__u8 read[ROOM];
};

struct scripts {
	struct script of[STAGES];
};

SHARED(struct scripts, scripts);

struct outgoing {
	__u32 length;
	struct {
		__u8 bytes[OUTGOING_SIZE];
	} frames[OUTGOING];
};

SHARED(struct outgoing, outgoing);

struct frame {
	__u32 ifindex;
	__u32 length;
	__u32 metadata;
	__u32 mark;
	__u32 priority;
	__u32 hash;
	__u32 vlan;
	__u32 segments;
	__u8 meta[ROOM];
	__u8 head[HEAD];
};

struct seen {
	__u32 count;
	__u32 grow; /* bytes that `ingress_grows` puts before the frame */
	struct frame frames[FRAMES];
};

SHARED(struct seen, seen);

DEVICES(1, devices);

CPUS(1, cpus);

static __always_inline struct script *script_of(__u32 stage)
{
	__u32 zero = 0;
	struct scripts *all = bpf_map_lookup_elem(&scripts, &zero);

	return all && stage < STAGES ? &all->of[stage] : 0;
}

/* Functions of their own, so that the verifier walks each loop once and not for every step. */
__attribute__((noinline)) int write_metadata(struct xdp_md *ctx, __u32 stage)
{
	__u8 *meta = (void *)(long)ctx->data_meta, *data = (void *)(long)ctx->data;
	struct script *s = script_of(stage);
	int i;

	if (!s)
		return -1;
	for (i = 0; i < ROOM; i++) {
		if (meta + i + 1 > data)
			break;
		meta[i] = s->write[i];
	}
	return i;
}

__attribute__((noinline)) int read_metadata(struct xdp_md *ctx, __u32 stage)
{
	__u8 *meta = (void *)(long)ctx->data_meta, *data = (void *)(long)ctx->data;
	struct script *s = script_of(stage);
	int i;

	if (!s)
		return -1;
	for (i = 0; i < ROOM; i++) {
		if (meta + i + 1 > data)
			break;
		s->read[i] = meta[i];
	}
	return i;
}

static __always_inline __s64 flip(struct xdp_md *ctx, __u32 at)
{
	__u8 *meta = (void *)(long)ctx->data_meta, *data = (void *)(long)ctx->data;

	at &= ROOM - 1;
	if (meta + at + 1 > data)
		return -1;
	meta[at] ^= 0xff;
	return 0;
}

/* The barrier keeps clang from folding the bound away that the verifier needs. */
static __always_inline __s64 fill(struct xdp_md *ctx, __u32 run)
{
	__u32 zero = 0, length;
	struct outgoing *o = bpf_map_lookup_elem(&outgoing, &zero);

	if (!o)
		return -1;
	length = o->length - 1;
	asm volatile("" : "+r"(length), "+r"(run));
	length &= OUTGOING_SIZE - 1;
	run &= OUTGOING - 1;
	asm volatile("" : "+r"(length), "+r"(run));
	return bpf_xdp_store_bytes(ctx, 0, o->frames[run].bytes, length + 1);
}

static __always_inline __s64 execute(struct xdp_md *ctx, struct step *step, __u32 stage, __u32 run)
{
	switch (step->kind) {
	case LENGTH:
		return bpf_xdp_get_buff_len(ctx);
	case METADATA:
		return (long)ctx->data - (long)ctx->data_meta;
	case ADJUST_HEAD:
		return bpf_xdp_adjust_head(ctx, step->by);
	case ADJUST_TAIL:
		return bpf_xdp_adjust_tail(ctx, step->by);
	case ADJUST_META:
		return bpf_xdp_adjust_meta(ctx, step->by);
	case WRITE:
		return write_metadata(ctx, stage);
	case FLIP:
		return flip(ctx, step->by);
	case READ:
		return read_metadata(ctx, stage);
	case FILL:
		return fill(ctx, run);
	}
	return -1;
}

static __always_inline struct script *run(struct xdp_md *ctx, __u32 stage)
{
	struct script *s = script_of(stage);
	__u32 number;

	if (!s)
		return 0;
	number = s->runs;
	for (int i = 0; i < STEPS; i++) {
		struct step *step = &s->steps[i];

		if (step->kind == END)
			break;
		if (!step->runs || step->runs & (1 << (number & 31)))
			step->result = execute(ctx, step, stage, number);
	}
	s->runs = number + 1;
	return s;
}

static __always_inline int run_and_send(struct xdp_md *ctx, __u32 stage)
{
	struct script *s = run(ctx, stage);

	if (!s)
		return XDP_ABORTED;
	if (s->action != XDP_REDIRECT)
		return s->action;
	return s->to_cpu ? bpf_redirect_map(&cpus, 0, 0) : bpf_redirect_map(&devices, 0, 0);
}

SEC("xdp.frags")
int first(struct xdp_md *ctx)
{
	return run_and_send(ctx, FIRST);
}

SEC("xdp.frags")
int second(struct xdp_md *ctx)
{
	return run_and_send(ctx, SECOND);
}

/* As `first`, without support for fragments, and so without the maps: one map serves one kind of program. */
SEC("xdp")
int plain(struct xdp_md *ctx)
{
	struct script *s = run(ctx, FIRST);

	return s ? s->action : XDP_ABORTED;
}

SEC("xdp.frags/cpumap")
int on_cpu(struct xdp_md *ctx)
{
	struct script *s = run(ctx, ON_CPU);

	return s ? s->action : XDP_ABORTED;
}

SEC("xdp.frags/devmap")
int on_device(struct xdp_md *ctx)
{
	struct script *s = run(ctx, ON_DEVICE);

	return s ? s->action : XDP_ABORTED;
}

__attribute__((noinline)) int record_metadata(struct __sk_buff *skb, __u32 number)
{
	__u8 *meta = (void *)(long)skb->data_meta, *data = (void *)(long)skb->data;
	__u32 zero = 0;
	struct seen *all = bpf_map_lookup_elem(&seen, &zero);
	int i;

	if (!all || number >= FRAMES)
		return -1;
	for (i = 0; i < ROOM; i++) {
		if (meta + i + 1 > data)
			break;
		all->frames[number].meta[i] = meta[i];
	}
	return i;
}

static __always_inline int record(struct __sk_buff *skb)
{
	__u32 zero = 0, number;
	struct seen *all = bpf_map_lookup_elem(&seen, &zero);
	struct frame *frame;

	if (!all)
		return TC_ACT_SHOT;
	number = all->count;
	if (number >= FRAMES)
		return TC_ACT_SHOT;
	frame = &all->frames[number];
	frame->ifindex = skb->ifindex;
	frame->length = skb->len;
	frame->mark = skb->mark;
	frame->priority = skb->priority;
	frame->vlan = skb->vlan_present ? skb->vlan_tci : 0;
	frame->segments = skb->gso_segs;
	frame->metadata = record_metadata(skb, number);
	frame->hash = bpf_get_hash_recalc(skb);
	bpf_skb_load_bytes(skb, 0, frame->head, skb->len < HEAD ? 14 : HEAD);
	all->count = number + 1;
	return TC_ACT_SHOT;
}

SEC("tc")
int ingress(struct __sk_buff *skb)
{
	return record(skb);
}

/* A program that may write to the frame gets a copy of its own where somebody else holds the frame too. */
SEC("tc")
int ingress_writes(struct __sk_buff *skb)
{
	__u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + 14 <= end)
		data[6] ^= 0xff;
	return record(skb);
}

SEC("tc")
int ingress_grows(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct seen *all = bpf_map_lookup_elem(&seen, &zero);

	if (!all || bpf_skb_change_head(skb, all->grow, 0))
		return TC_ACT_SHOT;
	return record(skb);
}

char _license[] SEC("license") = "GPL";
