"""AF_XDP sockets by hand, a descriptor at a time: what the tests of rings and of refusals need.

The calls and structures are those of include/uapi/linux/if_xdp.h and Documentation/networking/af_xdp.rst. Nothing here
checks or hides: a refusal is an OSError with the kernel's errno; a ring holds what the test or the kernel put there.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntFlag
from typing import NamedTuple

from net.link import DEADLINE, Link

__all__ = [
    "AF_XDP",
    "CONTINUED",
    "HEADROOM",
    "METADATA",
    "Bind",
    "Desc",
    "Ring",
    "Statistics",
    "Umem",
    "UmemFlag",
    "Xsk",
    "errno_of",
]

AF_XDP, SOL_XDP = 44, 283
_MMAP_OFFSETS, _RX_RING, _TX_RING, _UMEM_REG, _FILL_RING, _COMPLETION_RING, _STATISTICS, _OPTIONS = range(1, 9)
_PAGE_OFFSETS = {_RX_RING: 0, _TX_RING: 0x80000000, _FILL_RING: 0x100000000, _COMPLETION_RING: 0x180000000}
_NEED_WAKEUP = 1  # XDP_RING_NEED_WAKEUP
HEADROOM = 256  # XDP_PACKET_HEADROOM: before every received frame
CONTINUED, METADATA = 1, 2  # XDP_PKT_CONTD, XDP_TX_METADATA
_ADDRESS_BITS = (1 << 48) - 1  # XSK_UNALIGNED_BUF_ADDR_MASK


class Bind(IntFlag):
    """Flags of bind()."""

    SHARED_UMEM = 1
    COPY = 2
    ZERO_COPY = 4
    NEED_WAKEUP = 8
    USE_SG = 16


class UmemFlag(IntFlag):
    """Flags of XDP_UMEM_REG."""

    UNALIGNED = 1
    TX_SW_CSUM = 2
    TX_METADATA_LEN = 4


class Desc(NamedTuple):
    """struct xdp_desc."""

    address: int
    length: int
    options: int = 0


class Statistics(NamedTuple):
    """struct xdp_statistics."""

    rx_dropped: int
    rx_invalid_descs: int
    tx_invalid_descs: int
    rx_ring_full: int
    rx_fill_ring_empty_descs: int
    tx_ring_empty_descs: int


@dataclass(frozen=True)
class Umem:
    """Memory to register, in chunks. metadata: bytes of transmit metadata before each frame."""

    chunks: int = 64
    chunk_size: int = 4096
    headroom: int = 0
    flags: int = 0
    metadata: int = 0

    @property
    def size(self) -> int:
        return self.chunks * self.chunk_size


def errno_of(error: OSError) -> str:
    """The errno's name. 95 has two in Python's table; the kernel's is EOPNOTSUPP."""
    return "EOPNOTSUPP" if error.errno == errno.EOPNOTSUPP else errno.errorcode.get(error.errno or 0, str(error.errno))


class Ring:
    """One of a socket's rings, mapped. Entries are Desc, or addresses in the fill and completion rings."""

    def __init__(self, fd: int, kind: int, entries: int, offsets: tuple[int, int, int, int]) -> None:
        self._producer, self._consumer, self._entries_at, self._flags = offsets
        self._entry = struct.Struct("=QII" if kind in (_RX_RING, _TX_RING) else "=Q")
        self.entries = entries
        length = self._entries_at + entries * self._entry.size
        self._map = mmap.mmap(fd, length, offset=_PAGE_OFFSETS[kind])

    def _read(self, at: int) -> int:
        return int(struct.unpack_from("I", self._map, at)[0])

    @property
    def producer(self) -> int:
        return self._read(self._producer)

    @property
    def consumer(self) -> int:
        return self._read(self._consumer)

    @property
    def waiting(self) -> int:
        """Entries that were produced and not consumed."""
        return (self.producer - self.consumer) & 0xFFFFFFFF

    @property
    def needs_wakeup(self) -> bool:
        return bool(self._read(self._flags) & _NEED_WAKEUP)

    def put(self, entries: Iterable[tuple[int, ...]]) -> None:
        """Produce entries, one after the other; as many as there is room for is the caller's affair."""
        at = self.producer
        for entry in entries:
            self._entry.pack_into(self._map, self._entries_at + at % self.entries * self._entry.size, *entry)
            at += 1
        struct.pack_into("I", self._map, self._producer, at & 0xFFFFFFFF)

    def take(self, most: int = 1 << 32) -> list[tuple[int, ...]]:
        """Consume what there is, `most` entries at most."""
        at, count = self.consumer, min(self.waiting, most)
        size = self._entry.size
        taken = [
            self._entry.unpack_from(self._map, self._entries_at + (at + i) % self.entries * size) for i in range(count)
        ]
        struct.pack_into("I", self._map, self._consumer, (at + count) & 0xFFFFFFFF)
        return taken

    def drop(self) -> int:
        """Consume all that there is without a look at it; gives how much that was."""
        count = self.waiting
        struct.pack_into("I", self._map, self._consumer, (self.consumer + count) & 0xFFFFFFFF)
        return count

    def close(self) -> None:
        self._map.close()


