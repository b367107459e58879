// SPDX-License-Identifier: GPL-2.0-only
#include "umem.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "failure.h"

#define BIND_TRIES 200 /* a second */

static void set(int fd, int option, const void *value, socklen_t length, const char *hint, const char *what)
{
	if (setsockopt(fd, SOL_XDP, option, value, length))
		refused(errno, hint, "%s", what);
}

static void set_ring_size(int fd, int option, __u32 entries, const char *what)
{
	set(fd, option, &entries, sizeof(entries), "a power of two for --ring-size", what);
}

static int open_socket(void)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		refused(errno, errno == EPERM ? "as root, or with CAP_NET_RAW" : "a kernel with CONFIG_XDP_SOCKETS",
			"AF_XDP socket");
	return fd;
}

static struct xdp_mmap_offsets offsets_of(int fd)
{
	struct xdp_mmap_offsets offsets;
	socklen_t length = sizeof(offsets);

	if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length))
		refused(errno, "", "XDP_MMAP_OFFSETS");
	if (length != sizeof(offsets))
		refused(EPROTO, "Linux 5.4 or later", "XDP_MMAP_OFFSETS gave %u bytes", length);
	return offsets;
}

static struct mapping map_ring(int fd, const struct xdp_ring_offset *offset, __u32 entries, size_t entry, off_t page)
{
	struct mapping map = { .size = offset->desc + entries * entry };

	map.at = mmap(NULL, map.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, page);
	if (map.at == MAP_FAILED)
		refused(errno, "a smaller --ring-size", "mapping a ring of %u entries", entries);
	return map;
}

/* xsk_ring_prod and xsk_ring_cons have the same members. A producer's cached consumer is ahead by the ring's size. */
#define RING(map, offset, entries, ahead)                                                 \
	{                                                                                 \
		.cached_prod = *(__u32 *)((char *)(map).at + (offset).producer),          \
		.cached_cons = *(__u32 *)((char *)(map).at + (offset).consumer) + (ahead), \
		.mask = (entries) - 1,                                                    \
		.size = (entries),                                                        \
		.producer = (__u32 *)((char *)(map).at + (offset).producer),              \
		.consumer = (__u32 *)((char *)(map).at + (offset).consumer),              \
		.ring = (char *)(map).at + (offset).desc,                                 \
		.flags = (__u32 *)((char *)(map).at + (offset).flags),                    \
	}

static void allocate(struct umem *umem, const struct options *o)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	const __u64 huge = 2 << 20;

	umem->size = (__u64)o->frames * o->frame_size;
	umem->area = MAP_FAILED;
	if (o->unaligned) {
		/* Zero-copy needs memory in one piece where a chunk crosses pages. */
		umem->size = (umem->size + huge - 1) / huge * huge;
		umem->area = mmap(NULL, umem->size, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB, -1, 0);
		if (umem->area == MAP_FAILED)
			umem->size = (__u64)o->frames * o->frame_size;
	}
	if (umem->area == MAP_FAILED)
		umem->area = mmap(NULL, umem->size, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (umem->area == MAP_FAILED)
		refused(errno, "fewer --frames", "%llu bytes of memory", umem->size);
}

static void register_umem(struct umem *umem, int fd, const struct options *o)
{
	bool metadata = o->tx_timestamp || o->tx_checksum;
	struct umem_registration registration = {
		.addr = (__u64)(unsigned long)umem->area,
		.len = umem->size,
		.chunk_size = o->frame_size,
		.headroom = o->headroom,
		.tx_metadata_len = metadata ? TX_METADATA_LEN : 0,
		.flags = (o->unaligned ? XDP_UMEM_UNALIGNED_CHUNK_FLAG : 0) |
			 (o->tx_sw_checksum ? XDP_UMEM_TX_SW_CSUM : 0) | (metadata ? XDP_UMEM_TX_METADATA_LEN : 0),
	};

	umem->tx_metadata_len = registration.tx_metadata_len;
	set(fd, XDP_UMEM_REG, &registration, sizeof(registration),
	    metadata ? "without --tx-metadata: before Linux 6.11 there is none" : "another --frame-size or --headroom",
	    "registering the umem");
}

