"""The tests that changed, on a terminal: under what became of them and their files; the first failures at length."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from harness.compare import Change, Comparison, LogChange, TestChange
from harness.flakiness import KnownFlake, flake_words
from harness.report import safe
from harness.report.decode import Places
from harness.report.facts import attempt_told, counted
from harness.report.layout import indented, name_lines, put, wrapped
from harness.report.located import brief_lines, located
from harness.results import LEFT_REASON, Splat, left_reason
from harness.run_result import RunResult

__all__ = ["BAD", "OTHER", "failures", "kernel_log", "lists"]

BAD = (Change.REGRESSION, Change.NEW_FAILING, Change.FAILING, Change.NOW_SKIPPED)
OTHER = (
    Change.VANISHED,
    Change.LOST,
    Change.FLAKY,
    Change.FIXED,
    Change.NEW_PASSING,
    Change.KNOWN_SPLAT,
    Change.STILL_FAILING,
)
_STYLES = {
    Change.REGRESSION: "bold red",
    Change.NEW_FAILING: "red",
    Change.NOW_SKIPPED: "red",
    Change.FAILING: "red",
    Change.VANISHED: "yellow",
    Change.LOST: "yellow",
    Change.FLAKY: "yellow",
    Change.KNOWN_SPLAT: "yellow",
    Change.STILL_FAILING: "dim",
    Change.FIXED: "green",
    Change.NEW_PASSING: "green",
}
_ROWS = 20  # of one change
_SHOWN = 3  # failures told at length
_DETAIL_LINES = 12
_DETAIL_WIDTH = 160
_SPLAT_LINES = 14
_WIDEST = 110  # columns: where outcomes stand on a wide terminal
_DULL = ("", "Use -v to get more diff")
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")


def lists(result: RunResult, changes: Iterable[Change], console: Console, *, whole: bool) -> None:
    """The tests of each change under their files, with their outcomes. whole: all of them."""
    assert result.comparison is not None
    known = {flake.test: flake for flake in result.known_flaky}
    for change in changes:
        tests = result.comparison.of(change)
        if not tests:
            continue
        shown = tests if whole else tests[:_ROWS]
        put(console, Text(f"{change}", _STYLES[change]), f": {_count(tests)}")
        for file, group in groupby(shown, lambda test: test.test.rpartition("::")[0]):
            _file(file, tuple(group), known, console)
        if len(shown) < len(tests):
            put(console, Text(f"    ... and {len(tests) - len(shown)} more", "dim"))
        put(console)


def _file(file: str, tests: Sequence[TestChange], known: dict[str, KnownFlake], console: Console) -> None:
    """A file and its tests. Outcomes that all of them have stand beside the file."""
    outcomes = {_outcomes(test) for test in tests}
    common = outcomes.pop() if len(outcomes) == 1 and file else ""
    if file:
        _beside(Text(f"  {safe.line(file)}"), common, console)
    for test in tests:
        indent = "    " if file else "  "
        lines = name_lines(safe.line(test.test.removeprefix(f"{file}::")), min(console.width, _WIDEST) - len(indent))
        *above, last = [Text(f"{indent}{line}") for line in lines]
        put(console, Text("\n").join(above)) if above else None
        _beside(last + _qualified(test), "" if common else _outcomes(test), console)
        if test.test in known:
            put(console, Text(f"{indent}  {flake_words(known[test.test])}", "yellow"))


def _beside(left: Text, right: str, console: Console) -> None:
    """A line with its end at the right; below it where there is no room."""
    width = min(console.width, _WIDEST)
    room = width - left.cell_len - cell_len(right)
    if not right:
        put(console, left)
    elif room >= 2:
        put(console, left, Text(" " * room + right, "dim"))
    else:
        put(console, left)
        put(console, Text(f"{right:>{width}}", "dim"))


def _outcomes(test: TestChange) -> str:
    """`3x passed → 3x failed`; patched's alone where base has none."""
    sides = [counted(test.base_outcomes), counted(test.patched_outcomes)]
    return f"{sides[0]} → {sides[1] or '-'}" if sides[0] else sides[1]


def _qualified(test: TestChange) -> Text:
    return Text(" (worse)" if test.worse else " (differs)" if test.differs else "", "bold")


