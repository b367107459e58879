"""What QEMU's profile plugin wrote (vm/profile/profile.c), read back as counts of functions.

A trace is a sequence of marks. Between a start and its stop lies a segment, which a bench made; within it every entry
of a clock function is a mark too. A sample is what ran between two readings of the bench's own clock.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from harness.errors import MachineLost
from harness.perf.symbols import Symbols

__all__ = ["Counts", "Interval", "Segment", "read_trace", "samples"]

_HEADER = b"KTPROF1\0"
_BLOCK = struct.Struct("=IHQ")
_MARK = struct.Struct("=cIII")
_COUNT = struct.Struct("=III")
_TOTAL = struct.Struct("=I")
_START, _STOP, _CLOCK = b"B", b"E", b"C"


@dataclass
class Counts:
    """Instructions, first touches of data cache lines and entries, by function; and instructions by block.

    at: executions of each block, which is told by its instructions' addresses. packets: runs of the packets' program.
    """

    insns: Counter[str] = field(default_factory=Counter)
    lines: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    at: Counter[tuple[int, ...]] = field(default_factory=Counter)
    packets: int = 0

    def add(self, other: Counts) -> None:
        self.insns.update(other.insns)
        self.lines.update(other.lines)
        self.calls.update(other.calls)
        self.at.update(other.at)
        self.packets += other.packets


@dataclass(frozen=True)
class Interval:
    """What ran up to a mark. clock: the number of the clock whose entry ended it, None for the end of a segment."""

    clock: int | None
    counts: Counts


@dataclass(frozen=True)
class Segment:
    """From a start to its stop. The first interval is what ran before any clock was read."""

    number: int
    intervals: tuple[Interval, ...]


@dataclass(frozen=True)
class _Block:
    """A translation block: its instructions' addresses, and how many of them lie in which function."""

    addresses: tuple[int, ...]
    parts: tuple[tuple[str, int], ...]
    enters: str  # the function that begins with it, or ""


def read_trace(path: Path, symbols: Symbols) -> dict[int, Segment]:
    """The segments by number. Raises MachineLost for a file that is cut short: its guest was ended."""
    data = path.read_bytes()
    if not data.startswith(_HEADER):
        raise MachineLost(
            f"{path} is no profile", hint="the plugin did not come up: qemu's words are in the console log"
        )
    try:
        return {segment.number: segment for segment in _segments(data, symbols)}
    except (struct.error, IndexError, KeyError) as error:
        raise MachineLost(f"{path} is cut short", detail=str(error)) from error


def _segments(data: bytes, symbols: Symbols) -> Iterator[Segment]:
    blocks: dict[int, _Block] = {}
    intervals: list[Interval] = []
    marks = 0
    at = len(_HEADER)
    while (kind := data[at : at + 1]) != b"E":
        at += 1
        if kind == b"T":
            number, insns, address = _BLOCK.unpack_from(data, at)
            at += _BLOCK.size
            blocks[number] = _block(address, data[at : at + insns], symbols)
            at += insns
        elif kind == b"M":
            what, value, packets, n = _MARK.unpack_from(data, at)
            counted = data[at + _MARK.size : at + _MARK.size + n * _COUNT.size]
            at += _MARK.size + n * _COUNT.size
            marks += 1
            if what == _START:
                intervals = []
            else:
                intervals.append(Interval(value if what == _CLOCK else None, _counts(counted, packets, blocks)))
            if what == _STOP:
                yield Segment(value, tuple(intervals))
        else:
            raise IndexError(f"{kind!r} at byte {at - 1}")
    if _TOTAL.unpack_from(data, at + 1)[0] != marks:
        raise IndexError(f"{marks} marks were read, and not as many written")


def _block(address: int, sizes: Sequence[int], symbols: Symbols) -> _Block:
    addresses = []
    for size in sizes:
        addresses.append(address)
        address += size
    parts = Counter(symbols.name(each) for each in addresses)
    enters = symbols.name(addresses[0]) if symbols.is_start(addresses[0]) else ""
    return _Block(tuple(addresses), tuple(parts.items()), enters)


def _counts(counted: bytes, packets: int, blocks: dict[int, _Block]) -> Counts:
    counts = Counts(packets=packets)
    for number, runs, lines in _COUNT.iter_unpack(counted):
        block = blocks[number]
        counts.at[block.addresses] += runs
        for name, insns in block.parts:
            counts.insns[name] += runs * insns
        if lines:
            counts.lines[block.parts[0][0]] += lines
        if block.enters:
            counts.calls[block.enters] += runs
    return counts


def samples(segment: Segment, clock: int, *, every: bool) -> tuple[Counts, ...]:
    """What ran between readings of a clock: between each two with `every`, else around all packets.

    bpf_prog_test_run reads the clock before the first packet and after the last; the same system call reads it at
    other times as well, when it changes the dispatcher's text. Readings of other clocks in between do not matter.
    """
    ends = [place for place, interval in enumerate(segment.intervals) if interval.clock == clock]
    pairs = list(pairwise(ends))
    if not every:
        busy = [
            pair for pair in pairs if any(each.counts.packets for each in segment.intervals[pair[0] + 1 : pair[1] + 1])
        ]
        pairs = [(busy[0][0], busy[-1][1])] if busy else []
    return tuple(_joined(segment.intervals[first + 1 : last + 1]) for first, last in pairs)


def _joined(intervals: Sequence[Interval]) -> Counts:
    if len(intervals) == 1:
        return intervals[0].counts
    joined = Counts()
    for interval in intervals:
        joined.add(interval.counts)
    return joined