static void open_umem_rings(struct umem *umem, int fd, const struct options *o)
{
	struct xdp_mmap_offsets offsets;

	set_ring_size(fd, XDP_UMEM_FILL_RING, 2 * o->ring_size, "the fill ring");
	set_ring_size(fd, XDP_UMEM_COMPLETION_RING, o->ring_size, "the completion ring");
	offsets = offsets_of(fd);
	umem->fill_map = map_ring(fd, &offsets.fr, 2 * o->ring_size, sizeof(__u64), XDP_UMEM_PGOFF_FILL_RING);
	umem->fill = (struct xsk_ring_prod)RING(umem->fill_map, offsets.fr, 2 * o->ring_size, 2 * o->ring_size);
	umem->completion_map = map_ring(fd, &offsets.cr, o->ring_size, sizeof(__u64), XDP_UMEM_PGOFF_COMPLETION_RING);
	umem->completion = (struct xsk_ring_cons)RING(umem->completion_map, offsets.cr, o->ring_size, 0);
}

static void open_socket_rings(struct socket *socket, const struct options *o)
{
	const bool rx = o->job != JOB_TXONLY, tx = o->job != JOB_RXDROP;
	const size_t entry = sizeof(struct xdp_desc);
	struct xdp_mmap_offsets offsets;

	if (rx)
		set_ring_size(socket->fd, XDP_RX_RING, o->ring_size, "the receive ring");
	if (tx)
		set_ring_size(socket->fd, XDP_TX_RING, o->ring_size, "the transmit ring");
	offsets = offsets_of(socket->fd);
	if (rx) {
		socket->rx_map = map_ring(socket->fd, &offsets.rx, o->ring_size, entry, XDP_PGOFF_RX_RING);
		socket->rx = (struct xsk_ring_cons)RING(socket->rx_map, offsets.rx, o->ring_size, 0);
	}
	if (tx) {
		socket->tx_map = map_ring(socket->fd, &offsets.tx, o->ring_size, entry, XDP_PGOFF_TX_RING);
		socket->tx = (struct xsk_ring_prod)RING(socket->tx_map, offsets.tx, o->ring_size, o->ring_size);
	}
}

static const char *bind_hint(int error, const struct options *o)
{
	switch (error) {
	case EOPNOTSUPP: return o->zero_copy ? "-c: this device or driver has no zero-copy AF_XDP" : "another device";
	case EBUSY: return "another -q: this queue has a socket";
	case EINVAL: return o->frags ? "without -F (before Linux 6.6 there are no multi-buffer sockets), or a queue "
				       "that exists (ethtool -l)"
				     : "a queue that exists (ethtool -l), or frames that a chunk has room for";
	default: return "";
	}
}

static void bind_socket(const struct socket *socket, int first_fd, const struct options *o)
{
	struct sockaddr_xdp address = {
		.sxdp_family = AF_XDP,
		.sxdp_ifindex = o->ifindex,
		.sxdp_queue_id = o->queue,
	};

	if (socket->fd != first_fd) {
		/* The flags are the first socket's. */
		address.sxdp_flags = XDP_SHARED_UMEM;
		address.sxdp_shared_umem_fd = first_fd;
	} else {
		address.sxdp_flags = (o->zero_copy ? XDP_ZEROCOPY : 0) | (o->copy ? XDP_COPY : 0) |
				     (o->need_wakeup ? XDP_USE_NEED_WAKEUP : 0) | (o->frags ? XDP_USE_SG : 0);
	}
	/* The kernel takes the queue's last socket apart in the background: a queue that is busy may soon be free. */
	for (int tries = 0; bind(socket->fd, (struct sockaddr *)&address, sizeof(address)); tries++) {
		if (errno == EBUSY && tries < BIND_TRIES) {
			poll(NULL, 0, 5);
			continue;
		}
		refused(errno, bind_hint(errno, o), "binding to queue %u of %s", o->queue, o->interface);
	}
}