def _count(tests: Sequence[TestChange]) -> str:
    return f"{len(tests)} test{'' if len(tests) == 1 else 's'}"


def failures(result: RunResult, comparison: Comparison, console: Console, places: Places, *, whole: bool) -> None:
    """The first failures at length: the assertion, and what the kernel said. Those that fail alike are told once."""
    failing = (*comparison.blamed, *comparison.of(Change.FAILING))
    groups = [[test] for test in failing] if whole else _alike(result, failing)
    shown = groups if whole else groups[:_SHOWN]
    for group in shown:
        for line in name_lines(safe.line(group[0].test), console.width):
            put(console, Text(line, "bold"))
        if len(group) > 1:
            put(console, Text(f"  and {len(group) - 1} more that fail alike", "dim"))
        indented(console, _why(result, group[0], places, whole))
        put(console)
    rest = sum(map(len, groups[len(shown) :]))
    if rest:
        put(console, Text(f"... and {rest} that fail otherwise, listed above; -v tells of all", "dim"))
        put(console)


def _alike(result: RunResult, tests: Sequence[TestChange]) -> list[list[TestChange]]:
    """Tests whose reasons differ in no more than numbers, and whose splats are the same."""
    groups: dict[tuple[object, ...], list[TestChange]] = {}
    for test in tests:
        attempt = attempt_told(result.patched, test)
        splats = tuple(splat.key for splat in attempt.splats) if attempt else ()
        groups.setdefault((test.change, test.patched, _NUMBER.sub("0", test.reason), splats), []).append(test)
    return list(groups.values())


def _why(result: RunResult, test: TestChange, places: Places, whole: bool) -> list[str]:
    attempt = attempt_told(result.patched, test)
    details = attempt.details if attempt else ""
    told = safe.block(details) if whole and details else _assertion(details)
    reason = safe.line(test.reason)
    lines = [] if not reason or any(reason in line for line in told) else [reason]
    lines += told
    for splat in (attempt.splats if attempt else ())[: None if whole else 1]:
        lines += _splat_lines(splat, places, whole)
    if attempt and attempt.left and not test.reason.startswith(LEFT_REASON):
        lines.append(safe.line(left_reason(attempt.left)))
    if test.base_reason and test.change in (Change.REGRESSION, Change.NOW_SKIPPED):
        lines.append(f"on base: {safe.line(test.base_reason)}")
    return lines


def _assertion(details: str) -> list[str]:
    """Of pytest's report the lines that say what was wrong, those that it marks with `E`."""
    marked = [line[1:] for line in details.splitlines() if line.startswith("E ") and line[1:].strip() not in _DULL]
    margin = min((len(line) - len(line.lstrip()) for line in marked), default=0)
    lines = safe.block("\n".join(line[margin:] for line in marked), _DETAIL_LINES) if marked else []
    return [safe.line(line, _DETAIL_WIDTH) for line in lines]


def _splat_lines(splat: Splat, places: Places, whole: bool) -> list[str]:
    if whole:
        return safe.block("\n".join(located(line, places) for line in splat.text.split("\n")))
    return safe.block(brief_lines(splat, places), _SPLAT_LINES)


def kernel_log(comparison: Comparison, console: Console, places: Places, *, whole: bool) -> None:
    """Splats that no test explains, and those that only base has."""
    for item in comparison.kernel_log:
        _log_item(item, comparison.compared, console, places, whole)
    gone = comparison.gone if comparison.compared else ()
    for splat in gone:
        put(console, Text("gone from the kernel log: ", "green"), safe.text(splat.key))
    if gone:
        put(console)


def _log_item(item: LogChange, compared: bool, console: Console, places: Places, whole: bool) -> None:
    what = "new in the kernel log: " if compared else "in the kernel log: "
    wrapped(
        console, Text.assemble((what, "bold red" if item.blamed else "yellow"), safe.text(item.splat.key)), "", "  "
    )
    blame = "" if item.blamed else "; not blamed: a slow host can cause it, and not every guest had it"
    lines = [safe.line(f"seen in {', '.join(item.where[:4])}{' ...' if len(item.where) > 4 else ''}{blame}")]
    indented(console, [*lines, *_splat_lines(item.splat, places, whole)])
    put(console)
