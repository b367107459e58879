"""Compare what base and patched did, test by test: the one place that decides what a regression is.

A test is blamed on the series when it was well in every attempt on base and was not in every attempt on patched; how
many attempts there are is the caller's choice (see `suspects`). What a machine lost is nobody's fault, and a splat that
base has too is not the series' doing. docs/verdicts.md says the same to a maintainer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.results import HARM, LEFT_REASON, Left, Outcome, SideResults, Splat, TestResult
from harness.splats import SPLAT_REASON, is_timely, same_splat

__all__ = ["BootChange", "BrokenBy", "Change", "Comparison", "LogChange", "TestChange", "compare", "suspects"]


class Change(StrEnum):
    """How one test's outcome on patched relates to that on base. Exactly one holds. In the order of reports."""

    REGRESSION = "regression"  # well on base, bad on patched; or crashes where base only failed
    NEW_FAILING = "new-failing"  # did not run on base, bad on patched
    FAILING = "failing"  # bad, with no base to compare
    NOW_SKIPPED = "now-skipped"  # ran on base, no longer runs on patched
    VANISHED = "vanished"  # patched has no result of it
    LOST = "lost"  # our machine failed in every attempt on one side
    FLAKY = "flaky"  # attempts on one side differ
    KNOWN_SPLAT = "known-splat"  # bad on patched only for what base logs or leaves behind too, in another test
    STILL_FAILING = "still-failing"  # bad on both
    FIXED = "fixed"
    NEW_PASSING = "new-passing"  # did not run on base, passes on patched
    SAME = "same"
    NOT_COMPARED = "not-compared"  # not bad, with no base to compare


class BootChange(StrEnum):
    BOOTS = "boots"
    REGRESSION = "does-not-boot"  # base boots, patched does not
    BASE_BROKEN = "base-does-not-boot"
    LOST = "lost"  # our machine failed, so that nobody knows


@dataclass(frozen=True)
class TestChange:
    """One test on both sides.

    base, patched: its outcome there, the worst of the attempts (None: no result). *_outcomes: of each attempt.
    reason, base_reason: one line each, of the attempts that `patched` and `base` show.
    worse: it failed on base too, and does more harm now. differs: it fails on both, in different ways.
    new_splats: those that base has nowhere. blamed: it makes the verdict a regression.
    """

    __test__ = False

    test: str
    change: Change
    base: Outcome | None
    patched: Outcome | None
    base_outcomes: tuple[Outcome, ...] = ()
    patched_outcomes: tuple[Outcome, ...] = ()
    reason: str = ""
    base_reason: str = ""
    worse: bool = False
    differs: bool = False
    new_splats: tuple[Splat, ...] = ()
    blamed: bool = False


@dataclass(frozen=True)
class LogChange:
    """A splat that base has nowhere and that no blamed test explains.

    where: the boots and tests it was seen in. blamed: False for what a slow host can cause, unless every boot has it.
    """

    splat: Splat
    where: tuple[str, ...]
    blamed: bool


