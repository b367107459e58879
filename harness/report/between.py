"""Two runs side by side on a terminal: a series' versions, and why two reports differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.errors import ExitCode
from harness.outcomes_apart import Apart
from harness.perf.model import FigureChange
from harness.report import safe
from harness.report.benches import short_name
from harness.report.layout import name_lines
from harness.results import Outcome
from harness.run_result import RunResult
from harness.versions import FigureBetween, Standing, TestBetween, VersionChange, Versions
from harness.why import Difference, Explanation, Likelihood

__all__ = ["show_explanation", "show_versions", "versions_line"]

_ROWS = 20
_DETAILS = 8
_BESIDE = 36  # cells of what stands beside a test's name
_OF_FIGURES = 20  # cells beside a bench's name and its two figures
_STYLES = {
    VersionChange.BROKE: "bold red",
    VersionChange.STILL_BROKEN: "red",
    VersionChange.MENDED: "green",
    VersionChange.VANISHED: "yellow",
    VersionChange.NEW: "cyan",
    VersionChange.OTHER: "dim",
}
_FIGURE_STYLES = {FigureChange.WORSE: "red", FigureChange.BETTER: "green"}
_LIKELIHOOD_STYLES = {Likelihood.LIKELY: "bold", Likelihood.POSSIBLE: "", Likelihood.UNLIKELY: "dim"}


def versions_line(found: Versions) -> str:
    """`v9 against v8: 1 broke, 3 mended, 80 the same; 2 figures worse`."""
    counts = [(len(found.of(change)), str(change)) for change in VersionChange if change is not VersionChange.SAME]
    told = [f"{count} {name}" for count, name in counts if count] + [f"{found.same} the same"]
    figures = [each.change for each in found.figures]
    moved = [(figures.count(change), change) for change in (FigureChange.WORSE, FigureChange.BETTER)]
    costs = [f"{count} {'figure' if count == 1 else 'figures'} {change}" for count, change in moved if count]
    before, after = _versions(found)
    return f"{after} against {before}: {'; '.join(filter(None, (', '.join(told), ', '.join(costs))))}"


def show_versions(found: Versions, why: Explanation, console: Console, *, how: str = "", every: bool = False) -> None:
    """A series' later run against an earlier one. how: what told that they are the same series. every: all rows."""
    console.print(safe.text(versions_line(found), "bold"), soft_wrap=True)
    if how:
        console.print(Text(f"the same series by {safe.line(how)}", "dim"), soft_wrap=True)
    console.print()
    names = _versions(found)
    _heads(console, ((names[0], found.before), (names[1], found.after)))
    _tests(found, console, every)
    for key in found.log_new:
        console.print(Text("new in the kernel log: ", "bold red") + safe.text(key))
    for key in found.log_gone:
        console.print(Text("gone from the kernel log: ", "green") + safe.text(key))
    _costs(found, console, every)
    beside = [each for each in why.differences if each.what not in ("series", "patches")]
    if beside:
        console.print(Text("what else differs between the runs, and not between the versions", "bold"))
        _differences(beside, console, names, every)


def show_explanation(found: Explanation, console: Console, *, every: bool = False) -> None:
    """Why two runs differ: the conclusion first."""
    console.print(safe.text(found.conclusion, "bold"))
    console.print()
    _heads(console, (("A", found.a), ("B", found.b)))
    if found.apart.any:
        _apart(found.apart, console, every)
    if found.differences:
        console.print(Text("what went into them, the likeliest reason first", "bold"))
        _differences(found.differences, console, ("A", "B"), every)


