"""The kernel's functions by address, from its System.map."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from harness.errors import UsageError

__all__ = ["JIT", "NO_FUNCTIONS", "USER", "Symbols", "canonical", "find_system_map"]

JIT = "[bpf_jit]"
"""What lies above the kernel's text: BPF programs, dispatchers, trampolines (and modules; benches load none)."""

USER = "[user]"
"""What user space runs while a packet is under way: xdpsock, and the bench itself."""

NO_FUNCTIONS = frozenset({JIT, USER})
"""Names that every kernel has, and that stand for no function of its source."""

_TEXT = frozenset("tTwW")
_KERNEL = 1 << 63
# What compilers append to the clones they make of a function (scripts/kallsyms.c, kernel/livepatch).
_CLONE = re.compile(r"\.(isra|constprop|part|cold|llvm)(\.\d+)*")
_NOT_FUNCTIONS = ("__pfx_", "__cfi_", "_text", "_stext", "_etext", "_sinittext", "_einittext")


def canonical(name: str) -> str:
    """A function's name in the source: without what the compiler appended to a clone."""
    return _CLONE.sub("", name)


def find_system_map(image: Path) -> Path | None:
    """The System.map of a bzImage: beside it, or at the top of the build folder whose arch/x86/boot it lies in."""
    above = image.parents[3] if len(image.parents) > 3 else image.parent
    found = (path for path in (image.parent / "System.map", above / "System.map") if path.is_file())
    return next(found, None)


class Symbols:
    """Functions of one kernel that was booted with `nokaslr`."""

    def __init__(self, path: Path, others: Path | None = None) -> None:
        """Read a System.map. others: that of the kernel it is compared to. Raises UsageError for a file that is none.

        Where one address has several names, it is called by one that the other kernel knows too: an alias that comes or
        goes makes no function of it.
        """
        self.path = path
        known = {canonical(name) for _, name in _text_symbols(others)} if others else set()
        named: dict[int, list[str]] = {}
        for address, name in _text_symbols(path):
            named.setdefault(address, []).append(name)
        self._starts = sorted(named)
        self._names = [
            min(named[address], key=lambda name: (canonical(name) not in known, *_preference(name)))
            for address in self._starts
        ]
        if not self._starts:
            raise UsageError(f"{path} has no text symbols", hint="ktrial needs the System.map of the kernel it boots")
        self._end = _address_of(path, "_etext") or self._starts[-1] + 1

    def name(self, address: int) -> str:
        """The function an address is in, as the source names it."""
        if address < _KERNEL:
            return USER
        if not self._starts[0] <= address < self._end:
            return JIT
        return canonical(self._names[bisect_right(self._starts, address) - 1])

    def is_start(self, address: int) -> bool:
        """Whether a function begins there; its cold part, which it jumps to, is no function."""
        index = bisect_right(self._starts, address) - 1
        return index >= 0 and self._starts[index] == address and ".cold" not in self._names[index]

    def address(self, name: str) -> int | None:
        """Where a function of exactly this name begins."""
        return self._addresses.get(name)

    @cached_property
    def functions(self) -> frozenset[str]:
        """The names of all functions, as the source has them."""
        return frozenset(map(canonical, self._names))

    @cached_property
    def _addresses(self) -> dict[str, int]:
        return dict(zip(self._names, self._starts, strict=True))


def _text_symbols(path: Path) -> Iterator[tuple[int, str]]:
    with path.open() as lines:
        for line in lines:
            address, kind, name = (*line.split(), "", "", "")[:3]
            if kind in _TEXT and not name.startswith(_NOT_FUNCTIONS) and int(address, 16) & _KERNEL:
                yield int(address, 16), name


def _address_of(path: Path, wanted: str) -> int | None:
    with path.open() as lines:
        found = (line.split() for line in lines if line.rstrip().endswith(f" {wanted}"))
        return next((int(address, 16) for address, _, name in found if name == wanted), None)


def _preference(name: str) -> tuple[int, int, str]:
    """Of several names for one address: not a clone's, few underscores in front, short, then by letter."""
    return (("." in name), len(name) - len(name.lstrip("_")) + len(name), name)
