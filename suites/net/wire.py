"""Whole Ethernet frames in and out of a device, through packet sockets."""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from collections.abc import Callable
from types import TracebackType

import pytest

from net.link import DEADLINE, Link

__all__ = ["BROADCAST", "FLUSH_TYPE", "TEST_TYPE", "Wire", "difference", "ethernet", "payload"]

TEST_TYPE = 0x88B5  # IEEE 802 local experimental EtherType: no protocol of the kernel takes these frames
FLUSH_TYPE = 0x88B6  # IEEE 802 local experimental EtherType 2: programs of the tests pass it
BROADCAST = b"\xff" * 6
_EVERY_TYPE = 3  # ETH_P_ALL: also what this host sends; told apart by its packet type
_OUTGOING = 4  # PACKET_OUTGOING
_SOL_PACKET, _ADD_MEMBERSHIP, _PROMISCUOUS = 263, 1, 1
_RCVBUFFORCE, _SNDBUFFORCE = 33, 32
_BUFFER = 32 << 20
_PATTERN = bytes(range(1, 252)) * ((1 << 17) // 251 + 1)


def payload(size: int, start: int = 0) -> bytes:
    """Bytes of which no two pages are alike (the period is the prime 251) and none is 0."""
    start %= 251
    return _PATTERN[start : start + size]


def ethernet(
    size: int, *, to: bytes = BROADCAST, sender: bytes = b"\x02\0\0\0\0\1", kind: int = TEST_TYPE, start: int = 0
):
    """A frame of `size` bytes in all (at least 14), without its checksum. start: where its payload's pattern begins."""
    return to + sender + struct.pack("!H", kind) + payload(size - 14, start)


def difference(got: bytes, expected: bytes) -> str:
    """Where two frames differ, in one line; "" where they do not."""
    if got == expected:
        return ""
    at = next((i for i, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b), min(len(got), len(expected)))
    return (
        f"{len(got)} bytes for {len(expected)}, first difference at {at}: "
        f"{got[at : at + 8].hex() or 'nothing'} for {expected[at : at + 8].hex() or 'nothing'}"
    )


class Wire:
    """A packet socket on one device. Use it as a context manager; open the receiving one before anything is sent."""

    def __init__(self, link: Link, kind: int = TEST_TYPE, *, promiscuous: bool = False) -> None:
        """kind: the EtherType to receive, 0 for a socket that only sends, 3 for all that come in."""
        self.link = link
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _BUFFER)
        self.socket.setsockopt(socket.SOL_SOCKET, _SNDBUFFORCE, _BUFFER)
        self.socket.bind((link.name, kind))
        self.socket.setblocking(False)
        if promiscuous:
            wanted = struct.pack("=iHH8s", link.index, _PROMISCUOUS, 0, b"")
            self.socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, wanted)

    def send(self, frame: bytes, count: int = 1, deadline: float = DEADLINE) -> None:
        """Send a frame `count` times, waiting for room. Raises OSError: ENETDOWN, EMSGSIZE (larger than the MTU)."""
        end = time.monotonic() + deadline
        sent = 0
        while sent < count:
            try:
                self.socket.send(frame)
                sent += 1
            except OSError as error:
                # ENOBUFS: the device's queue is full, and says so only to us.
                if error.errno not in (errno.EAGAIN, errno.ENOBUFS) or time.monotonic() > end:
                    raise
                select.select([], [self.socket], [], 0.05)

    def receive(self, deadline: float = DEADLINE, what: str = "a frame") -> bytes:
        """The next frame that came in. Fails the test where none comes before the deadline (seconds)."""
        frame = self.receive_or_none(deadline)
        if frame is None:
            pytest.fail(f"{what} on {self.link.name}: nothing came within {deadline:.0f} s", False)
        return frame

    def receive_or_none(self, deadline: float = 0.0) -> bytes | None:
        """The next frame that came in before the deadline, or None. A deadline of 0 looks only at what is there."""
        end = time.monotonic() + deadline
        while True:
            ready, _, _ = select.select([self.socket], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                return None
            try:
                frame, address = self.socket.recvfrom(1 << 17)
            except OSError as error:
                if error.errno != errno.ENETDOWN:  # told once after the device was down; the socket goes on
                    raise
                continue
            if address[2] != _OUTGOING:
                return frame

    def frames(self, count: int, deadline: float = DEADLINE) -> list[bytes]:
        """The next frames, `count` of them. Fails the test where fewer come."""
        got: list[bytes] = []
        end = time.monotonic() + deadline
        while len(got) < count:
            frame = self.receive_or_none(max(0.0, end - time.monotonic()))
            if frame is None:
                pytest.fail(f"{count} frames on {self.link.name}: {len(got)} came within {deadline:.0f} s", False)
            got.append(frame)
        return got

    def receive_until(self, frame: bytes, deadline: float) -> bool:
        """Take what comes in until this very frame; False where it does not come in time."""
        end = time.monotonic() + deadline
        while (got := self.receive_or_none(max(0.0, end - time.monotonic()))) is not None:
            if got == frame:
                return True
        return False

    def pending(self, wanted: Callable[[bytes], bool] = lambda _: True) -> list[bytes]:
        """What has come in and was not taken yet, without waiting."""
        got = []
        while (frame := self.receive_or_none()) is not None:
            if wanted(frame):
                got.append(frame)
        return got

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
