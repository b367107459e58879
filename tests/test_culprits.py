"""Which patch broke a test: found in few kernels, never from one failure alone."""

from pathlib import Path

from trial_values import result, side

from harness import culprits
from harness.build import SeriesBuildError
from harness.compare import BrokenBy, compare
from harness.culprits import Along
from harness.errors import ExitCode
from harness.passes import Bench
from harness.perf.model import Boot, Figure, FigureChange, Performance, Reading
from harness.plan import Invocation, Silent
from harness.results import Outcome
from harness.tree import Applied, AppliedPatch, Base, BaseReason
from harness.verdict import decide

TESTS = ("a", "b", "c")


class Kernels:
    """A series of so many patches. broken: by test, the patch that breaks it; flaky: what fails once at each kernel."""

    def __init__(self, monkeypatch, count, broken, *, flaky=(), unbuildable=()):
        self.count, self.broken, self.flaky, self.unbuildable = count, broken, flaky, unbuildable
        self.built = []
        monkeypatch.setattr(culprits, "run_passes", self.run_passes)

    def kernel_after(self, count):
        if count in self.unbuildable:
            raise SeriesBuildError("does not build", diagnostic=None, target="", patch="")
        self.built.append(count)
        return type("Kernel", (), {"image": count})()

    def run_passes(self, bench, images, *_):
        ((name, count),) = images.items()
        again = name.endswith("-again")
        results = tuple(
            result(test, Outcome.FAILED if self.fails(test, count, again) else Outcome.PASSED) for test in bench.only
        )
        return {name: side(name, *results)}

    def fails(self, test, count, again):
        return count >= self.broken.get(test, 99) or (test in self.flaky and not again)

    def along(self):
        base = Base("0" * 40, "tree", BaseReason.HEAD, "it is HEAD", "6.12")
        patches = tuple(AppliedPatch(n, f"change {n}", str(n), (), "clean") for n in range(1, self.count + 1))
        applied = Applied(base, patches, str(self.count), "tree", ())
        return Along(Invocation("", ""), None, Silent(), applied, (), self.kernel_after)

    def found(self):
        along = self.along()
        bench = Bench(None, Path(), (), 1, 2)
        patched = {test: "f" if test in self.broken else "p" for test in TESTS}
        sides = {"base": side("base", **dict.fromkeys(TESTS, "p")), "patched": side("patched", **patched)}
        return along.broken(compare(sides["base"], sides["patched"]), bench, sides)


def test_each_test_is_broken_by_its_patch(monkeypatch):
    kernels = Kernels(monkeypatch, 8, {"a": 3, "b": 7, "c": 3})
    assert kernels.found() == (
        BrokenBy(3, 3, "change 3", ("a", "c")),
        BrokenBy(7, 7, "change 7", ("b",)),
    )
    assert len(kernels.built) == len(set(kernels.built)) <= 6


def test_a_test_that_fails_once_on_the_way_is_not_broken_there(monkeypatch):
    kernels = Kernels(monkeypatch, 4, {"a": 4}, flaky=("a",))
    assert kernels.found() == (BrokenBy(4, 4, "change 4", ("a",)),)


def test_a_patch_without_a_kernel_shares_the_blame(monkeypatch):
    kernels = Kernels(monkeypatch, 3, {"a": 2}, unbuildable=(1,))
    assert kernels.found() == (BrokenBy(1, 2, "change 2", ("a",)),)


def test_a_series_of_one_patch_needs_no_kernel(monkeypatch):
    kernels = Kernels(monkeypatch, 1, {"a": 1})
    assert kernels.found() == (BrokenBy(1, 1, "change 1", ("a",)),)
    assert kernels.built == []


def test_the_verdict_names_the_patch():
    comparison = compare(side("base", a="p"), side("patched", a="f"))
    said = decide(comparison, broken_by=(BrokenBy(2, 2, "x\x1b[31m: do\nmore", ("a",)),))
    assert said.exit_code is ExitCode.REGRESSION
    assert said.line.startswith("REGRESSION: 1 of 1 test broke: a")
    assert "; 1 by patch 2 (x" in said.line
    assert said.line.isprintable()


def test_a_step_is_measured_among_the_benches_that_base_was_measured_among(monkeypatch):
    """What ran before a bench shifts it; other files have machines of their own."""
    figures = tuple(
        Figure(
            bench, "insns/packet", FigureChange.WORSE if worse else FigureChange.SAME, 100.0, 110.0 if worse else 100.0
        )
        for bench, worse in (("d/bench_a.py::x", False), ("d/bench_a.py::y", True), ("d/bench_b.py::z", False))
    )
    asked = []

    def measure_one(*_, role, only):
        asked.append((role, only))
        return (Boot(role, 1, tuple(Reading(bench, "insns/packet", (100.0,)) for bench in only)),)

    monkeypatch.setattr(culprits, "measure_one", measure_one)
    along = Kernels(monkeypatch, 2, {}).along()
    (steps,) = along.costs(Performance("icount", "", figures))
    assert asked == [("patch-1", ("d/bench_a.py::x", "d/bench_a.py::y"))]
    assert (steps.bench, [(step.first, step.delta) for step in steps.steps]) == ("d/bench_a.py::y", [(2, 10.0)])
