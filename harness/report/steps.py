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
    parts: list[RenderableType] = [Hanging(Text.assemble(("which patch  ", "bold"), safe.text(head)), 2)]
    parts += [Hanging(safe.text(f"  {line}")) for line in step_lines(performance.steps)]
    if len(measured) <= _COLUMNS:
        parts.append(_table(performance.steps[:_ROWS], measured))
        if len(performance.steps) > _ROWS:
            parts.append(Text(f"  ... and {len(performance.steps) - _ROWS} more figures", "dim"))
    return Group(*parts)


def step_lines(figures: Sequence[PatchSteps]) -> list[str]:
    """`patch 2: 19 figures, +25 to +91 insns/packet`."""
    by_patch: dict[tuple[int, int], list[tuple[Step, str]]] = {}
    for figure in figures:
        for step in figure.steps:
            by_patch.setdefault((step.first, step.last), []).append((step, figure.unit))
    return [_line(first, last, found) for (first, last), found in sorted(by_patch.items())]


def _line(first: int, last: int, found: Sequence[tuple[Step, str]]) -> str:
    who = f"patch {first}" if first == last else f"patches {first} to {last} (no kernel between them)"
    deltas = sorted(step.delta for step, _ in found)
    how = f"{deltas[0]:+.4g}" if deltas[0] == deltas[-1] else f"{deltas[0]:+.4g} to {deltas[-1]:+.4g}"
    return f"{who}: {len(found)} {'figure' if len(found) == 1 else 'figures'}, {how} {found[0][1]}"


def _table(figures: Sequence[PatchSteps], measured: Sequence[int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
    table.add_column("    bench", ratio=1)
    for count in measured:
        table.add_column(f"patch {count}" if count else "base", justify="right", no_wrap=True)
    for figure in figures:
        values = dict(figure.values)
        cells = (f"{values[count]:.10g}" if count in values else "-" for count in measured)
        table.add_row(Name(safe.line(short_name(figure.bench)), 4), *cells)
    return table
