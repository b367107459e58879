"""Pages of the guest that something keeps: what comes of it again and again is a leak."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable

__all__ = ["pages_lost"]

_SETTLING = 8.0  # seconds
_LOOKS = 3


def _free_pages() -> int:
    """Free pages of the guest, with those on the lists of its processors.

    A list may hold hundreds and gives them back only seconds later (refresh_cpu_vm_stats): they would hide a leak.
    """
    descriptor = os.open("/proc/zoneinfo", os.O_RDONLY)
    try:
        text = b"".join(iter(lambda: os.read(descriptor, 1 << 16), b""))
    finally:
        os.close(descriptor)
    return sum(map(int, re.findall(rb"^ *(?:pages free|count:) +(\d+)$", text, re.MULTILINE)))


def pages_lost(action: Callable[[], object], runs: int, *, at_most: float, warm_up: int = 20) -> float:
    """Pages that each of `runs` calls of `action` keeps, after a few to warm caches up.

    at_most: how many are none. Where there are more, it looks again: a leak is there every time, the memory that
    something else in the guest took meanwhile is not.
    """
    for _ in range(warm_up):
        action()
    least = math.inf
    for _ in range(_LOOKS):
        least = min(least, _pages_lost(action, runs, at_most))
        if least <= at_most:
            break
    return least


def _pages_lost(action: Callable[[], object], runs: int, at_most: float) -> float:
    """One look. Waits for what another thread has still to give back (a page pool that was not empty when it went
    looks again every second, page_pool_release_retry)."""
    before = _free_pages()
    for _ in range(runs):
        action()
    deadline = time.monotonic() + _SETTLING
    while (lost := (before - _free_pages()) / runs) > at_most and time.monotonic() < deadline:
        time.sleep(0.02)
    return lost
