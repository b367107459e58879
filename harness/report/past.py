"""The history of tests and benches on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from harness.flakiness import flake_words
from harness.history import BenchHistory, Durations, Ending, Measurement, Occurrence, TestHistory
from harness.report import safe
from harness.report.sparks import legend, letters, sparkline
from harness.results import Outcome

__all__ = ["show_bench", "show_many", "show_test"]

_NAMES = 10  # cells
_MEASUREMENTS = 12


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
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("test", overflow="fold", ratio=1)
    for title in ("runs", "flaky", "bad", "median"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("oldest … newest", no_wrap=True)
    files: dict[str, list[TestHistory]] = {}
    for each in sorted(histories, key=_trouble, reverse=True):
        files.setdefault(each.test.rpartition("::")[0], []).append(each)
    for file, group in files.items():
        if file:
            table.add_row(safe.text(file, "dim"))
        for each in group:
            table.add_row(*_row(each, file, most))
    console.print(table)
    console.print(_legend(histories))


def _row(history: TestHistory, file: str, most: int) -> tuple[RenderableType, ...]:
    return (
        Text("  " if file else "") + safe.text(history.test.removeprefix(f"{file}::")),
        str(len(history.occurrences)),
        _number(history.count(Ending.FLAKY), "yellow"),
        _number(history.count(Ending.FAILED, Ending.CRASHED, Ending.TIMED_OUT), "bold red"),
        f"{history.durations.median:.2f} s" if history.durations else "",
        letters(history.occurrences, most),
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
    console.print(_measurements(history.measurements[-_MEASUREMENTS:]))
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


def _measurements(measurements: Sequence[Measurement]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("run", "kernel", "series"):
        table.add_column(title, overflow="fold")
    for title in ("base", "patched", "noise"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for each in measurements:
        name = safe.text(_titled(each.series, each.revision))
        figures = [f"{value:.10g}" if value is not None else "-" for value in (each.base, each.patched, each.noise)]
        told = f"{each.unit} ({each.instrument}) {each.change}"
        table.add_row(safe.text(each.run), safe.text(each.version), name, *figures, safe.text(told))
    return table


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


def _number(count: int, style: str) -> Text:
    return Text(str(count), style if count else "dim")


def _day(started: str) -> str:
    return started[:10]


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold", min_width=_NAMES)
    table.add_column(overflow="fold")
    return table
