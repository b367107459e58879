"""Say where in the source the frames of a call trace are: `bpf_xdp_adjust_tail+0x1b/0x40` as net/core/filter.c:4121.

As the kernel's scripts/faddr2line does it: a symbol's address is System.map's, and it is the right symbol only where
its size is the one that the kernel printed, for names of static functions are not unique and kernels get rebuilt. Where
the vmlinux of that kernel is gone, or the size is another, nothing is said.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.perf.source_lines import Frame, frames_of
from harness.report.logs import shown_texts
from harness.run_result import KernelInfo, RunResult

__all__ = ["Places", "places_of"]

_FRAME = re.compile(r"(?P<symbol>[A-Za-z_][\w.$]{0,500})\+0x(?P<offset>[0-9a-f]{1,8})/0x(?P<size>[0-9a-f]{1,8})")
# The address of an instruction that faulted or warned; all others are where a call returns to.
_EXACT = re.compile(r"(?:RIP: (?:[0-9a-f]{4}:)?|EIP: (?:[0-9a-f]{4}:)?|pc : )$")
_MOST = 5000  # frames of one kernel
_REACH = 2000  # characters of a line: a log can have very long ones


@dataclass(frozen=True)
class Places:
    """Where frames are, by side. lines: by the frame as it was printed, the innermost inlined function first."""

    lines: Mapping[str, Mapping[str, tuple[Frame, ...]]] = field(default_factory=dict)

    def of(self, side: str, line: str) -> tuple[Frame, ...]:
        """What is known of the frame in a line of a log; nothing where it has none, or it is not known."""
        match = _FRAME.search(line, 0, _REACH) if self.lines else None
        return self.lines.get(side, {}).get(_key(match), ()) if match else ()


def places_of(result: RunResult) -> Places:
    """Look up the frames of every log that a report shows. Slow where there are any: a second for each kernel."""
    sides = {side.side: side for side in (result.base, result.patched) if side}
    found = {}
    for kernel in result.kernels:
        if kernel.side in sides:
            found[kernel.side] = _looked_up(kernel, shown_texts(sides[kernel.side]))
    return Places(found)


def _looked_up(kernel: KernelInfo, texts: Iterable[str]) -> dict[str, tuple[Frame, ...]]:
    printed = {_key(match): match for match in _frames(texts)}
    folder = Path(kernel.directory)
    try:
        symbols = _Symbols(folder / "System.map") if printed else None
    except (OSError, ValueError):
        return {}
    if symbols is None:
        return {}
    addresses = {key: symbols.address(match) for key, match in list(printed.items())[:_MOST]}
    lines = frames_of(folder / "vmlinux", (address for address in addresses.values() if address is not None))
    return {key: lines[address] for key, address in addresses.items() if address is not None and lines.get(address)}


def _frames(texts: Iterable[str]) -> Iterator[re.Match[str]]:
    return (match for text in texts for line in text.splitlines() if (match := _FRAME.search(line, 0, _REACH)))


def _key(match: re.Match[str]) -> str:
    exact = "" if _is_exact(match) else "-1"
    return f"{match[0]}{exact}"


def _is_exact(match: re.Match[str]) -> bool:
    return bool(_EXACT.search(match.string, 0, match.start()))


class _Symbols:
    """A kernel's symbols, with sizes as kallsyms has them: up to the next one."""

    def __init__(self, path: Path) -> None:
        """Read a System.map. Raises OSError, and ValueError for a file that is none."""
        self._named: dict[str, list[int]] = {}
        starts = set()
        for line in path.read_text("utf-8", "replace").splitlines():
            address, _, name = (*line.split(), "", "")[:3]
            if name:
                self._named.setdefault(name, []).append(int(address, 16))
                starts.add(int(address, 16))
        self._starts = sorted(starts)

    def address(self, match: re.Match[str]) -> int | None:
        """Of the instruction, or of the call before the return address; None where no one symbol has that size."""
        size, offset = int(match["size"], 16), int(match["offset"], 16)
        found = [start for start in self._named.get(match["symbol"], ()) if self._size(start) == size]
        if len(found) != 1 or not 0 < offset + _is_exact(match) <= size:
            return None
        return found[0] + offset - (0 if _is_exact(match) else 1)

    def _size(self, start: int) -> int:
        at = bisect_right(self._starts, start)
        return self._starts[at] - start if at < len(self._starts) else 0
