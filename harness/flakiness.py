"""What earlier runs know of tests that fail now and then on a kernel without a series, and what that is good for.

It is good for one thing: such a test gets more attempts before it is called a regression. It decides nothing by
itself, and a failure that no attempt is without, a crash and a new splat are blamed whatever was before
(harness.compare). Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.compare import Change, Comparison, TestChange
from harness.results import Outcome

__all__ = [
    "BaseRun",
    "KnownFlake",
    "attempts_needed",
    "flake_of",
    "flake_remarks",
    "flake_words",
    "remarkable",
    "wanting",
]

_BY_CHANCE = 0.001
"""How often a test that only flakes may fail in all its attempts."""
_MOST_ATTEMPTS = 10
_EXPLAINED = (Outcome.FAILED, Outcome.TIMED_OUT)  # what flaking can look like; a crash never is


@dataclass(frozen=True)
class BaseRun:
    """One test on a base kernel in one run. kernel: the same for two runs if theirs were one kernel. started: ISO 8601.

    outcomes: of its attempts in order, without those that our machine lost; never empty.
    """

    kernel: str
    started: str
    outcomes: tuple[Outcome, ...]

    @property
    def bad(self) -> bool:
        return any(outcome.bad for outcome in self.outcomes)


@dataclass(frozen=True)
class KnownFlake:
    """A test that was well and unwell on one and the same base kernel. Patched kernels never count.

    runs: how many base runs of comparable kernels (the same release series, suite, accelerator) had it.
    flaky: in how many of them it was bad at least once, on a kernel on which it was also well.
    bad_at_first: how many of the runs it was bad in at its first attempt; outcomes: in which ways.
    last: when it was seen so last, ISO 8601.
    """

    test: str
    flaky: int
    runs: int
    bad_at_first: int
    outcomes: tuple[Outcome, ...] = ()
    last: str = ""

    @property
    def rate(self) -> float:
        """The chance that it fails once. Few runs say little, so it is Laplace's estimate: never 0, never 1."""
        return (self.bad_at_first + 1) / (self.runs + 2)


def flake_of(test: str, runs: Iterable[BaseRun]) -> KnownFlake | None:
    """What some runs say of a test; None where it did not both pass and fail on any one kernel."""
    of_kernel: dict[str, list[BaseRun]] = {}
    for run in runs:
        of_kernel.setdefault(run.kernel, []).append(run)
    # A kernel on which it never passed is broken there, which says nothing about flaking.
    told = [run for group in of_kernel.values() if _passes(group) for run in group]
    flaky = [run for run in told if run.bad]
    if not flaky:
        return None
    return KnownFlake(
        test=test,
        flaky=len(flaky),
        runs=len(told),
        bad_at_first=sum(run.outcomes[0].bad for run in told),
        outcomes=tuple(sorted({outcome for run in flaky for outcome in run.outcomes if outcome.bad})),
        last=max(run.started for run in flaky),
    )


def _passes(runs: Iterable[BaseRun]) -> bool:
    return any(outcome is Outcome.PASSED for run in runs for outcome in run.outcomes)


def attempts_needed(known: KnownFlake) -> int:
    """Attempts after which flaking alone leaves less than one chance in a thousand that all of them failed."""
    return min(_MOST_ATTEMPTS, math.ceil(math.log(_BY_CHANCE) / math.log(known.rate)))


def wanting(comparison: Comparison, known: Mapping[str, KnownFlake]) -> tuple[str, ...]:
    """Blamed tests that are to be tried again because of what is known of them.

    Only one that failed as it did before, and did nothing else: whatever crashes or brings a new splat has had all the
    attempts that it gets.
    """
    return tuple(test.test for test in comparison.blamed if test.test in known and _unsure(test, known[test.test]))


def _unsure(test: TestChange, known: KnownFlake) -> bool:
    explained = all(outcome in _EXPLAINED and outcome in known.outcomes for outcome in test.patched_outcomes)
    return explained and not test.new_splats and len(test.patched_outcomes) < attempts_needed(known)


def remarkable(comparison: Comparison, known: Mapping[str, KnownFlake]) -> tuple[KnownFlake, ...]:
    """What is known of the tests that a report tells of."""
    told = (test.test for test in comparison.tests if test.change not in (Change.SAME, Change.NOT_COMPARED))
    return tuple(known[test] for test in told if test in known)


def flake_words(known: KnownFlake) -> str:
    """`flaky in 3 of 120 base runs before`."""
    return f"flaky in {known.flaky} of {known.runs} base runs before"


def flake_remarks(known: Iterable[KnownFlake]) -> dict[str, str]:
    """By test, what stands behind its name in a report: ` (flaky in 3 of 120 base runs before)`."""
    return {each.test: f" ({flake_words(each)})" for each in known}
