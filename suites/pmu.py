"""Cycles by the processor's own counter, over perf_event_open(2): ctypes, for a guest has no perf.

KTRIAL_EVENT in a board's environment, as TYPE:CONFIG of struct perf_event_attr, names another event: of a processor
whose PMU has its cycles elsewhere (/sys/bus/event_source/devices/*/type), or that has none. Figures are of `events`
then, for nobody here knows what they are.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

__all__ = ["COUNTED", "Counter", "EveryProcessor", "cycles"]

_CALLS = {"x86_64": 298, "aarch64": 241}
_CYCLES = "0:0"  # PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES (include/uapi/linux/perf_event.h)
_EVENT = os.environ.get("KTRIAL_EVENT", _CYCLES)
COUNTED = "cycles" if _EVENT == _CYCLES else "events"
_SIZE = 64  # PERF_ATTR_SIZE_VER0
_PINNED, _EXCLUDE_USER, _EXCLUDE_HV = 1 << 2, 1 << 4, 1 << 6


class Counter:
    """An event, TYPE:CONFIG, counted in the kernel alone from now on: of this thread, or of all that a processor does.

    Raises OSError where there is none.
    """

    def __init__(self, event: str = _EVENT, *, processor: int | None = None) -> None:
        kind, config = (int(number, 0) for number in event.split(":"))
        flags = _PINNED | _EXCLUDE_USER | _EXCLUDE_HV
        attributes = struct.pack("=IIQQQQQ", kind, _SIZE, config, 0, 0, 0, flags).ljust(_SIZE, b"\0")
        number = _CALLS.get(platform.machine())
        if number is None:
            raise OSError(f"perf_event_open's number on {platform.machine()} is not known")
        libc = ctypes.CDLL(None, use_errno=True)
        whom = (0, -1) if processor is None else (-1, processor)
        self._fd = libc.syscall(number, attributes, *whom, -1, 0)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), f"perf_event_open: {os.strerror(ctypes.get_errno())}")

    def read(self) -> int:
        """The count so far. Raises OSError where the counter was taken away: being pinned, it counts always or not."""
        data = os.read(self._fd, 8)
        if len(data) != 8:
            raise OSError("the counter is in use by somebody else")
        return int(struct.unpack("=Q", data)[0])

    @property
    def descriptor(self) -> int:
        """What read() reads: eight bytes."""
        return self._fd

    def close(self) -> None:
        os.close(self._fd)


class EveryProcessor:
    """The cycles of all processors that are online, in the kernel. Raises OSError where one has no counter."""

    def __init__(self) -> None:
        self._counters: list[Counter] = []
        try:
            for processor in _online():
                self._counters.append(Counter(processor=processor))
        except OSError:
            self.close()
            raise

    @property
    def descriptors(self) -> list[int]:
        """For another program to read: eight bytes of each, which together are the count."""
        return [counter.descriptor for counter in self._counters]

    def read(self) -> int:
        """The count so far. Raises OSError, as a counter does."""
        return sum(counter.read() for counter in self._counters)

    def close(self) -> None:
        for counter in self._counters:
            counter.close()


def _online() -> list[int]:
    """Whatever this thread may run on: `0-3,5` (Documentation/admin-guide/cputopology.rst)."""
    found: list[int] = []
    for part in Path("/sys/devices/system/cpu/online").read_text(encoding="ascii").split(","):
        first, _, last = part.strip().partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


C = TypeVar("C", Counter, EveryProcessor)


def cycles(counter: Callable[[], C]) -> C:
    """A counter of cycles, of either kind; skips where this machine has none, as a guest without a virtual PMU."""
    try:
        return counter()
    except OSError as error:
        pytest.skip(f"no counter of cycles here: {error.strerror or error}")