@dataclass(frozen=True)
class BrokenBy:
    """Tests that one patch broke: `first` == `last`; or one of several, where no kernel between them could be had.

    subject: of the last one.
    """

    first: int
    last: int
    subject: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Base against patched. compared: False where there is no base. gone: splats that only base has."""

    compared: bool
    tests: tuple[TestChange, ...]
    kernel_log: tuple[LogChange, ...] = ()
    gone: tuple[Splat, ...] = ()
    boot: BootChange = BootChange.BOOTS

    def of(self, *changes: Change) -> tuple[TestChange, ...]:
        """The tests with one of these changes, in order."""
        return tuple(test for test in self.tests if test.change in changes)

    @property
    def blamed(self) -> tuple[TestChange, ...]:
        return tuple(test for test in self.tests if test.blamed)

    @property
    def blamed_log(self) -> tuple[LogChange, ...]:
        return tuple(item for item in self.kernel_log if item.blamed)


@dataclass(frozen=True)
class _Attempts:
    """All attempts of one test on one side, those that our machine lost left out (unless it lost all)."""

    results: tuple[TestResult, ...]

    @property
    def absent(self) -> bool:
        return not self.results

    @property
    def lost(self) -> bool:
        return bool(self.results) and all(result.outcome is Outcome.LOST for result in self.results)

    @property
    def mixed(self) -> bool:
        return len({"bad" if result.outcome.bad else result.outcome for result in self.results}) > 1

    @property
    def bad(self) -> bool:
        return bool(self.results) and all(result.outcome.bad for result in self.results)

    @property
    def skipped(self) -> bool:
        return bool(self.results) and all(result.outcome is Outcome.SKIPPED for result in self.results)

    @property
    def ordinary(self) -> _Attempts:
        """Without the attempts that only a memory of flaking asked for."""
        return _Attempts(tuple(result for result in self.results if not result.extra))

    @property
    def worst(self) -> TestResult | None:
        """The attempt to show: the most harmful, the first of several."""
        return max(self.results, key=lambda result: HARM.index(result.outcome), default=None)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        return tuple(result.outcome for result in self.results)


_NONE = _Attempts(())


def compare(base: SideResults | None, patched: SideResults) -> Comparison:
    """Relate every test of either side to the other side. base: None where only patched was run."""
    patched_tests = _attempts(patched)
    base_tests = _attempts(base) if base else {}
    known = _logged(base) if base else ()
    judge = _Judge(known, _fatal(base), _left(base)) if base else _Judge()
    order = [*patched_tests, *(test for test in base_tests if test not in patched_tests)]
    tests = tuple(
        _judged(test, base_tests.get(test, _NONE), patched_tests.get(test, _NONE), judge)
        if base
        else _alone(test, patched_tests[test])
        for test in order
    )
    return Comparison(
        compared=base is not None,
        tests=tests,
        kernel_log=_kernel_log(patched, tests, known),
        gone=_without(_splats(base), _logged(patched)) if base else (),
        boot=_boot(base, patched),
    )


def suspects(comparison: Comparison) -> tuple[str, ...]:
    """Tests to run again on both sides before anybody is blamed for them, or thanked: a flaky test looks fixed too."""
    vanished = (test.test for test in comparison.of(Change.VANISHED) if test.base is Outcome.PASSED)
    fixed = (test.test for test in comparison.of(Change.FIXED))
    return (*(test.test for test in comparison.blamed), *vanished, *fixed)


@dataclass(frozen=True)
class _Judge:
    """What is known of base. known: all its splats. fatal: those that took a guest down. left: what its tests left."""

    known: tuple[Splat, ...] = ()
    fatal: tuple[Splat, ...] = ()
    left: frozenset[Left] = frozenset()

    def new(self, results: Iterable[TestResult]) -> tuple[Splat, ...]:
        return _without((splat for result in results for splat in result.splats), self.known)

    def excused(self, result: TestResult) -> bool:
        """Bad for nothing but a splat that base has too, or what base leaves behind too."""
        if self.new([result]) or not self.left.issuperset(result.left):
            return False
        if result.outcome is Outcome.CRASHED:
            return any(same_splat(splat, fatal) for splat in result.splats[-1:] for fatal in self.fatal)
        return _by_its_log(result)


def _judged(test: str, base: _Attempts, patched: _Attempts, judge: _Judge) -> TestChange:
    """The test by all its attempts. Extra ones can take a blame away only by passing, and only where nothing worse than
    before shows in them: what was known of a test hides no crash, no new splat and no failure that stays."""
    whole = _compare_test(test, base, patched, judge)
    if patched.ordinary == patched and base.ordinary == base:
        return whole
    ordinary = _compare_test(test, base.ordinary, patched.ordinary, judge)
    if whole.blamed or not ordinary.blamed or _cleared(patched, judge):
        return whole
    return replace(whole, change=ordinary.change, worse=ordinary.worse, blamed=True)


def _cleared(patched: _Attempts, judge: _Judge) -> bool:
    before = {result.outcome for result in patched.ordinary.results}
    extra = [result for result in patched.results if result.extra]
    passed = any(result.outcome is Outcome.PASSED for result in extra)
    worse = any(result.outcome.bad and result.outcome not in before for result in extra)
    crashed = any(result.outcome is Outcome.CRASHED for result in patched.results)
    return passed and not worse and not crashed and not judge.new(patched.results)


def _compare_test(test: str, base: _Attempts, patched: _Attempts, judge: _Judge) -> TestChange:
    worse = _worse(base, patched, judge)
    change = Change.REGRESSION if worse else _change(base, patched, judge)
    before, after = base.worst, patched.worst
    return TestChange(
        test,
        change,
        before.outcome if before else None,
        after.outcome if after else None,
        base.outcomes,
        patched.outcomes,
        after.reason if after else "",
        before.reason if before else "",
        worse=worse,
        differs=change is Change.STILL_FAILING and _differs(base, patched),
        new_splats=judge.new(patched.results),
        blamed=change in (Change.REGRESSION, Change.NEW_FAILING)
        or (change is Change.NOW_SKIPPED and set(base.outcomes) == {Outcome.PASSED}),
    )


def _alone(test: str, patched: _Attempts) -> TestChange:
    """A test with no base beside it."""
    change = Change.LOST if patched.lost else Change.FLAKY if patched.mixed else Change.NOT_COMPARED
    if patched.bad:
        change = Change.FAILING
    worst = patched.worst
    assert worst is not None
    splats = tuple(splat for result in patched.results for splat in result.splats)
    return TestChange(
        test, change, None, worst.outcome, (), patched.outcomes, worst.reason, new_splats=_without(splats, ())
    )


def _change(base: _Attempts, patched: _Attempts, judge: _Judge) -> Change:
    if patched.lost or base.lost:
        return Change.LOST
    if patched.absent:
        return Change.VANISHED
    if patched.mixed or base.mixed:
        return Change.FLAKY
    if patched.bad and not base.bad:
        return _newly_bad(base, patched, judge)
    if base.absent or base.skipped:
        return Change.SAME if patched.skipped else Change.NEW_PASSING
    if base.bad:
        return Change.STILL_FAILING if patched.bad else Change.NOW_SKIPPED if patched.skipped else Change.FIXED
    return _both_well(base.outcomes[0], patched.outcomes[0])


def _newly_bad(base: _Attempts, patched: _Attempts, judge: _Judge) -> Change:
    if all(judge.excused(result) for result in patched.results):
        return Change.KNOWN_SPLAT
    if base.absent or base.skipped:
        return Change.NEW_FAILING
    unexpected = all("XPASS(strict)" in result.reason for result in patched.results)
    return Change.FIXED if unexpected and base.outcomes[0] is Outcome.XFAILED else Change.REGRESSION


def _both_well(before: Outcome, after: Outcome) -> Change:
    """Between passed and xfailed, or to skipped."""
    if before is after:
        return Change.SAME
    return Change.FIXED if after is Outcome.PASSED else Change.NOW_SKIPPED


def _worse(base: _Attempts, patched: _Attempts, judge: _Judge) -> bool:
    """Base was unwell, and every attempt on patched does harm that no attempt on base did: a crash, a new splat, or an
    assertion that does not hold where base is only unwell by its log and by what it leaves behind.
    """
    unwell = any(result.outcome.bad for result in base.results)
    if not unwell or not patched.bad or any(result.outcome is Outcome.CRASHED for result in base.results):
        return False
    crashed = all(result.outcome is Outcome.CRASHED and not judge.excused(result) for result in patched.results)
    held = all(result.outcome is Outcome.PASSED or _by_its_log(result) for result in base.results)
    broken = held and not any(map(_by_its_log, patched.results))
    return crashed or broken or all(judge.new([result]) for result in patched.results)


def _by_its_log(result: TestResult) -> bool:
    """Failed though its assertions held: for what the kernel logged, or for what was left behind."""
    return result.outcome is Outcome.FAILED and result.reason.startswith((SPLAT_REASON, LEFT_REASON))


def _differs(base: _Attempts, patched: _Attempts) -> bool:
    before, after = base.worst, patched.worst
    assert before is not None
    assert after is not None
    return before.outcome is not after.outcome or before.reason != after.reason


def _attempts(side: SideResults) -> dict[str, _Attempts]:
    """Every test's attempts, in the order in which the tests first finished."""
    grouped: dict[str, list[TestResult]] = {}
    for result in side.results:
        grouped.setdefault(result.test, []).append(result)
    return {test: _Attempts(_kept(results)) for test, results in grouped.items()}