static void set_busy_poll(int fd, __u32 budget)
{
	const struct {
		int option, value;
		const char *name;
	} settings[] = {
		{ SO_PREFER_BUSY_POLL, 1, "SO_PREFER_BUSY_POLL" },
		{ SO_BUSY_POLL, 20, "SO_BUSY_POLL" },
		{ SO_BUSY_POLL_BUDGET, (int)budget, "SO_BUSY_POLL_BUDGET" },
	};

	for (int i = 0; i < 3; i++)
		if (setsockopt(fd, SOL_SOCKET, settings[i].option, &settings[i].value, sizeof(int)))
			refused(errno, "without -B, or as root with CONFIG_NET_RX_BUSY_POLL (Linux 5.11)", "%s",
				settings[i].name);
}

void umem_open(struct umem *umem, const struct options *o)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct xdp_options chosen;
	socklen_t length = sizeof(chosen);

	setrlimit(RLIMIT_MEMLOCK, &unlimited); /* where we may; else the kernel says so below */
	*umem = (struct umem){ .sockets = o->sockets };
	allocate(umem, o);
	ledger_open(&umem->ledger, o->frames, o->frame_size, o->unaligned);
	for (__u32 i = 0; i < o->sockets; i++) {
		struct socket *socket = &umem->socket[i];

		socket->fd = open_socket();
		if (i == 0) {
			register_umem(umem, socket->fd, o);
			open_umem_rings(umem, socket->fd, o);
		}
		open_socket_rings(socket, o);
		bind_socket(socket, umem->socket[0].fd, o);
		if (o->busy_poll)
			set_busy_poll(socket->fd, o->batch);
	}
	if (getsockopt(umem->socket[0].fd, SOL_XDP, XDP_OPTIONS, &chosen, &length))
		refused(errno, "Linux 5.3 or later", "XDP_OPTIONS");
	umem->zero_copy = chosen.flags & XDP_OPTIONS_ZEROCOPY;
}

static void unmap(struct mapping *map)
{
	if (map->at)
		munmap(map->at, map->size);
}

void umem_close(struct umem *umem)
{
	for (__u32 i = umem->sockets; i-- > 0;) {
		unmap(&umem->socket[i].rx_map);
		unmap(&umem->socket[i].tx_map);
		close(umem->socket[i].fd);
	}
	unmap(&umem->fill_map);
	unmap(&umem->completion_map);
	munmap(umem->area, umem->size);
	ledger_close(&umem->ledger);
}

struct xdp_statistics socket_statistics(const struct socket *socket)
{
	struct xdp_statistics counted = { 0 };
	socklen_t length = sizeof(counted);

	if (getsockopt(socket->fd, SOL_XDP, XDP_STATISTICS, &counted, &length))
		refused(errno, "", "XDP_STATISTICS");
	return counted;
}

struct xdp_statistics umem_statistics(const struct umem *umem)
{
	struct xdp_statistics sum = { 0 };

	for (__u32 i = 0; i < umem->sockets; i++) {
		struct xdp_statistics one = socket_statistics(&umem->socket[i]);

		sum.rx_dropped += one.rx_dropped;
		sum.rx_invalid_descs += one.rx_invalid_descs;
		sum.tx_invalid_descs += one.tx_invalid_descs;
		sum.rx_ring_full += one.rx_ring_full;
		/* The fill ring is one for all sockets, and each tells its count. */
		sum.rx_fill_ring_empty_descs = one.rx_fill_ring_empty_descs;
		sum.tx_ring_empty_descs += one.tx_ring_empty_descs;
	}
	return sum;
}

int umem_error(const struct umem *umem)
{
	for (__u32 i = 0; i < umem->sockets; i++) {
		int error = 0;
		socklen_t length = sizeof(error);

		if (!getsockopt(umem->socket[i].fd, SOL_SOCKET, SO_ERROR, &error, &length) && error)
			return error;
	}
	return 0;
}

__u32 ring_waiting(const struct xsk_ring_prod *ring)
{
	return __atomic_load_n(ring->producer, __ATOMIC_RELAXED) - __atomic_load_n(ring->consumer, __ATOMIC_RELAXED);
}
