"""From the readings of boots to figures. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean, median

from harness.perf.model import CHANGED, Attribution, Boot, Figure, FigureChange, Policy, Reading

__all__ = ["figures_of", "seen_again"]

_ROLES = ("base", "patched", "control")
# Above what floating point makes of equal readings.
_EQUAL = 1e-9
# bpf_test_run() rounds what a packet took down, and a profile does not.
_ROUNDING = 1.0
# By chance two medians of two boots differ by more than what four differ by once in 25 times, and by more than twice as
# much once in some thousand. A trial has hundreds of figures.
_TIMES = 2.0
# Frames of one buffer take the same path at every size, and vary by the same. A jumbo frame's is another.
_SIZE = re.compile(r"\bsize=(\d+)\b")
_ONE_BUFFER = 1500


def figures_of(boots: Sequence[Boot], policy: Policy) -> tuple[Figure, ...]:
    """A figure for each bench that any boot knows, in the order of their first appearance."""
    benches = dict.fromkeys(reading.bench for boot in boots for reading in boot.readings)
    figures = [_figure(bench, boots, policy) for bench in benches]
    floors: dict[str, float] = {}
    for figure in figures:
        floors[_kin(figure.bench)] = max(figure.noise, floors.get(_kin(figure.bench), 0.0))
    return tuple(_above(figure, floors[_kin(figure.bench)]) for figure in figures)


def _above(figure: Figure, floor: float) -> Figure:
    """With at least so much noise."""
    if figure.change is FigureChange.UNKNOWN or figure.noise >= floor:
        return figure
    lost = abs(figure.delta) <= floor + _EQUAL
    return replace(figure, noise=floor, change=FigureChange.SAME if lost else figure.change)


def _kin(bench: str) -> str:
    """What the benches that vary alike have in common: all but the size of frames of one buffer."""
    return _SIZE.sub(lambda size: "size" if int(size[1]) <= _ONE_BUFFER else size[0], bench)


def seen_again(figures: Sequence[Figure], profiled: Sequence[Attribution], policy: Policy) -> tuple[Figure, ...]:
    """The figures as they are once the boots under the profile are known, which measured what changed once more.

    A figure may take one of two values by a chance that no seed governs, and all boots of one kernel the same one. What
    the two measurements differ by is noise, and each has to be above that and to count by the policy.
    """
    again = {each.bench: each.delta for each in profiled if not each.failure}
    return tuple(
        _doubted(figure, again[figure.bench], policy) if figure.bench in again else figure for figure in figures
    )


def _doubted(figure: Figure, again: float, policy: Policy) -> Figure:
    base, apart = figure.base, abs(figure.delta - again)
    if base is None or figure.change not in CHANGED:
        return figure
    if apart > max(_ROUNDING, figure.noise):
        figure = replace(figure, noise=apart)
    least = min(abs(figure.delta), abs(again) + max(0.0, _ROUNDING - figure.noise))
    if figure.delta * again <= 0 or least <= figure.noise + _EQUAL:  # then the first was chance
        return replace(figure, change=FigureChange.SAME, noise=max(figure.noise, abs(figure.delta)))
    return figure if _counts(least, base, policy.of(figure.bench)) else replace(figure, change=FigureChange.SAME)


def _figure(bench: str, boots: Sequence[Boot], policy: Policy) -> Figure:
    found = {role: [_reading(boot, bench) for boot in boots if boot.role == role] for role in _ROLES}
    missing = [_missing(role, reading) for role in _ROLES for reading in found[role] if not reading.values]
    unit = next((reading.unit for readings in found.values() for reading in readings if reading.values), "")
    medians = {role: tuple(median(each.values) for each in found[role] if each.values) for role in _ROLES}
    told = tuple((role, values) for role, values in medians.items() if values)
    base = median(medians["base"]) if medians["base"] else None
    patched = median(medians["patched"]) if medians["patched"] else None
    scopes = {each.scope for readings in found.values() for each in readings if each.values}
    if len(scopes) > 1:
        missing.append(f"the kernels do not measure the same: {' / '.join(sorted(scopes))}")
    if missing or base is None or patched is None or not medians["control"]:
        why = missing[0] if missing else "no boot measured it on every side"
        return Figure(bench, unit, FigureChange.UNKNOWN, base, patched, boots=told, why=why)
    apart = max(_spread((*medians["base"], *medians["control"])), _spread(medians["patched"]))
    middles = {role: median(map(_middle, (each.values for each in found[role]))) for role in ("base", "patched")}
    noise = _TIMES * max(apart, abs(patched - base - (middles["patched"] - middles["base"])))
    return Figure(bench, unit, _change(base, patched, noise, policy.of(bench)), base, patched, noise, told)


def _change(base: float, patched: float, noise: float, limits: tuple[float, float]) -> FigureChange:
    delta = patched - base
    if abs(delta) <= noise + _EQUAL:
        return FigureChange.SAME
    if not _counts(abs(delta), base, limits):
        return FigureChange.SAME
    return FigureChange.WORSE if delta > 0 else FigureChange.BETTER


def _counts(delta: float, base: float, limits: tuple[float, float]) -> bool:
    units, share = limits
    return delta >= units - _EQUAL or delta >= share * base - _EQUAL


def _middle(values: Sequence[float]) -> float:
    """Mean of the middle half. What shifts every batch shifts it as it does the median.

    Batches may fall into a few groups, for rings and pages have a rhythm of their own. Where the median is at the edge
    of one, a trifle takes it into the next; that it takes this mean nowhere tells it from a change.
    """
    ordered, quarter = sorted(values), len(values) // 4
    return mean(ordered[quarter : len(ordered) - quarter])


def _reading(boot: Boot, bench: str) -> Reading:
    found = next((reading for reading in boot.readings if reading.bench == bench), None)
    return found or Reading(bench, failure="it was not run there")


def _missing(role: str, reading: Reading) -> str:
    side = "base" if role == "control" else role
    return f"on {side}: {reading.failure or 'no readings'}"


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values) if values else 0.0
