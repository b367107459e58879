"""`ktrial runs compare` and `ktrial runs why`: two runs side by side."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from dataclasses import dataclass
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from harness import record
from harness.cli_console import new_console
from harness.errors import UsageError
from harness.kconfig import diff
from harness.memory import catch_up, opened
from harness.memory.recall import Remembered, find, newest, previous, recall
from harness.report import safe
from harness.report.between import show_explanation, show_versions, versions_line
from harness.report.json import read_result
from harness.run_result import RunResult
from harness.store import RunFolder, find_run
from harness.versions import FigureBetween, TestBetween, between
from harness.why import Difference, explain_difference

__all__ = ["compare", "why"]

_LATEST = "last"

_Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Every test and figure.")]
_Json = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


@dataclass(frozen=True)
class _Compared:
    """What `compare --json` prints."""

    before: str
    after: str
    line: str
    same_series_by: str
    tests: tuple[TestBetween, ...]
    same: int
    figures: tuple[FigureBetween, ...]
    log_new: tuple[str, ...]
    log_gone: tuple[str, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class _Why:
    """What `why --json` prints. tests, only, figures: what ended otherwise."""

    a: str
    b: str
    conclusion: str
    tests: tuple[str, ...]
    only: tuple[str, ...]
    figures: tuple[str, ...]
    differences: tuple[Difference, ...]


def compare(
    a: Annotated[
        str, typer.Argument(help="A run, or a series by its change-id or subject: the earlier one.")
    ] = _LATEST,
    b: Annotated[
        str | None, typer.Argument(help="The later one. Without it: A against the version before, which is looked for.")
    ] = None,
    verbose: _Verbose = False,
    json: _Json = False,
) -> None:
    """Compare a series' versions by their runs: what broke, what was mended, what each costs over its base.

    Example: ktrial runs compare last, or: ktrial runs compare 'xdp: shrink fragments' last
    """
    with opened() as connection:
        catch_up(connection, _aside)
        before, after, how = _versions(connection, a, b)
    found = between(before, after)
    reasons = explain_difference(before, after, _symbols(before, after))
    if json:
        line = versions_line(found)
        told = (found.tests, found.same, found.figures, found.log_new, found.log_gone, reasons.differences)
        sys.stdout.write(record.encode(_Compared(before.run, after.run, line, how, *told)).decode())
        return
    show_versions(found, reasons, new_console(), how=how, every=verbose)


def why(
    a: Annotated[str, typer.Argument(help="A run: its id, the beginning or end of one, its folder, or `last`.")],
    b: Annotated[str, typer.Argument(help="The other one.")],
    verbose: _Verbose = False,
    json: _Json = False,
) -> None:
    """Show why two runs came to different ends: what differs in what went into them, the likeliest reason first.

    Example: ktrial runs import theirs.tar.gz && ktrial runs why last theirs
    """
    with opened() as connection:
        catch_up(connection, _aside)
        one, other = _run(connection, a), _run(connection, b)
    found = explain_difference(one, other, _symbols(one, other))
    if json:
        apart = found.apart
        told = (found.conclusion, apart.tests, apart.only, apart.figures, found.differences)
        sys.stdout.write(record.encode(_Why(one.run, other.run, *told)).decode())
        return
    show_explanation(found, new_console(), every=verbose)


def _versions(connection: sqlite3.Connection, a: str, b: str | None) -> tuple[RunResult, RunResult, str]:
    """The earlier run, the later one, and what tells that they are of one series where that was looked for."""
    if b is not None:
        return _run(connection, a), _run(connection, b), ""
    after = _run(connection, a)
    found = previous(connection, after)
    if found is None:
        raise UsageError(
            f"no run of an earlier version than {_called(after)} is remembered",
            detail="looked for by change-id, by subject and author, and by its patches' subjects",
            hint="name both: ktrial runs compare EARLIER LATER",
        )
    return recall(connection, found[0].run), after, found[1]


def _called(run: RunResult) -> str:
    return f"{run.series.title} v{run.series.version}" if run.series else run.run


def _run(connection: sqlite3.Connection, reference: str) -> RunResult:
    """The run that a reference names: its folder's result where it is there, else what is remembered of it.

    Raises UsageError where there is none, or where several series have a part of the name.
    """
    if reference == _LATEST:
        reference = newest(connection)
    with contextlib.suppress(UsageError, OSError, msgspec.DecodeError):
        folder = find_run(reference)
        if folder.result.is_file():
            return read_result(folder.result)
    found = find(connection, reference)
    if not found:
        raise UsageError(f"no finished run {reference!r}", hint="ktrial runs list; or a series' subject or change-id")
    listed = "\n".join(map(_listed, found))
    if len(found) > 1 and any(each.run.startswith(reference) or each.run.endswith(f"-{reference}") for each in found):
        raise UsageError(f"{reference} is a part of the ids of {len(found)} runs", detail=listed)
    series = {(each.title, each.author) for each in found}
    if len(series) > 1:
        raise UsageError(f"{reference!r} is {len(series)} series", detail=listed, hint="name the run")
    return recall(connection, found[0].run)


def _listed(run: Remembered) -> str:
    return f"{run.run}  {run.title} v{run.version}"


def _symbols(a: RunResult, b: RunResult) -> dict[str, tuple[str, ...]]:
    """By side the settings of the configurations that differ, where both runs' folders are here."""
    found = {}
    for side in ("base", "patched"):
        texts = [_config(run, side) for run in (a, b)]
        if texts[0] and texts[1]:
            changed = [(each.symbol, each.before or "n", each.after or "n") for each in diff(texts[0], texts[1])]
            # What is not set and what was never asked are the same kernel.
            found[side] = tuple(f"{name}: {before} -> {after}" for name, before, after in changed if before != after)
    return found


def _config(run: RunResult, side: str) -> str:
    with contextlib.suppress(UsageError, OSError):
        folder: RunFolder = find_run(run.run)
        return folder.config(side).read_text("utf-8", "replace")
    return ""


def _aside(text: str) -> None:
    new_console(stderr=True).print(escape(safe.line(text)), style="dim")
