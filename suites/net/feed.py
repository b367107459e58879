"""Many frames onto a link at little cost: live frames of bpf_prog_test_run, or packets of one system call."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from types import TracebackType

import pytest
from bpf.libbpf import BPF_F_TEST_XDP_LIVE_FRAMES, Program

from net.link import Link

__all__ = ["BURST", "Packets", "live_frames"]

# Frames of one doorbell. Less than NAPI's budget of 64, so that one poll takes them all and the next is not left to
# ksoftirqd; half of a lap of bpf/include/ktrial_laps.h, so that laps begin where bursts do.
BURST = 32
_SOL_PACKET, _QDISC_BYPASS, _SNDBUFFORCE = 263, 20, 32
_MOST = 1024  # UIO_MAXIOV


def live_frames(inject: Program, link: Link, frame: bytes, count: int, *, burst: int = BURST) -> None:
    """Send frames out of a link by its ndo_xdp_xmit, in bursts; a burst's softirqs are over before the next one.

    inject: a program that returns XDP_TX. Fails the test where the kernel has no live frames (before 5.18).
    """
    ctx = struct.pack("<6I", 0, len(frame), 0, link.index, 0, 0)
    run = inject.test_run(frame, ctx=ctx, repeat=count, flags=BPF_F_TEST_XDP_LIVE_FRAMES, batch_size=burst)
    assert not run.error, f"{count} live frames of {len(frame)} bytes out of {link.name}: {run.error_name}"


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("sent", ctypes.c_uint32),
    )


class Packets:
    """A packet socket that sends a frame many times in one system call, past the queueing discipline."""

    def __init__(self, link: Link, frame: bytes) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.setsockopt(_SOL_PACKET, _QDISC_BYPASS, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, _SNDBUFFORCE, 32 << 20)
        self._socket.bind((link.name, 0))
        self._vector = _Vector(frame, len(frame))
        one = _Message(vectors=ctypes.pointer(self._vector), count=1)
        self._messages = (_Message * _MOST)(*[one] * _MOST)
        self._sendmmsg = ctypes.CDLL(None, use_errno=True).sendmmsg

    def send(self, count: int) -> None:
        """Fails the test where the device takes fewer."""
        while count:
            sent = self._sendmmsg(self._socket.fileno(), self._messages, min(count, _MOST), 0)
            if sent <= 0:
                pytest.fail(f"sendmmsg: {os.strerror(ctypes.get_errno())}, {count} frames were to be sent", False)
            count -= sent

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Packets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
