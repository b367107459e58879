"""What the programs of bpf/metadata.bpf.c do at each place where they run, and what an skb came with."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from bpf.libbpf import Object
from net.link import wait_for

__all__ = [
    "END",
    "LENGTH",
    "METADATA",
    "READ",
    "WRITE",
    "Action",
    "Frame",
    "Programs",
    "Run",
    "Stage",
    "Step",
    "adjust_head",
    "adjust_meta",
    "adjust_tail",
    "fill",
    "flip",
    "marks",
    "xdp_md",
]

ROOM = 256  # bytes of metadata that the programs can read and write: more than the kernel takes
_STEPS = 12
_STEP = struct.Struct("<IiIIq")
_HEAD = struct.Struct("<4I")
_SCRIPT = _HEAD.size + _STEPS * _STEP.size + 2 * ROOM
_RECORD = struct.Struct("<8I256s64s")
_OUTGOING, _OUTGOING_SIZE = 16, 128


class Action(IntEnum):
    """enum xdp_action."""

    ABORTED, DROP, PASS, TX, REDIRECT = range(5)


class Stage(IntEnum):
    """A place where a program runs, as `enum stage` in metadata.bpf.c. first and second: any device, or test_run."""

    FIRST, SECOND, ON_CPU, ON_DEVICE = range(4)


class Step(NamedTuple):
    """One step. kind: as `enum kind` in metadata.bpf.c. runs: a bit for each run that takes it, 0 for all."""

    kind: int
    by: int = 0
    runs: int = 0


END, LENGTH, METADATA = Step(0), Step(1), Step(2)
WRITE, READ = Step(6), Step(8)


def adjust_head(by: int) -> Step:
    return Step(3, by)


def adjust_tail(by: int) -> Step:
    return Step(4, by)


def adjust_meta(by: int, runs: int = 0) -> Step:
    return Step(5, by, runs)


def flip(at: int, runs: int = 0) -> Step:
    """Every bit of one byte of the metadata."""
    return Step(7, at, runs)


def fill() -> Step:
    """Put the next frame of `Programs.outgoing` over the frame's first bytes."""
    return Step(9)


def marks(size: int, start: int = 0) -> bytes:
    """Bytes to write as metadata: no two alike within 64, none of them 0 or like a frame's payload nearby."""
    return bytes(0x80 | (7 * (start + index) + 1) & 0x7F for index in range(size))


def xdp_md(data: int, data_end: int, ifindex: int = 0) -> bytes:
    """A struct xdp_md as test_run's ctx_in: data is the size of the metadata, data_end that of the linear part."""
    return struct.pack("<6I", data, data_end, 0, ifindex, 0, 0)


@dataclass(frozen=True)
class Frame:
    """An skb as traffic control saw it. metadata: its bytes. head: its first 64 bytes (14 where it is shorter).

    vlan: the tag control information beside the frame, 0 for none. segments: of a frame that GRO put together.
    """

    ifindex: int
    length: int
    metadata: bytes
    mark: int
    priority: int
    hash: int
    vlan: int
    segments: int
    head: bytes


@dataclass(frozen=True)
class Run:
    """What came of one run of test_run.

    error: errno name of the system call, "" for success. results: what each step returned. read: what READ brought, and
    0xEE behind it. data: what came out, the metadata first. meta, linear: ctx_out's data and data_end.
    """

    error: str
    action: int
    results: tuple[int, ...]
    read: bytes
    data: bytes
    meta: int
    linear: int


