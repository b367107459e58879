"""Operations on one XDP frame, and the BPF machine (bpf/machine.bpf.c) that executes them in the kernel under test."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from bpf.libbpf import Object, TestRun

__all__ = [
    "LENGTH",
    "LINEAR",
    "METADATA",
    "Kind",
    "Machine",
    "Op",
    "Run",
    "adjust_head",
    "adjust_meta",
    "adjust_tail",
    "frame_of",
    "ink",
    "load",
    "poke",
    "store",
    "xdp_md",
]

XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT = range(5)
MAX_OPERATIONS = 31  # one slot stays END
OUTPUT_BYTES = 1 << 17  # more than any frame the kernel takes
_HEADER = struct.Struct("<4I")
_OPERATION = struct.Struct("<IiII q")
_PATTERN = bytes(range(1, 252)) * ((1 << 17) // 251 + 1)
_INK = _PATTERN[::-1]


class Kind(IntEnum):
    """What an operation does: `enum kind` in bpf/machine.bpf.c."""

    END = 0
    LENGTH = 1
    LINEAR = 2
    METADATA = 3
    ADJUST_HEAD = 4
    ADJUST_TAIL = 5
    ADJUST_META = 6
    LOAD = 7
    STORE = 8
    PEEK = 9
    POKE = 10
    PEEK_META = 11
    POKE_META = 12
    INGRESS = 13
    QUEUE = 14
    JUMP = 15
    OUTPUT = 16


class Op(NamedTuple):
    """One operation. data: the bytes that a store writes."""

    kind: int
    offset: int = 0
    length: int = 0
    data: bytes = b""


LENGTH, LINEAR, METADATA = Op(Kind.LENGTH), Op(Kind.LINEAR), Op(Kind.METADATA)
PEEK_META, INGRESS, QUEUE = Op(Kind.PEEK_META), Op(Kind.INGRESS), Op(Kind.QUEUE)


def adjust_head(by: int) -> Op:
    return Op(Kind.ADJUST_HEAD, by)


def adjust_tail(by: int) -> Op:
    return Op(Kind.ADJUST_TAIL, by)


def adjust_meta(by: int) -> Op:
    return Op(Kind.ADJUST_META, by)


def load(offset: int, length: int) -> Op:
    """bpf_xdp_load_bytes of 1 or more bytes; the bytes come back in Run.loaded, the return code in Run.results."""
    return Op(Kind.LOAD, _signed(offset), length)


def store(offset: int, data: bytes) -> Op:
    return Op(Kind.STORE, _signed(offset), len(data), data)


def peek(offset: int) -> Op:
    """The byte at data + offset by direct access, or -1 where the program's bounds check fails."""
    return Op(Kind.PEEK, offset)


def poke(offset: int, byte: int) -> Op:
    return Op(Kind.POKE, offset, byte)


def poke_meta(byte: int) -> Op:
    return Op(Kind.POKE_META, 0, byte)


def jump(slot: int) -> Op:
    return Op(Kind.JUMP, slot)


def output(length: int) -> Op:
    """bpf_perf_event_output of the first `length` bytes of the frame."""
    return Op(Kind.OUTPUT, 0, length)


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


def frame_of(size: int) -> bytes:
    """A frame of `size` bytes. No byte is 0, and no two pages are alike (the period is the prime 251)."""
    return _PATTERN[:size]


def ink(size: int) -> bytes:
    """Bytes to store: the pattern of `frame_of` backwards, so that what was stored shows."""
    return _INK[:size]


def xdp_md(data: int = 0, data_end: int = 0, *, data_meta: int = 0, ifindex: int = 0, queue: int = 0, egress: int = 0):
    """A struct xdp_md as test_run's ctx_in: data is the size of the metadata, data_end that of the linear part."""
    return struct.pack("<6I", data, data_end, data_meta, ifindex, queue, egress)


@dataclass(frozen=True)
class Run:
    """What came of one run.

    error: errno name of the system call, "" for success. action: the program's return code.
    results: what each operation returned (a negative errno, a length). loaded: for each operation, the bytes its load
    brought (what was in the buffer before, 0xEE, where it failed). data: the output frame. size: as data_size_out says.
    linear: ctx_out's data_end; meta: ctx_out's data; both 0 where the run had no context.
    """

    error: str
    action: int
    results: tuple[int, ...]
    loaded: tuple[bytes, ...]
    data: bytes
    size: int
    meta: int
    linear: int
    duration: int
    runs: int


