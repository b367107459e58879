"""Marks in the stream of instructions, for QEMU's profile plugin (vm/profile/profile.c); nothing anywhere else.

A mark is a nop whose displacement carries an order and a number, run from a page of our own. xdpsock makes one wherever
it notes the time for --laps (vm/xdpsock/laps.c).
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["LAP_CLOCK", "PROFILE_VARIABLE", "marks"]

PROFILE_VARIABLE = "KTRIAL_PROFILE"
_NOP = b"\x0f\x1f\x80"  # nopl disp32(%rax)
_RET = b"\xc3"
_MAGIC = 0x4B << 24
_STOP, _START, _ENTRY_LOW, _ENTRY_HIGH, _CLOCK = range(5)
LAP_CLOCK = "lap"  # where programs in user space read a clock; with its number as in harness/perf/profile.py
_LAP_NUMBER = 2
_NUMBERS = 1 << 20


class Marks:
    """Segments of a guest's run, numbered from 0. `next`: the number of the next one."""

    def __init__(self) -> None:
        self.next = 0
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._page[:8] = _NOP + bytes(4) + _RET
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._run = ctypes.CFUNCTYPE(None)(address)

    @contextmanager
    def segment(self) -> Iterator[None]:
        """What the block does is counted, as the segment `next`."""
        self._mark(_START, self.next % _NUMBERS)
        try:
            yield
        finally:
            self._mark(_STOP, self.next % _NUMBERS)
            self.next += 1

    def packets_enter_at(self, address: int) -> None:
        """A packet begins with each run of the program at `address` (of the last 4 GiB, where the kernel's JIT is)."""
        self._mark(_ENTRY_LOW, address & 0xFFFF)
        self._mark(_ENTRY_HIGH, address >> 16 & 0xFFFF)

    def lap(self) -> None:
        """The clock is read here."""
        self._mark(_CLOCK, _LAP_NUMBER)

    def _mark(self, order: int, value: int) -> None:
        self._page[3:7] = (_MAGIC | order << 20 | value).to_bytes(4, "little")
        self._run()


class NoMarks(Marks):
    """Where no plugin looks."""

    def __init__(self) -> None:
        self.next = 0

    def _mark(self, order: int, value: int) -> None:
        pass


@functools.cache
def marks() -> Marks:
    """The marks of this guest."""
    profiled = os.environ.get(PROFILE_VARIABLE) and platform.machine() == "x86_64"
    return Marks() if profiled else NoMarks()
