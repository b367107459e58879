"""What the memory holds of single tests and benches."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import translate

from harness.history import BenchHistory, Measurement, Occurrence, TestHistory, bench_history, test_history
from harness.memory.write import OUTCOMES

__all__ = ["Window", "matching", "past_of_bench", "past_of_test"]


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
            values += [self.version, f"{self.version}.%"]
        if self.series:
            terms.append("(change_id = ? OR instr(subject, ?))")
            values += [self.series, self.series.casefold()]
        return (
            f"SELECT id FROM runs WHERE {' AND '.join(terms)} ORDER BY started DESC LIMIT ?",
            (*values, self.last or -1),
        )


def matching(connection: sqlite3.Connection, pattern: str) -> tuple[str, ...]:
    """The names of tests and benches that a pattern matches: a whole name, else a part of one, with * and ? in it.

    Brackets are no choice of letters here, as names have them.
    """
    names = [name for (name,) in connection.execute("SELECT name FROM tests ORDER BY name")]
    if pattern in names:
        return (pattern,)
    if not any(letter in pattern for letter in "*?"):
        return tuple(name for name in names if pattern.casefold() in name.casefold())
    wanted = re.compile(translate(f"*{pattern.replace('[', '[[]')}*"), re.IGNORECASE)
    return tuple(name for name in names if wanted.match(name))


def past_of_test(connection: sqlite3.Connection, test: str, window: Window) -> TestHistory | None:
    """All that is known of a test in some runs; None where it was in none."""
    found = tuple(_occurrences(connection, test, window))
    return test_history(test, found) if found else None


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


def _occurrences(connection: sqlite3.Connection, test: str, window: Window) -> Iterator[Occurrence]:
    query, values = window.runs()
    number = connection.execute("SELECT id FROM tests WHERE name = ?", (test,)).fetchone()
    if number is None:
        return
    # CROSS JOIN keeps the order: a look-up by the results' key for each side, and no walk through all results.
    sides = connection.execute(
        "SELECT sides.id, runs.run, started, sides.name, runs.kernel, base_commit, title, version, sides.kernel,"
        " accelerator FROM runs CROSS JOIN sides ON sides.run = runs.id"
        f" WHERE runs.id IN ({query}) AND (? = '' OR sides.name = ?)",
        (*values, window.side, window.side),
    ).fetchall()
    for side, run, started, name, version, commit, title, revision, kernel, accelerator in sides:
        rows = connection.execute(
            "SELECT outcome, ms, text FROM results LEFT JOIN reasons ON reasons.id = reason"
            " WHERE side = ? AND test = ? ORDER BY nth",
            (side, number[0]),
        ).fetchall()
        if rows:
            yield Occurrence(
                run=run,
                started=started,
                side=name,
                version=version,
                base_commit=commit,
                series=title,
                revision=revision,
                outcomes=tuple(OUTCOMES[outcome] for outcome, _, _ in rows),
                seconds=tuple(ms / 1000 for _, ms, _ in rows),
                reason=next((text for _, _, text in rows if text), ""),
                kernel=kernel,
                accelerator=accelerator,
            )