def _heads(console: Console, runs: Iterable[tuple[str, RunResult]]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, run in runs:
        when = run.started[:16].replace("T", " ")
        table.add_row(name, safe.text(f"{run.run}, {when}{_elsewhere(run)}"))
        table.add_row("", safe.text(run.verdict.line, _style_of(run)))
    console.print(table)
    console.print()


def _elsewhere(run: RunResult) -> str:
    return f", on {run.paths.machine}" if run.paths.machine else ""


def _style_of(run: RunResult) -> str:
    styles = {ExitCode.NO_REGRESSION: "green", ExitCode.REGRESSION: "red"}
    return styles.get(run.verdict.exit_code, "yellow")


def _tests(found: Versions, console: Console, every: bool) -> None:
    if not found.tests:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("", no_wrap=True)
    table.add_column("test", overflow="fold", ratio=1)
    for name in _versions(found):
        table.add_column(name, no_wrap=True, vertical="bottom")
    room = max(20, console.width - _BESIDE)
    for change, group in groupby(found.tests, lambda test: test.change):
        tests = list(group)
        counted = change in _COUNTED and not every and len(tests) > _ROWS
        for cells in _counts(change, tests) if counted else _rows(change, tests, every, room):
            table.add_row(*cells)
    console.print(table)


_COUNTED = (VersionChange.VANISHED, VersionChange.NEW, VersionChange.OTHER)
"""Of many of these only the numbers are told."""


def _counts(change: VersionChange, tests: Sequence[TestBetween]) -> Iterable[tuple[Text, Text, str, str]]:
    """How many tests of each file went which way."""
    word = Text(str(change), _STYLES[change])
    for file, group in groupby(tests, lambda test: test.test.rpartition("::")[0]):
        for (before, after), count in Counter((test.before, test.after) for test in group).items():
            yield word, safe.text(f"{file}: {count} {_plural('test', count)}"), _standing(before), _standing(after)
            word = Text()


def _rows(
    change: VersionChange, tests: Sequence[TestBetween], every: bool, room: int
) -> Iterable[tuple[Text, RenderableType, str, str]]:
    """The tests of one change under their files; of what broke with the reason. room: cells for a name."""
    word = Text(str(change), _STYLES[change])
    most = len(tests) if every else _ROWS
    for file, group in groupby(tests[:most], lambda test: test.test.rpartition("::")[0]):
        if file:
            yield word, _name(file, room), "", ""
            word = Text()
        for test in group:
            name = _name(test.test.removeprefix(f"{file}::"), room, "  " if file else "")
            yield word, name, _standing(test.before), _standing(test.after)
            word = Text()
            if test.reason and change is VersionChange.BROKE:
                yield word, Padding(safe.text(test.reason, "dim", 200), (0, 0, 0, 4), expand=False), "", ""
    if len(tests) > most:
        yield word, Text(f"... and {len(tests) - most} more; -v shows them", "dim"), "", ""


def _name(name: str, room: int, indent: str = "") -> Text:
    """A test's name, broken at brackets and commas where it is too long."""
    return Text("\n".join(f"{indent}{line}" for line in name_lines(safe.line(name), room - len(indent))))


def _standing(standing: Standing) -> str:
    return str(standing)


def _costs(found: Versions, console: Console, every: bool) -> None:
    """What each version costs over its own base, where that is not the same."""
    shown = [each for each in found.figures if every or each.change is not FigureChange.SAME]
    if not shown:
        if found.figures:
            count = f"{len(found.figures)} {_plural('figure', len(found.figures))}"
            console.print(Text(f"{count}: each version costs the same over its base\n", "dim"))
        return
    for unit in dict.fromkeys(each.unit for each in shown):
        _costs_of(unit, [each for each in shown if each.unit == unit], _versions(found), console)


def _costs_of(unit: str, figures: Sequence[FigureBetween], names: tuple[str, str], console: Console) -> None:
    """The figures of one unit."""
    deltas = [(_delta(each.before, each), _delta(each.after, each)) for each in figures]
    width = sum(max(len(name), *(len(pair[at]) for pair in deltas)) for at, name in enumerate(names))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column(safe.text(f"cost over base, {unit}" if unit else "cost over base"), overflow="fold", ratio=1)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True, vertical="bottom")
    table.add_column("", no_wrap=True, vertical="bottom")
    for each, pair in zip(figures, deltas, strict=True):
        bench = _name(short_name(each.bench), max(20, console.width - width - _OF_FIGURES))
        table.add_row(bench, *pair, Text(str(each.change), _FIGURE_STYLES.get(each.change, "dim")))
    console.print(table)


