// SPDX-License-Identifier: GPL-2.0
/* Programs of both kinds for entries of devmaps and cpumaps, and programs that redirect through such a map. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <ktrial_maps.h>

/* Replaced by a map of the test's own when one of the redirecting programs is loaded. */
DEVICES(2, devices);

CPUS(2, cpus);

#define PASSING(section, name)		\
	SEC(section)			\
	int name(struct xdp_md *ctx)	\
	{				\
		return XDP_PASS;	\
	}

PASSING("xdp.frags/devmap", devmap_frags)
PASSING("xdp/devmap", devmap_plain)
PASSING("xdp.frags/cpumap", cpumap_frags)
PASSING("xdp/cpumap", cpumap_plain)
PASSING("xdp.frags", device_frags)
PASSING("xdp", device_plain)

#define REDIRECTING(section, name, map)				\
	SEC(section)						\
	int name(struct xdp_md *ctx)				\
	{							\
		return bpf_redirect_map(&map, 0, XDP_ABORTED);	\
	}

REDIRECTING("xdp.frags", to_devmap_frags, devices)
REDIRECTING("xdp", to_devmap_plain, devices)
REDIRECTING("xdp.frags", to_cpumap_frags, cpus)
REDIRECTING("xdp", to_cpumap_plain, cpus)

char _license[] SEC("license") = "GPL";
