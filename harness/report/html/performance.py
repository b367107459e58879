"""Figures as the page shows them: tables, and the drawings that belong to them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.perf.model import Attribution, Figure, FigureChange, Performance
from harness.report.benches import short_name
from harness.report.html.plots import Curve, Dots, bars, curve_plot, dot_plot
from harness.report.numbers import certainty, delta, difference, reading
from harness.report.where import SMALL, kinds_of, remarks

__all__ = [
    "CurveView",
    "FigureGroup",
    "FigureRow",
    "SpreadView",
    "WhereView",
    "curves_of",
    "groups_of",
    "spreads_of",
    "where_of",
]

_SIZE = re.compile(r"(?:(?<=\[)|(?<=,))(?P<name>size|by|frame)=(?P<value>[^,\]]+)")
_CURVES = 24
_SPREADS = 12
_GROUPS = 12
_FUNCTIONS = 14


@dataclass(frozen=True)
class FigureRow:
    """A figure as a row of a table. bench: its short name; each number as it is read."""

    bench: str
    change: FigureChange
    base: str
    patched: str
    delta: str
    share: str
    noise: str
    interval: str
    why: str


@dataclass(frozen=True)
class FigureGroup:
    """The figures of one file that have one unit."""

    file: str
    unit: str
    rows: tuple[FigureRow, ...]

    @property
    def varies(self) -> bool:
        """Whether the instrument does, so that a difference is known by an interval alone."""
        return any(row.interval for row in self.rows)


@dataclass(frozen=True)
class CurveView:
    """A bench over what it has several of, frames of many sizes say."""

    name: str
    over: str
    plot: Markup
    changed: bool


@dataclass(frozen=True)
class SpreadView:
    """A bench whose boots differ."""

    name: str
    plot: Markup


@dataclass(frozen=True)
class WhereView:
    """One kind of difference. delta: of the figure. rows: a function, its difference and remarks on it."""

    delta: str
    benches: tuple[str, ...]
    rows: tuple[tuple[str, str, str], ...]
    plot: Markup


def groups_of(figures: Sequence[Figure]) -> tuple[FigureGroup, ...]:
    """The figures file by file, in their order."""
    found: dict[tuple[str, str], list[FigureRow]] = {}
    for figure in figures:
        found.setdefault((figure.bench.rpartition("::")[0], figure.unit), []).append(_row(figure))
    return tuple(FigureGroup(file, unit, tuple(rows)) for (file, unit), rows in found.items())


def curves_of(performance: Performance) -> tuple[CurveView, ...]:
    """Every bench that was measured at three sizes or more; those first in which something changed."""
    families: dict[tuple[str, str, str], list[tuple[str, Figure]]] = {}
    for figure in performance.figures:
        if match := _SIZE.search(figure.bench):
            name = figure.bench[: match.start()] + figure.bench[match.end() :]
            families.setdefault((name, match["name"], figure.unit), []).append((match["value"], figure))
    views = [_curve(*key, points) for key, points in families.items() if len(points) >= 3]
    return tuple(sorted(views, key=lambda view: not view.changed)[:_CURVES])


def spreads_of(performance: Performance) -> tuple[SpreadView, ...]:
    """The boots of each figure that varies by itself: all readings of an exact instrument are one point."""
    varying = [figure for figure in performance.figures if figure.noise > 1e-9 and figure.boots]
    varying.sort(key=lambda figure: (figure.change is FigureChange.SAME, -figure.noise))
    return tuple(_spread(figure) for figure in varying[:_SPREADS])


def where_of(performance: Performance) -> tuple[WhereView, ...]:
    """Each kind of difference once, with the functions that it went to and the benches that have it."""
    return tuple(_where(group) for group in kinds_of(performance)[:_GROUPS])


def _row(figure: Figure) -> FigureRow:
    return FigureRow(
        bench=short_name(figure.bench),
        change=figure.change,
        base=reading(figure.base),
        patched=reading(figure.patched),
        delta=_delta(figure),
        share="" if figure.change is FigureChange.UNKNOWN else f"{figure.share:+.1%}",
        noise="" if figure.change is FigureChange.UNKNOWN and figure.interval is None else reading(figure.noise),
        interval=certainty(figure),
        why=figure.why,
    )


def _curve(name: str, over: str, unit: str, points: Sequence[tuple[str, Figure]]) -> CurveView:
    base = Curve("base", tuple(figure.base for _, figure in points))
    patched = Curve("patched", tuple(figure.patched for _, figure in points))
    title = f"{short_name(name)} over {over}: " + "; ".join(
        f"{tick}: base {reading(figure.base)}, patched {reading(figure.patched)}" for tick, figure in points
    )
    changed = any(figure.change in (FigureChange.WORSE, FigureChange.BETTER) for _, figure in points)
    plot = curve_plot(title, [tick for tick, _ in points], (base, patched), unit)
    return CurveView(short_name(name).replace("[]", "").replace(",]", "]").replace("[,", "["), over, plot, changed)


def _spread(figure: Figure) -> SpreadView:
    names = {"control": "base again"}
    medians = {"base": figure.base, "patched": figure.patched}
    rows = []
    for role, values in figure.boots:
        middle = medians.get(role)
        marked = sorted(values)[len(values) // 2] if middle is None else middle
        rows.append(Dots(names.get(role, role), values, marked))
    order = ("base", "base again", "patched")
    rows.sort(key=lambda row: order.index(row.name) if row.name in order else len(order))
    title = f"{short_name(figure.bench)}: the median of each boot, on base, on base again and on patched"
    return SpreadView(short_name(figure.bench), dot_plot(title, rows, figure.unit))


def _where(group: Sequence[Attribution]) -> WhereView:
    first = group[0]
    changes = [change for change in first.functions if abs(change.delta) >= SMALL][:_FUNCTIONS]
    rows = [(change.name, difference(change.delta), "; ".join(remarks(change))) for change in changes]
    drawn = [(change.name, change.delta) for change in changes]
    rest = first.delta - sum(change.delta for change in changes)
    if abs(rest) >= SMALL:
        rows.append(("others", difference(rest), "each less than half an instruction, or below its noise"))
        drawn.append(("others", rest))
    benches = tuple(short_name(each.bench) for each in group)
    title = f"{benches[0]}: " + ", ".join(f"{name} {value}" for name, value, _ in rows)
    return WhereView(difference(first.delta), benches, tuple(rows), bars(title, drawn, "insns/packet"))


def _delta(figure: Figure) -> str:
    if figure.change is FigureChange.UNKNOWN:
        return ""
    return delta(figure.delta)