class Programs:
    """The loaded object: scripts go in and what was seen comes out through shared memory."""

    def __init__(self, loaded: Object) -> None:
        self.object = loaded
        self._scripts = loaded.map("scripts").memory()
        self._outgoing = loaded.map("outgoing").memory()
        self._seen = loaded.map("seen").memory()

    def fd(self, program: str) -> int:
        return self.object.program(program).fd

    def forget(self) -> None:
        """No steps and no frames seen: every place drops what comes."""
        for stage in Stage:
            self.prepare(stage, action=Action.DROP)
        self._seen[:8] = bytes(8)

    def prepare(
        self,
        stage: Stage,
        *steps: Step,
        action: Action = Action.PASS,
        to_cpu: bool = False,
        write: bytes = b"",
    ) -> None:
        """Say what to do at one place. to_cpu: a REDIRECT goes to the CPU map, else to the device map."""
        assert len(steps) < _STEPS, f"{len(steps)} steps, at most {_STEPS - 1} fit"
        packed = b"".join(_STEP.pack(step.kind, step.by, step.runs, 0, 0) for step in (*steps, END))
        text = _HEAD.pack(action, to_cpu, 0, 0) + packed.ljust(_STEPS * _STEP.size, b"\0")
        self._scripts[stage * _SCRIPT : (stage + 1) * _SCRIPT] = text + write.ljust(ROOM, b"\0") + b"\xee" * ROOM

    def outgoing(self, *frames: bytes) -> None:
        """The frames of `fill()`, all of one length, by the number of the run."""
        assert len({len(frame) for frame in frames}) == 1
        assert len(frames) <= _OUTGOING
        body = b"".join(frame.ljust(_OUTGOING_SIZE, b"\0") for frame in frames)
        self._outgoing[: 4 + len(body)] = struct.pack("<I", len(frames[0])) + body

    def run(
        self,
        frame: bytes,
        *steps: Step,
        metadata: bytes = b"",
        split: int | None = None,
        write: bytes = b"",
        action: Action = Action.PASS,
    ) -> Run:
        """Run steps over a frame with bpf_prog_test_run.

        metadata: put before the frame, by ctx_in's data. split: bytes of the linear part (ctx_in's data_end), metadata
        counted; as much as the kernel likes unless told otherwise.
        """
        self.prepare(Stage.FIRST, *steps, write=write, action=action)
        whole = metadata + frame
        context = xdp_md(len(metadata), len(whole) if split is None else split)
        ran = self.object.program("first").test_run(whole, out=1 << 17, ctx=context, ctx_out=24)
        meta, linear = struct.unpack_from("<2I", ran.ctx) if ran.ctx_size >= 8 else (0, 0)
        return Run(
            error=ran.error_name if ran.error else "",
            action=ran.retval,
            results=self.results(Stage.FIRST, len(steps)),
            read=self.read(Stage.FIRST, ROOM),
            data=ran.data[: ran.data_size],
            meta=meta,
            linear=linear,
        )

    def runs(self, stage: Stage) -> int:
        """How often the program of that place ran since `prepare`."""
        return int(_HEAD.unpack_from(self._scripts, stage * _SCRIPT)[2])

    def results(self, stage: Stage, count: int) -> tuple[int, ...]:
        """What the first `count` steps returned, in the last run that took each."""
        start = stage * _SCRIPT + _HEAD.size
        return tuple(_STEP.unpack_from(self._scripts, start + index * _STEP.size)[4] for index in range(count))

    def read(self, stage: Stage, size: int) -> bytes:
        """The first bytes of what READ brought; 0xEE where it brought none."""
        start = (stage + 1) * _SCRIPT - ROOM
        return self._scripts[start : start + size]

    def grow(self, by: int) -> None:
        """Bytes that `ingress_grows` puts before the frame."""
        self._seen[4:8] = struct.pack("<I", by)

    def seen(self) -> list[Frame]:
        """The skbs that traffic control saw since `forget`, in order."""
        (count,) = struct.unpack_from("<I", self._seen)
        return [_frame(_RECORD.unpack_from(self._seen, 8 + index * _RECORD.size)) for index in range(count)]

    def wait(self, count: int, what: str = "a frame at traffic control") -> list[Frame]:
        """The skbs seen, once there are that many. Fails the test where they do not come."""
        wait_for(lambda: struct.unpack_from("<I", self._seen)[0] >= count, f"{what} ({count})")
        return self.seen()

    def wait_for_runs(self, stage: Stage, count: int) -> None:
        """Return once the program of that place ran so often."""
        enough: Callable[[], bool] = lambda: self.runs(stage) >= count  # noqa: E731
        wait_for(enough, f"{count} runs of the program {stage.name.lower()}")


def _frame(values: tuple[int, ...]) -> Frame:
    ifindex, length, size, mark, priority, rx_hash, vlan, segments, meta, head = values
    metadata = meta[: size if size < 1 << 31 else 0]
    return Frame(ifindex, length, metadata, mark, priority, rx_hash, vlan, segments, head)
