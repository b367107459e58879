// SPDX-License-Identifier: GPL-2.0
/* Maps that hold programs. The jumping program gives its map an owner; nothing of it runs. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <ktrial_maps.h>

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} jumps SEC(".maps");

DEVICES(1, devices);

CPUS(1, cpus);

SEC("xdp")
int jumps_on(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, 0);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
