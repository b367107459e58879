"""What differs between base and patched, test by test, as the page tells it. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from harness.compare import Change, Comparison, LogChange, TestChange
from harness.flakiness import flake_words
from harness.report.html.blocks import Block, Budget
from harness.report.html.tree import file_of
from harness.report.logs import LineKind, LogLine, detail_lines, log_lines
from harness.results import SideResults, TestResult, left_reason
from harness.run_result import RunResult

__all__ = ["ChangeGroup", "LogView", "TestView", "changes_of", "every_block", "kernel_log_of", "seconds_on"]

_UNREMARKABLE = (Change.SAME, Change.NOT_COMPARED)
_OPEN = 3  # of the tests that the verdict is about, unfolded
_RESULT = "result.json"
# No two attempts have the same: addresses, and the kernel's times.
_VARYING = re.compile(r"\b0x[0-9a-f]+\b|^(?:<\d+>)?\[ *\d+\.\d+\]", re.MULTILINE)


@dataclass(frozen=True)
class TestView:
    """One test that differs. culprit: the number of the patch that broke it, 0 where that is not known."""

    __test__ = False

    anchor: str
    test: TestChange
    blocks: tuple[Block, ...]
    facts: tuple[str, ...]
    opened: bool
    culprit: str = ""

    @property
    def file(self) -> str:
        """The file of tests that it is in."""
        return file_of(self.test.test)


@dataclass(frozen=True)
class ChangeGroup:
    """The tests of one change."""

    change: Change
    tests: tuple[TestView, ...]


@dataclass(frozen=True)
class LogView:
    """A splat that no blamed test explains."""

    item: LogChange
    block: Block | None


def changes_of(result: RunResult, budget: Budget) -> tuple[ChangeGroup, ...]:
    """Every test that is not the same on both kernels, the worst change first."""
    comparison = result.comparison
    if comparison is None:
        return ()
    flakes = result.known_flaky
    attempts = [_by_test(side) for side in (result.patched, result.base)]
    culprits = {test: _patch(each.first, each.last) for each in result.broken_by for test in each.tests}
    groups = []
    number = 0
    for change in (each for each in Change if each not in _UNREMARKABLE):
        views = []
        for test in _blamed_first(comparison, change):
            number += 1
            told = tuple(of_side.get(test.test, ()) for of_side in attempts)
            blocks = tuple(_blocks(test, told[0], told[1], budget))
            opened = number <= _OPEN and (test.blamed or change is Change.FAILING)
            culprit = culprits.get(test.test, "")
            said = (*_facts(test, told[0]), *(flake_words(flake) for flake in flakes if flake.test == test.test))
            views.append(TestView(f"t{number}", test, blocks, said, opened, culprit))
        if views:
            groups.append(ChangeGroup(change, tuple(views)))
    return tuple(groups)


def kernel_log_of(comparison: Comparison, budget: Budget) -> tuple[LogView, ...]:
    """Splats at boot, between tests, and in tests that are not blamed."""
    return tuple(LogView(item, _splat_block(item, budget)) for item in comparison.kernel_log)


def every_block(result: RunResult, tests: Collection[str], budget: Budget) -> dict[str, tuple[Block, ...]]:
    """All that was said in every attempt at these tests, by test, whether it went well or not."""
    found: dict[str, list[Block]] = {}
    for side in (result.patched, result.base):
        for attempt in side.results if side else ():
            if attempt.test in tests and side:
                found.setdefault(attempt.test, []).extend(_said(side.side, attempt, budget))
    return {test: tuple(blocks) for test, blocks in found.items() if blocks}


def seconds_on(side: SideResults | None) -> dict[str, float]:
    """How long each test took, in its first attempt."""
    return {each.test: each.seconds for each in reversed(side.results)} if side else {}


def _blamed_first(comparison: Comparison, change: Change) -> list[TestChange]:
    return sorted(comparison.of(change), key=lambda test: not test.blamed)


def _patch(first: int, last: int) -> str:
    return f"patch {last}" if first == last else f"one of patches {first} to {last}"


def _by_test(side: SideResults | None) -> dict[str, list[tuple[str, TestResult]]]:
    """Every test's attempts with the side's name."""
    found: dict[str, list[tuple[str, TestResult]]] = {}
    for result in side.results if side else ():
        found.setdefault(result.test, []).append((side.side if side else "", result))
    return found


def _facts(test: TestChange, patched: Sequence[tuple[str, TestResult]]) -> Iterator[str]:
    """What is to be said beside the outcomes and the reason."""
    if test.worse:
        yield "worse than on base, where it fails too"
    if test.differs:
        yield "it fails in another way than on base"
    if test.base_reason and test.base_reason != test.reason:
        yield f"on base: {test.base_reason}"
    for left in dict.fromkeys(left_reason(result.left) for _, result in patched if result.left):
        if left != test.reason:
            yield left


def _blocks(
    test: TestChange,
    patched: Sequence[tuple[str, TestResult]],
    base: Sequence[tuple[str, TestResult]],
    budget: Budget,
) -> Iterator[Block]:
    """What each attempt said that is worth telling, each text once: those on patched, then those on base."""
    seen = {test.reason.strip()}
    for side, attempt in (*patched, *base):
        if attempt.outcome.good and not attempt.splats:
            continue
        yield from _said(side, attempt, budget, seen)


def _said(side: str, attempt: TestResult, budget: Budget, seen: set[str] | None = None) -> Iterator[Block]:
    """What one attempt said, with the side's name. seen: what was told before, which is not told again."""
    for title, text, lines in _texts(attempt):
        if seen is not None:
            plain = _VARYING.sub("", text).strip()
            if plain in seen:
                continue
            seen.add(plain)
        name = f"{title}, {side}, attempt {attempt.attempt}" + (f", guest {attempt.boot}" if attempt.boot else "")
        if block := budget.block(name, lines, side, _whole(side, attempt, title)):
            yield block


def _texts(attempt: TestResult) -> Iterator[tuple[str, str, tuple[LogLine, ...]]]:
    """(title, text, lines): pytest's report, the kernel's log, and splats that are not in the log."""
    details = attempt.details if attempt.details != attempt.log else ""
    yield "what the test said", details, detail_lines(details)
    yield "kernel log", attempt.log, log_lines(attempt.log, attempt.splats)
    for splat in attempt.splats:
        if splat.text not in attempt.log and not attempt.log:
            yield "splat", splat.text, log_lines(splat.text, (splat,))


def _whole(side: str, attempt: TestResult, title: str) -> str:
    """Where in the run's folder a text is uncut."""
    if title == "what the test said" or not attempt.boot:
        return _RESULT
    return f"results/{side}-{attempt.attempt}/boots/{attempt.boot}/console.log"


def _splat_block(item: LogChange, budget: Budget) -> Block | None:
    lines = log_lines(item.splat.text, (item.splat,))
    plain = lines or (LogLine(item.splat.key, LineKind.HEADLINE),)
    return budget.block(item.splat.key, plain, "patched", _RESULT)
