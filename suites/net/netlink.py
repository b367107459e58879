"""Netlink, as much of it as the suites need: requests, attributes and the kernel's own words where it refuses.

Messages are those of include/uapi/linux/netlink.h; extended acks as in Documentation/userspace-api/netlink/intro.rst.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

__all__ = ["NETLINK_GENERIC", "NETLINK_ROUTE", "Netlink", "NetlinkError", "attribute", "attributes", "nest"]

NETLINK_ROUTE, NETLINK_GENERIC = 0, 16
_REQUEST, _ACK, _DUMP = 1, 4, 0x300
_ERROR, _DONE = 2, 3
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_ACK_TLVS = 0x200  # NLM_F_ACK_TLVS: an extended ack follows
_ATTR_MSG = 1  # NLMSGERR_ATTR_MSG
_NESTED, _TYPE_MASK = 0x8000, 0x3FFF
_HEADER = struct.Struct("=IHHII")


class NetlinkError(OSError):
    """A request that the kernel refused. errno as usual; message: what it said with it (extended ack), or ""."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(number, f"{os.strerror(number)}{': ' if message else ''}{message}")
        self.message = message

    @property
    def name(self) -> str:
        """The errno's name, `EINVAL`."""
        if self.errno == errno.EOPNOTSUPP:  # Linux has one number for it and ENOTSUP
            return "EOPNOTSUPP"
        return errno.errorcode.get(self.errno or 0, str(self.errno))


def attribute(kind: int, value: bytes | int | str) -> bytes:
    """One attribute, padded. An int is a u32, a str gets its final zero."""
    data = struct.pack("=I", value & 0xFFFFFFFF) if isinstance(value, int) else value
    data = data.encode() + b"\0" if isinstance(data, str) else data
    return struct.pack("=HH", len(data) + 4, kind) + data + bytes(-len(data) % 4)


def nest(kind: int, *inner: bytes) -> bytes:
    """An attribute made of others."""
    return attribute(kind | _NESTED, b"".join(inner))


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes of a buffer, by type; the last of a type counts."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            break
        found[kind & _TYPE_MASK] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


class Netlink:
    """A netlink socket of one protocol, in the network namespace of the thread that makes it."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        self._socket.settimeout(30)
        self._sequence = 0

    def ask(self, kind: int, body: bytes, *, dump: bool = False, flags: int = 0) -> list[bytes]:
        """The bodies of the answers to one request. flags: more of them. Raises NetlinkError where it is refused."""
        self._sequence += 1
        flags |= _REQUEST | (_DUMP if dump else _ACK)
        self._socket.send(_HEADER.pack(16 + len(body), kind, flags, self._sequence, 0) + body)
        answers = []
        for answer, answer_flags, data in self._messages():
            if answer in (_ERROR, _DONE):
                _check(answer, answer_flags, data)
                return answers
            answers.append(data)
        return answers

    def _messages(self) -> Iterator[tuple[int, int, bytes]]:
        """Type, flags and body of each message with the current sequence number, for ever."""
        while True:
            data = self._socket.recv(1 << 17)
            while len(data) >= 16:
                length, kind, flags, sequence, _ = _HEADER.unpack_from(data)
                if sequence == self._sequence:
                    yield kind, flags, data[16:length]
                data = data[(length + 3) & ~3 :]

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check(kind: int, flags: int, data: bytes) -> None:
    """Raise what an NLMSG_ERROR or NLMSG_DONE holds: a negative errno, then the header asked with (NETLINK_CAP_ACK)."""
    (status,) = struct.unpack_from("=i", data) if len(data) >= 4 else (0,)
    if status >= 0:
        return
    extended = data[20:] if kind == _ERROR else data[4:]
    said = attributes(extended).get(_ATTR_MSG, b"") if flags & _ACK_TLVS else b""
    raise NetlinkError(-status, said.rstrip(b"\0").decode("utf-8", "replace"))
