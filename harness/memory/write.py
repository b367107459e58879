"""Put a finished run into the memory."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from harness.compare import Change, Comparison, LogChange, TestChange
from harness.memory.file import writing
from harness.memory.identity import is_checked, kernel_key, release_of, subject_key, written
from harness.perf.model import Performance
from harness.report.json import encode_result
from harness.results import Boot, Outcome, SideResults, Splat, TestResult
from harness.run_result import RunResult

__all__ = ["LETTERS", "OUTCOMES", "forget", "remember"]

LETTERS = {
    Outcome.PASSED: "p",
    Outcome.FAILED: "f",
    Outcome.SKIPPED: "s",
    Outcome.XFAILED: "x",
    Outcome.CRASHED: "c",
    Outcome.TIMED_OUT: "t",
    Outcome.LOST: "l",
}
"""How an outcome is written in the tables."""
OUTCOMES = {letter: outcome for outcome, letter in LETTERS.items()}

_REASON = 300  # characters of a reason that are kept
_DETAIL = 2000  # of an error's
_YEAR = 366 * 86400.0  # seconds


def remember(connection: sqlite3.Connection, result: RunResult) -> None:
    """Write one run, in one transaction. What was there of the same run (it was resumed, say) is replaced."""
    whole = zlib.compress(encode_result(_less(result)), 6)
    with writing(connection):
        forget(connection, result.run)
        run = _run(connection, result, whole)
        _series(connection, run, result)
        if result.performance:
            _figures(connection, run, result.performance)
        for side in (result.base, result.patched):
            if side is not None:
                _side(connection, run, result, side)


def forget(connection: sqlite3.Connection, run: str) -> bool:
    """Take a run out, within the caller's transaction; whether it was there."""
    return connection.execute("DELETE FROM runs WHERE run = ?", (written(run),)).rowcount > 0


def _run(connection: sqlite3.Connection, result: RunResult, whole: bytes) -> int:
    series, tree, environment = result.series, result.tree, result.environment
    row = {
        "run": result.run,
        "started": result.started,
        "finished": result.finished,
        "kind": str(result.verdict.kind),
        "exit_code": int(result.verdict.exit_code),
        "line": result.verdict.line,
        "title": series.title if series else "",
        "subject": subject_key(series.title) if series else "",
        "change_id": series.change_id if series else "",
        "version": series.version if series else 0,
        "author": series.author if series else "",
        "base_commit": tree.base_commit if tree else "",
        "kernel": tree.version if tree else "",
        "release": release_of(tree.version) if tree else "",
        "accelerator": environment.accelerator,
        "checked": is_checked(result.config.fragments) if result.config else False,
        "folder": result.paths.folder,
        "machine": result.paths.machine,
        "whole": whole,
    }
    row = {name: written(value) if isinstance(value, str) else value for name, value in row.items()}
    names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
    return _id(connection.execute(f"INSERT INTO runs ({names}) VALUES ({marks})", row))


def _series(connection: sqlite3.Connection, run: int, result: RunResult) -> None:
    patches = result.series.patches if result.series else ()
    rows = [(run, place, written(patch.subject), written(patch.commit)) for place, patch in enumerate(patches, 1)]
    connection.executemany("INSERT INTO patches VALUES (?, ?, ?, ?)", rows)
    suites = {written(suite.name): written(suite.digest) for suite in result.suites}
    connection.executemany("INSERT INTO suites VALUES (?, ?, ?)", [(run, *each) for each in suites.items()])


def _side(connection: sqlite3.Connection, run: int, result: RunResult, side: SideResults) -> None:
    row = (run, side.side, written(kernel_key(result, side)), side.booted, len(side.boots), side.seconds)
    number = _id(
        connection.execute(
            "INSERT INTO sides (run, name, kernel, booted, boots, seconds) VALUES (?, ?, ?, ?, ?, ?)", row
        )
    )
    tests = _tests(connection, (written(each.test) for each in side.results))
    reasons = _reasons(connection, side.results)
    connection.executemany(
        "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?)",
        (
            (number, tests[written(each.test)], nth, LETTERS[each.outcome], _milliseconds(each.seconds), reason)
            for nth, each in _numbered(side.results)
            for reason in (reasons[_digest(each)] if each.reason else None,)
        ),
    )