def _kept(results: Sequence[TestResult]) -> tuple[TestResult, ...]:
    ran = [result for result in results if result.outcome is not Outcome.LOST]
    return tuple(sorted(ran or results, key=lambda result: result.attempt))


def _splats(side: SideResults) -> tuple[Splat, ...]:
    in_tests = (splat for result in side.results for splat in result.splats)
    in_boots = (splat for boot in side.boots for splat in boot.splats)
    return tuple({splat.key: splat for splat in (*in_tests, *in_boots)}.values())


def _logged(side: SideResults) -> tuple[Splat, ...]:
    """With those that an allow-list lets pass: a kernel that has them has them in a guest that went down, too."""
    in_tests = (each.splat for result in side.results for each in result.excused)
    in_boots = (each.splat for boot in side.boots for each in boot.excused)
    return tuple({splat.key: splat for splat in (*_splats(side), *in_tests, *in_boots)}.values())


def _left(side: SideResults) -> frozenset[Left]:
    return frozenset(left for result in side.results for left in result.left)


def _fatal(side: SideResults) -> tuple[Splat, ...]:
    """The last splat of each test and boot that took its guest down."""
    in_tests = [result.splats[-1] for result in side.results if result.outcome is Outcome.CRASHED and result.splats]
    in_boots = [boot.splats[-1] for boot in side.boots if boot.end in ("panic", "reset") and boot.splats]
    return (*in_tests, *in_boots)