class Machine:
    """The loaded object. Operations go in and results come out through shared memory: no system call but the run."""

    def __init__(self, loaded: Object) -> None:
        self.object = loaded
        self.frags = loaded.program("frags_machine")
        self.plain = loaded.program("plain_machine")
        self._script = loaded.map("script").memory()
        self._buffer = loaded.map("buffer").memory()

    def run(
        self,
        frame: bytes,
        *operations: Op,
        plain: bool = False,
        split: int | None = None,
        meta: int = 0,
        action: int = XDP_PASS,
        repeat: int = 0,
    ) -> Run:
        """Run operations over a frame and bring everything back.

        plain: by the program without frags support. split: bytes of linear part asked for through ctx.data_end (header
        split), metadata counted. meta: bytes at the start of `frame` that are metadata.
        """
        self.prepare(operations, action)
        program = self.plain if plain else self.frags
        if split is None and not meta:
            # No context at all: ctx_out alone would mean a ctx_in of zeros, and so no linear part.
            ran = program.test_run(frame, out=OUTPUT_BYTES, repeat=repeat)
        else:
            ctx = xdp_md(meta, len(frame) if split is None else split)
            ran = program.test_run(frame, out=OUTPUT_BYTES, ctx=ctx, ctx_out=24, repeat=repeat)
        return self.collect(operations, ran)

    def prepare(self, operations: Iterable[Op], action: int = XDP_PASS, other: int = 0) -> None:
        """Write operations where the program reads them. other: what every second run returns, 0 for no other."""
        script, at = bytearray(_HEADER.pack(action, 0, 0, other)), 0
        operations = tuple(operations)
        assert len(operations) <= MAX_OPERATIONS, f"{len(operations)} operations, at most {MAX_OPERATIONS} fit"
        for op in operations:
            script += _OPERATION.pack(op.kind, op.offset, op.length, at, 0)
            if op.kind in (Kind.LOAD, Kind.STORE):
                self._buffer[at : at + op.length] = op.data or b"\xee" * op.length
                at += op.length
        script += bytes(_OPERATION.size)
        self._script[: len(script)] = bytes(script)

    def collect(self, operations: Iterable[Op], ran: TestRun) -> Run:
        """Read back what the operations did, and what test_run gave."""
        done = [self.result(index) for index, _ in enumerate(operations)]
        meta, linear = struct.unpack_from("<2I", ran.ctx) if len(ran.ctx) >= 8 and ran.ctx_size >= 8 else (0, 0)
        return Run(
            error=ran.error_name if ran.error else "",
            action=ran.retval,
            results=tuple(result for result, _ in done),
            loaded=tuple(loaded for _, loaded in done),
            data=ran.data[: ran.data_size],
            size=ran.data_size,
            meta=meta,
            linear=linear,
            duration=ran.duration,
            runs=self.runs,
        )

    def result(self, index: int) -> tuple[int, bytes]:
        """What one operation returned when the program ran last, and the bytes that it loaded."""
        start = _HEADER.size + index * _OPERATION.size
        kind, _offset, length, at, result = _OPERATION.unpack(self._script[start : start + _OPERATION.size])
        return result, self._buffer[at : at + length] if kind == Kind.LOAD else b""

    @property
    def runs(self) -> int:
        """How often a program ran since the last `prepare`."""
        return int(_HEADER.unpack(self._script[: _HEADER.size])[1])

    @property
    def landed(self) -> int:
        """The frame's length as the target of a tail call saw it, 0 where none ran."""
        return int(_HEADER.unpack(self._script[: _HEADER.size])[2])


@dataclass(frozen=True)
class Limits:
    """What a frame may hold on the kernel under test, in bytes (net/bpf/test_run.c:bpf_prog_test_run_xdp).

    linear: of the first buffer, a page less XDP_PACKET_HEADROOM and the shared info. frags: fragments of a page each.
    frame_header: sizeof(struct xdp_frame), which keeps the start of the headroom.
    """

    page: int
    headroom: int
    tailroom: int
    frags: int
    frame_header: int

    @property
    def linear(self) -> int:
        return self.page - self.headroom - self.tailroom

    @property
    def largest(self) -> int:
        return self.linear + self.frags * self.page

    def size(self, text: str) -> int:
        """Bytes of an expression such as `linear+2page-1` or `largest+1`: the ids of cases are the same everywhere."""
        words = {"linear": self.linear, "page": self.page, "largest": self.largest, "": 1}
        total = 0
        for sign, count, word in re.findall(r"([-+]?)(\d*)([a-z]*)", text):
            if count or word:
                total += (-1 if sign == "-" else 1) * int(count or 1) * words[word]
        return total

    def layout(self, size: int, split: int | None = None) -> list[int]:
        """Sizes of the linear part and of each fragment that test_run makes of a frame."""
        parts = [min(size if split is None else split, self.linear, size)]
        while sum(parts) < size:
            parts.append(min(size - sum(parts), self.page))
        return parts

    @classmethod
    def of_kernel(cls, shared_info: int | None, frame_header: int | None) -> Limits:
        """From the running kernel's page size, MAX_SKB_FRAGS and type sizes; the usual ones where it does not say."""
        frags = _max_frags()
        shared_info = shared_info or 48 + 16 * frags
        return cls(os.sysconf("SC_PAGE_SIZE"), 256, -(-shared_info // 64) * 64, frags, frame_header or 40)


def _max_frags() -> int:
    """MAX_SKB_FRAGS, a build-time choice since 6.4; the sysctl starts at it."""
    try:
        with open("/proc/sys/net/core/max_skb_frags", encoding="ascii") as file:  # noqa: PTH123 - pathlib is slow here
            return int(file.read())
    except OSError:
        return 17


def difference(got: bytes, expected: bytes) -> str:
    """Where two frames part: "" where they are the same."""
    if got == expected:
        return ""
    if len(got) != len(expected):
        return f"{len(got)} bytes instead of {len(expected)}"
    first = next(index for index, pair in enumerate(zip(got, expected, strict=True)) if pair[0] != pair[1])
    return f"byte {first} is {got[first : first + 8].hex()}... instead of {expected[first : first + 8].hex()}..."
