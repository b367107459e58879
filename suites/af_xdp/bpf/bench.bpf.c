// SPDX-License-Identifier: GPL-2.0-only
/* What feeds and ends a lane; the program under measure is xdpsock's own. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <ktrial_maps.h>
#include <ktrial_laps.h>

char LICENSE[] SEC("license") = "GPL";
