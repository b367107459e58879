// SPDX-License-Identifier: GPL-2.0
/* Tracing programs on the entry and the exit of an XDP program, which capture its frame whole. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <ktrial_maps.h>

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} captured SEC(".maps");

/* As test_trace.py has it. */
struct trace {
	__u32 where; /* which of the two programs is to capture */
	__u32 more; /* bytes to ask for beyond the frame's length */
	__u32 entered; /* length at the entry, at the exit; what bpf_xdp_output returned; the program's return code */
	__u32 left;
	__s32 result;
	__s32 action;
};

enum where {
	ENTRY = 1,
	EXIT,
};

SHARED(struct trace, traces);

/* The traced program's first argument is its struct xdp_buff. */
static __always_inline __u32 capture(struct xdp_md *buff, struct trace *trace)
{
	__u32 length = bpf_xdp_get_buff_len(buff);
	__u64 asked = length + trace->more;
	__u32 cookie = 0;

	trace->result = bpf_xdp_output(buff, &captured, asked << 32 | BPF_F_CURRENT_CPU, &cookie, sizeof(cookie));
	return length;
}

SEC("fentry/frags_machine")
int on_entry(unsigned long long *ctx)
{
	__u32 zero = 0;
	struct trace *trace = bpf_map_lookup_elem(&traces, &zero);

	if (trace && trace->where == ENTRY)
		trace->entered = capture((void *)ctx[0], trace);
	return 0;
}

SEC("fexit/frags_machine")
int on_exit(unsigned long long *ctx)
{
	__u32 zero = 0;
	struct trace *trace = bpf_map_lookup_elem(&traces, &zero);

	if (!trace || trace->where != EXIT)
		return 0;
	trace->action = ctx[1];
	trace->left = capture((void *)ctx[0], trace);
	return 0;
}

char _license[] SEC("license") = "GPL";
