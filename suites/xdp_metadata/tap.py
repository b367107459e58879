"""A tap device: a driver whose native XDP long had no metadata, and that tells nothing of a frame."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator

import pytest
from net.link import Link, quiet

__all__ = ["Tap", "tap"]

_TUNSETIFF = 0x400454CA
_TAP, _NO_PI = 0x0002, 0x1000


class Tap:
    """A tap's link, and the end that a process holds."""

    def __init__(self, link: Link, fd: int) -> None:
        self.link = link
        self._fd = fd

    def send(self, frame: bytes) -> None:
        """The device receives this frame. Without waiting: so it takes drivers/net/tun.c:tun_build_skb's native XDP."""
        assert os.write(self._fd, frame) == len(frame)


@contextlib.contextmanager
def tap(name: str) -> Iterator[Tap]:
    """A tap in the current namespace, up, without IPv6. Skips where the kernel makes none."""
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"the kernel makes no tap device (CONFIG_TUN): {error}")
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP | _NO_PI))
        link = Link.named(name)
        quiet(link)
        link.up()
        yield Tap(link, fd)
    finally:
        os.close(fd)