def _figures(connection: sqlite3.Connection, run: int, performance: Performance) -> None:
    benches = _tests(connection, (written(figure.bench) for figure in performance.figures))
    rows = {
        benches[written(each.bench)]: (written(each.unit), each.base, each.patched, each.noise, str(each.change))
        for each in performance.figures
    }
    connection.executemany(
        "INSERT INTO figures VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ((run, bench, written(performance.instrument), *row) for bench, row in rows.items()),
    )


def _milliseconds(seconds: float) -> int:
    """A duration is a guest's word, and may be more than a column holds."""
    return round(min(max(seconds, 0.0), _YEAR) * 1000)


def _numbered(results: Sequence[TestResult]) -> Iterator[tuple[int, TestResult]]:
    """Each result with its number among those of its test; a guest that was lost makes two of one attempt."""
    counts: dict[str, int] = {}
    for result in results:
        counts[result.test] = counts.get(result.test, 0) + 1
        yield counts[result.test], result


def _tests(connection: sqlite3.Connection, names: Iterable[str]) -> dict[str, int]:
    """The numbers of tests; those that are new get one."""
    wanted = dict.fromkeys(names)
    connection.executemany("INSERT OR IGNORE INTO tests (name) VALUES (?)", ((name,) for name in wanted))
    return {name: _number(connection, "SELECT id FROM tests WHERE name = ?", name) for name in wanted}


def _reasons(connection: sqlite3.Connection, results: Iterable[TestResult]) -> dict[bytes, int]:
    """The numbers of reasons, by their digests."""
    wanted = {_digest(each): written(each.reason)[:_REASON] for each in results if each.reason}
    connection.executemany("INSERT OR IGNORE INTO reasons (digest, text) VALUES (?, ?)", wanted.items())
    return {digest: _number(connection, "SELECT id FROM reasons WHERE digest = ?", digest) for digest in wanted}


def _number(connection: sqlite3.Connection, query: str, key: str | bytes) -> int:
    return int(connection.execute(query, (key,)).fetchone()[0])


def _id(cursor: sqlite3.Cursor) -> int:
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _digest(result: TestResult) -> bytes:
    return hashlib.sha256(written(result.reason).encode()).digest()[:16]


def _less(result: RunResult) -> RunResult:
    """The result without logs, and without what the tables have."""
    failure = result.failure
    return replace(
        result,
        failure=replace(failure, detail=failure.detail[:_DETAIL]) if failure else None,
        new_warnings=tuple(replace(each, text="") for each in result.new_warnings),
        base=_side_less(result.base),
        patched=_side_less(result.patched),
        comparison=_comparison_less(result.comparison) if result.comparison else None,
        performance=_performance_less(result.performance) if result.performance else None,
    )


def _side_less(side: SideResults | None) -> SideResults | None:
    return replace(side, results=(), boots=tuple(_boot_less(boot) for boot in side.boots)) if side else None


def _boot_less(boot: Boot) -> Boot:
    excused = tuple(replace(each, splat=replace(each.splat, text="")) for each in boot.excused)
    return replace(boot, splats=_splats_less(boot.splats), excused=excused)


def _comparison_less(comparison: Comparison) -> Comparison:
    """Only the tests that are told of: of the others the outcomes say everything."""
    told = (test for test in comparison.tests if test.change not in (Change.SAME, Change.NOT_COMPARED))
    return replace(
        comparison,
        tests=tuple(_change_less(test) for test in told),
        kernel_log=tuple(_log_less(item) for item in comparison.kernel_log),
        gone=_splats_less(comparison.gone),
    )


def _change_less(test: TestChange) -> TestChange:
    return replace(test, new_splats=_splats_less(test.new_splats))


def _log_less(item: LogChange) -> LogChange:
    return replace(item, splat=replace(item.splat, text=""))


def _splats_less(splats: Sequence[Splat]) -> tuple[Splat, ...]:
    return tuple(replace(splat, text="") for splat in splats)


def _performance_less(performance: Performance) -> Performance:
    return replace(performance, attributions=(), steps=())
