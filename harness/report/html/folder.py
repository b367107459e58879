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
from harness.results import SideResults
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
    for file in files:
        atomic_write(folder / pages[file.name], _encoded(_file_page(file, result, found)))
    for name, console in _consoles(result):
        atomic_write(folder / "consoles" / name, console)
    atomic_write(folder / "result.json", encode_result(result))


def _file_page(file: File, result: RunResult, evidence: Evidence) -> str:
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
        consoles=[(name, f"../consoles/{name}") for name, _ in _consoles(result)],
    )


def _views(tests: Sequence[TestChange], result: RunResult, budget: Budget) -> Iterable[TestView]:
    """Those tests of which there is more to tell than their outcome."""
    by_test = every_block(result, {test.test for test in tests}, budget)
    for number, test in enumerate(tests, 1):
        if blocks := by_test.get(test.test, ()):
            yield TestView(f"t{number}", test, blocks, (), opened=False)


def _consoles(result: RunResult) -> Iterable[tuple[str, bytes]]:
    """Each guest's console as far as it is there: `patched-1-000.txt`."""
    for side in (result.base, result.patched):
        for console in _console_files(side):
            session, boot = console.parent.parent.parent.name, console.parent.name
            yield f"{_slug(session)}-{_slug(boot)}.txt", console.read_bytes()


def _console_files(side: SideResults | None) -> Iterable[Path]:
    found = dict.fromkeys(Path(boot.console) for boot in side.boots) if side else {}
    return (path for path in found if path.is_absolute() and path.is_file())


def _slug(name: str) -> str:
    """A part of a file's name: letters, digits and dashes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:80] or "tests"


def _encoded(page: str) -> bytes:
    return page.encode("utf-8")
