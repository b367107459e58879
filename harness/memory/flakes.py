"""Which tests flake, by what base kernels did in earlier runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from harness.flakiness import KnownFlake
from harness.memory.identity import is_checked, release_of
from harness.memory.write import OUTCOMES
from harness.results import Outcome

__all__ = ["Comparable", "flakes"]

_MOST_RUNS = 300  # the newest: how a test was a year ago says little

Sides = Mapping[int, tuple[str, str]]
"""By the number of a side its kernel, and when its run was started."""


@dataclass(frozen=True)
class Comparable:
    """What an earlier run must have in common with this one to tell anything about its tests.

    version: of the base kernel; the release series (`6.12`) counts. fragments: whether the checkers are among them.
    suites: name and digest of each. run: this one's id, whose own results are no history.
    """

    version: str
    accelerator: str
    fragments: tuple[str, ...]
    suites: tuple[tuple[str, str], ...]
    run: str = ""


def flakes(connection: sqlite3.Connection, like: Comparable) -> tuple[KnownFlake, ...]:
    """The tests that were well and unwell on one and the same base kernel, in runs like this one, by name.

    A base that has patches of some tried series in it is no base here: what a series broke must not pass for flaking.
    """
    if not release_of(like.version):
        return ()
    found = []
    for suite, digest in like.suites:
        if digest:
            sides = _sides(connection, like, suite, digest)
            told = (_flake(connection, test, name, sides) for test, name in _ever_bad(connection, sides, suite))
            found += [flake for flake in told if flake is not None]
    return tuple(sorted(found, key=lambda flake: flake.test))


def _sides(connection: sqlite3.Connection, like: Comparable, suite: str, digest: str) -> Sides:
    """Comparable base sides."""
    rows = connection.execute(
        "SELECT sides.id, sides.kernel, runs.started FROM runs"
        " JOIN sides ON sides.run = runs.id AND sides.name = 'base' AND sides.booted AND sides.kernel <> ''"
        " JOIN suites ON suites.run = runs.id AND suites.name = ? AND suites.digest = ?"
        " WHERE runs.release = ? AND runs.accelerator = ? AND runs.checked = ? AND runs.run <> ?"
        " AND NOT EXISTS (SELECT 1 FROM patches WHERE commit_id <> '' AND commit_id = runs.base_commit)"
        " ORDER BY runs.started DESC LIMIT ?",
        (
            suite,
            digest,
            release_of(like.version),
            like.accelerator,
            is_checked(like.fragments),
            like.run,
            _MOST_RUNS,
        ),
    )
    return {side: (kernel, started) for side, kernel, started in rows}


def _ever_bad(connection: sqlite3.Connection, sides: Sides, suite: str) -> list[tuple[int, str]]:
    """The tests of a suite that were bad on one of some sides: number and name."""
    rows = connection.execute(
        "SELECT DISTINCT results.test, tests.name, results.side FROM results JOIN tests ON tests.id = results.test"
        " WHERE outcome IN ('f', 'c', 't')"
    )
    bad = {test: name for test, name, side in rows if side in sides and name.partition("/")[0] == suite}
    return list(bad.items())


def _flake(connection: sqlite3.Connection, test: int, name: str, sides: Sides) -> KnownFlake | None:
    """What some sides say of one test; None where it did the same on each kernel, whenever it ran there."""
    ran = {side: outcomes for side in sides if (outcomes := _outcomes(connection, side, test))}
    of_kernel: dict[str, list[int]] = {}
    for side in ran:
        of_kernel.setdefault(sides[side][0], []).append(side)
    # A kernel on which it never passed is broken there, which says nothing about flaking.
    told = [side for group in of_kernel.values() if _passes(group, ran) for side in group]
    flaky = [side for side in told if _bad(ran[side])]
    if not flaky:
        return None
    return KnownFlake(
        test=name,
        flaky=len(flaky),
        runs=len(told),
        bad_at_first=sum(ran[side][0].bad for side in told),
        outcomes=tuple(sorted({outcome for side in flaky for outcome in ran[side] if outcome.bad})),
        last=max(sides[side][1] for side in flaky),
    )


def _passes(group: list[int], ran: Mapping[int, tuple[Outcome, ...]]) -> bool:
    return any(outcome is Outcome.PASSED for side in group for outcome in ran[side])


def _bad(outcomes: tuple[Outcome, ...]) -> bool:
    return any(outcome.bad for outcome in outcomes)


def _outcomes(connection: sqlite3.Connection, side: int, test: int) -> tuple[Outcome, ...]:
    """Of each attempt of a test on a side, less those that our machine lost."""
    rows = connection.execute(
        "SELECT outcome FROM results WHERE side = ? AND test = ? AND outcome <> 'l' ORDER BY nth", (side, test)
    )
    return tuple(OUTCOMES[outcome] for (outcome,) in rows)
