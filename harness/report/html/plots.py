"""Drawings of figures and of time as inline SVG. Pure: from values to elements, coloured by the page's style alone.

No drawing is the only place of a figure: each has its table beside it, and is labelled for those who do not see it.
Base and patched differ in the shape of their marks and in the line's dashes as well as in colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from xml.etree import ElementTree as ET

from markupsafe import Markup

from harness.report import safe
from harness.report.numbers import clock
from harness.report.timeline import SpanKind, Timeline

__all__ = ["Curve", "Dots", "bars", "curve_plot", "dot_plot", "timeline_plot"]

_LETTER = 6.6  # units a letter of the labels is wide, at the style's 11 units
_ROW = 22
_WIDTH = 720


@dataclass(frozen=True)
class Curve:
    """One line of a plot. values: by the place on the horizontal axis; None where there is none."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Dots:
    """A row of readings. marked: their median."""

    name: str
    values: tuple[float, ...]
    marked: float


def curve_plot(title: str, ticks: Sequence[str], curves: Sequence[Curve], unit: str) -> Markup:
    """Curves over named places, from zero: what is twice as high costs twice as much."""
    left, right, top, bottom, width, height, inset = 52.0, 12.0, 12.0, 52.0, 360.0, 212.0, 10.0
    svg = _svg(width, height, title)
    highest = max((value for curve in curves for value in curve.values if value is not None), default=1.0)
    steps = _round_steps(0.0, highest)
    span = (width - left - right - 2 * inset) / max(len(ticks) - 1, 1)

    def x(place: int) -> float:
        return left + inset + place * span

    def y(value: float) -> float:
        return height - bottom - (height - top - bottom) * value / steps[-1]

    for step in steps:
        _add(svg, "line", "grid", x1=left, x2=width - right, y1=y(step), y2=y(step))
        _text(svg, left - 6, y(step) + 4, f"{step:g}", anchor="end")
    for at, row, tick in _legible([x(place) for place in range(len(ticks))], ticks, width - 2):
        _text(svg, at, height - bottom + 16 + row * 12, tick, anchor="middle")
    _text(svg, left, height - 6, unit, kind="unit")
    for number, curve in enumerate(curves):
        known = [(x(place), y(value)) for place, value in enumerate(curve.values) if value is not None]
        points = " ".join(f"{at:.1f},{up:.1f}" for at, up in known)
        _add(svg, "polyline", f"curve s{number}", points=points)
        for place, value in enumerate(curve.values):
            if value is not None:
                mark = _mark(svg, number, x(place), y(value))
                _tip(mark, f"{curve.name}, {ticks[place]}: {value:.10g} {unit}")
    return _markup(svg)


def dot_plot(title: str, rows: Sequence[Dots], unit: str) -> Markup:
    """Every reading of each row on one scale, and a bar at its median: how far they spread, and whether they part."""
    labels = max((len(row.name) for row in rows), default=0) * _LETTER + 12
    height = len(rows) * _ROW + 34.0
    svg = _svg(_WIDTH, height, title)
    values = [value for row in rows for value in row.values]
    steps = _round_steps(min(values, default=0.0), max(values, default=1.0), 5)
    low, reach = steps[0], steps[-1] - steps[0] or 1.0

    def x(value: float) -> float:
        return labels + (_WIDTH - labels - 30) * (value - low) / reach

    for step in steps:
        _add(svg, "line", "grid", x1=x(step), x2=x(step), y1=4, y2=height - 30)
        _text(svg, x(step), height - 16, f"{step:g}", anchor="middle")
    _text(svg, _WIDTH - 4, height - 3, unit, anchor="end", kind="unit")
    for at, row in enumerate(rows):
        middle = at * _ROW + _ROW / 2 + 4
        number = int(row.name.endswith("patched"))
        _text(svg, labels - 8, middle + 4, row.name, anchor="end")
        for value in row.values:
            _tip(_mark(svg, number, x(value), middle), f"{row.name}: {value:.10g} {unit}")
        _add(svg, "line", f"median s{number}", x1=x(row.marked), x2=x(row.marked), y1=middle - 9, y2=middle + 9)
    return _markup(svg)


def bars(title: str, rows: Sequence[tuple[str, float]], unit: str) -> Markup:
    """Differences to both sides of zero: what costs more to the right, what costs less to the left."""
    labels = max((min(len(name), 48) for name, _ in rows), default=0) * _LETTER + 12
    room = 58.0  # of a number beside a bar
    reach = max((abs(value) for _, value in rows), default=0.0) or 1.0
    less = max((-value for _, value in rows), default=0.0)
    more = max((value for _, value in rows), default=0.0)
    left = labels + (room if less > 0 else 0)
    scale = (_WIDTH - left - room) / ((max(less, 0) + max(more, 0)) or reach)
    zero = left + max(less, 0) * scale
    svg = _svg(_WIDTH, len(rows) * _ROW + 8.0, title)
    for at, (name, value) in enumerate(rows):
        top = at * _ROW + 6
        _text(svg, labels - 8, top + 12, name if len(name) <= 48 else f"{name[:47]}…", anchor="end")
        length = max(abs(value) * scale, 1.0)
        worse = value > 0
        bar = _add(
            svg, "rect", f"bar {'worse' if worse else 'better'}", x=zero if worse else zero - length, y=top,
            width=length, height=_ROW - 8
        )  # fmt: skip
        _tip(bar, f"{name}: {value:+.6g} {unit}")
        end = zero + length + 5 if worse else zero - length - 5
        _text(svg, end, top + 12, f"{round(value, 1):+g}", anchor="start" if worse else "end")
    _add(svg, "line", "axis", x1=zero, x2=zero, y1=2, y2=len(rows) * _ROW + 6)
    return _markup(svg)


