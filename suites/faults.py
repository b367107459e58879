"""Have the kernel's allocations fail, one after the other, in what a test does.

/proc/PID/fail-nth lets the N-th allocation of a task fail that asks for it (Documentation/fault-injection/): a call is
made with its first one failing, then with its second, until one call gets by without reaching the N-th.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

__all__ = ["Faults", "faults"]

T = TypeVar("T")

_DOOR = "/proc/thread-self/fail-nth"
_DEBUGFS = Path("/sys/kernel/debug")
_MOST = 2000  # allocations of one call
# Also allocations that may wait, which are nearly all of a system call's; and no trace in the log for each.
_SETTINGS = {
    "failslab": {"ignore-gfp-wait": "N", "verbose": "0"},
    "fail_page_alloc": {"ignore-gfp-wait": "N", "min-order": "0", "verbose": "0"},
}


class Faults:
    """What fails allocations of this thread."""

    def each(self, act: Callable[[], T]) -> Iterator[tuple[int, T]]:
        """Do something with its first allocation failing, then its second, to its last: numbers and results.

        Fails the test where there are more allocations than anything here should need.
        """
        for number in range(1, _MOST + 1):
            door = os.open(_DOOR, os.O_RDWR | os.O_CLOEXEC)
            try:
                os.pwrite(door, b"%d" % number, 0)
                result = act()
                left = int(os.pread(door, 16, 0))
                os.pwrite(door, b"0", 0)
            finally:
                os.close(door)
            if left:
                return
            yield number, result
        pytest.fail(f"{_MOST} allocations in one call, and no end", False)


@pytest.fixture
def faults() -> Iterator[Faults]:
    """Skips where the kernel has no such faults."""
    if not os.path.exists(_DOOR):  # noqa: PTH110 - pathlib is slow here
        pytest.skip("the kernel has no fault injection (CONFIG_FAULT_INJECTION, as --config debug brings)")
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(_set(name, values)) for name, values in _SETTINGS.items()]
        if not any(found):
            pytest.skip("the kernel fails no allocations (CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC, debugfs)")
        yield Faults()


@contextlib.contextmanager
def _set(name: str, values: dict[str, str]) -> Iterator[bool]:
    """The settings of one kind of fault, put back at the end; False where the kernel has no such kind."""
    folder = _DEBUGFS / name
    if not folder.is_dir():
        yield False
        return
    before = {each: (folder / each).read_text() for each in values}
    try:
        for each, value in values.items():
            (folder / each).write_text(value)
        yield True
    finally:
        for each, value in before.items():
            (folder / each).write_text(value)
