"""The history of tests and benches on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from statistics import median

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.flakiness import flake_words
from harness.history import BenchHistory, Durations, Ending, Measurement, Occurrence, TestHistory
from harness.report import safe
from harness.report.layout import name_lines, put, wrapped
from harness.report.sparks import legend, letters, sparkline
from harness.results import Outcome

__all__ = ["show_bench", "show_many", "show_test"]

_NAMES = 10  # cells
_MEASUREMENTS = 12
_COUNTS = 30  # cells of all that stands between a name and its letters
_LETTERS = "oldest … newest"


def show_test(history: TestHistory, console: Console) -> None:
    """One test at length."""
    console.print(safe.text(history.test, "bold"), soft_wrap=True)
    most = max(20, console.width - _NAMES - 6)
    facts = _grid()
    for side in ("base", "patched"):
        of_side = [each for each in history.occurrences if each.side == side]
        if of_side:
            facts.add_row(side, letters(of_side, most))
            took = [_seconds(each) for each in of_side]
            facts.add_row("  seconds", sparkline(took, most, plain=console.options.ascii_only))
    if history.durations:
        facts.add_row("seconds", _spread(history.durations))
    if history.flake:
        told = f"{flake_words(history.flake)}, last on {_day(history.flake.last)}"
        facts.add_row("flaky", safe.text(told, "yellow"))
    for name, found in (("first bad", history.first_bad), ("last bad", history.last_bad)):
        if found and (name == "first bad" or found != history.first_bad):
            facts.add_row(name, _told(found))
    console.print(facts)
    console.print(_legend([history]))
    console.print()
    console.print(_kernels(history))


def show_many(histories: Sequence[TestHistory], console: Console) -> None:
    """A line for each of several tests under their files, those with the most trouble first."""
    most = max(12, min(60, console.width - 76))
    room = max(20, console.width - max(most + 1, len(_LETTERS)) - _COUNTS)
    titles = f"{'test':{room}}  {'runs':>4}  {'flaky':>5}  {'bad':>3}  {'median':>8}  {_LETTERS}"
    put(console, Text(titles, "bold"))
    files: dict[str, list[TestHistory]] = {}
    for each in sorted(histories, key=_trouble, reverse=True):
        files.setdefault(each.test.rpartition("::")[0], []).append(each)
    for file, group in files.items():
        if file:
            put(console, safe.text(file, "dim"))
        for each in group:
            indent = "  " if file else ""
            *above, last = name_lines(safe.line(each.test.removeprefix(f"{file}::")), room - len(indent))
            for line in above:
                put(console, f"{indent}{line}")
            put(console, f"{indent}{last}" + " " * (room - len(indent) - cell_len(last)), "  ", _counts(each, most))
    put(console, _legend(histories))


def _counts(history: TestHistory, most: int) -> Text:
    """`  28      0    3    0.02 s  ...F...`: how often it was run, was flaky and was bad, how long it took, and all."""
    bad = history.count(Ending.FAILED, Ending.CRASHED, Ending.TIMED_OUT)
    return Text("  ").join(
        (
            Text(f"{len(history.occurrences):4}"),
            _number(history.count(Ending.FLAKY), 5, "yellow"),
            _number(bad, 3, "bold red"),
            Text(f"{history.durations.median:6.2f} s" if history.durations else " " * 8),
            letters(history.occurrences, most),
        )
    )


def _legend(histories: Sequence[TestHistory]) -> Text:
    return Text(legend(ending for each in histories for ending, _ in each.endings), "dim")


def show_bench(history: BenchHistory, console: Console) -> None:
    """The figures of one bench, the newest last."""
    console.print(safe.text(history.bench, "bold"), soft_wrap=True)
    facts = _grid()
    for unit in dict.fromkeys(each.unit for each in history.measurements if each.unit):
        of_unit = [each for each in history.measurements if each.unit == unit]
        sides = {"base": [each.base for each in of_unit], "patched": [each.patched for each in of_unit]}
        every = [value for values in sides.values() for value in values if value is not None]
        for side, values in sides.items():
            facts.add_row(side, safe.text(_figures(values, every, unit, console)))
    console.print(facts)
    console.print()
    _measurements(history.measurements[-_MEASUREMENTS:], console)
    if len(history.measurements) > _MEASUREMENTS:
        console.print(Text(f"... and {len(history.measurements) - _MEASUREMENTS} before", "dim"))


def _figures(values: Sequence[float | None], among: Sequence[float], unit: str, console: Console) -> str:
    """A sparkline, and the values that it stands for."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spark = sparkline(values, max(20, console.width - 60), among=among, plain=console.options.ascii_only)
    extent = f"{min(known):.10g} to {max(known):.10g}" if min(known) < max(known) else f"{known[0]:.10g}"
    return f"{spark}  {extent} {unit}"


