"""Figures: what one bench came to on both kernels, and whether that is a change.

Every trial measures the base kernel twice as often as the patched one. What these runs of one kernel differ by is the
noise floor, and nothing below it is called a change.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Boot", "Figure", "FigureChange", "Performance", "Policy", "Reading"]


@dataclass(frozen=True)
class Policy:
    """When a figure above the noise floor counts: by so many units (insns), or by so much of itself."""

    units: float = 2.0
    share: float = 0.005


@dataclass(frozen=True)
class Reading:
    """One bench in one boot. values: one for each batch, in `unit`. failure: why there are none, or ""."""

    bench: str
    unit: str = ""
    values: tuple[float, ...] = ()
    failure: str = ""


@dataclass(frozen=True)
class Boot:
    """All benches in one boot of one kernel. role: `base`, `patched`, or `control` (base again). seed: of that boot."""

    role: str
    seed: int
    readings: tuple[Reading, ...]


class FigureChange(StrEnum):
    """What became of a figure. Exactly one holds."""

    WORSE = "worse"
    BETTER = "better"
    SAME = "same"  # it differs by no more than the noise floor, or by less than the policy asks for
    UNKNOWN = "cannot-tell"  # one of the kernels gave no reading


@dataclass(frozen=True)
class Figure:
    """One bench on both kernels.

    base, patched: medians over the boots of a side, in `unit`; None where a side gave none. noise: by how much boots of
    one and the same kernel differed, in `unit`. boots: the median of each boot by its role, in order of seeds.
    why: what a cell that is missing lacks.
    """

    bench: str
    unit: str
    change: FigureChange
    base: float | None = None
    patched: float | None = None
    noise: float = 0.0
    boots: tuple[tuple[str, tuple[float, ...]], ...] = ()
    why: str = ""

    @property
    def delta(self) -> float:
        """patched - base; 0 where one is missing."""
        return 0.0 if self.base is None or self.patched is None else self.patched - self.base

    @property
    def share(self) -> float:
        """The difference as a part of base."""
        return self.delta / self.base if self.base else 0.0


@dataclass(frozen=True)
class Performance:
    """All figures of a run. instrument: what read them. how: in a sentence, with the counts of batches and boots."""

    instrument: str
    how: str
    figures: tuple[Figure, ...] = ()
    policy: Policy = Policy()

    def of(self, *changes: FigureChange) -> tuple[Figure, ...]:
        return tuple(figure for figure in self.figures if figure.change in changes)