class Xsk:
    """One socket. Use it as a context manager: closing it gives the umem's pages back."""

    def __init__(self) -> None:
        self.socket = socket.socket(AF_XDP, socket.SOCK_RAW | socket.SOCK_CLOEXEC)
        self.umem = Umem()
        self.memory: mmap.mmap | None = None
        self._rings: dict[int, Ring] = {}
        self._lent = False

    # --- making it ---

    def register(self, umem: Umem, *, memory: mmap.mmap | None = None, shift: int = 0) -> None:
        """XDP_UMEM_REG. memory: instead of new, zeroed memory. shift: bytes to add to its address."""
        self.umem = umem
        self._lent = memory is not None
        pages = max(1, -(-(umem.size + shift) // mmap.PAGESIZE))
        self.memory = mmap.mmap(-1, pages * mmap.PAGESIZE) if memory is None else memory
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.memory)) + shift
        self.set(
            _UMEM_REG,
            struct.pack("=QQIIII", start, umem.size, umem.chunk_size, umem.headroom, umem.flags, umem.metadata),
        )

    def set(self, option: int, value: bytes) -> None:
        self.socket.setsockopt(SOL_XDP, option, value)

    def make_ring(self, kind: int, entries: int) -> None:
        """One of the four ring options. The ring is mapped when it is first looked at."""
        self.set(kind, struct.pack("=I", entries))
        self._rings.pop(kind, None)
        self._rings[kind] = Ring(self.socket.fileno(), kind, entries, self._offsets(kind))

    def make_rings(self, *, fill: int = 0, completion: int = 0, rx: int = 0, tx: int = 0) -> None:
        wanted = ((_FILL_RING, fill), (_COMPLETION_RING, completion), (_RX_RING, rx), (_TX_RING, tx))
        for kind, entries in wanted:
            if entries:
                self.make_ring(kind, entries)

    def _offsets(self, kind: int) -> tuple[int, int, int, int]:
        found = struct.unpack("=16Q", self.socket.getsockopt(SOL_XDP, _MMAP_OFFSETS, 128))
        first = (_RX_RING, _TX_RING, _FILL_RING, _COMPLETION_RING).index(kind) * 4
        return found[first], found[first + 1], found[first + 2], found[first + 3]

    def bind(self, link: Link | int, queue: int = 0, flags: int = Bind.COPY, shared_with: Xsk | None = None) -> None:
        """Bind to a queue. Waits where the queue's last socket is still being taken apart (xp_release_deferred)."""
        end = time.monotonic() + DEADLINE
        while True:
            try:
                self.bind_at_once(link, queue, flags, shared_with)
                return
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > end:
                    raise
                time.sleep(0.002)

    def bind_at_once(self, link: Link | int, queue: int, flags: int, shared_with: Xsk | None = None) -> None:
        """bind(), once. Raises OSError."""
        index = link.index if isinstance(link, Link) else link
        other = shared_with.socket.fileno() if shared_with else 0
        flags |= Bind.SHARED_UMEM if shared_with else 0
        address = struct.pack("=HHIII", AF_XDP, flags, index, queue, other)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.bind(self.socket.fileno(), address, len(address)):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        if shared_with:
            self.umem, self.memory, self._lent = shared_with.umem, shared_with.memory, True

    # --- using it ---

    @property
    def fill(self) -> Ring:
        return self._rings[_FILL_RING]

    @property
    def completion(self) -> Ring:
        return self._rings[_COMPLETION_RING]

    @property
    def rx(self) -> Ring:
        return self._rings[_RX_RING]

    @property
    def tx(self) -> Ring:
        return self._rings[_TX_RING]

    def give(self, addresses: Iterable[int]) -> None:
        """Addresses into the fill ring."""
        self.fill.put((address,) for address in addresses)

    def received(self, most: int = 1 << 32) -> list[Desc]:
        return [Desc(*entry) for entry in self.rx.take(most)]

    def completed(self, most: int = 1 << 32) -> list[int]:
        return [entry[0] for entry in self.completion.take(most)]

    def send(self, descs: Iterable[Desc]) -> None:
        """Descriptors into the transmit ring; nothing happens before `kick`."""
        self.tx.put(descs)

    def kick(self) -> str:
        """sendto() with nothing: transmit. Gives "" or the errno's name."""
        try:
            self.socket.send(b"", socket.MSG_DONTWAIT)
        except OSError as error:
            return errno_of(error)
        return ""

    def base(self, desc: Desc) -> int:
        """Where a received descriptor's chunk begins: the address that was given for it."""
        if self.umem.flags & UmemFlag.UNALIGNED:
            return desc.address & _ADDRESS_BITS
        return desc.address // self.umem.chunk_size * self.umem.chunk_size

    def at(self, desc: Desc) -> int:
        """Where its bytes begin."""
        if self.umem.flags & UmemFlag.UNALIGNED:
            return (desc.address & _ADDRESS_BITS) + (desc.address >> 48)
        return desc.address

    def data(self, desc: Desc, before: int = 0) -> bytes:
        """The bytes of a descriptor, and `before` bytes before them."""
        assert self.memory is not None
        return self.memory[self.at(desc) - before : self.at(desc) + desc.length]

    def write(self, address: int, data: bytes) -> None:
        assert self.memory is not None
        self.memory[address : address + len(data)] = data

    @property
    def statistics(self) -> Statistics:
        return Statistics(*struct.unpack("=6Q", self.socket.getsockopt(SOL_XDP, _STATISTICS, 48)))

    @property
    def zero_copy(self) -> bool:
        return bool(struct.unpack("=I", self.socket.getsockopt(SOL_XDP, _OPTIONS, 4))[0] & 1)

    def close(self) -> None:
        for ring in self._rings.values():
            ring.close()
        self._rings = {}
        self.socket.close()
        if self.memory is not None and not self._lent:
            self.memory.close()
            self.memory = None

    def __enter__(self) -> Xsk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
