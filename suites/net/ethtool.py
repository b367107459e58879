"""What `ethtool` does, over its ioctl: rings, channels, statistics, the driver's name; no guest need have the tool.

Structures: include/uapi/linux/ethtool.h. Each call raises OSError: EOPNOTSUPP where a driver has no such operation.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from dataclasses import dataclass, replace

from net.link import Link

__all__ = ["Channels", "Rings", "channels", "driver", "rings", "set_channels", "set_gro", "set_rings", "statistics"]

_SIOCETHTOOL = 0x8946
_GDRVINFO, _GRINGPARAM, _SRINGPARAM, _GCHANNELS, _SCHANNELS = 0x03, 0x10, 0x11, 0x3C, 0x3D
_GSTRINGS, _GSTATS = 0x1B, 0x1D
_SGRO = 0x2C
_STATISTICS_SET = 1  # ETH_SS_STATS
_NAME = 32  # ETH_GSTRING_LEN


@dataclass(frozen=True)
class Rings:
    """Descriptors of each ring; max_*: the most there may be."""

    rx: int
    tx: int
    max_rx: int
    max_tx: int


@dataclass(frozen=True)
class Channels:
    """Queues; max_*: the most there may be. combined ones receive and send."""

    rx: int
    tx: int
    combined: int
    max_rx: int
    max_tx: int
    max_combined: int


def driver(link: Link) -> str:
    """The name of its driver."""
    return _call(link, struct.pack("=I", _GDRVINFO).ljust(196, b"\0"))[4:36].split(b"\0")[0].decode()


def rings(link: Link) -> Rings:
    values = struct.unpack("=9I", _call(link, struct.pack("=9I", _GRINGPARAM, *[0] * 8)))
    return Rings(rx=values[5], tx=values[8], max_rx=values[1], max_tx=values[4])


def set_rings(link: Link, *, rx: int | None = None, tx: int | None = None) -> None:
    values = list(struct.unpack("=9I", _call(link, struct.pack("=9I", _GRINGPARAM, *[0] * 8))))
    values[0] = _SRINGPARAM
    values[5] = values[5] if rx is None else rx
    values[8] = values[8] if tx is None else tx
    _call(link, struct.pack("=9I", *values))


def channels(link: Link) -> Channels:
    values = struct.unpack("=9I", _call(link, struct.pack("=9I", _GCHANNELS, *[0] * 8)))
    return Channels(
        rx=values[5],
        tx=values[6],
        combined=values[8],
        max_rx=values[1],
        max_tx=values[2],
        max_combined=values[4],
    )


def set_channels(link: Link, *, rx: int | None = None, tx: int | None = None, combined: int | None = None) -> None:
    wanted = {key: value for key, value in (("rx", rx), ("tx", tx), ("combined", combined)) if value is not None}
    now = replace(channels(link), **wanted)
    _call(link, struct.pack("=9I", _SCHANNELS, 0, 0, 0, 0, now.rx, now.tx, 0, now.combined))


def set_gro(link: Link, on: bool) -> None:
    """Generic receive offload: whether segments that came in are put together."""
    _call(link, struct.pack("=II", _SGRO, on))


def statistics(link: Link) -> dict[str, int]:
    """The driver's own counters (`ethtool -S`), by name; none where it has none."""
    room = 4096
    names = _call(link, struct.pack("=III", _GSTRINGS, _STATISTICS_SET, 0) + bytes(room * _NAME))
    (count,) = struct.unpack_from("=I", names, 8)
    values = _call(link, struct.pack("=II", _GSTATS, count) + bytes(count * 8))
    labels = [names[12 + i * _NAME : 12 + (i + 1) * _NAME].split(b"\0")[0].decode() for i in range(count)]
    return dict(zip(labels, struct.unpack_from(f"={count}Q", values, 8), strict=True))


def _call(link: Link, request: bytes) -> bytes:
    buffer = ctypes.create_string_buffer(request, len(request))
    ifreq = struct.pack("=16sQ8x", link.name.encode(), ctypes.addressof(buffer))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
        fcntl.ioctl(door, _SIOCETHTOOL, ifreq)
    return buffer.raw
