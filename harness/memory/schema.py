"""The tables of the memory, and how an older file becomes a newer one.

`PRAGMA user_version` counts the migrations that a file has had. A migration is never changed once it is released: what
is to be different is one more, at the end.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from harness.errors import UsageError

__all__ = ["APPLICATION_ID", "MIGRATIONS", "Step", "migrate"]

Step = str | Callable[[sqlite3.Connection], None]
"""A statement, or what no statement can do."""

APPLICATION_ID: Final = 0x6B747269
"""`ktri`, in the header of the file (https://www.sqlite.org/fileformat2.html#application_id)."""

_FIRST = (
    # whole: zlib over the JSON of the result less what the other tables have.
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL UNIQUE,
        started TEXT NOT NULL,
        finished TEXT NOT NULL,
        kind TEXT NOT NULL,
        exit_code INTEGER NOT NULL,
        line TEXT NOT NULL,
        title TEXT NOT NULL,
        subject TEXT NOT NULL,
        change_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        author TEXT NOT NULL,
        base_commit TEXT NOT NULL,
        kernel TEXT NOT NULL,
        release TEXT NOT NULL,
        accelerator TEXT NOT NULL,
        checked INTEGER NOT NULL,
        folder TEXT NOT NULL,
        machine TEXT NOT NULL,
        whole BLOB NOT NULL
    )""",
    "CREATE INDEX runs_by_change ON runs (change_id) WHERE change_id <> ''",
    "CREATE INDEX runs_by_subject ON runs (subject) WHERE subject <> ''",
    "CREATE INDEX runs_by_release ON runs (release, started)",
    """CREATE TABLE patches (
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        number INTEGER NOT NULL,
        subject TEXT NOT NULL,
        commit_id TEXT NOT NULL,
        PRIMARY KEY (run, number)
    ) WITHOUT ROWID""",
    "CREATE INDEX patches_by_commit ON patches (commit_id) WHERE commit_id <> ''",
    "CREATE INDEX patches_by_subject ON patches (subject)",
    """CREATE TABLE suites (
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        name TEXT NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (run, name)
    ) WITHOUT ROWID""",
    "CREATE TABLE tests (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    # Of a reason the digest tells it from others; the text is cut.
    "CREATE TABLE reasons (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, text TEXT NOT NULL)",
    # kernel: what makes two kernels the same one: commit, configuration and code.
    """CREATE TABLE sides (
        id INTEGER PRIMARY KEY,
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        name TEXT NOT NULL,
        kernel TEXT NOT NULL,
        booted INTEGER NOT NULL,
        boots INTEGER NOT NULL,
        seconds REAL NOT NULL,
        UNIQUE (run, name)
    )""",
    # outcome: a letter. nth: the attempts of a test, from 1.
    """CREATE TABLE results (
        side INTEGER NOT NULL REFERENCES sides ON DELETE CASCADE,
        test INTEGER NOT NULL REFERENCES tests,
        nth INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        ms INTEGER NOT NULL,
        reason INTEGER REFERENCES reasons,
        PRIMARY KEY (side, test, nth)
    ) WITHOUT ROWID""",
    # Few results are bad. Those alone are looked for by test.
    "CREATE INDEX results_bad ON results (test, side) WHERE outcome IN ('f', 'c', 't')",
)


def _figures_of_old_runs(connection: sqlite3.Connection) -> None:
    """Take the figures out of the results of runs that were remembered before there was a table of them.

    It reads plain JSON: what a result is in Python has changed since.
    """
    for run, whole in connection.execute("SELECT id, whole FROM runs").fetchall():
        performance = json.loads(zlib.decompress(whole)).get("performance") or {}
        for figure in performance.get("figures", ()):
            connection.execute("INSERT OR IGNORE INTO tests (name) VALUES (?)", (figure["bench"],))
            values = [figure.get(name) for name in ("unit", "base", "patched", "noise", "change")]
            connection.execute(
                "INSERT INTO figures SELECT ?, id, ?, ?, ?, ?, ?, ? FROM tests WHERE name = ?",
                (run, performance["instrument"], *values, figure["bench"]),
            )


_FIGURES: tuple[Step, ...] = (
    # bench: a name among the tests. base, patched: NULL where a kernel gave none. change: of harness.perf.model.
    """CREATE TABLE figures (
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        bench INTEGER NOT NULL REFERENCES tests,
        instrument TEXT NOT NULL,
        unit TEXT NOT NULL,
        base REAL,
        patched REAL,
        noise REAL NOT NULL,
        change TEXT NOT NULL,
        PRIMARY KEY (run, bench)
    ) WITHOUT ROWID""",
    _figures_of_old_runs,
)

MIGRATIONS: Final[tuple[tuple[Step, ...], ...]] = (_FIRST, _FIGURES)


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Sequence[Step]] = MIGRATIONS) -> None:
    """Bring a file up to date in one transaction. path: for errors.

    Raises UsageError where a newer ktrial wrote it, or where it is a database of something else.
    """
    connection.execute("BEGIN")  # all that is looked at is of one moment
    try:
        done = _checked(connection, path, len(migrations))
    finally:
        connection.execute("ROLLBACK")
    if done == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        done = _checked(connection, path, len(migrations))  # another process may have been first
        for step in (step for steps in migrations[done:] for step in steps):
            if isinstance(step, str):
                connection.execute(step)
            else:
                step(connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _checked(connection: sqlite3.Connection, path: Path, known: int) -> int:
    """How many migrations the file has had. Raises UsageError where it is not for this ktrial."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if owner != APPLICATION_ID and (owner or tables):
        raise UsageError(f"{path} is a database of another program", hint="KTRIAL_MEMORY names the file of the memory")
    if version > known:
        raise UsageError(
            f"{path} was written by a newer ktrial: its schema is {version}, and this one knows {known}",
            hint="upgrade this ktrial, or name another file with KTRIAL_MEMORY",
        )
    return int(version)
