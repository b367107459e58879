"""IPv4 UDP datagrams in Ethernet frames, with checksums that the receiving stack verifies (RFC 768, RFC 1071)."""

from __future__ import annotations

import socket
import struct

from xdp_multibuf.machine import frame_of

__all__ = ["HEADERS", "PORT", "datagram", "payload_of"]

HEADERS = 14 + 20 + 8  # Ethernet, IPv4, UDP
PORT = 4791
_IPV4, _UDP = 0x0800, 17


def payload_of(size: int) -> bytes:
    """The payload of a frame of `size` bytes."""
    return frame_of(size - HEADERS)


def datagram(size: int, to_mac: bytes, to: str, sender: str, *, wrong: int = 0) -> bytes:
    """A frame of `size` bytes. wrong: what to add to its UDP checksum."""
    payload = payload_of(size)
    length = 8 + len(payload)
    addresses = socket.inet_aton(sender) + socket.inet_aton(to)
    udp = struct.pack("!4H", PORT, PORT, length, 0) + payload
    # 0 on the wire would mean that there is no checksum.
    checksum = (_checksum(addresses + struct.pack("!BBH", 0, _UDP, length) + udp) or 0xFFFF) + wrong
    udp = udp[:6] + struct.pack("!H", checksum & 0xFFFF) + udp[8:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 1, 0, 64, _UDP, 0) + addresses
    ip = ip[:10] + struct.pack("!H", _checksum(ip)) + ip[12:]
    return to_mac + b"\2\0\0\0\0\1" + struct.pack("!H", _IPV4) + ip + udp


def _checksum(data: bytes) -> int:
    """The Internet checksum. The sum of 16-bit words is the number that they spell, modulo 65535."""
    number = int.from_bytes(data + b"\0" * (len(data) % 2), "big") % 0xFFFF
    return ~number & 0xFFFF
