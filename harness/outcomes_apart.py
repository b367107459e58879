"""In what the outcomes of two runs differ, whatever the reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.compare import Change
from harness.perf.model import Performance
from harness.results import Outcome, SideResults
from harness.run_result import RunResult

__all__ = ["Apart", "SideApart", "outcomes_apart"]

_TIMELY = frozenset({Outcome.TIMED_OUT, Outcome.LOST})
_LATE = frozenset({"boot-timeout", "test-timeout", "hang", "lost"})


@dataclass(frozen=True)
class SideApart:
    """One test on one side. a, b: its outcomes in each run, by attempt."""

    test: str
    side: str
    a: tuple[Outcome, ...]
    b: tuple[Outcome, ...]


@dataclass(frozen=True)
class Apart:
    """What differs. kinds: the verdicts' kinds do. sides: tests that ran in both and ended otherwise, patched first.

    only_a, only_b: tests that ran in one of them alone. figures: benches that read otherwise by more than their noise.
    flaky: tests of `sides` whose attempts differ among themselves. timely: time was in it: a deadline, a lost guest.
    same_code: every kernel that both have is the same code. other_code: by side the digests of kernels that are not.
    """

    kinds: bool
    sides: tuple[SideApart, ...] = ()
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    flaky: tuple[str, ...] = ()
    timely: bool = False
    same_code: bool = False
    other_code: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def tests(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.test for each in self.sides))

    @property
    def only(self) -> tuple[str, ...]:
        return (*self.only_a, *self.only_b)

    @property
    def kernels_did(self) -> bool:
        """Something ended otherwise that was run in both."""
        return self.kinds or bool(self.sides or self.figures)

    @property
    def on_base_alone(self) -> bool:
        """The tests that end otherwise do so on base, where no series is applied."""
        return bool(self.sides) and all(each.side == "base" for each in self.sides)

    @property
    def any(self) -> bool:
        return self.kernels_did or bool(self.only)


def outcomes_apart(a: RunResult, b: RunResult) -> Apart:
    """What differs in what two runs found."""
    one, other = _attempts(a), _attempts(b)
    sides = tuple(
        SideApart(test, side, found, other[(side, test)])
        for (side, test), found in one.items()
        if (side, test) in other and set(found) != set(other[(side, test)])
    )
    names = [dict.fromkeys(test for _, test in side) for side in (one, other)]
    codes = {side: digests for side, digests in _codes(a, b).items() if all(digests)}
    different = {side: digests for side, digests in codes.items() if digests[0] != digests[1]}
    return Apart(
        kinds=a.verdict.kind != b.verdict.kind,
        sides=tuple(sorted(sides, key=lambda each: each.side != "patched")),
        only_a=tuple(test for test in names[0] if test not in names[1]),
        only_b=tuple(test for test in names[1] if test not in names[0]),
        figures=tuple(_figures(a.performance, b.performance)),
        flaky=tuple(dict.fromkeys(each.test for each in sides if len(set(each.a)) > 1 or len(set(each.b)) > 1)),
        timely=_timely(a, b, sides),
        same_code=bool(codes) and not different,
        other_code=different,
    )


def _attempts(run: RunResult) -> dict[tuple[str, str], tuple[Outcome, ...]]:
    """By side and test the outcomes of all attempts; lost ones only where there is no other."""
    found: dict[tuple[str, str], list[Outcome]] = {}
    for side in (run.patched, run.base):
        for each in side.results if side else ():
            found.setdefault((side.side if side else "", each.test), []).append(each.outcome)
    return {key: tuple(each for each in told if each is not Outcome.LOST) or tuple(told) for key, told in found.items()}


def _codes(a: RunResult, b: RunResult) -> dict[str, tuple[str, str]]:
    one, other = ({kernel.side: kernel.code_digest for kernel in run.kernels} for run in (a, b))
    return {side: (one[side], other[side]) for side in one if side in other}


def _timely(a: RunResult, b: RunResult, sides: tuple[SideApart, ...]) -> bool:
    """A test ran out of time, a guest did not come up in time or was lost, in one of the runs and not in the other."""
    if any(_TIMELY & (set(each.a) ^ set(each.b)) for each in sides):
        return True
    return _late(a) != _late(b)


def _late(run: RunResult) -> bool:
    booted: tuple[SideResults | None, ...] = (run.base, run.patched)
    lost = run.comparison.of(Change.LOST) if run.comparison else ()
    return bool(lost) or any(boot.end in _LATE for side in booted if side for boot in side.boots)


def _figures(a: Performance | None, b: Performance | None) -> list[str]:
    """Benches that read otherwise on either kernel."""
    if a is None or b is None or a.instrument != b.instrument:
        return []
    old = {figure.bench: figure for figure in a.figures}
    pairs = [(old[figure.bench], figure) for figure in b.figures if figure.bench in old]
    return [
        new.bench
        for before, new in pairs
        if any(
            one is not None and other is not None and abs(one - other) > before.noise + new.noise + 1e-9
            for one, other in ((before.base, new.base), (before.patched, new.patched))
        )
    ]
