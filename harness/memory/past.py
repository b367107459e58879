"""What the memory holds of single tests and benches."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate
from itertools import groupby

from harness.history import BenchHistory, Measurement, Occurrence, TestHistory, bench_history, test_history
from harness.memory.identity import written
from harness.memory.write import OUTCOMES

__all__ = ["Window", "by_trouble", "matching", "past_of_bench", "past_of_test", "past_of_tests"]


@dataclass(frozen=True)
class Window:
    """Which runs are asked about. side: `base`, `patched` or "" for both. version: what kernel versions begin with.

    series: a part of the subject, or a change-id. last: the newest so many runs; 0 for all.
    """

    side: str = ""
    version: str = ""
    series: str = ""
    last: int = 0

    def runs(self) -> tuple[str, tuple[str | int, ...]]:
        """A query for the numbers of the runs, and its values."""
        terms, values = ["1"], []
        if self.version:
            terms.append("(kernel = ? OR kernel LIKE ?)")
            values += [written(self.version), f"{written(self.version)}.%"]
        if self.series:
            terms.append("(change_id = ? OR instr(subject, ?))")
            values += [written(self.series), written(self.series).casefold()]
        return (
            f"SELECT id FROM runs WHERE {' AND '.join(terms)} ORDER BY started DESC LIMIT ?",
            (*values, self.last or -1),
        )


def matching(connection: sqlite3.Connection, pattern: str) -> tuple[str, ...]:
    """The names of tests and benches that a pattern matches: a whole name, else a part of one, with * and ? in it.

    Brackets are no choice of letters here, as names have them.
    """
    names = [name for (name,) in connection.execute("SELECT name FROM tests ORDER BY name")]
    pattern = written(pattern)
    if pattern in names:
        return (pattern,)
    if not any(letter in pattern for letter in "*?"):
        return tuple(name for name in names if pattern.casefold() in name.casefold())
    wanted = re.compile(translate(f"*{pattern.replace('[', '[[]')}*"), re.IGNORECASE)
    return tuple(name for name in names if wanted.match(name))


def by_trouble(connection: sqlite3.Connection, names: Sequence[str]) -> tuple[str, ...]:
    """The same names, those that were bad most often first."""
    rows = connection.execute(
        "SELECT name, count(*) FROM results JOIN tests ON tests.id = test"
        " WHERE outcome IN ('f', 'c', 't') GROUP BY test"
    )
    counts = dict(rows.fetchall())
    return tuple(sorted(names, key=lambda name: -counts.get(name, 0)))


def past_of_test(connection: sqlite3.Connection, test: str, window: Window) -> TestHistory | None:
    """All that is known of a test in some runs; None where it was in none."""
    return next(iter(past_of_tests(connection, (test,), window)), None)


def past_of_tests(connection: sqlite3.Connection, names: Sequence[str], window: Window) -> tuple[TestHistory, ...]:
    """All that is known of some tests (no more than SQLite takes as values of a query) in some runs, in their order."""
    marks = ", ".join("?" * len(names))
    tests = dict(connection.execute(f"SELECT id, name FROM tests WHERE name IN ({marks})", tuple(names)).fetchall())
    found: dict[str, list[Occurrence]] = {name: [] for name in names}
    for test, occurrence in _occurrences(connection, tuple(tests), window):
        found[tests[test]].append(occurrence)
    return tuple(test_history(name, occurrences) for name, occurrences in found.items() if occurrences)


def past_of_bench(connection: sqlite3.Connection, bench: str, window: Window) -> BenchHistory | None:
    """All figures of a bench in some runs; None where it was in none."""
    query, values = window.runs()
    rows = connection.execute(
        "SELECT runs.run, started, kernel, title, version, instrument, unit, base, patched, noise, change"
        " FROM figures JOIN runs ON runs.id = figures.run"
        f" WHERE bench = (SELECT id FROM tests WHERE name = ?) AND runs.id IN ({query})",
        (bench, *values),
    )
    found = tuple(Measurement(*row) for row in rows)
    return bench_history(bench, found) if found else None


def _occurrences(
    connection: sqlite3.Connection, tests: tuple[int, ...], window: Window
) -> Iterator[tuple[int, Occurrence]]:
    """By test; side after side, for a look-up by the results' key in each."""
    runs, values = window.runs()
    marks = ", ".join("?" * len(tests))
    sides = connection.execute(
        "SELECT sides.id, runs.run, started, sides.name, runs.kernel, base_commit, title, version, sides.kernel,"
        " accelerator FROM runs CROSS JOIN sides ON sides.run = runs.id"
        f" WHERE runs.id IN ({runs}) AND (? = '' OR sides.name = ?)",
        (*values, window.side, window.side),
    ).fetchall()
    query = (
        "SELECT test, outcome, ms, text FROM results LEFT JOIN reasons ON reasons.id = reason"
        f" WHERE side = ? AND test IN ({marks}) ORDER BY test, nth"
    )
    for side, run, started, name, version, commit, title, revision, kernel, accelerator in sides:
        rows = connection.execute(query, (side, *tests))
        for test, group in groupby(rows, lambda row: row[0]):
            attempts = list(group)
            yield (
                test,
                Occurrence(
                    run=run,
                    started=started,
                    side=name,
                    version=version,
                    base_commit=commit,
                    series=title,
                    revision=revision,
                    outcomes=tuple(OUTCOMES[outcome] for _, outcome, _, _ in attempts),
                    seconds=tuple(ms / 1000 for _, _, ms, _ in attempts),
                    reason=next((text for _, _, _, text in attempts if text), ""),
                    kernel=kernel,
                    accelerator=accelerator,
                ),
            )