def timeline_plot(title: str, timeline: Timeline) -> Markup:
    """A line for each lane, a bar for each span."""
    lanes = list(dict.fromkeys(span.lane for span in timeline.spans))
    labels = max((len(lane) for lane in lanes), default=0) * _LETTER + 12
    width, height = 960.0, len(lanes) * _ROW + 30.0
    svg = _svg(width, height, title)
    whole = timeline.seconds or 1.0

    def x(seconds: float) -> float:
        return labels + (width - labels - 20) * seconds / whole

    for step in _round_times(whole):
        _add(svg, "line", "grid", x1=x(step), x2=x(step), y1=2, y2=height - 24)
        _text(svg, x(step), height - 10, _clock(step), anchor="middle")
    for at, lane in enumerate(lanes):
        _text(svg, labels - 8, at * _ROW + 17, lane, anchor="end")
    for span in timeline.spans:
        top = lanes.index(span.lane) * _ROW + 5
        least = 2.0 if span.kind is SpanKind.BAD else 1.0
        bar = _add(
            svg, "rect", f"span {span.kind}", x=x(span.begin), y=top, height=_ROW - 6,
            width=max(x(span.end) - x(span.begin), least)
        )  # fmt: skip
        _tip(bar, f"{span.what}: {_clock(span.begin)} to {_clock(span.end)}")
        if x(span.end) - x(span.begin) > len(span.what) * _LETTER + 8 and span.kind is not SpanKind.BAD:
            _text(svg, x(span.begin) + 4, top + 12, span.what, kind="inside")
    return _markup(svg)


def _svg(width: float, height: float, title: str) -> ET.Element:
    svg = ET.Element("svg", viewBox=f"0 0 {width:g} {height:g}", width=f"{width:g}", height=f"{height:g}", role="img")
    svg.set("aria-label", safe.line(title))
    return svg


def _add(parent: ET.Element, tag: str, kind: str, **attributes: float | str) -> ET.Element:
    shown = {name: value if isinstance(value, str) else f"{value:.1f}" for name, value in attributes.items()}
    return ET.SubElement(parent, tag, {"class": kind, **shown})


def _text(svg: ET.Element, x: float, y: float, text: str, *, anchor: str = "start", kind: str = "label") -> None:
    element = _add(svg, "text", kind, x=x, y=y)
    element.set("text-anchor", anchor)
    element.text = safe.line(text, 200)


def _mark(svg: ET.Element, number: int, x: float, y: float) -> ET.Element:
    """A ring for the first of two, a square for the second."""
    if number:
        return _add(svg, "rect", "mark s1", x=x - 3.5, y=y - 3.5, width=7, height=7)
    return _add(svg, "circle", "mark s0", cx=x, cy=y, r=4)


def _tip(element: ET.Element, text: str) -> None:
    ET.SubElement(element, "title").text = safe.line(text, 500)


def _markup(svg: ET.Element) -> Markup:
    return Markup(ET.tostring(svg, encoding="unicode"))  # ElementTree escaped it


def _legible(places: Sequence[float], ticks: Sequence[str], width: float) -> list[tuple[float, int, str]]:
    """(middle, row, label) of as many as have room in two rows: the first, the last, then in order."""
    order = [*dict.fromkeys((0, len(ticks) - 1, *range(len(ticks))))] if ticks else []
    kept: list[tuple[float, int, str]] = []
    for number in order:
        half = len(ticks[number]) * _LETTER / 2
        at = min(places[number], width - half)
        crowded = {row for other, row, told in kept if abs(at - other) < half + len(told) * _LETTER / 2 + 6}
        kept += [(at, row, ticks[number]) for row in (0, 1) if row not in crowded][:1]
    return sorted(kept)


def _round_steps(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers that take in both."""
    if high <= low:
        low, high = (low - 1, high + 1) if low else (0.0, 1.0)
    step = _round_up((high - low) / count)
    first = floor(low / step)
    return [round(step * number, 10) for number in range(first, ceil(high / step) + 1)]


def _round_up(value: float) -> float:
    """The next of 1, 2, 2.5 and 5 with some noughts."""
    size = 10.0 ** floor(log10(value))
    return next(size * lead for lead in (1.0, 2.0, 2.5, 5.0, 10.0) if size * lead >= value * 0.999)


def _round_times(whole: float) -> list[float]:
    rungs = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
    step = next((rung for rung in rungs if whole / rung <= 8), whole / 8)
    return [step * number for number in range(floor(whole / step) + 1)]


def _clock(seconds: float) -> str:
    return clock(round(seconds))
