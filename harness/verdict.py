"""Decide: from a comparison to one kind, one exit code and one line.

Only what was shown to be well is called well: a run in which no test passed, or in which our machine lost results,
never reads as "no regression". docs/verdicts.md and docs/exit-codes.md explain each to a maintainer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.compare import BootChange, BrokenBy, Change, Comparison, LogChange, TestChange
from harness.errors import ExitCode, KtrialError
from harness.kselftest.proof import Proof, proof_words
from harness.perf.model import FigureChange, Performance
from harness.perf.words import told_of, worse_words
from harness.results import Outcome

__all__ = [
    "Failure",
    "Verdict",
    "VerdictKind",
    "decide",
    "failed_verdict",
    "failure_of",
    "figures_verdict",
    "identical_verdict",
]

_LONGEST_LINE = 300
_PATCHED = "the patched kernel"  # as in harness/build/failure.py


class VerdictKind(StrEnum):
    """What a run ended with. Exactly one holds."""

    NO_REGRESSION = "no-regression"
    IDENTICAL = "identical"  # the two kernels are the same code: nothing to run
    PASSED = "passed"  # no base to compare with: no test fails
    REGRESSION = "regression"
    FAILING = "failing"  # no base to compare with: tests fail
    INCOMPLETE = "incomplete"  # results were lost or vanished
    NOTHING_TESTED = "nothing-tested"  # no test passed
    BASE_BROKEN = "base-broken"  # the base does not boot
    BAD_USAGE = "bad-usage"
    NOT_A_SERIES = "not-a-series"
    DOES_NOT_APPLY = "does-not-apply"
    DOES_NOT_CONFIGURE = "does-not-configure"
    DOES_NOT_BUILD = "does-not-build"
    TREE_UNUSABLE = "tree-unusable"
    MACHINE_LOST = "machine-lost"
    INTERNAL = "internal-error"
    INTERRUPTED = "interrupted"


_OF_EXIT_CODE = {
    ExitCode.BAD_USAGE: VerdictKind.BAD_USAGE,
    ExitCode.NOT_A_SERIES: VerdictKind.NOT_A_SERIES,
    ExitCode.DOES_NOT_APPLY: VerdictKind.DOES_NOT_APPLY,
    ExitCode.DOES_NOT_CONFIGURE: VerdictKind.DOES_NOT_CONFIGURE,
    ExitCode.DOES_NOT_BUILD: VerdictKind.DOES_NOT_BUILD,
    ExitCode.TREE_UNUSABLE: VerdictKind.TREE_UNUSABLE,
    ExitCode.MACHINE_LOST: VerdictKind.MACHINE_LOST,
    ExitCode.INTERRUPTED: VerdictKind.INTERRUPTED,
}


@dataclass(frozen=True)
class Verdict:
    """The end of a run. line: one line without a newline, fit for a subject or a status."""

    exit_code: ExitCode
    kind: VerdictKind
    line: str


@dataclass(frozen=True)
class Failure:
    """The error that stopped a run, as harness.errors has it."""

    summary: str
    detail: str = ""
    hint: str = ""
    log: str = ""


_OUTWEIGHED = (VerdictKind.NO_REGRESSION, VerdictKind.NOTHING_TESTED, VerdictKind.INCOMPLETE)
"""What a figure that got worse makes a regression of."""


def decide(
    comparison: Comparison,
    *,
    new_warnings: int = 0,
    uncompiled: int = 0,
    proofs: Sequence[Proof] = (),
    performance: Performance | None = None,
    broken_by: Sequence[BrokenBy] = (),
) -> Verdict:
    """The verdict on a run whose kernels were booted.

    new_warnings: of the compiler; told, never blamed. uncompiled: touched files that the configuration leaves out.
    proofs: what the series' own selftests show; told too. performance: a figure that got worse is a regression.
    broken_by: the patches that broke tests, where they were looked for.
    """
    verdict = _booted(comparison) or (_compared(comparison) if comparison.compared else _alone(comparison))
    if broken_by:
        culprits = "; ".join(f"{len(each.tests)} by {_patches(each)}" for each in broken_by)
        verdict = _verdict(verdict.exit_code, verdict.kind, f"{verdict.line}; {culprits}")
    verdict = _measured(verdict, performance) if performance else verdict
    told = [_count(new_warnings, "new compiler warning")] if new_warnings else []
    told += [f"{_count(uncompiled, 'touched file')} not compiled"] if uncompiled else []
    told += [f"its own selftests: {proof_words(proofs)}"] if proofs else []
    return _verdict(verdict.exit_code, verdict.kind, "; ".join((verdict.line, *told))) if told else verdict


def _patches(broken: BrokenBy) -> str:
    numbers = (
        f"patch {broken.last}" if broken.first == broken.last else f"one of patches {broken.first} to {broken.last}"
    )
    return f"{numbers} ({broken.subject})"


def _measured(verdict: Verdict, performance: Performance) -> Verdict:
    """The same with what the series costs. Where tests broke, they come first. Missing results excuse no cost."""
    worse, others = worse_words(performance), told_of(performance)
    if worse and verdict.kind in _OUTWEIGHED:
        tests = "no test broke" if verdict.kind is VerdictKind.NO_REGRESSION else verdict.line.partition(": ")[2]
        line = "; ".join((f"REGRESSION: {worse}", *others, tests))
        return _verdict(ExitCode.REGRESSION, VerdictKind.REGRESSION, line)
    told = (worse, *others) if worse else others
    return _verdict(verdict.exit_code, verdict.kind, "; ".join((verdict.line, *told)))


def identical_verdict(uncompiled: Sequence[str] = ()) -> Verdict:
    """The verdict where the series changes nothing in what is compiled, so that nothing was run.

    uncompiled: touched files that the configuration leaves out: with them, nothing is known about the series.
    """
    if uncompiled:
        more = f" and {len(uncompiled) - 1} more" if len(uncompiled) > 1 else ""
        line = f"NOTHING TESTED: what the series touches is not compiled: {uncompiled[0]}{more}"
        return _verdict(ExitCode.MACHINE_LOST, VerdictKind.NOTHING_TESTED, line)
    line = "identical: with this configuration the series changes no code; no test was run"
    return Verdict(ExitCode.NO_REGRESSION, VerdictKind.IDENTICAL, line)


def figures_verdict(performance: Performance) -> Verdict:
    """The verdict where nothing but figures was asked for (`ktrial perf`)."""
    worse, others = worse_words(performance), told_of(performance)
    if worse:
        return _verdict(ExitCode.REGRESSION, VerdictKind.REGRESSION, "; ".join((f"REGRESSION: {worse}", *others)))
    if all(figure.change is FigureChange.UNKNOWN for figure in performance.figures):
        why = performance.figures[0].why if performance.figures else "no bench was run"
        line = f"NOTHING TESTED: no figure could be compared: {why}"
        return _verdict(ExitCode.MACHINE_LOST, VerdictKind.NOTHING_TESTED, line)
    count = _count(len(performance.figures), "figure")
    return _verdict(
        ExitCode.NO_REGRESSION, VerdictKind.NO_REGRESSION, "; ".join((f"no regression: {count}, none worse", *others))
    )


def failed_verdict(error: KtrialError) -> Verdict:
    """The verdict on a run that an error stopped."""
    kind = _OF_EXIT_CODE.get(error.exit_code, VerdictKind.INTERNAL)
    label = _label(kind)
    return _verdict(error.exit_code, kind, f"{label}: {_without(label.lower(), error.summary)}")


def _without(label: str, summary: str) -> str:
    """`patch 2/3 (x) does not build: y` behind `DOES NOT BUILD: `, which is of the patched kernel anyway."""
    before, found, after = summary.partition(f" {label}: ")
    if not found:
        return summary
    return after if before == _PATCHED else f"{before}: {after}"


def failure_of(error: KtrialError) -> Failure:
    """The error as a part of the result."""
    return Failure(error.summary, error.detail, error.hint, str(error.log or ""))


def _booted(comparison: Comparison) -> Verdict | None:
    """The verdict where a kernel did not boot."""
    if comparison.boot is BootChange.BASE_BROKEN:
        line = "BASE BROKEN: the kernel without the series does not boot; nothing to compare"
        return _verdict(ExitCode.TREE_UNUSABLE, VerdictKind.BASE_BROKEN, line)
    if comparison.boot is BootChange.LOST:
        line = "INCOMPLETE: no guest came up, which is this machine's fault"
        return _verdict(ExitCode.MACHINE_LOST, VerdictKind.INCOMPLETE, line)
    if comparison.boot is BootChange.REGRESSION:
        kind = VerdictKind.REGRESSION if comparison.compared else VerdictKind.FAILING
        why = f" ({comparison.kernel_log[-1].splat.kind})" if comparison.kernel_log else ""
        beside = ", base does" if comparison.compared else ""
        return _verdict(ExitCode.REGRESSION, kind, f"{_label(kind)}: the kernel does not boot{beside}{why}")
    return None


def _compared(comparison: Comparison) -> Verdict:
    if comparison.blamed or comparison.blamed_log:
        return _verdict(ExitCode.REGRESSION, VerdictKind.REGRESSION, _regression_line(comparison))
    lost = comparison.of(Change.LOST)
    vanished = _gone_missing(comparison)
    if lost or vanished:
        parts = [f"{_count(len(lost), 'test')} lost by this machine"] if lost else []
        parts += [f"{_count(len(vanished), 'test')} without a result on the patched kernel"] if vanished else []
        line = f"INCOMPLETE: {', '.join(parts)}: {_first((*lost, *vanished))}"
        return _verdict(ExitCode.MACHINE_LOST, VerdictKind.INCOMPLETE, line)
    if not any(Outcome.PASSED in test.patched_outcomes for test in comparison.tests):
        return _nothing_tested(comparison)
    return _verdict(ExitCode.NO_REGRESSION, VerdictKind.NO_REGRESSION, _no_regression_line(comparison))


def _alone(comparison: Comparison) -> Verdict:
    """The verdict without a base: tests fail or they do not, and nobody is blamed."""
    total = len(comparison.tests)
    failing = comparison.of(Change.FAILING)
    if failing:
        line = f"FAILING: {len(failing)} of {_count(total, 'test')} (not compared with a base): {_first(failing)}"
        return _verdict(ExitCode.REGRESSION, VerdictKind.FAILING, line)
    if log := comparison.blamed_log:
        line = f"FAILING: {_in_log(log)} (not compared with a base)"
        return _verdict(ExitCode.REGRESSION, VerdictKind.FAILING, line)
    if lost := comparison.of(Change.LOST):
        line = f"INCOMPLETE: {_count(len(lost), 'test')} lost by this machine: {_first(lost)}"
        return _verdict(ExitCode.MACHINE_LOST, VerdictKind.INCOMPLETE, line)
    passed = sum(test.patched is Outcome.PASSED for test in comparison.tests)
    if not any(Outcome.PASSED in test.patched_outcomes for test in comparison.tests):
        return _nothing_tested(comparison)
    others = _others(comparison, (Change.FLAKY, "flaky"))
    line = f"passed: {_count(passed, 'test')}{_skipped(comparison)}{others}, not compared with a base"
    return _verdict(ExitCode.NO_REGRESSION, VerdictKind.PASSED, line)


def _nothing_tested(comparison: Comparison) -> Verdict:
    total = len(comparison.tests)
    skipped = sum(test.patched is Outcome.SKIPPED for test in comparison.tests)
    if not total:
        what = "no test was run"
    elif skipped == total:
        what = "the only test was skipped" if total == 1 else f"all {total} tests were skipped"
    else:
        what = f"none of {_count(total, 'test')} passes, with or without the series"
    return _verdict(ExitCode.MACHINE_LOST, VerdictKind.NOTHING_TESTED, f"NOTHING TESTED: {what}")


def _regression_line(comparison: Comparison) -> str:
    """`REGRESSION: 3 of 84 tests broke: NAME (and 2 more); ...`: the worst kind first."""
    broke = comparison.of(Change.REGRESSION)
    new = comparison.of(Change.NEW_FAILING)
    skipped = tuple(test for test in comparison.of(Change.NOW_SKIPPED) if test.blamed)
    parts = []
    if broke:
        parts.append(f"{len(broke)} of {_count(len(comparison.tests), 'test')} broke: {_first(broke)}")
    if new:
        parts.append(
            f"{_count(len(new), 'test')} that base does not run {_s(len(new), 'fails', 'fail')}: {_first(new)}"
        )
    if skipped:
        parts.append(f"{_count(len(skipped), 'test')} no longer {_s(len(skipped), 'runs', 'run')}: {_first(skipped)}")
    if log := comparison.blamed_log:
        parts.append(f"new {_in_log(log)}")
    if lost := comparison.of(Change.LOST):
        parts.append(f"{_count(len(lost), 'test')} lost by this machine")
    return f"REGRESSION: {'; '.join(parts)}"


def _no_regression_line(comparison: Comparison) -> str:
    same = len(comparison.of(Change.SAME))
    total = len(comparison.tests)
    count = _count(total, "test") if same == total else f"{same} of {_count(total, 'test')}"
    others = _others(
        comparison,
        (Change.FIXED, "fixed"),
        (Change.NEW_PASSING, "newly passing"),
        (Change.STILL_FAILING, "failing on both"),
        (Change.KNOWN_SPLAT, "failing only for a splat of base's"),
        (Change.FLAKY, "flaky"),
        (Change.NOW_SKIPPED, "skipped that failed on base"),
        (Change.VANISHED, "gone that did not pass on base"),
    )
    return f"no regression: {count} same on both{_skipped(comparison)}{others}"


def _gone_missing(comparison: Comparison) -> tuple[TestChange, ...]:
    """Tests that passed on base and have no result on patched: nobody can say how they would have ended."""
    return tuple(test for test in comparison.of(Change.VANISHED) if test.base is Outcome.PASSED)


def _others(comparison: Comparison, *worded: tuple[Change, str]) -> str:
    counts = ((len(comparison.of(change)), words) for change, words in worded)
    return "".join(f", {count} {words}" for count, words in counts if count)


def _skipped(comparison: Comparison) -> str:
    tests = comparison.of(Change.SAME, Change.NOT_COMPARED)
    skipped = sum(test.patched is Outcome.SKIPPED for test in tests)
    return f" ({skipped} skipped)" if skipped else ""


def _in_log(log: Sequence[LogChange]) -> str:
    more = f" (and {len(log) - 1} more)" if len(log) > 1 else ""
    where = f" in {log[0].splat.function}" if log[0].splat.function else ""
    return f"in the kernel log: {log[0].splat.kind}{where}{more}"


def _first(tests: Sequence[TestChange]) -> str:
    more = f" (and {len(tests) - 1} more)" if len(tests) > 1 else ""
    return f"{tests[0].test}{more}"


def _label(kind: VerdictKind) -> str:
    return kind.replace("-", " ").upper()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _s(number: int, one: str, several: str) -> str:
    return one if number == 1 else several


def _verdict(exit_code: ExitCode, kind: VerdictKind, line: str) -> Verdict:
    line = " ".join("".join(char if char.isprintable() else " " for char in line).split())
    return Verdict(exit_code, kind, line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 3]}...")
