"""What a device advertises over netlink (xdp-features), against what it does.

Rules: include/uapi/linux/netdev.h:enum netdev_xdp_act; net/core/netdev-genl.c; what an ability does when used is in the
other files of this suite: here is that it is told, told in time, and not told by a device that refuses it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import socket
import struct

import pytest
from drivers.cases import on_devices
from drivers.programs import Action, Programs
from drivers.rig import Rig
from drivers.rows import Native, Row
from net.features import Feature, advertised
from net.link import Link
from net.xdp import Mode, attached, refusal

_AF_XDP, _SOL_XDP = 44, 283
_RX_RING, _UMEM_REG, _UMEM_FILL_RING, _UMEM_COMPLETION_RING = 2, 4, 5, 6
_ZEROCOPY, _USE_SG = 1 << 2, 1 << 4


def _told(link: Link) -> Feature:
    """Skips a kernel that has no xdp-features (before 6.3)."""
    told = advertised(link)
    if told is None:
        pytest.skip("the kernel has no netlink family netdev, so no xdp-features")
    return told.xdp


@on_devices(lambda row: row.maker != "board")  # whose features are learned from just this
def test_advertised(rig: Rig, device: Row):
    """Neither more nor less than what the row says, on the bench and without a program."""
    told = _told(rig.link) & ~device.undecided
    assert told == device.features, f"{device.name} advertises {told!r}, and is to advertise {device.features!r}"


@on_devices(lambda row: row.native is Native.RUNS)
def test_program_brings_abilities_and_takes_them_along(rig: Rig, device: Row, programs: Programs):
    """ndo-xmit of a driver that needs a program for it is there exactly as long as the program."""
    before = _told(rig.link) & ~device.undecided
    with attached(rig.link, programs["frags_a"].fd, Mode.NATIVE):
        told = _told(rig.link) & ~(device.undecided & ~device.with_program)
        expected = device.features | device.with_program
        assert told == expected, f"{device.name} with a program advertises {told!r} for {expected!r}"
    assert _told(rig.link) & ~device.undecided == before, (
        f"{device.name}: the program is gone, and the features are not as before"
    )


@on_devices()
def test_basic_means_native(rig: Rig, device: Row, programs: Programs):
    """`basic` is told by exactly those that run a native program."""
    told = _told(rig.link)
    error = refusal(rig.link, programs["plain_a"].fd, Mode.NATIVE)
    if told & Feature.BASIC:
        assert error is None, f"{device.name} advertises basic, and refuses a native program: {error}"
    else:
        assert device.native is not Native.RUNS, f"{device.name} runs native programs, and does not advertise basic"


@on_devices(lambda row: row.native is Native.RUNS and row.jumbo > 1500)
def test_rx_sg_means_frags_at_a_large_mtu(rig: Rig, device: Row, programs: Programs):
    told = _told(rig.link)
    rig.set_mtu(device.jumbo)
    error = refusal(rig.link, programs["frags_a"].fd, Mode.NATIVE)
    if told & Feature.RX_SG:
        assert error is None, f"{device.name} advertises rx-sg, and refuses a frags program at MTU 9000: {error}"
    else:
        assert error is not None or not device.frags_jumbo or device.maker == "tap", (
            f"{device.name} takes a frags program at MTU 9000, and does not advertise rx-sg"
        )


@on_devices()
def test_zero_copy_binds_where_advertised(rig: Rig, device: Row):
    """An AF_XDP socket asked to bind with XDP_ZEROCOPY (net/xdp/xsk_buff_pool.c:xp_assign_dev)."""
    told = _told(rig.link)
    error = _zero_copy_error(rig.link)
    if told & Feature.XSK_ZEROCOPY:
        assert error == 0, f"{device.name} advertises xsk-zerocopy, bind says {errno.errorcode.get(error)}"
    else:
        assert error == errno.EOPNOTSUPP, (
            f"{device.name} does not advertise xsk-zerocopy: EOPNOTSUPP expected, bind says "
            f"{errno.errorcode.get(error, 'success')}"
        )


@on_devices()
def test_zero_copy_takes_several_buffers_where_advertised(rig: Rig, device: Row):
    """XDP_USE_SG beside XDP_ZEROCOPY is for drivers of more than one segment (xdp_zc_max_segs), and for no other."""
    if not _told(rig.link) & Feature.XSK_ZEROCOPY:
        pytest.skip(f"this kernel's {device.driver} does not advertise xsk-zerocopy")
    told = advertised(rig.link)
    segments = told.zero_copy_segments if told else None
    if segments is None:
        pytest.skip("the kernel does not tell how many segments zero-copy takes (xdp-zc-max-segs)")
    expected = 0 if segments > 1 else errno.EOPNOTSUPP
    error = _zero_copy_error(rig.link, _USE_SG)
    assert error == expected, (
        f"{device.name} advertises {segments} segments: {errno.errorcode.get(expected, 'success')} expected of a bind "
        f"for several buffers, which says {errno.errorcode.get(error, 'success')}"
    )
    assert _zero_copy_error(rig.link) == 0, f"{device.name}: no bind for one buffer after one for several"


def _zero_copy_error(link: Link, flags: int = 0) -> int:
    """The errno of binding to queue 0 without a copy, 0 for success. Skips a kernel without AF_XDP."""
    try:
        xsk = socket.socket(_AF_XDP, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    except OSError as error:
        pytest.skip(f"the kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS): {error.strerror}")
    with xsk, contextlib.ExitStack() as stack:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        size = 64 * 4096
        umem = libc.mmap(None, size, 3, 0x22, -1, 0)  # PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS
        stack.callback(libc.munmap, ctypes.c_void_p(umem), ctypes.c_size_t(size))
        # struct xdp_umem_reg up to `flags`
        xsk.setsockopt(_SOL_XDP, _UMEM_REG, struct.pack("=QQIIII", umem, size, 4096, 0, 0, 0))
        for ring in (_UMEM_FILL_RING, _UMEM_COMPLETION_RING, _RX_RING):
            xsk.setsockopt(_SOL_XDP, ring, 64)
        address = struct.pack("=HHIII", _AF_XDP, _ZEROCOPY | flags, link.index, 0, 0)
        return ctypes.get_errno() if libc.bind(xsk.fileno(), address, len(address)) else 0


@on_devices(lambda row: row.maker == "bonding")
def test_bond_advertises_what_all_its_ports_do(rig: Rig, device: Row):
    """Without ports it advertises nothing (bond_xdp_set_features)."""
    told = _told(rig.link)
    assert told & Feature.BASIC
    try:
        for port in rig.ports:
            port.enslave(None)
        assert _told(rig.link) == Feature(0), f"a bond without ports advertises {_told(rig.link)!r}"
    finally:
        for port in rig.ports:
            port.down()
            port.enslave(rig.link)
            port.up()
    assert _told(rig.link) == told, f"a bond with its ports again advertises {_told(rig.link)!r}"


@on_devices(lambda row: row.maker == "veth")
def test_veth_takes_redirects_only_while_its_peer_can_receive(rig: Rig, device: Row, programs: Programs):
    """ndo-xmit of one end comes and goes with the program of the other (veth_xdp_set)."""
    assert rig.peer is not None
    assert not _told(rig.peer) & Feature.NDO_XMIT, "the peer of a veth without a program advertises ndo-xmit"
    programs.order("plain_a", Action.PASS)
    with attached(rig.link, programs["plain_a"].fd, Mode.NATIVE):
        assert _told(rig.peer) & Feature.NDO_XMIT, "the peer of a veth with a program does not advertise ndo-xmit"
    assert not _told(rig.peer) & Feature.NDO_XMIT, "the program is gone, and its peer still advertises ndo-xmit"
