"""What became of a series from one version to the next, by a run of each. Pure.

Each run compared its version with its own base. So a test is told of by what its run made of it: it broke in one
version, was mended in the next; and a figure by what each version costs over its own base.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.compare import Change, Comparison, TestChange
from harness.perf.model import Figure, FigureChange, Performance
from harness.results import Outcome, SideResults
from harness.run_result import RunResult

__all__ = ["FigureBetween", "Standing", "TestBetween", "VersionChange", "Versions", "between"]

# Above what floating point makes of equal readings.
_EQUAL = 1e-9


class Standing(StrEnum):
    """How a test stands in one run. Exactly one holds."""

    BROKEN = "broken"  # blamed on the series; without a base, bad
    BAD = "bad on base too"
    FLAKY = "flaky"
    PASSED = "passed"
    XFAILED = "xfailed"
    SKIPPED = "skipped"
    LOST = "lost"
    ABSENT = "-"


class VersionChange(StrEnum):
    """What became of a test between two runs. Exactly one holds. In the order of reports."""

    BROKE = "broke"
    STILL_BROKEN = "still broken"
    MENDED = "mended"
    VANISHED = "vanished"
    NEW = "new"
    OTHER = "otherwise"
    SAME = "same"


@dataclass(frozen=True)
class TestBetween:
    """A test in both runs. reason: of the run in which it is unwell, the later of two."""

    __test__ = False

    test: str
    change: VersionChange
    before: Standing
    after: Standing
    reason: str = ""


@dataclass(frozen=True)
class FigureBetween:
    """What a version costs over its base, and what the next does. before, after: patched - base in `unit`, or None.

    of_base: the figure of the later base. change: of the cost; UNKNOWN where one is missing. noise: of both runs.
    """

    bench: str
    unit: str
    before: float | None
    after: float | None
    of_base: float | None
    noise: float
    change: FigureChange


@dataclass(frozen=True)
class Versions:
    """One run against an earlier one. log_new, log_gone: keys of splats that only the later, or earlier, is blamed for.

    tests: those that changed, in the order of `VersionChange`. same: how many did not.
    """

    before: RunResult
    after: RunResult
    tests: tuple[TestBetween, ...]
    same: int
    figures: tuple[FigureBetween, ...] = ()
    log_new: tuple[str, ...] = ()
    log_gone: tuple[str, ...] = ()

    def of(self, *changes: VersionChange) -> tuple[TestBetween, ...]:
        return tuple(test for test in self.tests if test.change in changes)


def between(before: RunResult, after: RunResult) -> Versions:
    """What changed from the run `before` to the run `after`."""
    old, new = _standings(before), _standings(after)
    reasons = {**_reasons(before.comparison), **_reasons(after.comparison)}
    order = [*new, *(test for test in old if test not in new)]
    tests = [_between(test, old, new, reasons) for test in order]
    changed = [test for test in tests if test.change is not VersionChange.SAME]
    changed.sort(key=lambda test: list(VersionChange).index(test.change))
    logs = [_blamed_splats(run) for run in (before, after)]
    return Versions(
        before=before,
        after=after,
        tests=tuple(changed),
        same=len(tests) - len(changed),
        figures=tuple(_figures(before.performance, after.performance)),
        log_new=tuple(key for key in logs[1] if key not in logs[0]),
        log_gone=tuple(key for key in logs[0] if key not in logs[1]),
    )


def _between(
    test: str, old: Mapping[str, Standing], new: Mapping[str, Standing], reasons: Mapping[str, str]
) -> TestBetween:
    before, after = old.get(test, Standing.ABSENT), new.get(test, Standing.ABSENT)
    change = _change(before, after)
    unwell = Standing.BROKEN in (before, after) or Standing.BAD in (before, after)
    return TestBetween(test, change, before, after, reasons.get(test, "") if unwell else "")


def _change(before: Standing, after: Standing) -> VersionChange:
    if after is Standing.BROKEN:
        return VersionChange.STILL_BROKEN if before is Standing.BROKEN else VersionChange.BROKE
    if before is after:
        return VersionChange.SAME
    if after is Standing.ABSENT:
        return VersionChange.VANISHED
    if before is Standing.ABSENT:
        return VersionChange.NEW
    if before is Standing.BROKEN and after in (Standing.PASSED, Standing.XFAILED):
        return VersionChange.MENDED
    return VersionChange.OTHER


def _standings(run: RunResult) -> dict[str, Standing]:
    """How every test of a run's patched kernel stands. A comparison out of the memory has only what it tells of."""
    told = {test.test: test for test in run.comparison.tests} if run.comparison else {}
    found = _by_outcome(run.patched)
    found |= {name: standing for name, test in told.items() if (standing := _standing(test))}
    return {name: standing for name, standing in found.items() if standing is not Standing.ABSENT}


