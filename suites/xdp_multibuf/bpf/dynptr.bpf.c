// SPDX-License-Identifier: GPL-2.0
/* Dynptrs over an XDP frame: requests from a map, as dynptr.py writes them. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <ktrial_maps.h>

#define REQUESTS 16
#define SLICE 16
#define LENGTH_MASK 0xffff
#define AT_MASK 0x3ffff

extern int bpf_dynptr_from_xdp(struct xdp_md *xdp, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 buffer__szk) __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 buffer__szk) __ksym;

enum kind {
	END,
	READ, /* bpf_dynptr_read of `length` bytes at `offset` to buffer[at] */
	WRITE, /* bpf_dynptr_write, the other way */
	SLICE_READ, /* SLICE bytes at `offset`: copied to buffer[at]; 1 where they are in the frame, 2 in the buffer */
	SLICE_WRITE, /* exchanged with buffer[at]; where it was the buffer, written back with bpf_dynptr_write */
};

struct request {
	__u32 kind;
	__u32 offset;
	__u32 length;
	__u32 at;
	__s64 result;
};

struct requests {
	__s64 made; /* what bpf_dynptr_from_xdp returned */
	__u64 flags; /* for it */
	struct request request[REQUESTS];
};

SHARED(struct requests, requests);

struct bytes {
	__u8 bytes[AT_MASK + 1 + LENGTH_MASK + 1];
};

SHARED(struct bytes, bytes);

static __always_inline __s64 copy(struct bpf_dynptr *ptr, struct request *r, struct bytes *b)
{
	__u32 at = r->at, length = r->length;

	asm volatile("" : "+r"(at), "+r"(length));
	at &= AT_MASK;
	length &= LENGTH_MASK;
	asm volatile("" : "+r"(at), "+r"(length));
	if (r->kind == READ)
		return bpf_dynptr_read(&b->bytes[at], length, ptr, r->offset, 0);
	return bpf_dynptr_write(ptr, r->offset, &b->bytes[at], length, 0);
}

static __always_inline __s64 slice(struct bpf_dynptr *ptr, struct request *r, struct bytes *b)
{
	__u8 room[SLICE] = {}, old[SLICE];
	__u32 at = r->at & AT_MASK;
	__u8 *got;

	if (r->kind == SLICE_READ) {
		got = bpf_dynptr_slice(ptr, r->offset, room, sizeof(room));
		if (!got)
			return 0;
		__builtin_memcpy(&b->bytes[at], got, SLICE);
		return got == room ? 2 : 1;
	}
	got = bpf_dynptr_slice_rdwr(ptr, r->offset, room, sizeof(room));
	if (!got)
		return 0;
	__builtin_memcpy(old, got, SLICE);
	__builtin_memcpy(got, &b->bytes[at], SLICE);
	__builtin_memcpy(&b->bytes[at], old, SLICE);
	if (got != room)
		return 1;
	bpf_dynptr_write(ptr, r->offset, room, sizeof(room), 0);
	return 2;
}

SEC("xdp.frags")
int dynptr_machine(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct requests *all = bpf_map_lookup_elem(&requests, &zero);
	struct bytes *b = bpf_map_lookup_elem(&bytes, &zero);
	struct bpf_dynptr ptr;

	if (!all || !b)
		return XDP_ABORTED;
	all->made = bpf_dynptr_from_xdp(ctx, all->flags, &ptr);
	for (int i = 0; i < REQUESTS; i++) {
		struct request *r = &all->request[i];

		if (r->kind == READ || r->kind == WRITE)
			r->result = copy(&ptr, r, b);
		else if (r->kind == SLICE_READ || r->kind == SLICE_WRITE)
			r->result = slice(&ptr, r, b);
		else
			break;
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
