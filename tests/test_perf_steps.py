"""Which patch did it: nothing is measured that cannot tell, and every step is some patch's."""

from rich.console import Console

from harness.perf.model import Boot, Figure, FigureChange, PatchSteps, Performance, Reading, Step
from harness.perf.steps import measured_steps, medians, steps_of
from harness.report.steps import step_lines, steps_table


def figure(bench, base, patched, noise=0.0):
    return Figure(bench, "insns/packet", FigureChange.WORSE, base, patched, noise)


class Series:
    """Kernels that cost so much after each patch, and which of them were built."""

    def __init__(self, *costs, unbuildable=()):
        self.costs, self.unbuildable, self.built = costs, unbuildable, []

    def __call__(self, count):
        self.built.append(count)
        return {} if count in self.unbuildable else {"b": self.costs[count]}

    def steps(self, *, every=False, noise=0.0):
        figures = (figure("b", self.costs[0], self.costs[-1], noise),)
        known = measured_steps(figures, len(self.costs) - 1, self, every=every)
        return steps_of(figures, known)[0]


def test_halving_finds_the_one_patch_in_the_fewest_kernels():
    series = Series(100, 100, 100, 100, 100, 131, 131, 131, 131)
    assert series.steps().steps == (Step(5, 5, 31),)
    assert series.built == [4, 6, 5]


def test_halving_finds_several_patches():
    series = Series(100, 102, 102, 107, 127)
    assert series.steps().steps == (Step(1, 1, 2), Step(3, 3, 5), Step(4, 4, 20))


def test_what_lies_below_the_noise_is_no_step():
    assert Series(100, 101, 100.5, 131).steps(every=True, noise=1.5).steps == (Step(3, 3, 30.5),)


def test_every_patch_is_measured_where_that_is_asked():
    series = Series(100, 100, 100, 131)
    done = series.steps(every=True)
    assert sorted(series.built) == [1, 2]
    assert done.values == ((0, 100), (1, 100), (2, 100), (3, 131))


def test_a_patch_that_gives_no_kernel_shares_the_step_with_the_next():
    assert Series(100, 0, 131, unbuildable=(1,)).steps().steps == (Step(1, 2, 31),)


def test_a_series_of_one_patch_needs_no_more_kernels():
    series = Series(100, 131)
    assert series.steps().steps == (Step(1, 1, 31),)
    assert series.built == []


def test_a_kernel_s_figure_is_the_median_of_its_boots():
    boots = tuple(
        Boot("p", seed, (Reading("b", "u", (value,) * 3), Reading("c", failure="x")))
        for seed, value in enumerate((10.0, 14.0))
    )
    assert medians(boots) == {"b": 12.0}


def test_the_report_names_patches_and_shows_the_way():
    series = Series(100, 104, 131, 131)
    performance = Performance("icount", "", steps=(series.steps(every=True),))
    console = Console(width=80, no_color=True)
    with console.capture() as captured:
        console.print(steps_table(performance))
    lines = [line.rstrip() for line in captured.get().splitlines() if line.strip()]
    assert lines[:3] == [
        "which patch  measured on base and after patch 1, 2, 3; icount, insns/packet",
        "  patch 1: 1 figure, +4 insns/packet",
        "  patch 2: 1 figure, +27 insns/packet",
    ]
    assert lines[-1].split() == ["b", "100", "104", "131", "131"]


def test_figures_of_different_units_are_not_added_up():
    steps = (
        PatchSteps("s/bench_f.py::bench_a", "insns/packet", ((0, 10.0), (1, 14.0), (2, 14.0)), (Step(1, 1, 4.0),)),
        PatchSteps("s/bench_v.py::bench_b", "states", ((0, 10.0), (1, 50.0), (2, 50.0)), (Step(1, 1, 40.0),)),
    )
    assert step_lines(steps) == ["patch 1: 1 figure, +4 insns/packet; 1 figure, +40 states"]
    console = Console(width=80, no_color=True)
    with console.capture() as captured:
        console.print(steps_table(Performance("icount", "", steps=steps)))
    lines = [line.split() for line in captured.get().splitlines() if line.strip()]
    assert lines[0][-1] == "icount"
    assert lines[-2:] == [["a,", "insns/packet", "10", "14", "14"], ["b,", "states", "10", "50", "50"]]