_ALONE = {
    Outcome.PASSED: Standing.PASSED,
    Outcome.XFAILED: Standing.XFAILED,
    Outcome.SKIPPED: Standing.SKIPPED,
    Outcome.LOST: Standing.LOST,
}


def _by_outcome(side: SideResults | None) -> dict[str, Standing]:
    """By the last attempt: whoever differs in its attempts is told of by the comparison."""
    return {each.test: _ALONE.get(each.outcome, Standing.BAD) for each in side.results} if side else {}


def _standing(test: TestChange) -> Standing | None:
    if test.blamed or test.change is Change.FAILING:
        return Standing.BROKEN
    if test.change in (Change.FLAKY, Change.LOST, Change.VANISHED):
        return {Change.FLAKY: Standing.FLAKY, Change.LOST: Standing.LOST}.get(test.change, Standing.ABSENT)
    if test.patched is None:
        return Standing.ABSENT
    return _ALONE.get(test.patched, Standing.BAD)


def _reasons(comparison: Comparison | None) -> dict[str, str]:
    return {test.test: test.reason for test in comparison.tests if test.reason} if comparison else {}


def _blamed_splats(run: RunResult) -> tuple[str, ...]:
    """Keys of the splats that a run's series is blamed for, in tests and beside them."""
    comparison = run.comparison
    if comparison is None:
        return ()
    in_tests = (splat.key for test in comparison.blamed for splat in test.new_splats)
    return tuple(dict.fromkeys((*in_tests, *(item.splat.key for item in comparison.blamed_log))))


def _figures(before: Performance | None, after: Performance | None) -> Iterator[FigureBetween]:
    """Benches of one instrument alone: an instruction is no nanosecond."""
    if after is None:
        return
    same = before is not None and before.instrument == after.instrument
    old = {figure.bench: figure for figure in before.figures} if before and same else {}
    for figure in after.figures:
        yield _figure(old.get(figure.bench), figure, after)


def _figure(old: Figure | None, new: Figure, performance: Performance) -> FigureBetween:
    before, after = _cost(old), _cost(new)
    noise = new.noise + (old.noise if old else 0.0)
    change = FigureChange.UNKNOWN
    if before is not None and after is not None:
        change = _moved(after - before, noise, performance.policy.of(new.bench), new.base or 0.0)
    return FigureBetween(new.bench, new.unit, before, after, new.base, noise, change)


def _cost(figure: Figure | None) -> float | None:
    return None if figure is None or figure.base is None or figure.patched is None else figure.delta


def _moved(moved: float, noise: float, limits: tuple[float, float], base: float) -> FigureChange:
    """As harness.perf.figures has it for base and patched."""
    units, share = limits
    if abs(moved) <= noise + _EQUAL or (abs(moved) < units - _EQUAL and abs(moved) < share * base - _EQUAL):
        return FigureChange.SAME
    return FigureChange.WORSE if moved > 0 else FigureChange.BETTER
