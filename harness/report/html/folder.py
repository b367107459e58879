"""The report as a folder: the page, a page for each file of tests with every log whole, and the guests' consoles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.compare import TestChange
from harness.record import atomic_write
from harness.report.evidence import Evidence
from harness.report.html.blocks import Budget
from harness.report.html.changes import TestView, every_block, seconds_on
from harness.report.html.page import html_page, render, tone_of
from harness.report.html.tree import File, tree_of
from harness.report.json import encode_result
from harness.run_result import RunResult

__all__ = ["write_folder"]

_LOGS = 20_000_000  # characters of logs in one page
_LINES = 20_000  # of one log


def write_folder(folder: Path, result: RunResult, evidence: Evidence | None = None) -> None:
    """Write index.html, tests/*.html, consoles/*.txt and result.json. Raises OSError."""
    found = evidence or Evidence()
    tests = result.comparison.tests if result.comparison else ()
    files = tree_of(tests, {}, {})
    pages = {file.name: f"tests/{number:03}-{_slug(file.name)}.html" for number, file in enumerate(files, 1)}
    atomic_write(folder / "index.html", _encoded(html_page(result, found, pages=pages)))
    consoles = dict(_consoles(result, found.folder))
    for file in files:
        atomic_write(folder / pages[file.name], _encoded(_file_page(file, result, found, tuple(consoles))))
    for name, console in consoles.items():
        atomic_write(folder / "consoles" / name, console.read_bytes())
    atomic_write(folder / "result.json", encode_result(result))


def _file_page(file: File, result: RunResult, evidence: Evidence, consoles: Iterable[str]) -> str:
    budget = Budget(_LOGS, _LINES)
    tests = [row.test for row in file.rows]
    views = tuple(_views(tests, result, budget))
    anchors = {view.test.test: view.anchor for view in views}
    whole = tree_of(tests, anchors, seconds_on(result.patched))[0]
    return render(
        "file.html",
        result=result,
        evidence=evidence,
        tone=tone_of(result),
        file=whole,
        views=views,
        compared=bool(result.comparison and result.comparison.compared),
        consoles=[(name, f"../consoles/{name}") for name in consoles],
    )


def _views(tests: Sequence[TestChange], result: RunResult, budget: Budget) -> Iterable[TestView]:
    """Those tests of which there is more to tell than their outcome."""
    by_test = every_block(result, {test.test for test in tests}, budget)
    for number, test in enumerate(tests, 1):
        if blocks := by_test.get(test.test, ()):
            yield TestView(f"t{number}", test, blocks, (), opened=False)


def _consoles(result: RunResult, run: Path | None) -> Iterable[tuple[str, Path]]:
    """Each guest's console as far as it is there: `patched-1-000.txt`."""
    for side in (result.base, result.patched):
        for boot in side.boots if side and run else ():
            if console := _within(run, boot.console):
                session, number = console.parent.parent.parent.name, console.parent.name
                yield f"{_slug(session)}-{_slug(number)}.txt", console


def _within(run: Path | None, console: str) -> Path | None:
    """A console in the run's own folder, wherever that was when the result was written.

    A result can come from another machine: a file that it names elsewhere is not taken into a report.
    """
    parts = Path(console).parts[-5:]
    if run is None or len(parts) != 5 or (parts[0], parts[2], parts[4]) != ("results", "boots", "console.log"):
        return None
    found = run.joinpath(*parts).resolve()
    return found if found.is_relative_to(run.resolve()) and found.is_file() else None


def _slug(name: str) -> str:
    """A part of a file's name: letters, digits and dashes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:80] or "tests"


def _encoded(page: str) -> bytes:
    return page.encode("utf-8")
