"""One CPU's perf ring buffer: where bpf_perf_event_output puts what it captures."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Iterator

__all__ = ["PerfRing"]

_SYS_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
_ATTR_SIZE = 112
_TYPE_SOFTWARE, _COUNT_SW_BPF_OUTPUT, _SAMPLE_RAW = 1, 10, 1 << 10
_RECORD_SAMPLE = 9
_HEAD, _TAIL = 1024, 1032  # data_head and data_tail in struct perf_event_mmap_page
_FLAG_FD_CLOEXEC = 8


class PerfRing:
    """The ring of one CPU. Use it as a context manager; put `fd` into a BPF_MAP_TYPE_PERF_EVENT_ARRAY."""

    def __init__(self, cpu: int, pages: int = 64) -> None:
        """pages: a power of two. Raises OSError where the kernel has no perf events."""
        attr = struct.pack("<IIQQQ", _TYPE_SOFTWARE, _ATTR_SIZE, _COUNT_SW_BPF_OUTPUT, 1, _SAMPLE_RAW)
        attr += struct.pack("<QQI", 0, 0, 1)  # read_format, flags, wakeup_events
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.syscall(
            ctypes.c_long(_SYS_PERF_EVENT_OPEN[os.uname().machine]),
            attr.ljust(_ATTR_SIZE, b"\0"),
            -1,
            cpu,
            -1,
            ctypes.c_ulong(_FLAG_FD_CLOEXEC),
        )
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "perf_event_open")
        self._size = pages * mmap.PAGESIZE
        self._memory = mmap.mmap(self.fd, mmap.PAGESIZE + self._size)

    def samples(self) -> Iterator[bytes]:
        """Take what has come since the last call: each sample's raw bytes, padding at its end included."""
        (head,) = struct.unpack_from("<Q", self._memory, _HEAD)
        (tail,) = struct.unpack_from("<Q", self._memory, _TAIL)
        while tail < head:
            kind, _, size = struct.unpack("<IHH", self._take(tail, 8))
            if kind == _RECORD_SAMPLE:
                (length,) = struct.unpack("<I", self._take(tail + 8, 4))
                yield self._take(tail + 12, length)
            tail += size
            struct.pack_into("<Q", self._memory, _TAIL, tail)

    def _take(self, position: int, size: int) -> bytes:
        at = position % self._size
        ring = memoryview(self._memory)[mmap.PAGESIZE :]
        try:
            return bytes(ring[at : at + size]) + bytes(ring[: max(0, at + size - self._size)])
        finally:
            ring.release()

    def __enter__(self) -> PerfRing:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.close()
        os.close(self.fd)
