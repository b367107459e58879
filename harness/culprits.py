"""Which patch of a series did it: broke a test, or changed a figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.build import Kernel, SeriesBuildError
from harness.compare import BrokenBy, Comparison
from harness.passes import Bench, run_passes, with_those_before
from harness.perf.letters import letter_benches
from harness.perf.measure import measure_one
from harness.perf.model import CHANGED, Figure, FigureChange, PatchSteps, Performance
from harness.perf.steps import Values, measured_steps, medians, steps_of
from harness.plan import Invocation, Observer
from harness.results import Outcome, SideResults
from harness.store import RunFolder
from harness.suites import Suite
from harness.tree import Applied

__all__ = ["Along"]

_MOST_TESTS = 100  # of one patch many tests break alike


@dataclass(frozen=True)
class Along:
    """The kernels along a series. kernel_after: builds, or finds, the one with so many patches."""

    asked: Invocation
    run: RunFolder
    observer: Observer
    applied: Applied
    suites: tuple[Suite, ...]
    kernel_after: Callable[[int], Kernel]

    def costs(self, performance: Performance) -> tuple[PatchSteps, ...]:
        """What the figures that changed are along the series: after every patch, or as few as tell which did it."""
        changed = performance.of(*CHANGED)
        wanted = {figure.bench for figure in changed}
        if self.asked.per_patch:
            wanted |= letter_benches(performance)
        figures = tuple(figure for figure in performance.figures if figure.bench in wanted and not figure.why)
        only = _with_neighbours(figures, performance)
        known = measured_steps(figures, self._count, lambda count: self._cost(count, only), every=self.asked.per_patch)
        return steps_of(figures, known)

    def broken(self, comparison: Comparison, bench: Bench, sides: Mapping[str, SideResults]) -> tuple[BrokenBy, ...]:
        """The patches after which tests fail that did not before. A test counts as broken where it fails twice.

        sides: what was compared; it tells behind which others tests failed.
        """
        tests = tuple(dict.fromkeys(change.test for change in comparison.blamed))[:_MOST_TESTS]
        # A test is a figure that is 0, and 1 once it is broken.
        figures = tuple(Figure(test, "", FigureChange.WORSE, 0.0, 1.0) for test in tests)
        ran = with_those_before(sides, tests)
        known = measured_steps(
            figures, self._count, lambda count: self._outcomes(count, tests, ran, bench), every=False
        )
        found: dict[tuple[int, int], list[str]] = {}
        for each in steps_of(figures, known):
            for step in each.steps:
                if step.delta > 0:
                    found.setdefault((step.first, step.last), []).append(each.bench)
        subjects = {patch.number: patch.subject for patch in self.applied.patches}
        numbers = [patch.number for patch in self.applied.patches]
        return tuple(
            BrokenBy(numbers[first - 1], numbers[last - 1], subjects[numbers[last - 1]], tuple(broken))
            for (first, last), broken in sorted(found.items())
        )

    @property
    def _count(self) -> int:
        return len(self.applied.patches)

    def _kernel(self, count: int) -> Kernel | None:
        patch = self.applied.patches[count - 1]
        name = f"patch {patch.number}/{self._count} ({patch.subject})"
        self.observer.stage("bisect", f"the kernel after {name}")
        try:
            return self.kernel_after(count)
        except SeriesBuildError as error:
            self.observer.stage("bisect", f"there is none after {name}: {error.summary}")
            return None

    def _cost(self, count: int, only: tuple[str, ...]) -> Values:
        """What some benches come to after the first `count` patches; {} where there is no such kernel."""
        kernel = self._kernel(count)
        if kernel is None:
            return {}
        role = f"patch-{count}"
        return medians(
            measure_one(self.asked, self.suites, kernel.image, self.run, self.observer, role=role, only=only)
        )

    def _outcomes(self, count: int, tests: tuple[str, ...], ran: tuple[str, ...], bench: Bench) -> Values:
        """1 for what fails after the first `count` patches, 0 for what does not; without what was not run.

        ran: the tests, and others that are only run before them.
        """
        kernel = self._kernel(count)
        if kernel is None:
            return {}
        side = self._side(f"patch-{count}", kernel, ran, bench)
        first = {test: broken for test, broken in _broken(side).items() if test in tests}
        bad = with_those_before({side.side: side}, tuple(test for test, broken in first.items() if broken))
        again = _broken(self._side(f"patch-{count}-again", kernel, bad, bench)) if bad else {}
        return {test: float(broken and again.get(test, True)) for test, broken in first.items()}

    def _side(self, name: str, kernel: Kernel, tests: Sequence[str], bench: Bench) -> SideResults:
        only = replace(bench, only=tuple(tests), keyword="", label=name)
        return run_passes(only, {name: kernel.image}, self.run, self.observer)[name]


def _with_neighbours(figures: Sequence[Figure], performance: Performance) -> tuple[str, ...]:
    """Benches to measure for some figures: all of their files, in order, as on base and patched.

    What ran before on a device shifts a figure by an instruction or two, which would be a step of the series.
    """
    files = {figure.bench.partition("::")[0] for figure in figures}
    return tuple(figure.bench for figure in performance.figures if figure.bench.partition("::")[0] in files)


def _broken(side: SideResults) -> dict[str, bool]:
    """A kernel that does not boot fails nothing here: it has no results."""
    return {result.test: result.outcome.bad for result in side.results if result.outcome is not Outcome.LOST}
