"""The file of the memory: one SQLite database, read and written by any number of processes at a time."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from harness.errors import KtrialError, MachineLost, UsageError
from harness.memory.schema import migrate
from harness.settings import memory_file

__all__ = ["opened", "writing"]

_PATIENCE = 60.0  # seconds that a writer waits for others; each takes a fraction of one


@contextlib.contextmanager
def opened(path: Path | None = None) -> Iterator[sqlite3.Connection]:
    """The memory, made where it is not there and brought up to date where it is old.

    path: `harness.settings.memory_file` by default. Raises UsageError where the file is no memory or a newer ktrial's,
    MachineLost where it cannot be read or written.
    """
    file = path or memory_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Transactions are begun by hand (isolation_level None): a reader must not become a writer half-way.
        connection = sqlite3.connect(file, timeout=_PATIENCE, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise _unusable(file, error) from error
    with contextlib.closing(connection):
        try:
            _prepare(connection, file)
            yield connection
        except sqlite3.Error as error:
            raise _unusable(file, error) from error


@contextlib.contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction: all of it is written, or nothing. Waits for other writers."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _prepare(connection: sqlite3.Connection, file: Path) -> None:
    migrate(connection, file)
    # Readers do not wait for a writer. Where the file system has no shared memory the old journal stays, and they do;
    # it also stays while another process has the file open, and whoever comes next tries again.
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _unusable(file: Path, error: Exception) -> KtrialError:
    if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
        return UsageError(f"{file} is no database", hint="KTRIAL_MEMORY names the file of the memory")
    return MachineLost(f"the memory of runs, {file}, cannot be used: {error}")
