"""`ktrial history`: what tests and benches did in all the runs that are remembered."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.markup import escape

from harness import record
from harness.cli_console import new_console
from harness.errors import UsageError
from harness.history import BenchHistory, TestHistory
from harness.memory import catch_up, opened
from harness.memory.past import Window, by_trouble, matching, past_of_bench, past_of_tests
from harness.report import safe
from harness.report.past import show_bench, show_many, show_test

__all__ = ["history"]

_AT_LENGTH = 1
_MOST = 50
_COMPLETIONS = 50


@dataclass(frozen=True)
class _History:
    """What `--json` prints."""

    tests: tuple[TestHistory, ...]
    benches: tuple[BenchHistory, ...]


def _complete(incomplete: str) -> list[str]:
    """Names of tests for the shell's completion."""
    with opened() as connection:
        names = matching(connection, incomplete)
    return [name for name in names if name.startswith(incomplete)][:_COMPLETIONS]


def history(
    test: Annotated[
        str,
        typer.Argument(
            help="A test's or bench's name, a part of one, or a pattern with *. Without it: those with most trouble.",
            autocompletion=_complete,
        ),
    ] = "",
    side: Annotated[str, typer.Option(help="base or patched kernels only.")] = "",
    kernel: Annotated[str, typer.Option(help="Only kernels of this version: 6.12, 6.12.40.")] = "",
    series: Annotated[
        str, typer.Option(help="Only runs of this series: a part of its subject, or its change-id.")
    ] = "",
    last: Annotated[int, typer.Option(min=0, help="Only the newest N runs; 0: all.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show how often a test passed, failed and flaked, on which kernels, and what it took.

    Example: ktrial history 'test_shrink*' --kernel 6.12
    """
    if side not in ("", "base", "patched"):
        raise UsageError(f"--side {side}: there are base and patched")
    found, left = _found(test, Window(side, kernel, series, last))
    if json:
        sys.stdout.write(record.encode(found).decode())
        return
    console = new_console()
    if len(found.tests) > _AT_LENGTH:
        show_many(found.tests, console)
    for each in found.tests if len(found.tests) <= _AT_LENGTH else ():
        show_test(each, console)
    for number, bench in enumerate(found.benches):
        if number or found.tests:
            console.print()
        show_bench(bench, console)
    if left:
        more = "with less trouble match; a longer part of a name chooses among them"
        console.print(f"... and {left} more {more}")


def _found(test: str, window: Window) -> tuple[_History, int]:
    """What is known of all that a pattern matches, and how many names were left out. Raises UsageError."""
    with opened() as connection:
        catch_up(connection, _aside)
        names = matching(connection, test)
        shown = by_trouble(connection, names)[:_MOST] if len(names) > _MOST else names
        tests = past_of_tests(connection, shown, window)
        benches = [past_of_bench(connection, name, window) for name in shown]
    found = _History(tests, tuple(each for each in benches if each))
    if not found.tests and not found.benches:
        what = "in such runs" if names else "in any run that is remembered"
        raise UsageError(f"no test {test!r} {what}", hint="a part of the name will do; ktrial runs list has the runs")
    return found, len(names) - len(shown)


def _aside(text: str) -> None:
    new_console(stderr=True).print(escape(safe.line(text)), style="dim")
