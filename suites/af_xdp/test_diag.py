"""What `ss --xdp` shows: sockets told over sock_diag, with their rings, umem and counters.

Rules: net/xdp/xsk_diag.c; include/uapi/linux/xdp_diag.h.
"""

from __future__ import annotations

import os
import struct

import pytest
from af_xdp.lab import Ends, Steer, receiver
from af_xdp.test_bind import ready
from af_xdp.xsk import AF_XDP, Umem, Xsk
from net.link import wait_for
from net.netlink import Netlink, NetlinkError, attributes
from net.wire import ethernet

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_SHOW_ALL = 0x1F
_MESSAGE = struct.Struct("=BBHI8s")
INFO, UID, RX_RING, TX_RING, UMEM, FILL_RING, COMPLETION_RING, MEMINFO, STATS = range(1, 10)


def told() -> dict[int, dict[int, bytes]]:
    """The attributes of each AF_XDP socket of this namespace, by its inode."""
    with Netlink(_NETLINK_SOCK_DIAG) as netlink:
        try:
            request = struct.pack("=BBHII8s", AF_XDP, 0, 0, 0, _SHOW_ALL, b"")
            answers = netlink.ask(_SOCK_DIAG_BY_FAMILY, request, dump=True)
        except NetlinkError as error:
            pytest.skip(f"the kernel tells nothing of AF_XDP sockets (CONFIG_XDP_SOCKETS_DIAG): {error}")
    return {_MESSAGE.unpack_from(answer)[3]: attributes(answer[_MESSAGE.size :]) for answer in answers}


def of(xsk: Xsk) -> dict[int, bytes]:
    found = told()
    inode = os.fstat(xsk.socket.fileno()).st_ino
    assert inode in found, f"socket {inode} is not among {sorted(found)}"
    return found[inode]


def entries(attribute: bytes) -> int:
    return int(struct.unpack("=I", attribute)[0])


def test_a_socket_that_is_not_bound(veth: Ends):
    with Xsk() as xsk:
        assert struct.unpack("=II", of(xsk)[INFO]) == (0, 0)
        assert UMEM not in of(xsk)
        xsk.make_rings(rx=32)
        assert entries(of(xsk)[RX_RING]) == 32
        assert TX_RING not in of(xsk)


def test_a_bound_socket(veth: Ends):
    """Its queue, its four rings, its umem."""
    with ready(Umem(16, 2048, 100)) as xsk:
        xsk.bind(veth.link, 1)
        found = of(xsk)
        assert struct.unpack("=II", found[INFO]) == (veth.link.index, 1)
        assert [entries(found[ring]) for ring in (RX_RING, TX_RING, FILL_RING, COMPLETION_RING)] == [64] * 4
        size, _, pages, chunk, headroom, index, queue, flags, references = struct.unpack("=Q8I", found[UMEM])
        assert (size, pages, chunk, headroom) == (16 * 2048, 8, 2048, 100)
        assert (index, queue, flags) == (veth.link.index, 1, 0)
        assert references >= 1


def test_counters_are_those_of_the_socket_option(veth: Ends, steer: Steer):
    with receiver(veth, steer, given=[0]) as xsk:
        veth.wire.send(ethernet(100), 4)
        wait_for(lambda: xsk.statistics.rx_dropped == 3, "rx_dropped for 3 of 4 frames without buffers")
        dropped, invalid, full, empty, tx_invalid, tx_empty = struct.unpack("=6Q", of(xsk)[STATS])
        assert (dropped, invalid, tx_invalid, full, empty, tx_empty) == xsk.statistics


def test_closed_sockets_are_gone(veth: Ends):
    before = set(told())
    with ready() as xsk:
        xsk.bind(veth.link)
        assert len(set(told()) - before) == 1
    assert set(told()) <= before
