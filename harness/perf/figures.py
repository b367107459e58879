"""From the readings of boots to figures. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from harness.perf.model import Attribution, Boot, Figure, FigureChange, Policy, Reading

__all__ = ["figures_of", "seen_again"]

_ROLES = ("base", "patched", "control")
# Above what floating point makes of equal readings.
_EQUAL = 1e-9
# bpf_test_run() rounds what a packet took down, and a profile does not.
_ROUNDING = 1.0


def figures_of(boots: Sequence[Boot], policy: Policy) -> tuple[Figure, ...]:
    """A figure for each bench that any boot knows, in the order of their first appearance."""
    benches = dict.fromkeys(reading.bench for boot in boots for reading in boot.readings)
    return tuple(_figure(bench, boots, policy) for bench in benches)


def seen_again(figures: Sequence[Figure], profiled: Sequence[Attribution], policy: Policy) -> tuple[Figure, ...]:
    """The figures as they are once the boots under the profile are known, which measured what changed once more.

    A figure may take one of two values by a chance that no seed governs, and all boots of one kernel the same one. What
    these boots differ from the first by is noise as well, and what does not exceed it is no change.
    """
    again = {each.bench: each.delta for each in profiled if not each.failure}
    return tuple(
        _doubted(figure, again[figure.bench], policy) if figure.bench in again else figure for figure in figures
    )


def _doubted(figure: Figure, again: float, policy: Policy) -> Figure:
    apart = abs(figure.delta - again)
    if apart <= max(_ROUNDING, figure.noise) or figure.base is None or figure.patched is None:
        return figure
    return replace(figure, noise=apart, change=_change(figure.base, figure.patched, apart, policy.of(figure.bench)))


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
    noise = max(_spread((*medians["base"], *medians["control"])), _spread(medians["patched"]))
    return Figure(bench, unit, _change(base, patched, noise, policy.of(bench)), base, patched, noise, told)


def _change(base: float, patched: float, noise: float, limits: tuple[float, float]) -> FigureChange:
    delta = patched - base
    if abs(delta) <= noise + _EQUAL:
        return FigureChange.SAME
    units, share = limits
    if abs(delta) < units - _EQUAL and abs(delta) < share * base - _EQUAL:
        return FigureChange.SAME
    return FigureChange.WORSE if delta > 0 else FigureChange.BETTER


def _reading(boot: Boot, bench: str) -> Reading:
    found = next((reading for reading in boot.readings if reading.bench == bench), None)
    return found or Reading(bench, failure="it was not run there")


def _missing(role: str, reading: Reading) -> str:
    side = "base" if role == "control" else role
    return f"on {side}: {reading.failure or 'no readings'}"


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values) if values else 0.0
