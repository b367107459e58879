"""A run as the cases of a test report: the one place that says what of it a CI server counts as a failure.

Test reports know no base: a case passed, failed, had an error or was skipped. Here a failure is what the verdict blames
on the series, and an error what nobody can say. What is not the series' doing is skipped, with the reason, as pytest
does with what is expected to fail. So a report has a failure or an error exactly where the exit status is not 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from harness.compare import BootChange, Change, LogChange, TestChange
from harness.errors import ExitCode
from harness.flakiness import flake_remarks
from harness.perf.model import Figure, FigureChange
from harness.report.facts import outcome_words
from harness.report.logs import said
from harness.results import Outcome, SideResults, TestResult
from harness.run_result import RunResult
from harness.verdict import VerdictKind

__all__ = ["Case", "Standing", "cases_of", "shown_attempts"]

_OURS = (VerdictKind.TREE_UNUSABLE, VerdictKind.MACHINE_LOST, VerdictKind.INTERNAL, VerdictKind.INTERRUPTED)


class Standing(StrEnum):
    """What a case counts as. Exactly one holds."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    EXPECTED = "expected"  # it fails, without the series too or as its suite says it must


@dataclass(frozen=True)
class Case:
    """One case. file: what it belongs to, `xdp_multibuf/test_adjust_tail.py` of a test. name: in it, as pytest has it.

    message: one line, why it does not stand as passed. details: what was seen, at length. log: the kernel's, while it
    ran. seconds: wall time on the host's clock. timed_out: it ran out of time.
    """

    file: str
    name: str
    standing: Standing
    message: str = ""
    details: str = ""
    log: str = ""
    seconds: float = 0.0
    timed_out: bool = False


def cases_of(result: RunResult) -> tuple[Case, ...]:
    """Every case of a run: its tests, what else the kernel logged, the figures, and what stopped it."""
    found = (*_tests(result), *_kernel_log(result), *_boot(result), *_figures(result))
    if result.verdict.exit_code is ExitCode.NO_REGRESSION or any(
        case.standing in (Standing.FAILED, Standing.ERROR) for case in found
    ):
        return found or (_whole(result, Standing.PASSED),)
    ours = result.verdict.kind in _OURS or result.verdict.exit_code is ExitCode.MACHINE_LOST
    return (*found, _whole(result, Standing.ERROR if ours else Standing.FAILED))


def shown_attempts(side: SideResults | None) -> dict[str, TestResult]:
    """Of every test the attempt to tell of: of the most harmful outcome, the first."""
    shown: dict[str, TestResult] = {}
    for each in side.results if side else ():
        other = shown.get(each.test)
        if other is None or _harm(each.outcome) > _harm(other.outcome):
            shown[each.test] = each
    return shown


def _harm(outcome: Outcome) -> int:
    order = (Outcome.LOST, Outcome.PASSED, Outcome.XFAILED, Outcome.SKIPPED, Outcome.FAILED, Outcome.TIMED_OUT)
    return order.index(outcome) if outcome in order else len(order)


def _whole(result: RunResult, standing: Standing) -> Case:
    """The run itself as a case: where it has no other, or where none of them says what its verdict says."""
    failure = result.failure
    details = "\n".join(filter(None, (failure.detail, failure.hint, failure.log))) if failure else ""
    message = "" if standing is Standing.PASSED else result.verdict.line
    return Case("ktrial", str(result.verdict.kind), standing, message, details)


def _tests(result: RunResult) -> Iterator[Case]:
    attempts = shown_attempts(result.patched)
    flakes = flake_remarks(result.known_flaky)
    for test in result.comparison.tests if result.comparison else ():
        attempt = attempts.get(test.test)
        file, colons, name = test.test.partition("::")
        standing, message = _standing(test)
        told = standing is not Standing.PASSED
        yield Case(
            file=file if colons else "tests",
            name=name if colons else test.test,
            standing=standing,
            message=message + flakes.get(test.test, "") if told else message,
            details=_details(test, attempt) if told else "",
            log=attempt.log if attempt and told else "",
            seconds=attempt.seconds if attempt else 0.0,
            timed_out=test.patched is Outcome.TIMED_OUT,
        )


def _standing(test: TestChange) -> tuple[Standing, str]:
    """What a test counts as, and why in one line."""
    why = f": {test.reason}" if test.reason else ""
    if test.blamed or test.change is Change.FAILING:
        return Standing.FAILED, f"{test.change}{why}"
    if test.change is Change.LOST:
        return Standing.ERROR, f"lost by the machine that ran it{why}"
    if test.change is Change.VANISHED:
        lost = Standing.ERROR if test.base is Outcome.PASSED else Standing.SKIPPED
        return lost, f"no result on the patched kernel; on base: {test.base}"
    if test.change is Change.STILL_FAILING:
        return Standing.EXPECTED, f"fails without the series too{why}"
    if test.change is Change.KNOWN_SPLAT:
        return Standing.EXPECTED, f"base logs the same elsewhere{why}"
    if test.change is Change.FLAKY:
        return Standing.SKIPPED, f"flaky, attempts on one side differ{why}"
    if test.patched is Outcome.XFAILED:
        return Standing.EXPECTED, test.reason or "expected to fail"
    return (Standing.SKIPPED, test.reason) if test.patched is Outcome.SKIPPED else (Standing.PASSED, "")


def _details(test: TestChange, attempt: TestResult | None) -> str:
    """The attempts on both sides, and what the one to tell of said."""
    told = [f"base: {outcome_words(test, 'base')}", f"patched: {outcome_words(test, 'patched')}"]
    told += [f"on base: {test.base_reason}"] if test.base_reason else []
    if attempt:
        told += [said(attempt.details)] if attempt.details else []
        told += [splat.text for splat in attempt.splats if splat.text not in (attempt.details + attempt.log)]
    return "\n".join(told)


def _kernel_log(result: RunResult) -> Iterator[Case]:
    """Splats that no blamed test explains: each is a case of its own, for it can come from any test, or from none."""
    for item in result.comparison.kernel_log if result.comparison else ():
        yield Case("kernel log", item.splat.key, *_log_standing(item), details=item.splat.text)


def _log_standing(item: LogChange) -> tuple[Standing, str]:
    where = f"seen in {', '.join(item.where)}"
    if item.blamed:
        return Standing.FAILED, f"new in the kernel log, {where}"
    return Standing.SKIPPED, f"a slow host can cause it, and not every guest had it; {where}"


def _boot(result: RunResult) -> Iterator[Case]:
    boot = result.comparison.boot if result.comparison else BootChange.BOOTS
    if boot is not BootChange.BOOTS:
        standing = Standing.FAILED if boot is BootChange.REGRESSION else Standing.ERROR
        yield Case("ktrial", "boot", standing, result.verdict.line)


def _figures(result: RunResult) -> Iterator[Case]:
    for figure in result.performance.figures if result.performance else ():
        yield Case("performance", figure.bench, *_figure_standing(figure))


def _figure_standing(figure: Figure) -> tuple[Standing, str]:
    if figure.change is FigureChange.UNKNOWN:
        return Standing.SKIPPED, f"cannot tell: {figure.why}"
    if figure.change is not FigureChange.WORSE:
        return Standing.PASSED, ""
    change = f"{figure.base:.10g} -> {figure.patched:.10g} {figure.unit} ({figure.share:+.1%})"
    return Standing.FAILED, f"worse: {change}, noise {figure.noise:.4g}"
