"""Figures by instruments that vary: what a difference is, how sure that is, and what could not have been seen. Pure.

Base and patched boot in turns (ABBA), so that a machine that warms up or fills up does it to both. A round gives one
difference: batches of one boot are no independent readings, for they share its memory and its caches. The interval is
of the median of rounds, by the bootstrap (Efron, 1979) with a fixed seed, so that equal readings give equal words; its
percentiles lie further out than 2.5 and 97.5, by as much as a few rounds tell less than many (Hesterberg, 2015: the
expanded percentile interval). The control is the same sum over boots of one kernel, which do not differ.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist, mean, median, stdev

from harness.perf.model import Boot, Figure, FigureChange, Policy

__all__ = ["ORDER", "interval", "paired_figures", "rounds_told", "unread"]

ORDER = ("base", "patched", "patched", "base")
"""The boots of one round."""

_RESAMPLES = 2000
_CONFIDENCE = 0.95
_SEED = 20240101
_ENOUGH = 6  # differences for a bootstrap: the range of five holds their median with 94 % confidence
_FEW = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """Where the median difference lies, with 95 % confidence.

    Of fewer than six differences not even the range is so sure of their median: theirs is Student's interval of the
    mean, which takes noise for normal, and at least their range.
    """
    if len(differences) < _ENOUGH:
        reach = _student(len(differences) - 1) * stdev(differences) / sqrt(len(differences))
        middle = mean(differences)
        return min(*differences, middle - reach), max(*differences, middle + reach)
    chance = random.Random(_SEED)  # no secret
    medians = sorted(median(chance.choices(differences, k=len(differences))) for _ in range(_RESAMPLES))
    outside = int(_RESAMPLES * _tail(len(differences)))
    return medians[outside], medians[-1 - outside]


def rounds_told(rounds: int) -> str:
    """How figures come of so many rounds."""
    turns = f"{rounds} rounds of base, patched, patched, base"
    return f"{turns}; 95 % intervals; the noise floor is that of boots of one kernel"


def unread(boots: Sequence[Boot]) -> tuple[Figure, ...]:
    """Figures that cannot be told, of every bench of any boot, with the reason of the last, in which none was read."""
    last = boots[-1]
    benches = dict.fromkeys(reading.bench for boot in boots for reading in boot.readings)
    return tuple(
        Figure(bench, "", FigureChange.UNKNOWN, why=f"on {last.role}: {_reading(last, bench)[2]}") for bench in benches
    )


def _tail(count: int) -> float:
    """The part of the bootstrap's medians that is left out at either end."""
    return NormalDist().cdf(-sqrt(count / (count - 1)) * _student(count - 1))


def _student(freedom: int) -> float:
    """The 97.5th percentile of Student's t; from 5 on by its expansion (Abramowitz and Stegun, 26.7.5), to 0.01."""
    if freedom in _FEW:
        return _FEW[freedom]
    z = NormalDist().inv_cdf((1 + _CONFIDENCE) / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / float(freedom) ** power for power, term in enumerate(terms, 1))


def paired_figures(boots: Sequence[Boot], policy: Policy) -> tuple[Figure, ...]:
    """A figure for each bench. boots: whole rounds, in ORDER."""
    size = len(ORDER)
    rounds = [boots[start : start + size] for start in range(0, len(boots), size)]
    if any(tuple(boot.role for boot in each) != ORDER for each in rounds):
        raise ValueError("boots are not in rounds of " + ", ".join(ORDER))
    benches = dict.fromkeys(reading.bench for boot in boots for reading in boot.readings)
    return tuple(_figure(bench, rounds, policy) for bench in benches)


def _figure(bench: str, rounds: Sequence[Sequence[Boot]], policy: Policy) -> Figure:
    read = [[_reading(boot, bench) for boot in each] for each in rounds]
    failures = [f"on {role}: {why}" for each in read for role, (_, _, why) in zip(ORDER, each, strict=True) if why]
    units = {unit for each in read for _, unit, why in each if not why}
    if failures or len(units) != 1:
        return Figure(bench, "", FigureChange.UNKNOWN, why=failures[0] if failures else "its unit differs")
    values = [[value for value, _, _ in each] for each in read]
    base = median(value for each in values for value in (each[0], each[3]))
    low, high = interval([(each[1] + each[2] - each[0] - each[3]) / 2 for each in values])
    delta = median((each[1] + each[2] - each[0] - each[3]) / 2 for each in values)
    noise = _control(values)
    units_, share = policy.of(bench)
    change, why = _judged(low, high, noise, min(units_, share * base))
    told = (
        ("base", tuple(v for each in values for v in (each[0], each[3]))),
        ("patched", tuple(v for each in values for v in (each[1], each[2]))),
    )
    return Figure(bench, units.pop(), change, base, base + delta, noise, told, why, (low, high))


def _reading(boot: Boot, bench: str) -> tuple[float, str, str]:
    """A boot's median, its unit, and why there is none."""
    found = next((reading for reading in boot.readings if reading.bench == bench), None)
    if found is None or not found.values:
        return 0.0, "", (found.failure if found else "") or "it was not run there"
    return median(found.values), found.unit, ""


def _control(values: Sequence[Sequence[float]]) -> float:
    """How far the interval reaches of differences that are none: between the two boots of one kernel in a round.

    Base's boots lie three places apart and patched's one: taken three times, these cancel a drift, as a round's own
    difference does. Divided by the root of 20 they vary as much as it (1 + 1 + 9 + 9 against four quarters).
    """
    same = [((last - first) - 3 * (third - second)) / sqrt(20) for first, second, third, last in values]
    return max(map(abs, interval(same)))


def _judged(low: float, high: float, noise: float, least: float) -> tuple[FigureChange, str]:
    """A change lies, as a whole, above the noise and counts; no change lies, as a whole, below what counts.

    The latter only where a difference that counts would have been seen.
    """
    if low > noise and low >= least:
        return FigureChange.WORSE, ""
    if high < -noise and high <= -least:
        return FigureChange.BETTER, ""
    seen = noise + (high - low) / 2
    if max(abs(low), abs(high)) <= least and seen <= least:
        return FigureChange.SAME, ""
    return FigureChange.UNKNOWN, f"between {low:+.3g} and {high:+.3g}; what is less than {seen:.3g} could not be seen"