def _measurements(measurements: Sequence[Measurement], console: Console) -> None:
    """The figures of each run, under its series. A run is named by the end of its id, by which it can be shown."""
    names = [safe.line(each.run.rpartition("-")[2]) for each in measurements]
    kernels = [safe.line(each.version or "?") for each in measurements]
    widths = [max(map(cell_len, (title, *cells))) for title, cells in (("run", names), ("kernel", kernels))]
    head = f"  {'when':10}  {'run':{widths[0]}}  {'kernel':{widths[1]}}  {'base':>9}  {'patched':>9}  {'noise':>7}"
    put(console, Text(head, "bold"))
    rows = zip(measurements, names, kernels, strict=True)
    for title, group in groupby(rows, lambda row: _measured(row[0])):
        wrapped(console, safe.text(title, "dim"), "", "  ")
        for each, name, kernel in group:
            values = (each.base, each.patched, each.noise)
            figures = [f"{value:.10g}" if value is not None else "-" for value in values]
            beside = [cell + " " * (width - cell_len(cell)) for cell, width in zip((name, kernel), widths, strict=True)]
            numbers = f"{figures[0]:>9}  {figures[1]:>9}  {figures[2]:>7}"
            put(console, safe.text(f"  {_day(each.started):10}  {'  '.join(beside)}  {numbers}  {each.change}"))


def _measured(each: Measurement) -> str:
    """Which series, and what was read by which instrument."""
    read = f"{each.unit} by {each.instrument}" if each.unit else each.instrument
    return f"{_titled(each.series, each.revision) or 'without a series'}; {read}"


def _kernels(history: TestHistory) -> Table:
    """How often each ending, by the version of the kernel."""
    known = [ending for ending in Ending if history.count(ending)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("kernel")
    table.add_column("side")
    for ending in known:
        table.add_column(str(ending), justify="right")
    for each in history.by_kernel:
        counts = dict(each.endings)
        table.add_row(safe.text(each.version or "?"), each.side, *(str(counts.get(ending, "")) for ending in known))
    return table


def _told(found: Occurrence) -> Text:
    where = f"{_day(found.started)}, {found.side} of {found.version or 'an unknown kernel'}"
    tried = f", {_titled(found.series, found.revision)}" if found.side == "patched" and found.series else ""
    reason = f": {found.reason}" if found.reason else ""
    return safe.text(f"{where}{tried} (run {found.run}){reason}", limit=400)


def _titled(series: str, revision: int) -> str:
    return f"{series} v{revision}" if revision > 1 else series


def _spread(found: Durations) -> str:
    return f"median {found.median:.2f}, half of {found.count} within {found.low:.2f} to {found.high:.2f}"


def _seconds(each: Occurrence) -> float | None:
    """What it took where it passed."""
    took = [seconds for outcome, seconds in zip(each.outcomes, each.seconds, strict=True) if outcome is Outcome.PASSED]
    return median(took) if took else None


def _trouble(history: TestHistory) -> tuple[int, int]:
    bad = history.count(Ending.FAILED, Ending.CRASHED, Ending.TIMED_OUT)
    return history.count(Ending.FLAKY), bad


def _number(count: int, width: int, style: str) -> Text:
    return Text(f"{count:{width}}", style if count else "dim")


def _day(started: str) -> str:
    return started[:10]


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold", min_width=_NAMES)
    table.add_column(overflow="fold")
    return table
