// SPDX-License-Identifier: GPL-2.0-only
#include "program.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "failure.h"

extern const char steer_object[], steer_object_end[]; /* embed.S */

/* The variables of xdpsock.bpf.c, in its order. */
struct constants {
	__u32 queue, sockets, ethertype;
};

static int warnings_only(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

static struct bpf_object *load(const struct options *o)
{
	LIBBPF_OPTS(bpf_object_open_opts, named, .object_name = "xdpsock");
	const struct constants constants = { o->queue, o->sockets, htons(o->ethertype) };
	const char *unused = o->frags ? "steer_plain" : "steer_frags";
	struct bpf_object *object;
	int error;

	libbpf_set_print(warnings_only);
	object = bpf_object__open_mem(steer_object, steer_object_end - steer_object, &named);
	if (!object)
		refused(errno, "", "opening the XDP program");
	bpf_program__set_autoload(bpf_object__find_program_by_name(object, unused), false);
	error = bpf_map__set_initial_value(bpf_object__find_map_by_name(object, ".rodata"), &constants,
					   sizeof(constants));
	if (error)
		refused(-error, "", "setting the XDP program's constants");
	error = bpf_object__load(object);
	if (error)
		refused(-error, error == -EPERM ? "as root, or with CAP_BPF and CAP_NET_ADMIN" : "",
			"loading the XDP program");
	return object;
}

static void fill_map(int map, __u32 first, const struct umem *umem)
{
	for (__u32 i = 0; i < umem->sockets; i++) {
		const __u32 key = first + i;

		if (bpf_map_update_elem(map, &key, &umem->socket[i].fd, 0))
			refused(errno, "a map of type XSKMAP with room for the queue", "socket %u into the XSKMAP", key);
	}
}

static void use_pinned_map(const struct options *o, const struct umem *umem)
{
	int map = bpf_obj_get(o->map);

	if (map < 0)
		refused(errno, "bpftool map pin, or a program that pins its map", "%s", o->map);
	fill_map(map, o->queue, umem);
	close(map);
}

static int attach_in(int program, const struct options *o, __u32 mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, wanted, .flags = mode);

	return bpf_link_create(program, o->ifindex, BPF_XDP, &wanted);
}

static const char *attach_hint(int error, const struct options *o)
{
	switch (error) {
	case EBUSY:
	case EEXIST: return "--force, or ip link set dev INTERFACE xdp off: a program is attached";
	case EOPNOTSUPP: return "-S: the driver has no native XDP";
	case ERANGE:
	case EINVAL: return o->frags ? "a smaller MTU" : "-F, or a smaller MTU: its frames do not fit into one buffer";
	default: return "";
	}
}

static void attach(struct program *program, int fd, const struct options *o)
{
	if (o->force)
		bpf_xdp_detach(o->ifindex, 0, NULL); /* where none is there, nothing is lost */
	if (o->attach != ATTACH_SKB) {
		program->mode = "native";
		program->link = attach_in(fd, o, XDP_FLAGS_DRV_MODE);
	}
	if (program->link < 0 && o->attach != ATTACH_NATIVE) {
		program->mode = "skb";
		program->link = attach_in(fd, o, XDP_FLAGS_SKB_MODE);
	}
	/* A sender needs no program, but for some drivers' zero-copy mode. */
	if (program->link < 0 && o->job == JOB_TXONLY && (errno == EBUSY || errno == EEXIST))
		program->mode = "none";
	else if (program->link < 0)
		refused(errno, attach_hint(errno, o), "attaching the XDP program to %s in %s mode", o->interface,
			program->mode);
}

void program_open(struct program *program, const struct options *o, const struct umem *umem)
{
	const char *name = o->frags ? "steer_frags" : "steer_plain";
	struct bpf_program *found;

	*program = (struct program){ .link = -1, .mode = "none" };
	if (o->map) {
		if (o->job != JOB_TXONLY)
			use_pinned_map(o, umem);
		return;
	}
	program->object = load(o);
	if (o->job != JOB_TXONLY)
		fill_map(bpf_object__find_map_fd_by_name(program->object, "xsks"), 0, umem);
	found = bpf_object__find_program_by_name(program->object, name);
	attach(program, bpf_program__fd(found), o);
}

void program_close(struct program *program)
{
	if (program->link >= 0)
		close(program->link);
	if (program->object)
		bpf_object__close(program->object);
}
