"""Which patch did it: the figures along a series."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.perf.model import PatchSteps, Performance, Step
from harness.report import safe
from harness.report.benches import short_name
from harness.report.renderables import Hanging, Name

__all__ = ["step_lines", "steps_table"]

_COLUMNS = 6  # kernels side by side; beyond these the steps alone are told
_ROWS = 20


def steps_table(performance: Performance) -> RenderableType | None:
    """A line for each patch that changed a figure, and the figures after each; None where that was not asked."""
    if not performance.steps:
        return None
    measured = sorted({count for each in performance.steps for count, _ in each.values})
    head = f"measured on base and after patch {', '.join(map(str, measured[1:]))}"
    units = {each.unit for each in performance.steps}
    head += f"; {performance.instrument}, {units.pop()}" if len(units) == 1 else f"; {performance.instrument}"
    parts: list[RenderableType] = [Hanging(Text.assemble(("which patch  ", "bold"), safe.text(head)), 2)]
    parts += [Hanging(safe.text(f"  {line}")) for line in step_lines(performance.steps)]
    if len(measured) <= _COLUMNS:
        parts.append(_table(performance.steps[:_ROWS], measured))
        if len(performance.steps) > _ROWS:
            parts.append(Text(f"  ... and {len(performance.steps) - _ROWS} more figures", "dim"))
    return Group(*parts)


def step_lines(figures: Sequence[PatchSteps]) -> list[str]:
    """`patch 2: 19 figures, +25 to +91 insns/packet; 1 figure, +4 states`."""
    by_patch: dict[tuple[int, int], list[tuple[Step, str]]] = {}
    for figure in figures:
        for step in figure.steps:
            by_patch.setdefault((step.first, step.last), []).append((step, figure.unit))
    return [_line(first, last, found) for (first, last), found in sorted(by_patch.items())]


def _line(first: int, last: int, found: Sequence[tuple[Step, str]]) -> str:
    who = f"patch {first}" if first == last else f"patches {first} to {last} (no kernel between them)"
    units = dict.fromkeys(unit for _, unit in found)
    told = (_deltas([step.delta for step, each in found if each == unit], unit) for unit in units)
    return f"{who}: {'; '.join(told)}"


def _deltas(deltas: Sequence[float], unit: str) -> str:
    low, high = min(deltas), max(deltas)
    how = f"{low:+.4g}" if low == high else f"{low:+.4g} to {high:+.4g}"
    return f"{len(deltas)} {'figure' if len(deltas) == 1 else 'figures'}, {how} {unit}"


def _table(figures: Sequence[PatchSteps], measured: Sequence[int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
    table.add_column("    bench", ratio=1)
    for count in measured:
        table.add_column(f"patch {count}" if count else "base", justify="right", no_wrap=True)
    apart = len({figure.unit for figure in figures}) > 1
    for figure in figures:
        name = short_name(figure.bench) + (f", {figure.unit}" if apart else "")
        values = dict(figure.values)
        cells = (f"{values[count]:.10g}" if count in values else "-" for count in measured)
        table.add_row(Name(safe.line(name), 4), *cells)
    return table