def _delta(value: float | None, figure: FigureBetween) -> str:
    """`+25 (+2.1 %)`, of the later base."""
    if value is None:
        return "-"
    share = f" ({100 * value / figure.of_base:+.2g} %)" if figure.of_base else ""
    return f"{value:+.6g}{share}"


def _versions(found: Versions) -> tuple[str, str]:
    """What the two runs are called: by their versions, or by the ends of their ids where these are the same."""
    runs = (found.before, found.after)
    before, after = (f"v{run.series.version}" if run.series else "" for run in runs)
    if before and after and before != after:
        return before, after
    return runs[0].run.rpartition("-")[2], runs[1].run.rpartition("-")[2]


def _apart(apart: Apart, console: Console, every: bool) -> None:
    """In what their outcomes differ."""
    console.print(Text(_apart_line(apart), "bold"))
    most = None if every else _ROWS
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1))
    table.add_column(overflow="fold", ratio=1)
    for _ in range(3):
        table.add_column(no_wrap=True)
    for each in apart.sides[:most]:
        table.add_row(Text("  ") + safe.text(each.test), each.side, _outcomes(each.a), f"-> {_outcomes(each.b)}")
    for bench in apart.figures[:most]:
        table.add_row(Text("  ") + safe.text(bench), "", "reads otherwise", "")
    if table.row_count:
        console.print(table)
    left = len(apart.sides) + len(apart.figures) - table.row_count
    if left:
        console.print(Text(f"  ... and {left} more; -v shows them", "dim"))
    for name, tests in (("A", apart.only_a), ("B", apart.only_b)):
        _only(name, tests, console, every)
    console.print()


def _only(name: str, tests: Sequence[str], console: Console, every: bool) -> None:
    """The tests that only one run has: by file, unless all are asked for."""
    for file, group in groupby(sorted(tests), lambda test: test.rpartition("::")[0]):
        found = list(group)
        shown = found if every or len(found) == 1 else [f"{file}: {len(found)} tests"]
        for line in shown:
            console.print(Padding(Text(f"in {name} only  ", "dim") + safe.text(line), (0, 0, 0, 2), expand=False))


def _apart_line(apart: Apart) -> str:
    on = {side: sum(each.side == side for each in apart.sides) for side in ("patched", "base")}
    told = [f"{count} {_plural('test', count)} end otherwise on {side}" for side, count in on.items() if count]
    told += [f"{len(apart.only)} {_plural('test', len(apart.only))} in one run only"] if apart.only else []
    told += [f"{len(apart.figures)} {_plural('figure', len(apart.figures))} read otherwise"] if apart.figures else []
    return f"what they found: {', '.join(told) or 'another verdict'}"


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _outcomes(outcomes: Sequence[Outcome]) -> str:
    return ", ".join(dict.fromkeys(map(str, outcomes)))


def _differences(differences: Sequence[Difference], console: Console, names: tuple[str, str], every: bool) -> None:
    most = None if every else _DETAILS
    width = max(len(name) for name in names)
    for each in differences:
        style = _LIKELIHOOD_STYLES[each.likelihood]
        head = Text(f"{each.likelihood:9} ", style) + safe.text(each.what, style) + safe.text(f": {each.why}", "dim")
        console.print(Padding(head, (0, 0, 0, 2), expand=False))
        rows = [f"{names[0]:{width}}  {each.a}", f"{names[1]:{width}}  {each.b}"]
        for line in rows:
            console.print(Padding(safe.text(line), (0, 0, 0, 12), expand=False))
        for line in each.details[:most]:
            console.print(Padding(safe.text(line, "dim"), (0, 0, 0, 14), expand=False))
        left = len(each.details[most:]) if most else 0
        if left:
            console.print(Padding(Text(f"... and {left} more; -v shows them", "dim"), (0, 0, 0, 14), expand=False))
