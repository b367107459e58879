"""A run as checks of Patchwork: one for each suite, and one for the whole. Pure.

Patchwork shows the worst of a patch's checks. `fail` is what the series is blamed for, `warning` what a maintainer
should look at, `pending` what nobody knows yet: results that this machine lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.compare import BootChange, Change, Comparison
from harness.errors import ExitCode
from harness.perf.model import FigureChange, Performance
from harness.perf.words import told_of, worse_words
from harness.post.model import PatchworkSettings
from harness.report import safe
from harness.run_result import RunResult
from harness.verdict import Verdict, VerdictKind, decide

__all__ = ["Check", "CheckState", "checks_of"]

_LONGEST_CONTEXT = 255  # docs/api/schemas of Patchwork: Check.context, Check.target_url
_LONGEST_URL = 200
_LONGEST_DESCRIPTION = 200
_NOT_OF_A_CONTEXT = re.compile(r"[^-A-Za-z0-9_]+")


class CheckState(StrEnum):
    """The states that Patchwork knows."""

    PENDING = "pending"
    SUCCESS = "success"
    WARNING = "warning"
    FAIL = "fail"


_STATES = {
    VerdictKind.NO_REGRESSION: CheckState.SUCCESS,
    VerdictKind.IDENTICAL: CheckState.SUCCESS,
    VerdictKind.PASSED: CheckState.SUCCESS,
    VerdictKind.REGRESSION: CheckState.FAIL,
    VerdictKind.DOES_NOT_APPLY: CheckState.FAIL,
    VerdictKind.DOES_NOT_CONFIGURE: CheckState.FAIL,
    VerdictKind.DOES_NOT_BUILD: CheckState.FAIL,
    VerdictKind.NOT_A_SERIES: CheckState.FAIL,
    VerdictKind.FAILING: CheckState.WARNING,  # nobody is blamed without a base
    VerdictKind.NOTHING_TESTED: CheckState.WARNING,
}
"""Of the verdicts that say something; all others are pending."""


@dataclass(frozen=True)
class Check:
    """What is posted. target_url: "" for none."""

    context: str
    state: CheckState
    description: str
    target_url: str = ""


def checks_of(result: RunResult, settings: PatchworkSettings) -> tuple[Check, ...]:
    """The whole's check first, then each suite's, in the order in which they were run."""
    checks = [_check(settings, result, "", result.verdict, _state(result.verdict, result.comparison))]
    if result.comparison is not None:
        for suite in dict.fromkeys(suite.name for suite in result.suites):
            part, performance = _part(result.comparison, suite), _figures(result.performance, suite)
            verdict = _suite_verdict(part, performance)
            checks.append(_check(settings, result, suite, verdict, _state(verdict, part)))
    return tuple(checks)


def _part(comparison: Comparison, suite: str) -> Comparison:
    """The comparison of one suite's tests. What the kernel logged outside of tests is the whole's."""
    tests = tuple(test for test in comparison.tests if test.test.partition("/")[0] == suite)
    return replace(comparison, tests=tests, kernel_log=())


def _figures(performance: Performance | None, suite: str) -> Performance | None:
    if performance is None:
        return None
    figures = tuple(figure for figure in performance.figures if figure.bench.partition("/")[0] == suite)
    return replace(performance, figures=figures) if figures else None


def _suite_verdict(part: Comparison, performance: Performance | None) -> Verdict:
    """By the rules of the whole. A suite of benches alone has no test that could pass."""
    if part.tests or performance is None or part.boot is not BootChange.BOOTS:
        return decide(part, performance=performance)
    if worse := worse_words(performance):
        return Verdict(ExitCode.REGRESSION, VerdictKind.REGRESSION, f"REGRESSION: {worse}")
    told = ", ".join(told_of(performance))
    if not performance.of(FigureChange.SAME, FigureChange.BETTER):
        return Verdict(ExitCode.MACHINE_LOST, VerdictKind.NOTHING_TESTED, f"NOTHING TESTED: {told}")
    return Verdict(ExitCode.NO_REGRESSION, VerdictKind.NO_REGRESSION, f"no regression: {told}")


def _state(verdict: Verdict, comparison: Comparison | None) -> CheckState:
    state = _STATES.get(verdict.kind, CheckState.PENDING)
    if state is not CheckState.SUCCESS or comparison is None:
        return state
    doubtful = comparison.of(Change.FLAKY) or comparison.kernel_log
    return CheckState.WARNING if doubtful else state


def _check(settings: PatchworkSettings, result: RunResult, suite: str, verdict: Verdict, state: CheckState) -> Check:
    context = "-".join(filter(None, (settings.context, suite)))
    url = settings.target_url.replace("{run}", result.run).replace("{suite}", suite)
    return Check(
        _NOT_OF_A_CONTEXT.sub("-", context)[:_LONGEST_CONTEXT] or "ktrial",
        state,
        safe.line(verdict.line, _LONGEST_DESCRIPTION),
        url if len(url) <= _LONGEST_URL else "",
    )
