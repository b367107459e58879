"""Figures in a clause, for a line of verdict."""

from __future__ import annotations

from harness.perf.model import Figure, FigureChange, Performance, Policy

__all__ = ["counts_from", "delta_words", "told_of", "worse_words"]


def counts_from(policy: Policy) -> str:
    """`; by the settings a change counts from 5 units or 1 %`; "" where that is as everybody has it."""
    if policy == Policy():
        return ""
    limits = f"{policy.units:g} units or {100 * policy.share:g} %"
    names = ", ".join(each.name for each in policy.benches)
    special = f"; of {names} from others" if names else ""
    return f"; by the settings a change counts from {limits}{special}"


def delta_words(figure: Figure) -> str:
    """`+31 insns/packet (+4.1%)`."""
    return f"{figure.delta:+.4g} {figure.unit} ({figure.share:+.1%})"


def worse_words(performance: Performance) -> str:
    """`2 of 28 figures worse: NAME +31 insns/packet (+4.1%) (and 1 more)`; "" where none is."""
    worse = sorted(performance.of(FigureChange.WORSE), key=lambda each: -each.share)
    if not worse:
        return ""
    more = f" (and {len(worse) - 1} more)" if len(worse) > 1 else ""
    total = len(performance.figures)
    return f"{len(worse)} of {total} figures worse: {worse[0].bench} {delta_words(worse[0])}{more}"


def told_of(performance: Performance) -> tuple[str, ...]:
    """What else there is to say of figures: `3 figures better`, `1 figure cannot be compared`."""
    better, unknown = performance.of(FigureChange.BETTER), performance.of(FigureChange.UNKNOWN)
    told = [f"{len(better)} {_figures(len(better))} better"] if better else []
    told += [f"{len(unknown)} {_figures(len(unknown))} cannot be compared"] if unknown else []
    return tuple(told) if told or performance.of(FigureChange.WORSE) else ("no figure changed",)


def _figures(count: int) -> str:
    return "figure" if count == 1 else "figures"
