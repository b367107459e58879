"""Get runs out of the memory again: as results that lack only their logs."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from harness import record
from harness.errors import UsageError
from harness.memory.identity import subject_key, written
from harness.memory.write import OUTCOMES
from harness.results import SideResults, TestResult
from harness.run_result import RunResult

__all__ = ["Remembered", "find", "known_runs", "newest", "of_series", "previous", "recall"]

_COLUMNS = "run, started, kind, line, title, change_id, version, author, folder, machine"


@dataclass(frozen=True)
class Remembered:
    """A run as a list has it. version, author, title, change_id: of its series. machine: as of `Paths`."""

    run: str
    started: str
    kind: str
    line: str
    title: str
    change_id: str
    version: int
    author: str
    folder: str
    machine: str


def known_runs(connection: sqlite3.Connection) -> frozenset[str]:
    """The ids of all runs that are remembered."""
    return frozenset(run for (run,) in connection.execute("SELECT run FROM runs"))


def newest(connection: sqlite3.Connection) -> str:
    """The id of the run that was started last; "" where there is none."""
    row = connection.execute("SELECT run FROM runs ORDER BY started DESC LIMIT 1").fetchone()
    return row[0] if row else ""


def recall(connection: sqlite3.Connection, run: str) -> RunResult:
    """A run's result, without logs and with reasons that may be cut. Raises UsageError where it is not remembered."""
    row = connection.execute("SELECT id, whole FROM runs WHERE run = ?", (written(run),)).fetchone()
    if row is None:
        raise UsageError(f"run {run} is not in the memory", hint="ktrial runs list")
    number, whole = row
    try:
        result = record.decode(zlib.decompress(whole), RunResult)
    except (msgspec.DecodeError, zlib.error) as error:
        raise UsageError(f"run {run} cannot be read from the memory: {error}") from error
    return replace(
        result, base=_side(connection, number, result.base), patched=_side(connection, number, result.patched)
    )


def find(connection: sqlite3.Connection, reference: str) -> tuple[Remembered, ...]:
    """The runs that a reference names, the newest first: an id, its beginning or end; else a change-id or a subject."""
    reference = written(reference)
    by_id = _select(connection, "run = ? ORDER BY started DESC", reference)
    if by_id or not reference:
        return by_id
    escaped = reference.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    part = "run LIKE ? ESCAPE '\\' OR run LIKE ? ESCAPE '\\' ORDER BY started DESC"
    return _select(connection, part, f"{escaped}%", f"%-{escaped}") or of_series(connection, reference)


def of_series(connection: sqlite3.Connection, name: str) -> tuple[Remembered, ...]:
    """The runs of a series, the newest first, by its change-id, else by its subject, else by a part of that."""
    by_change = _select(connection, "change_id = ? AND change_id <> '' ORDER BY started DESC", written(name))
    subject = subject_key(name)
    if by_change or not subject:
        return by_change
    whole = _select(connection, "subject = ? ORDER BY started DESC", subject)
    return whole or _select(connection, "instr(subject, ?) ORDER BY started DESC", subject)


def previous(connection: sqlite3.Connection, result: RunResult) -> tuple[Remembered, str] | None:
    """The newest run of the version before, and what tells that it is the same series; None where there is none.

    A run that compared something is preferred to one that an error stopped.
    """
    series = result.series
    if series is None:
        return None
    for found, how in (
        (of_series(connection, series.change_id) if series.change_id else (), f"change-id {series.change_id}"),
        (_of_author(connection, series.title, series.author), "its subject and author"),
        (_with_patches(connection, result), "its author and most of its patches' subjects"),
    ):
        older = [each for each in found if each.version < series.version and each.run != result.run]
        if older:
            version = max(each.version for each in older)
            of_it = [each for each in older if each.version == version]
            return next((each for each in of_it if each.kind in _COMPARED), of_it[0]), how
    return None


_COMPARED = frozenset({"no-regression", "regression", "identical", "incomplete", "passed", "failing"})


def _of_author(connection: sqlite3.Connection, title: str, author: str) -> tuple[Remembered, ...]:
    found = _select(connection, "subject = ? ORDER BY started DESC", subject_key(title))
    return tuple(each for each in found if _same_person(each.author, author))


def _with_patches(connection: sqlite3.Connection, result: RunResult) -> tuple[Remembered, ...]:
    """Runs of the same author's series that have at least half of the patches, by subject."""
    assert result.series is not None
    subjects = tuple({written(patch.subject) for patch in result.series.patches})
    if not subjects:
        return ()
    marks = ", ".join("?" * len(subjects))
    found = _select(
        connection,
        f"id IN (SELECT run FROM patches WHERE subject IN ({marks}) GROUP BY run"
        " HAVING count(DISTINCT subject) * 2 >= ?) ORDER BY started DESC",
        *subjects,
        len(subjects),
    )
    return tuple(each for each in found if _same_person(each.author, result.series.author))


def _same_person(one: str, other: str) -> bool:
    """`Name <address>`: one of the two is the same. People change employers, and spell their names in several ways."""
    names = [text.partition("<")[0].strip().casefold() for text in (one, other)]
    mails = [text.partition("<")[2].rstrip("> ").casefold() for text in (one, other)]
    return any(len(set(pair)) == 1 and pair[0] for pair in (names, mails))


def _select(connection: sqlite3.Connection, where: str, *values: str | int) -> tuple[Remembered, ...]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM runs WHERE {where}", values)
    return tuple(Remembered(*row) for row in rows)


def _side(connection: sqlite3.Connection, run: int, side: SideResults | None) -> SideResults | None:
    if side is None:
        return None
    rows: Sequence[tuple[str, str, int, str | None, int]] = connection.execute(
        "SELECT tests.name, outcome, ms, text, nth FROM sides"
        " JOIN results ON results.side = sides.id JOIN tests ON tests.id = results.test"
        " LEFT JOIN reasons ON reasons.id = results.reason"
        " WHERE sides.run = ? AND sides.name = ? ORDER BY results.test, nth",
        (run, side.side),
    ).fetchall()
    results = (
        TestResult(name, OUTCOMES[outcome], reason=text or "", seconds=ms / 1000, attempt=nth)
        for name, outcome, ms, text, nth in rows
    )
    return replace(side, results=tuple(results))