def _without(splats: Iterable[Splat], known: Sequence[Splat]) -> tuple[Splat, ...]:
    """Those that are the same as none of `known`, each once."""
    unknown: list[Splat] = []
    for splat in splats:
        if not any(same_splat(splat, other) for other in (*known, *unknown)):
            unknown.append(splat)
    return tuple(unknown)


def _kernel_log(patched: SideResults, tests: Sequence[TestChange], known: Sequence[Splat]) -> tuple[LogChange, ...]:
    """New splats at boot, between tests, and in tests that are not blamed (a flaky one, say)."""
    bad = (test for test in tests if test.blamed or test.change is Change.FAILING)
    explained = [splat for test in bad for splat in test.new_splats]
    new = _without(_splats(patched), (*known, *explained))
    return tuple(_log_change(splat, patched) for splat in new)


def _log_change(splat: Splat, patched: SideResults) -> LogChange:
    boots = [boot for boot in patched.boots if _has(splat, boot.splats)]
    results = [result for result in patched.results if _has(splat, result.splats)]
    through_tests = {result.boot for result in results}
    everywhere = bool(patched.boots) and all(each in boots or each.name in through_tests for each in patched.boots)
    where = (*dict.fromkeys(result.test for result in results), *(boot.name for boot in boots))
    return LogChange(splat, where, blamed=everywhere or not is_timely(splat))


def _has(splat: Splat, splats: Sequence[Splat]) -> bool:
    return any(same_splat(splat, other) for other in splats)


def _boot(base: SideResults | None, patched: SideResults) -> BootChange:
    if base and not base.booted:
        return BootChange.LOST if _machine_failed(base) else BootChange.BASE_BROKEN
    if not patched.booted:
        return BootChange.LOST if _machine_failed(patched) else BootChange.REGRESSION
    return BootChange.BOOTS


def _machine_failed(side: SideResults) -> bool:
    return all(boot.end == "lost" for boot in side.boots)
