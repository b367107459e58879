"""Figures: what one bench came to on both kernels, and whether that is a change.

Every trial measures the base kernel against itself as well. What these runs of one kernel differ by makes the noise
floor, and nothing below it is called a change.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

__all__ = [
    "QUICK",
    "Attribution",
    "BenchPolicy",
    "Boot",
    "Figure",
    "FigureChange",
    "FunctionChange",
    "Instrument",
    "PatchShare",
    "PatchSteps",
    "Performance",
    "Policy",
    "Reading",
    "Step",
]


QUICK = "quick"
"""The mark of benches of the quick selection (suites/pytest.ini)."""


class Instrument(StrEnum):
    """What reads a figure. An instruction is never called a cycle, nor a nanosecond."""

    ICOUNT = "icount"  # QEMU's TCG counts instructions (harness/perf/icount.py)
    CYCLES = "cycles"  # the guest's PMU, by perf_event_open(2)
    WALL = "wall"  # the guest's clock, where it is time


@dataclass(frozen=True)
class BenchPolicy:
    """What holds for the benches whose names match a pattern, in the way of a shell's."""

    name: str
    units: float
    share: float


@dataclass(frozen=True)
class Policy:
    """When a figure above the noise floor counts: by so many units (insns), or by so much of itself.

    benches: what holds for some of them; the first that matches.
    """

    units: float = 2.0
    share: float = 0.005
    benches: tuple[BenchPolicy, ...] = ()

    def of(self, bench: str) -> tuple[float, float]:
        """Units and share that count for one bench."""
        # Names have brackets, which are no choice of letters here.
        found = (each for each in self.benches if fnmatchcase(bench, each.name.replace("[", "[[]")))
        special = next(found, None)
        return (special.units, special.share) if special else (self.units, self.share)


@dataclass(frozen=True)
class Reading:
    """One bench in one boot. values: one for each batch, in `unit`. failure: why there are none, or "".

    scope: of how much; what has another scope is not compared. clock: the kernel's function that the bench measures
    by, "" where there is none and so no profile."""

    bench: str
    unit: str = ""
    values: tuple[float, ...] = ()
    failure: str = ""
    scope: str = ""
    clock: str = ""


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


CHANGED = (FigureChange.WORSE, FigureChange.BETTER)


@dataclass(frozen=True)
class Figure:
    """One bench on both kernels.

    base, patched: medians over the boots of a side, in `unit`; None where a side gave none. noise: what a difference
    has to exceed, in `unit` (harness/perf/figures.py). boots: the median of each boot by its role, in order of seeds.
    why: what a cell that is missing lacks. interval: where the difference lies with 95 % confidence, of instruments
    that vary.
    """

    bench: str
    unit: str
    change: FigureChange
    base: float | None = None
    patched: float | None = None
    noise: float = 0.0
    boots: tuple[tuple[str, tuple[float, ...]], ...] = ()
    why: str = ""
    interval: tuple[float, float] | None = None

    @property
    def delta(self) -> float:
        """patched - base; 0 where one is missing."""
        return 0.0 if self.base is None or self.patched is None else self.patched - self.base

    @property
    def seen(self) -> float:
        """The smallest difference that could have been seen, in `unit`: one whose whole interval is above the noise."""
        return self.noise + (0.0 if self.interval is None else (self.interval[1] - self.interval[0]) / 2)

    @property
    def share(self) -> float:
        """The difference as a part of base."""
        return self.delta / self.base if self.base else 0.0


@dataclass(frozen=True)
class PatchShare:
    """Of a function's difference, what one patch's lines make. number: the patch's, from 1."""

    number: int
    insns: float


@dataclass(frozen=True)
class FunctionChange:
    """One function that costs more or less. base, patched: insns for a packet, 0 where it does not run.

    lines: difference in data cache lines first touched. calls: entries for a packet, on base and patched.
    why: `inlined into NAME (+9)` where patched runs so many of its instructions in another function and base does not,
    `no longer inlined into NAME (-9)` the other way about; `inlined or gone` where only base's kernel has such a
    function, `new` where only patched has it; else "".
    noise: by how much boots of one kernel differ, in insns. patches: whose lines the difference is of, largest first.
    """

    name: str
    base: float
    patched: float
    lines: float
    calls: tuple[float, float]
    noise: float
    why: str = ""
    patches: tuple[PatchShare, ...] = ()

    @property
    def delta(self) -> float:
        return self.patched - self.base


@dataclass(frozen=True)
class Attribution:
    """Where one bench's difference went. functions: largest difference first. failure: why it is not known, or "".

    delta: insns for a packet, by the profiles. rest: of it, what is in no function's difference: below their noise.
    """

    bench: str
    delta: float = 0.0
    functions: tuple[FunctionChange, ...] = ()
    rest: float = 0.0
    failure: str = ""


@dataclass(frozen=True)
class Step:
    """A change by one patch, `first` == `last`; or by one of several, where no kernel between them could be had."""

    first: int
    last: int
    delta: float


@dataclass(frozen=True)
class PatchSteps:
    """One bench over a series. values: the figure by the number of patches applied, where it was measured.

    steps: what exceeds the figure's noise.
    """

    bench: str
    unit: str
    values: tuple[tuple[int, float], ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Performance:
    """All figures of a run. instrument: what read them. how: in a sentence, with the counts of batches and boots.

    attributions: where the changed figures went, by `profile`; none where that is not known. nowhere: why not, or "".
    profiled: boots of each kernel under it; with one, no function has a noise.
    steps: which patch changed them, where that was asked.
    """

    instrument: str
    how: str
    figures: tuple[Figure, ...] = ()
    policy: Policy = Policy()
    attributions: tuple[Attribution, ...] = ()
    nowhere: str = ""
    steps: tuple[PatchSteps, ...] = ()
    profiled: int = 2

    def of(self, *changes: FigureChange) -> tuple[Figure, ...]:
        return tuple(figure for figure in self.figures if figure.change in changes)
