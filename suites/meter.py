"""What benches read their figures with. Only an instrument makes it mean anything (harness/perf)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import pytest
from bpf.libbpf import Program
from marks import marks

BATCHES = 15  # as in harness/perf/measure.py
_BATCH = 200_000  # ns: shorter than the time between two ticks of a kernel with HZ=1000, so that most batches have none
_MOST = 1024


class Meter:
    """Takes a bench's readings, one for each batch."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item

    def test_run(self, program: Program, frame: bytes, *, action: int, ctx: bytes | None = None) -> None:
        """Instructions of one run of a program by BPF_PROG_TEST_RUN, its loop in bpf_test_run() included.

        action: what the program has to return, in every batch: one that went wrong half way would look cheap.
        """

        def batch(repeat: int) -> float:
            run = program.test_run(frame, ctx=ctx, repeat=repeat)
            assert not run.error, f"{program.name}: test_run said {run.error_name}"
            assert run.retval == action, f"{program.name} returned {run.retval}, not {action}"
            return float(run.duration)

        marks().packets_enter_at(program.entry())
        self.batches(batch, "insns/packet", clock="ktime_get")

    def batches(self, batch: Callable[[int], float], unit: str, *, clock: str = "") -> None:
        """Take the readings of `batch`, which does its work so many times and gives what one time costs.

        clock: the kernel's function that reads the clock before the first time and after the last, for profiles.
        """
        once = max(1.0, batch(16))
        repeat = max(4, min(_MOST, int(_BATCH / once)))
        batch(repeat)  # what the first batch pays for alone: allocations, page faults
        first = marks().next
        values = []
        for _ in range(BATCHES):
            with marks().segment():
                values.append(batch(repeat))
        profile = {"first": first, "segments": BATCHES, "clock": clock, "per": repeat}
        self._item.user_properties.append(("ktrial-figure", {"unit": unit, "values": values, "profile": profile}))

    def record(self, values: Sequence[float], unit: str, profile: Mapping[str, object] | None = None) -> None:
        """Readings taken in another way, BATCHES of them. profile: where the plugin finds them, if anywhere."""
        assert len(values) == BATCHES, f"{len(values)} readings, not {BATCHES}"
        figure = {"unit": unit, "values": list(values), **({"profile": profile} if profile else {})}
        self._item.user_properties.append(("ktrial-figure", figure))


@pytest.fixture
def meter(request: pytest.FixtureRequest) -> Meter:
    """For benches; skips where nothing counts what is measured."""
    if not os.environ.get("KTRIAL_INSTRUMENT"):
        pytest.skip("no instrument: ktrial perf and ktrial run --perf bring one")
    return Meter(request.node)
