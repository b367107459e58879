/* SPDX-License-Identifier: GPL-2.0-only */
/* The XDP program that steers frames into the sockets, and where it is attached. */
#ifndef XDPSOCK_PROGRAM_H
#define XDPSOCK_PROGRAM_H

#include "options.h"
#include "umem.h"

struct program {
	struct bpf_object *object;
	int link; /* closing it detaches, also when we are killed; -1: none */
	const char *mode; /* "native", "skb"; "none" with --map */
};

void program_open(struct program *program, const struct options *options, const struct umem *umem);
void program_close(struct program *program);

#endif
