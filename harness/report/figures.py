"""Figures as people read them: base, patched, the difference, and what of it is noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.perf.model import CHANGED, Figure, FigureChange, Performance
from harness.report import safe
from harness.report.benches import short_name
from harness.report.numbers import certainty, delta, reading
from harness.report.renderables import Hanging, Name, Trimmed
from harness.report.steps import steps_table
from harness.report.tables import TextTable, lines_of, tables_of
from harness.report.where import where_table

__all__ = ["performance_table"]

_STYLES = {FigureChange.WORSE: "bold red", FigureChange.BETTER: "green", FigureChange.UNKNOWN: "yellow"}
_ROWS = 20
_NARROW = 72  # columns
_COLUMNS = (("base", 7), ("patched", 7), ("change", 7), ("", 7), ("noise", 5))


def performance_table(performance: Performance, *, every: bool = False) -> RenderableType:
    """The instrument, the figures that changed (or all of them), how many did not, and tables as series have them."""
    shown = performance.figures if every else performance.of(*CHANGED)
    unknown = performance.of(FigureChange.UNKNOWN)
    parts: list[RenderableType] = [Hanging(Text.assemble(("performance  ", "bold"), safe.text(_head(performance))), 2)]
    if shown:
        parts += _tables(shown if every else _largest(shown))
    if len(shown) > _ROWS and not every:
        parts.append(Text(f"  ... and {len(shown) - _ROWS} that changed less", "dim"))
    parts += _unknown(unknown)
    for more in (where_table(performance, every=every), steps_table(performance)):
        parts += [Text(), more] if more else []
    for table in tables_of(performance, every=every):
        parts += [Text(), _Lettered(table)]
    return Trimmed(Group(*parts))


@dataclass(frozen=True)
class _Lettered:
    """A table as it stands in a letter, in the width that there is."""

    table: TextTable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in lines_of(self.table, options.max_width):
            yield Hanging(safe.text(line), 6)


def _unknown(figures: Sequence[Figure]) -> Iterator[RenderableType]:
    """What cannot be told, reason by reason."""
    reasons: dict[str, list[str]] = {}
    for figure in figures:
        reasons.setdefault(figure.why, []).append(figure.bench)
    for why, benches in list(reasons.items())[:_ROWS]:
        more = f" and {len(benches) - 1} more" if len(benches) > 1 else ""
        yield Hanging(Text.assemble(("  cannot tell: ", "yellow"), safe.text(f"{benches[0]}{more}: {why}")))
    if len(reasons) > _ROWS:
        yield Text(f"  ... and {len(reasons) - _ROWS} more reasons", "dim")


def _largest(figures: Sequence[Figure]) -> list[Figure]:
    """Those that changed most, as a part of themselves; in their own order."""
    kept = sorted(figures, key=lambda each: -abs(each.share))[:_ROWS]
    return [each for each in figures if each in kept]


def _head(performance: Performance) -> str:
    counts = ((len(performance.of(change)), change) for change in FigureChange)
    told = ", ".join(f"{count} {change}" for count, change in counts if count) or "no figure"
    return f"{told}. {performance.instrument}: {performance.how}"


def _tables(figures: Sequence[Figure]) -> Iterator[RenderableType]:
    """The figures, file by file."""
    for (file, unit), group in groupby(figures, lambda each: (each.bench.rpartition("::")[0], each.unit)):
        yield Hanging(safe.text(f"  {file}, {unit}" if unit else f"  {file}"))
        yield _Rows(tuple(group))


@dataclass(frozen=True)
class _Rows:
    """The figures of a file: a table, or where that has no room for names, a line below each of them."""

    figures: tuple[Figure, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width >= _NARROW:
            yield self.table()
            return
        for figure in self.figures:
            base, patched, *rest, noise = _cells(figure)
            yield Name(safe.line(short_name(figure.bench)), 4)
            yield Text("  ").join([Text("     "), base + " → " + patched, *filter(None, rest), Text("noise ") + noise])

    def table(self) -> Table:
        """A row for each."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
        table.add_column("    bench", ratio=1)
        for title, width in _COLUMNS:
            table.add_column(title, justify="right", no_wrap=True, min_width=width)
        for figure in self.figures:
            table.add_row(_named(figure), *_cells(figure))
        return table


def _named(figure: Figure) -> RenderableType:
    """The bench; below it, of an instrument that varies, where the difference lies."""
    name, between = Name(safe.line(short_name(figure.bench)), 4), certainty(figure)
    return Group(name, Padding(Text(between, "dim"), (0, 0, 0, 6))) if between else name


def _cells(figure: Figure) -> Iterator[Text]:
    yield Text(reading(figure.base))
    yield Text(reading(figure.patched))
    if figure.change is FigureChange.UNKNOWN:
        yield from (Text("cannot tell", "yellow"), Text(), Text())
        return
    style = _STYLES.get(figure.change, "")
    yield Text(delta(figure.delta), style)
    yield Text(f"{figure.share:+.1%}", style)
    yield Text(reading(figure.noise))
