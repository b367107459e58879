"""Figures as people read them: base, patched, the difference, and what of it is noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.perf.model import Figure, FigureChange, Performance
from harness.report import safe
from harness.report.steps import steps_table
from harness.report.tables import lines_of, tables_of
from harness.report.where import where_table

__all__ = ["performance_table"]

_STYLES = {FigureChange.WORSE: "bold red", FigureChange.BETTER: "green", FigureChange.UNKNOWN: "yellow"}
_ROWS = 20


def performance_table(performance: Performance, *, every: bool = False) -> RenderableType:
    """The instrument, the figures that changed (or all of them), how many did not, and tables as series have them."""
    shown = performance.figures if every else performance.of(FigureChange.WORSE, FigureChange.BETTER)
    unknown = () if every else performance.of(FigureChange.UNKNOWN)
    parts: list[RenderableType] = [Text("performance  ", "bold") + safe.text(_head(performance))]
    if shown:
        parts.append(_table(shown if every else _largest(shown)))
    if len(shown) > _ROWS and not every:
        parts.append(Text(f"  ... and {len(shown) - _ROWS} that changed less", "dim"))
    parts += [Text("  cannot tell: ", "yellow") + safe.text(f"{each.bench}: {each.why}") for each in unknown[:_ROWS]]
    if len(unknown) > _ROWS:
        parts.append(Text(f"  ... and {len(unknown) - _ROWS} more", "dim"))
    for more in (where_table(performance), steps_table(performance)):
        parts += [Text(), more] if more else []
    for table in tables_of(performance):
        parts += [Text(), *map(safe.text, lines_of(table))]
    return Group(*parts)


def _largest(figures: Sequence[Figure]) -> list[Figure]:
    """Those that changed most, as a part of themselves; in their own order."""
    kept = sorted(figures, key=lambda each: -abs(each.share))[:_ROWS]
    return [each for each in figures if each in kept]


def _head(performance: Performance) -> str:
    counts = ((len(performance.of(change)), change) for change in FigureChange)
    told = ", ".join(f"{count} {change}" for count, change in counts if count) or "no figure"
    return f"{told}. {performance.instrument}: {performance.how}"


def _table(figures: Sequence[Figure]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False, padding=(0, 1))
    table.add_column("bench", overflow="fold", ratio=1)
    for title in ("base", "patched", "change", "", "noise"):
        table.add_column(title, justify="right", no_wrap=True)
    for (file, unit), group in groupby(figures, lambda each: (each.bench.rpartition("::")[0], each.unit)):
        head = f"{file}, {unit}" if unit else file
        table.add_row(safe.text(head), *[""] * 5)
        for figure in group:
            table.add_row(
                Text("  ") + safe.text(figure.bench.removeprefix(f"{file}::").removeprefix("bench_")), *_cells(figure)
            )
    return table


def _cells(figure: Figure) -> Iterator[Text]:
    yield Text(_number(figure.base))
    yield Text(_number(figure.patched))
    if figure.change is FigureChange.UNKNOWN:
        yield from (Text("cannot tell", "yellow"), Text(), Text())
        return
    style = _STYLES.get(figure.change, "")
    yield Text(f"{figure.delta:+.4g}" if figure.delta else "0", style)
    yield Text(f"{figure.share:+.1%}", style)
    yield Text(f"{figure.noise:.4g}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.10g}"
