// SPDX-License-Identifier: GPL-2.0
/* What is measured: one program for each action, which counts its packets and does nothing else. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <ktrial_maps.h>
#include <ktrial_laps.h>

REDIRECT_MAP(BPF_MAP_TYPE_DEVMAP, __u32, 1, devices);
REDIRECT_MAP(BPF_MAP_TYPE_CPUMAP, __u32, 1, cpus);
REDIRECT_MAP(BPF_MAP_TYPE_XSKMAP, __u32, 1, sockets);

SEC("xdp.frags")
int drop(struct xdp_md *ctx)
{
	lap();
	return XDP_DROP;
}

SEC("xdp.frags")
int pass(struct xdp_md *ctx)
{
	lap();
	return XDP_PASS;
}

SEC("xdp.frags")
int tx(struct xdp_md *ctx)
{
	lap();
	return XDP_TX;
}

SEC("xdp.frags")
int to_device(struct xdp_md *ctx)
{
	lap();
	return bpf_redirect_map(&devices, 0, XDP_ABORTED);
}

SEC("xdp.frags")
int to_cpu(struct xdp_md *ctx)
{
	lap();
	return bpf_redirect_map(&cpus, 0, XDP_ABORTED);
}

SEC("xdp.frags")
int to_socket(struct xdp_md *ctx)
{
	lap();
	return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_ABORTED);
}

/* Not measured by itself: the road of bench_stream.py is. */
SEC("xdp.frags")
int through(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
