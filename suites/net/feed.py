"""Many frames onto a link at little cost: live frames of bpf_prog_test_run, or packets of one system call."""

from __future__ import annotations

import mmap
import socket
import struct

import pytest
from bpf.libbpf import BPF_F_TEST_XDP_LIVE_FRAMES, Program

from net.link import Link

__all__ = ["BURST", "live_frames", "packets"]

# Frames of one doorbell. Less than NAPI's budget of 64, so that one poll takes them all and the next is not left to
# ksoftirqd; half of a lap of bpf/include/ktrial_laps.h, so that laps begin where bursts do.
BURST = 32
# include/uapi/linux/if_packet.h
_SOL_PACKET, _VERSION, _TX_RING, _QDISC_BYPASS = 263, 10, 13, 20
_TPACKET_V2, _AVAILABLE, _SEND_REQUEST = 1, 0, 1
_HEADER = 32  # struct tpacket2_hdr
_BLOCK, _SLOT = 1 << 16, 1 << 14  # bytes; a slot holds a header and a jumbo frame


def live_frames(inject: Program, link: Link, frame: bytes, count: int, *, burst: int = BURST) -> None:
    """Send frames out of a link by its ndo_xdp_xmit, in bursts; a burst's softirqs are over before the next one.

    inject: a program that returns XDP_TX. Fails the test where the kernel has no live frames (before 5.18).
    """
    ctx = struct.pack("<6I", 0, len(frame), 0, link.index, 0, 0)
    run = inject.test_run(frame, ctx=ctx, repeat=count, flags=BPF_F_TEST_XDP_LIVE_FRAMES, batch_size=burst)
    assert not run.error, f"{count} live frames of {len(frame)} bytes out of {link.name}: {run.error_name}"


def packets(link: Link, frame: bytes, count: int) -> None:
    """Send a frame so many times in one system call, past the queueing discipline, from memory shared with the kernel.

    Without PACKET_TX_RING each frame would be copied to fresh pages, and what those cost is the page allocator's mood.
    The kernel's half is tpacket_snd() in net/packet/af_packet.c. Fails the test where not all are taken.
    """
    per_block = _BLOCK // _SLOT
    blocks = -(-count // per_block)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as door:
        door.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V2)
        door.setsockopt(_SOL_PACKET, _QDISC_BYPASS, 1)
        door.setsockopt(_SOL_PACKET, _TX_RING, struct.pack("=4I", _BLOCK, blocks, _SLOT, blocks * per_block))
        with mmap.mmap(door.fileno(), blocks * _BLOCK) as ring:
            for at in range(0, count * _SLOT, _SLOT):
                ring[at + _HEADER : at + _HEADER + len(frame)] = frame
                struct.pack_into("=2I", ring, at, _SEND_REQUEST, len(frame))
            door.bind((link.name, 0))
            door.send(b"")
            left = sum(struct.unpack_from("=I", ring, at)[0] != _AVAILABLE for at in range(0, count * _SLOT, _SLOT))
    if left:
        pytest.fail(f"{left} of {count} frames of {len(frame)} bytes were not sent out of {link.name}", False)
