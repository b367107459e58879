"""What benches read their figures with. Only an instrument makes it mean anything (harness/perf)."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest
from bpf.libbpf import Program
from marks import marks
from pmu import COUNTED, Counter, EveryProcessor, cycles

BATCHES = 15  # as in harness/perf/measure.py
# Length of a batch in ns, and the most runs. Counted batches are shorter than the time between two ticks of a kernel
# with HZ=1000, so that most have none; timed ones are long, so that a read of the clock is nothing.
_COUNTED, _TIMED = (200_000, 1024), (5_000_000, 200_000)
_PATIENCE = 20.0  # seconds
_FLOW = 0.1  # seconds of a batch of packets that come of themselves
_ICOUNT, _CYCLES, _WALL = "icount", "cycles", "wall"  # as in harness/perf/model.py
_UNITS = {_ICOUNT: "insns", _CYCLES: COUNTED, _WALL: "ns"}
# For profiles: programs in the kernel read the clock by turns before and after what is measured.
BETWEEN_TWO = {"clock": "bpf_ktime_get_ns", "every": True, "stride": 2, "packets": False}


class Meter:
    """Takes a bench's readings, one for each batch."""

    def __init__(self, item: pytest.Item, instrument: str = _ICOUNT) -> None:
        self._item = item
        self._instrument = instrument

    def test_run(self, program: Program, frame: bytes, *, action: int, ctx: bytes | None = None) -> None:
        """The cost of one run of a program by BPF_PROG_TEST_RUN, its loop in bpf_test_run() included.

        action: what the program has to return, in every batch: one that went wrong half way would look cheap.
        """

        def batch(repeat: int) -> float:
            run = program.test_run(frame, ctx=ctx, repeat=repeat)
            assert not run.error, f"{program.name}: test_run said {run.error_name}"
            assert run.retval == action, f"{program.name} returned {run.retval}, not {action}"
            return float(run.duration)

        if self._instrument == _CYCLES:
            self._cycles(batch)
            return
        marks().packets_enter_at(program.entry())
        self.batches(batch, "insns/packet", clock="ktime_get")

    def batches(self, batch: Callable[[int], float], unit: str, *, clock: str = "") -> None:
        """Take the readings of `batch`, which does its work so many times and gives what one time costs.

        clock: the kernel's function that reads the clock before the first time and after the last, for profiles.
        """
        self._needs_clock()
        repeat = self._repeat(batch)
        first = marks().next
        values = []
        for _ in range(BATCHES):
            with marks().segment():
                values.append(batch(repeat))
        profile = {"first": first, "segments": BATCHES, "clock": clock, "per": repeat}
        self._told(values, unit, profile)

    def _repeat(self, batch: Callable[[int], float]) -> int:
        """How many runs make a batch, after one that pays for what only the first does: allocations, page faults."""
        length, most = _COUNTED if self._instrument == _ICOUNT else _TIMED
        repeat = max(4, min(most, int(length / max(1.0, batch(16)))))
        batch(repeat)
        return repeat

    def _cycles(self, batch: Callable[[int], float]) -> None:
        """Cycles of the kernel, the system call that starts a batch included."""
        counter = cycles(Counter)
        try:
            repeat = self._repeat(batch)
            values = []
            for _ in range(BATCHES):
                before = counter.read()
                batch(repeat)
                values.append((counter.read() - before) / repeat)
        finally:
            counter.close()
        self._told(values, "insns/packet")

    def sends(self, send: Callable[[], None], packets: int) -> None:
        """Cycles of every processor for a packet, over calls that send so many, and come back when all have arrived."""
        counter = cycles(EveryProcessor)
        values = []
        try:
            send()  # pays for what only the first one does
            for _ in range(BATCHES):
                before = counter.read()
                send()
                values.append((counter.read() - before) / packets)
        finally:
            counter.close()
        self._told(values, "insns/packet")

    def flow(self, count: Callable[[], int], *, scope: str, seconds: float = _FLOW) -> None:
        """What a packet costs while packets come of themselves: time between two, or cycles of every processor.

        count: packets so far. scope: what sends them. seconds: of a batch. Fails where none come.
        """
        self.needs_wire()
        counter = cycles(EveryProcessor) if self._instrument == _CYCLES else None
        read = counter.read if counter else time.monotonic_ns
        values = []
        try:
            for _ in range(BATCHES):
                packets, before = count(), read()
                end = time.monotonic() + _PATIENCE
                time.sleep(seconds)
                while count() == packets and time.monotonic() < end:  # whose sender has to wait for a processor
                    time.sleep(seconds)
                packets, after = count() - packets, read()
                assert packets, f"no packet came within {_PATIENCE:.0f} s"
                values.append((after - before) / packets)
        finally:
            if counter:
                counter.close()
        self._told(values, "insns/packet", scope=scope)

    @contextlib.contextmanager
    def descriptors(self) -> Iterator[list[int]]:
        """Counters of cycles that another program can read, of every processor; none where it is to read a clock."""
        if self._instrument != _CYCLES:
            yield []
            return
        with contextlib.closing(cycles(EveryProcessor)) as counter:
            yield counter.descriptors

    @property
    def is_counter(self) -> bool:
        """Whether figures are of cycles, which no program can read at every 64th packet."""
        return self._instrument == _CYCLES

    @property
    def is_clock(self) -> bool:
        """Whether figures are of time, so that a slow sender shows as well as a slow receiver."""
        return self._instrument == _WALL

    def needs_wire(self) -> None:
        """Skips where packets come from another machine and instructions are to be counted."""
        if self._instrument == _ICOUNT:
            pytest.skip("instructions of an emulated guest are not counted on a wire: --instrument cycles or wall")

    def _needs_clock(self) -> None:
        if self._instrument == _CYCLES:
            pytest.skip("this bench reads a clock, and no counter of cycles")

    def _told(
        self, values: Sequence[float], unit: str, profile: Mapping[str, object] | None = None, *, scope: str = ""
    ) -> None:
        # Benches have the unit of instructions; another instrument counts something else.
        unit = unit.replace("insns", _UNITS[self._instrument], 1)
        figure = {"unit": unit, "values": list(values), "scope": scope, **({"profile": profile} if profile else {})}
        self._item.user_properties.append(("ktrial-figure", figure))

    def exact(self, value: float, unit: str, scope: str = "") -> None:
        """A figure that one reading settles, for the kernel counts it itself. scope: of how much."""
        self._item.user_properties.append(("ktrial-figure", {"unit": unit, "values": [value], "scope": scope}))

    def record(
        self,
        values: Sequence[float],
        unit: str,
        profile: Mapping[str, object] | None = None,
        *,
        counts: bool = False,
        scope: str = "",
    ) -> None:
        """Readings taken in another way, BATCHES of them.

        profile: where the plugin finds them, if anywhere. counts: they are of descriptors(), and cycles where it is.
        scope: of what, where that is not the same everywhere.
        """
        if not counts:
            self._needs_clock()
        assert len(values) == BATCHES, f"{len(values)} readings, not {BATCHES}"
        self._told(values, unit, profile, scope=scope)


@pytest.fixture
def meter(request: pytest.FixtureRequest) -> Meter:
    """For benches; skips where nothing counts what is measured."""
    instrument = os.environ.get("KTRIAL_INSTRUMENT")
    if not instrument:
        pytest.skip("no instrument: ktrial perf and ktrial run --perf bring one")
    return Meter(request.node, instrument)
