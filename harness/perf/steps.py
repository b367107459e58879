"""Which patch did it: the figures after each patch of a series, or after as many as it takes to tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from statistics import median

from harness.perf.model import Boot, Figure, PatchSteps, Step

__all__ = ["Values", "measured_steps", "medians", "steps_of"]

Values = Mapping[str, float]
"""Figures by bench; without those that could not be had."""


def medians(boots: tuple[Boot, ...]) -> Values:
    """One kernel's figures, of all its boots."""
    read: dict[str, list[float]] = {}
    for boot in boots:
        for reading in boot.readings:
            if reading.values:
                read.setdefault(reading.bench, []).append(median(reading.values))
    return {bench: median(values) for bench, values in read.items()}


def measured_steps(
    figures: tuple[Figure, ...], count: int, measure: Callable[[int], Values], *, every: bool
) -> dict[int, Values]:
    """Figures by the number of patches applied, from 0 to `count`; both ends are in `figures`.

    measure: gives what a kernel with so many patches comes to; {} where there is no such kernel. every: after each
    patch; else halving, and nothing is measured between two kernels that cost the same. Two patches whose costs cancel
    out to the digit in every figure hide from that.
    """
    known: dict[int, Values] = {
        0: {figure.bench: figure.base for figure in figures if figure.base is not None},
        count: {figure.bench: figure.patched for figure in figures if figure.patched is not None},
    }

    def between(low: int, high: int) -> None:
        if high - low < 2 or (not every and not _differing(figures, known[low], known[high])):
            return
        middle = (low + high) // 2
        known[middle] = measure(middle)
        between(low, middle)
        between(middle, high)

    between(0, count)
    return known


def _differing(figures: tuple[Figure, ...], before: Values, after: Values) -> bool:
    """A figure that one of them lacks may differ."""
    return any(
        figure.bench not in before
        or figure.bench not in after
        or abs(after[figure.bench] - before[figure.bench]) > figure.noise + 1e-9
        for figure in figures
    )


def steps_of(figures: tuple[Figure, ...], known: Mapping[int, Values]) -> tuple[PatchSteps, ...]:
    """For each figure what it was after which patch, and the steps above its noise."""
    return tuple(
        PatchSteps(figure.bench, figure.unit, _values(figure, known), tuple(_steps(figure, known)))
        for figure in figures
    )


def _values(figure: Figure, known: Mapping[int, Values]) -> tuple[tuple[int, float], ...]:
    return tuple((count, known[count][figure.bench]) for count in sorted(known) if figure.bench in known[count])


def _steps(figure: Figure, known: Mapping[int, Values]) -> Iterator[Step]:
    for (before, low), (after, high) in pairwise(_values(figure, known)):
        if abs(high - low) > figure.noise + 1e-9:
            yield Step(before + 1, after, high - low)
