"""What one test, or one bench, did in the runs that are remembered. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median, quantiles

from harness.flakiness import BaseRun, KnownFlake, flake_of
from harness.results import HARM, Outcome

__all__ = [
    "BenchHistory",
    "Durations",
    "Ending",
    "Measurement",
    "Occurrence",
    "OnKernel",
    "TestHistory",
    "bench_history",
    "test_history",
]


class Ending(StrEnum):
    """What a test came to in one run on one side, by all its attempts. Exactly one holds."""

    PASSED = "passed"
    FLAKY = "flaky"  # bad in some attempts, and well in others
    FAILED = "failed"
    CRASHED = "crashed"
    TIMED_OUT = "timed-out"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    LOST = "lost"

    @property
    def bad(self) -> bool:
        return self in (Ending.FAILED, Ending.CRASHED, Ending.TIMED_OUT)


@dataclass(frozen=True)
class Occurrence:
    """A test in one run on one side.

    started: of the run, ISO 8601. version: of the base kernel. kernel: identity, see `BaseRun`. series, revision: what
    was tried there. outcomes, seconds: of the attempts, in order. reason: of the first attempt that has one.
    """

    run: str
    started: str
    side: str
    version: str
    base_commit: str
    series: str
    revision: int
    outcomes: tuple[Outcome, ...]
    seconds: tuple[float, ...]
    reason: str = ""
    kernel: str = ""
    accelerator: str = ""

    @property
    def ending(self) -> Ending:
        ran = [outcome for outcome in self.outcomes if outcome is not Outcome.LOST]
        if not ran:
            return Ending.LOST
        bad = [outcome for outcome in ran if outcome.bad]
        if bad and len(bad) < len(ran):
            return Ending.FLAKY
        return Ending(str(max(ran, key=HARM.index)))


@dataclass(frozen=True)
class Durations:
    """Seconds of attempts that passed: their median, and the quartiles between which half of them lie."""

    count: int
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class OnKernel:
    """A test on the kernels of one version. endings: how often each."""

    version: str
    side: str
    endings: tuple[tuple[Ending, int], ...]


@dataclass(frozen=True)
class TestHistory:
    """All that is known of a test. occurrences: the oldest first.

    first_bad, last_bad: the occurrences in which it was first and last bad in every attempt; None where it never was.
    flake: how it flakes on base kernels; None where it does not, as far as is known.
    """

    __test__ = False

    test: str
    occurrences: tuple[Occurrence, ...]
    endings: tuple[tuple[Ending, int], ...]
    by_kernel: tuple[OnKernel, ...]
    durations: Durations | None = None
    first_bad: Occurrence | None = None
    last_bad: Occurrence | None = None
    flake: KnownFlake | None = None

    def count(self, *endings: Ending) -> int:
        return sum(count for ending, count in self.endings if ending in endings)


@dataclass(frozen=True)
class Measurement:
    """A bench in one run. base, patched: the figures, None where a kernel gave none. noise: in the same unit."""

    run: str
    started: str
    version: str
    series: str
    revision: int
    instrument: str
    unit: str
    base: float | None
    patched: float | None
    noise: float
    change: str


@dataclass(frozen=True)
class BenchHistory:
    """All figures of a bench, the oldest first."""

    bench: str
    measurements: tuple[Measurement, ...]


def test_history(test: str, occurrences: Iterable[Occurrence]) -> TestHistory:
    """What some occurrences of one test come to. At least one is needed."""
    ordered = tuple(sorted(occurrences, key=lambda each: (each.started, each.run, each.side)))
    bad = [each for each in ordered if each.ending.bad]
    return TestHistory(
        test=test,
        occurrences=ordered,
        endings=_endings(ordered),
        by_kernel=_by_kernel(ordered),
        durations=_durations(ordered),
        first_bad=bad[0] if bad else None,
        last_bad=bad[-1] if bad else None,
        flake=_flake(test, ordered),
    )


def bench_history(bench: str, measurements: Iterable[Measurement]) -> BenchHistory:
    """The figures of one bench in order."""
    return BenchHistory(bench, tuple(sorted(measurements, key=lambda each: (each.started, each.run))))


def _endings(occurrences: Sequence[Occurrence]) -> tuple[tuple[Ending, int], ...]:
    found = [each.ending for each in occurrences]
    return tuple((ending, count) for ending in Ending if (count := found.count(ending)))


def _by_kernel(occurrences: Sequence[Occurrence]) -> tuple[OnKernel, ...]:
    """By version in the order of their first runs; base before patched."""
    groups: dict[tuple[str, str], list[Occurrence]] = {}
    versions = dict.fromkeys(each.version for each in occurrences)
    for each in occurrences:
        groups.setdefault((each.version, each.side), []).append(each)
    keys = ((version, side) for version in versions for side in ("base", "patched"))
    return tuple(OnKernel(*key, _endings(groups[key])) for key in keys if key in groups)


def _durations(occurrences: Sequence[Occurrence]) -> Durations | None:
    seconds = [
        took
        for each in occurrences
        for outcome, took in zip(each.outcomes, each.seconds, strict=True)
        if outcome is Outcome.PASSED
    ]
    if not seconds:
        return None
    low, _, high = quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else seconds * 3
    return Durations(len(seconds), median(seconds), low, high)


def _flake(test: str, occurrences: Sequence[Occurrence]) -> KnownFlake | None:
    runs = []
    for each in occurrences:
        ran = tuple(outcome for outcome in each.outcomes if outcome is not Outcome.LOST)
        if each.side == "base" and each.kernel and ran:
            runs.append(BaseRun(each.kernel, each.started, ran))
    return flake_of(test, runs)
