"""The source lines of instructions, from a kernel's DWARF, with those of the functions they were inlined into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from harness.command import Command, CommandFailed, Jail, run
from harness.perf.blame import Line

__all__ = ["Frame", "SourceLines", "frames_of"]

Frame = tuple[str, Line]
"""A function, inlined or not, and a line in it."""

_KERNEL_DIR = Path("/ktrial/kernel")
_SOURCE_DIR = "/ktrial/src/"  # where kernels are built
_DEADLINE = 300.0


def frames_of(vmlinux: Path, addresses: Iterable[int]) -> dict[int, tuple[Frame, ...]]:
    """The frames of each instruction, the innermost inlined function first. Empty where there is no DWARF to read.

    binutils' addr2line reads what a stranger's build made, so it runs in a jail.
    """
    wanted = sorted(set(addresses))
    if not wanted or not vmlinux.is_file():
        return {}
    command = Command(
        ("addr2line", "--addresses", "--functions", "--inlines", f"--exe={_KERNEL_DIR / vmlinux.name}"),
        deadline=_DEADLINE,
        jail=Jail(read_only=((vmlinux.resolve().parent, _KERNEL_DIR),)),
    )
    try:
        said = run(command, stdin="".join(f"{address:#x}\n" for address in wanted).encode()).text
    except CommandFailed:
        return {}
    return dict(_parsed(said.splitlines()))


class SourceLines:
    """The frames of one kernel's instructions, each looked up once: the benches of a kernel run much the same ones."""

    def __init__(self, vmlinux: Path) -> None:
        self._vmlinux = vmlinux
        self._known: dict[int, tuple[Frame, ...]] = {}

    def frames(self, addresses: Iterable[int]) -> Mapping[int, tuple[Frame, ...]]:
        """As frames_of(), of these addresses and maybe others."""
        wanted = set(addresses) - self._known.keys()
        if wanted:
            self._known |= dict.fromkeys(wanted, ()) | frames_of(self._vmlinux, wanted)
        return self._known


def _parsed(said: list[str]) -> Iterator[tuple[int, tuple[Frame, ...]]]:
    """addr2line's words: an address, then pairs of a function and FILE:LINE."""
    starts = [place for place, line in enumerate(said) if line.startswith("0x")]
    for start, end in zip(starts, [*starts[1:], len(said)], strict=True):
        pairs = zip(said[start + 1 : end : 2], said[start + 2 : end : 2], strict=False)
        frames = ((function, _line(place)) for function, place in pairs)
        yield int(said[start], 16), tuple((function, line) for function, line in frames if line)


def _line(place: str) -> Line | None:
    """`/ktrial/src/net/core/filter.c:3999 (discriminator 2)` as a line of the tree."""
    path, _, number = place.partition(" (")[0].rpartition(":")
    if not number.isdigit() or not path:
        return None
    return path.removeprefix(_SOURCE_DIR).removeprefix("./"), int(number)
