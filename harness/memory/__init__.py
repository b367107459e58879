"""The memory: every finished run in one SQLite file, and what can be asked of it.

A run never fails for its memory: where the file cannot be read or written, that is said, and the run goes on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import msgspec

from harness.errors import KtrialError
from harness.flakiness import KnownFlake
from harness.memory.file import opened
from harness.memory.flakes import Comparable, flakes
from harness.memory.recall import known_runs
from harness.memory.write import remember
from harness.report.json import read_result
from harness.run_result import RunResult
from harness.store import run_folders

__all__ = ["Comparable", "catch_up", "known_flakes", "opened", "remember_run"]

Say = Callable[[str], None]


def remember_run(result: RunResult, say: Say) -> bool:
    """Write a finished run into the memory; whether that was possible. say: told why it was not."""
    try:
        with opened() as connection:
            remember(connection, result)
    except KtrialError as error:
        say(f"this run is not remembered: {error.summary}")
        return False
    return True


def known_flakes(like: Comparable, say: Say) -> tuple[KnownFlake, ...]:
    """The tests that flaked in runs like this one; none where the memory cannot be read, which is said."""
    try:
        with opened() as connection:
            return flakes(connection, like)
    except KtrialError as error:
        say(f"nothing is known of earlier runs: {error.summary}")
        return ()


def catch_up(connection: sqlite3.Connection, say: Say) -> int:
    """Take in finished runs that are there and not remembered; how many that were.

    They were made before there was a memory, with another one, or while it could not be written. Results that this
    ktrial cannot read stay out.
    """
    known = set(known_runs(connection))
    missing = [folder for name, folder in run_folders().items() if name not in known and folder.result.is_file()]
    taken = 0
    for folder in missing:
        try:
            result = read_result(folder.result)
        except (OSError, msgspec.DecodeError):
            continue
        if result.run in known:  # a link may have another run's name, where a folder was used again
            continue
        try:
            remember(connection, result)
        except sqlite3.OperationalError as error:  # a file that may only be read still answers
            say(f"runs that are there already are not remembered: {error}")
            break
        known.add(result.run)
        taken += 1
    if taken:
        say(f"{taken} {'run that was' if taken == 1 else 'runs that were'} there already: remembered now")
    return taken
