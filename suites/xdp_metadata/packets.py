"""IPv4 frames with right checksums: only such TCP segments are put together, only such flows hashed."""

from __future__ import annotations

import struct

__all__ = ["tcp", "udp"]

_FROM, _TO = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))  # RFC 5737
_TCP, _UDP = 6, 17


def _checksum(data: bytes) -> int:
    """RFC 1071, of an even number of bytes once padded."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _frame(protocol: int, segment: bytes, number: int, mac: bytes) -> bytes:
    """Ethernet and an IPv4 header without options, not to be fragmented. number: its identification."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), number, 0x4000, 64, protocol, 0) + _FROM + _TO
    head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    return mac + b"\x02\0\0\0\0\1" + b"\x08\x00" + head + segment


def _with_checksum(protocol: int, segment: bytes, at: int) -> bytes:
    pseudo = _FROM + _TO + struct.pack("!HH", protocol, len(segment))
    return segment[:at] + struct.pack("!H", _checksum(pseudo + segment)) + segment[at + 2 :]


def tcp(number: int, payload: bytes, *, mac: bytes) -> bytes:
    """The `number`th of a stream's segments, all of one payload size."""
    sequence = 1000 + number * len(payload)
    head = struct.pack("!HHIIBBHHH", 4000, 80, sequence, 1, 0x50, 0x10, 1000, 0, 0)
    return _frame(_TCP, _with_checksum(_TCP, head + payload, 16), 100 + number, mac)


def udp(payload: bytes, *, port: int = 4000, mac: bytes = b"\xff" * 6) -> bytes:
    """A datagram from this source port."""
    segment = struct.pack("!HHHH", port, 9, 8 + len(payload), 0) + payload
    return _frame(_UDP, _with_checksum(_UDP, segment, 6), 1, mac)
