/* SPDX-License-Identifier: GPL-2.0 */
/* The maps that programs of several suites have: #include <ktrial_maps.h>, after <bpf/bpf_helpers.h>. */
#pragma once

/* One value, which a test reads and writes in its own memory. */
#define SHARED(of, name)                                                                                               \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__uint(map_flags, BPF_F_MMAPABLE);                                                                     \
		__uint(max_entries, 1);                                                                                \
		__type(key, __u32);                                                                                    \
		__type(value, of);                                                                                     \
	} name SEC(".maps")

#define REDIRECT_MAP(kind, of, entries, name)                                                                          \
	struct {                                                                                                       \
		__uint(type, kind);                                                                                    \
		__uint(max_entries, entries);                                                                          \
		__type(key, __u32);                                                                                    \
		__type(value, of);                                                                                     \
	} name SEC(".maps")

/* Devices and processors to redirect frames to, each with a program that may run there. */
#define DEVICES(entries, name) REDIRECT_MAP(BPF_MAP_TYPE_DEVMAP, struct bpf_devmap_val, entries, name)
#define CPUS(entries, name) REDIRECT_MAP(BPF_MAP_TYPE_CPUMAP, struct bpf_cpumap_val, entries, name)
