"""Look for a case on which kernel and model disagree, until a time: by seed, or by Hypothesis."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from xdp_multibuf.case import Case
from xdp_multibuf.generate import Seeded, T, generate
from xdp_multibuf.machine import Limits
from xdp_multibuf.shrink import shrink

__all__ = ["Drawn", "by_hypothesis", "by_seed"]

ROUND = 200  # Hypothesis's examples between two looks at the clock

Says = Callable[[Case], str]


def by_seed(says: Says, limits: Limits, seed: int, end: float) -> Case | None:
    """A small case that fails, None where time is up first."""
    source = Seeded(seed * 1000)  # apart from the seeds of test_model.py
    while time.monotonic() < end:
        case = generate(source, limits)
        if says(case):
            return shrink(case, lambda other: bool(says(other)))
    return None


class Drawn:
    """Choices that Hypothesis makes, and so knows how to shrink."""

    def __init__(self, draw: Callable[[Any], Any], strategies: Any) -> None:
        self._draw, self._strategies = draw, strategies

    def integer(self, low: int, high: int) -> int:
        return int(self._draw(self._strategies.integers(low, high)))

    def choice(self, values: Sequence[T]) -> T:
        return values[self.integer(0, len(values) - 1)]


def by_hypothesis(says: Says, limits: Limits, seed: int, end: float) -> Case | None:
    """The same from Hypothesis, a round at a time. Its import costs an emulated guest some seconds."""
    import hypothesis

    strategies = hypothesis.strategies
    made = strategies.composite(lambda draw: generate(Drawn(draw, strategies), limits))()
    failing: list[Case] = []
    checks = list(hypothesis.HealthCheck)
    options = hypothesis.settings(max_examples=ROUND, deadline=None, database=None, suppress_health_check=checks)

    @options
    @hypothesis.given(made)
    def agree(case: Case) -> None:
        if says(case):
            failing.append(case)
            raise AssertionError

    while time.monotonic() < end:
        try:
            hypothesis.seed(seed)(agree)()
        except (AssertionError, hypothesis.errors.Flaky):
            if not failing:
                raise
            return failing[-1]  # the smallest: Hypothesis runs it once more at the end, and says where that was well
        seed += 1
    return None
