// SPDX-License-Identifier: GPL-2.0
/* A machine that executes the operations a test wrote into a map, in order, on one frame.
 *
 * One object and one load serve every test: a test is data. The layout is that of machine.py.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <ktrial_maps.h>

#define OPERATIONS 32
#define BUFFER_SIZE (1 << 18)
#define OFFSET_MASK 0x1ffff
#define DIRECT_MASK 0x7fff

enum kind {
	END,
	LENGTH, /* bpf_xdp_get_buff_len */
	LINEAR, /* data_end - data */
	METADATA, /* data - data_meta */
	ADJUST_HEAD,
	ADJUST_TAIL,
	ADJUST_META,
	LOAD, /* bpf_xdp_load_bytes of `length` bytes at `offset` to buffer[at] */
	STORE, /* bpf_xdp_store_bytes, the other way */
	PEEK, /* the byte at data + offset by direct access, -1 where the bounds check fails */
	POKE, /* its counterpart: write `length` as a byte */
	PEEK_META, /* the first byte of the metadata by direct access, -1 where there is none */
	POKE_META,
	INGRESS, /* ctx->ingress_ifindex */
	QUEUE, /* ctx->rx_queue_index */
	JUMP, /* bpf_tail_call into the slot `offset` of the program's own kind of map */
	OUTPUT, /* bpf_perf_event_output of `length` bytes of the frame */
};

struct operation {
	__u32 kind;
	__s32 offset;
	__u32 length;
	__u32 at;
	__s64 result;
};

struct script {
	__u32 action;
	__u32 runs;
	__u32 trace;
	__u32 other; /* the action of every second run, unless 0 */
	struct operation operations[OPERATIONS];
};

SHARED(struct script, script);

struct buffer {
	__u8 bytes[BUFFER_SIZE];
};

SHARED(struct buffer, buffer);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} frags_jumps SEC(".maps"), plain_jumps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} events SEC(".maps");

static __always_inline __s64 peek(struct xdp_md *ctx, __u32 offset)
{
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	offset &= DIRECT_MASK;
	return data + offset + 1 > end ? -1 : data[offset];
}

static __always_inline __s64 poke(struct xdp_md *ctx, __u32 offset, __u8 value)
{
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	offset &= DIRECT_MASK;
	if (data + offset + 1 > end)
		return -1;
	data[offset] = value;
	return 0;
}

static __always_inline __s64 peek_meta(struct xdp_md *ctx)
{
	__u8 *meta = (void *)(long)ctx->data_meta, *data = (void *)(long)ctx->data;

	return meta + 1 > data ? -1 : *meta;
}

static __always_inline __s64 poke_meta(struct xdp_md *ctx, __u8 value)
{
	__u8 *meta = (void *)(long)ctx->data_meta, *data = (void *)(long)ctx->data;

	if (meta + 1 > data)
		return -1;
	*meta = value;
	return 0;
}

/* The barriers keep clang from folding the bounds away that the verifier needs; `length` comes as 1 or more. */
static __always_inline __s64 copy(struct xdp_md *ctx, struct operation *op, struct buffer *buffer)
{
	__u32 at = op->at, length = op->length - 1;

	asm volatile("" : "+r"(at), "+r"(length));
	at &= OFFSET_MASK;
	length &= OFFSET_MASK;
	asm volatile("" : "+r"(at), "+r"(length));
	length += 1;
	if (op->kind == LOAD)
		return bpf_xdp_load_bytes(ctx, op->offset, &buffer->bytes[at], length);
	return bpf_xdp_store_bytes(ctx, op->offset, &buffer->bytes[at], length);
}

static __always_inline __s64 execute(struct xdp_md *ctx, struct operation *op, struct buffer *buffer, void *jumps)
{
	switch (op->kind) {
	case LENGTH:
		return bpf_xdp_get_buff_len(ctx);
	case LINEAR:
		return (long)ctx->data_end - (long)ctx->data;
	case METADATA:
		return (long)ctx->data - (long)ctx->data_meta;
	case ADJUST_HEAD:
		return bpf_xdp_adjust_head(ctx, op->offset);
	case ADJUST_TAIL:
		return bpf_xdp_adjust_tail(ctx, op->offset);
	case ADJUST_META:
		return bpf_xdp_adjust_meta(ctx, op->offset);
	case LOAD:
	case STORE:
		return copy(ctx, op, buffer);
	case PEEK:
		return peek(ctx, op->offset);
	case POKE:
		return poke(ctx, op->offset, op->length);
	case PEEK_META:
		return peek_meta(ctx);
	case POKE_META:
		return poke_meta(ctx, op->length);
	case INGRESS:
		return ctx->ingress_ifindex;
	case QUEUE:
		return ctx->rx_queue_index;
	case JUMP:
		bpf_tail_call(ctx, jumps, op->offset);
		return -1;
	case OUTPUT:
		return bpf_perf_event_output(ctx, &events,
					     ((__u64)op->length << 32) | BPF_F_CURRENT_CPU, &op->at, sizeof(op->at));
	}
	return -1;
}

static __always_inline int run(struct xdp_md *ctx, void *jumps)
{
	__u32 zero = 0;
	struct script *s = bpf_map_lookup_elem(&script, &zero);
	struct buffer *b = bpf_map_lookup_elem(&buffer, &zero);

	if (!s || !b)
		return XDP_ABORTED;
	s->runs++;
	for (int i = 0; i < OPERATIONS; i++) {
		struct operation *op = &s->operations[i];

		if (op->kind == END)
			break;
		op->result = execute(ctx, op, b, jumps);
	}
	return s->other && !(s->runs & 1) ? s->other : s->action;
}

SEC("xdp.frags")
int frags_machine(struct xdp_md *ctx)
{
	return run(ctx, &frags_jumps);
}

SEC("xdp")
int plain_machine(struct xdp_md *ctx)
{
	return run(ctx, &plain_jumps);
}

static __always_inline int land(struct xdp_md *ctx, int action)
{
	__u32 zero = 0;
	struct script *s = bpf_map_lookup_elem(&script, &zero);

	if (s)
		s->trace = bpf_xdp_get_buff_len(ctx);
	return action;
}

SEC("xdp.frags")
int frags_landing(struct xdp_md *ctx)
{
	return land(ctx, XDP_TX);
}

SEC("xdp")
int plain_landing(struct xdp_md *ctx)
{
	return land(ctx, XDP_TX);
}

char _license[] SEC("license") = "GPL";
