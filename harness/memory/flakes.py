"""Which tests flake, by what base kernels did in earlier runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from harness.flakiness import BaseRun, KnownFlake, flake_of
from harness.memory.identity import is_checked, release_of
from harness.memory.write import OUTCOMES

__all__ = ["Comparable", "flakes"]

_MOST_RUNS = 300  # the newest: how a test was a year ago says little
_FEW = 200

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
            tests = _ever_bad(connection, sides, suite)
            told = (flake_of(tests[test], runs) for test, runs in _base_runs(connection, sides, tests).items())
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


def _ever_bad(connection: sqlite3.Connection, sides: Sides, suite: str) -> dict[int, str]:
    """The names of a suite's tests that were bad on one of some sides, by number."""
    rows = connection.execute(
        "SELECT DISTINCT results.test, tests.name, results.side FROM results JOIN tests ON tests.id = results.test"
        " WHERE outcome IN ('f', 'c', 't')"
    )
    return {test: name for test, name, side in rows if side in sides and name.partition("/")[0] == suite}


def _base_runs(connection: sqlite3.Connection, sides: Sides, tests: Mapping[int, str]) -> dict[int, list[BaseRun]]:
    """What some tests did on some sides, by test. What our machine lost is left out."""
    # A walk through a side is quicker than looking for each of many tests in it.
    few = len(tests) <= _FEW
    among = f" AND test IN ({', '.join('?' * len(tests))})" if few else ""
    query = f"SELECT test, outcome FROM results WHERE side = ? AND outcome <> 'l'{among} ORDER BY test, nth"
    found: dict[int, list[BaseRun]] = {test: [] for test in tests}
    for side, (kernel, started) in sides.items():
        rows = connection.execute(query, (side, *(tests if few else ())))
        for test, attempts in groupby(rows, lambda row: row[0]):
            if test in found:
                found[test].append(BaseRun(kernel, started, tuple(OUTCOMES[outcome] for _, outcome in attempts)))
    return found
