"""From readings to figures: what is a change, what is noise, and what cannot be told."""

from dataclasses import replace

import pytest
from rich.console import Console
from trial_values import OUTCOMES, result, side

from harness.compare import compare
from harness.errors import ExitCode
from harness.perf.figures import figures_of, seen_again
from harness.perf.model import Attribution, BenchPolicy, Boot, FigureChange, Performance, Policy, Reading
from harness.perf.words import counts_from
from harness.report.figures import performance_table
from harness.results import Outcome
from harness.verdict import VerdictKind, decide

POLICY = Policy(units=2, share=0.005)
NAME = "xdp_multibuf/bench_test_run.py::bench_get_buff_len[size=9000]"


def boots(base, patched, control, *, bench=NAME):
    """Boots whose readings are each number thrice."""
    return [
        Boot(role, seed, (Reading(bench, "insns/packet", (value,) * 3),))
        for role, values in (("base", base), ("patched", patched), ("control", control))
        for seed, value in enumerate(values)
    ]


def figure(*args):
    (only,) = figures_of(boots(*args), POLICY)
    return only


@pytest.mark.parametrize(
    ("base", "patched", "control", "change"),
    [
        ((100, 100), (100, 100), (100, 100), FigureChange.SAME),
        ((100, 100), (102, 102), (100, 100), FigureChange.WORSE),
        ((100, 100), (98, 98), (100, 100), FigureChange.BETTER),
        # 1 of 100 is 1 %, more than the policy's half: it counts although it is less than two units.
        ((100, 100), (101, 101), (100, 100), FigureChange.WORSE),
        # 1 of 1000 is neither two units nor half a percent.
        ((1000, 1000), (1001, 1001), (1000, 1000), FigureChange.SAME),
        ((1000, 1000), (1002, 1002), (1000, 1000), FigureChange.WORSE),
        # Base differs from itself by as much.
        ((100, 100), (110, 110), (110, 100), FigureChange.SAME),
        ((100, 104), (111, 111), (101, 100), FigureChange.WORSE),
        ((100, 104), (110, 110), (101, 100), FigureChange.SAME),
        # So does patched, which may have become unsteady but is not known to be slower.
        ((100, 100), (100, 120), (100, 100), FigureChange.SAME),
    ],
)
def test_a_change_is_above_the_noise_and_the_policy(base, patched, control, change):
    assert figure(base, patched, control).change is change


def test_sizes_of_one_bench_share_their_noise():
    steady = ((1000, 1000), (1003, 1003), (1000, 1000))
    unsteady = ((1000, 1000), (1000, 1000), (1000, 1002))
    names = ["d/b.py::bench_tx[device=veth,size=64]", "d/b.py::bench_tx[device=veth,size=1500]"]
    names += ["d/b.py::bench_tx[device=veth,size=9000]", "d/b.py::bench_drop[device=veth,size=64]"]
    of_each = [boots(*unsteady, bench=names[0]), *(boots(*steady, bench=name) for name in names[1:])]
    whole = [replace(same[0], readings=tuple(boot.readings[0] for boot in same)) for same in zip(*of_each, strict=True)]
    found = figures_of(whole, POLICY)
    assert [each.noise for each in found] == [4, 4, 0, 0]
    assert [each.change for each in found] == [FigureChange.SAME] * 2 + [FigureChange.WORSE] * 2


def test_a_figure_is_the_median_of_its_boots_and_its_batches():
    readings = (Reading(NAME, "insns/packet", (100, 900, 101, 100, 100)),)
    odd = [Boot(role, seed, readings) for role in ("base", "patched", "control") for seed in (1, 2)]
    (only,) = figures_of(odd, POLICY)
    assert (only.base, only.patched, only.noise, only.change) == (100, 100, 0, FigureChange.SAME)
    only = figure((100, 104), (110, 112), (101, 100))
    assert (only.base, only.patched, only.delta, only.noise) == (102, 111, 9, 8)
    assert only.share == pytest.approx(9 / 102)
    assert only.boots == (("base", (100, 104)), ("patched", (110, 112)), ("control", (101, 100)))


def test_no_change_is_called_where_only_the_median_moved():
    """Batches in two groups, as rings make them: one batch more in the upper one, and the median jumps."""
    lower, upper = (3643.0,) * 8 + (3650.0,) * 7, (3643.0,) * 7 + (3650.0,) * 8
    every = [
        Boot(role, seed, (Reading(NAME, "insns/packet", upper if role == "patched" else lower),))
        for role in ("base", "patched", "control")
        for seed in (1, 2)
    ]
    (only,) = figures_of(every, POLICY)
    assert (only.delta, only.change) == (7, FigureChange.SAME)
    assert only.noise > 7
    shifted = tuple(value + 3 for value in lower)
    moved = [replace(boot, readings=(Reading(NAME, "insns/packet", shifted),)) for boot in every[2:4]]
    (only,) = figures_of([*every[:2], *moved, *every[4:]], POLICY)
    assert (only.delta, only.noise, only.change) == (3, 0, FigureChange.WORSE)


@pytest.mark.parametrize(
    ("role", "reading", "why"),
    [
        ("patched", Reading(NAME, failure="AssertionError: returned 0"), "on patched: AssertionError: returned 0"),
        ("control", Reading(NAME, failure="the guest ended: panic"), "on base: the guest ended: panic"),
        ("base", None, "on base: it was not run there"),
    ],
)
def test_a_boot_without_a_reading_leaves_the_figure_unknown(role, reading, why):
    every = boots((100, 100), (100, 100), (100, 100))
    at = next(index for index, boot in enumerate(every) if boot.role == role)
    every[at] = Boot(role, every[at].seed, (reading,) if reading else ())
    (only,) = figures_of(every, POLICY)
    assert (only.change, only.why) == (FigureChange.UNKNOWN, why)


def measured(*figures):
    return Performance("icount", "instructions; medians of 15 batches", figures, POLICY)


def verdict(performance, patched=Outcome.PASSED):
    comparison = compare(side("base", result("t::a", Outcome.PASSED)), side("patched", result("t::a", patched)))
    return decide(comparison, performance=performance)


@pytest.mark.parametrize(
    ("again", "change", "noise"),
    [
        (10.4, FigureChange.WORSE, 0),  # what a packet takes is rounded down
        (8.5, FigureChange.WORSE, 1.5),
        (5.1, FigureChange.WORSE, 4.9),
        (4.9, FigureChange.SAME, 10),
        (0.0, FigureChange.SAME, 10),  # the boots of one kernel happened to agree
        (-10.0, FigureChange.SAME, 20),
    ],
)
def test_a_change_that_the_profile_s_boots_do_not_see_is_noise(again, change, noise):
    (found,) = seen_again([figure((100, 100), (110, 110), (100, 100))], [Attribution(NAME, again)], POLICY)
    assert (found.change, found.noise, found.delta) == (change, noise, 10)


def test_what_the_profile_s_boots_see_counts_by_the_policy_too():
    first = figure((1000, 1000), (1002.9, 1002.9), (1000, 1000.5))
    for again, change in ((1.95, FigureChange.SAME), (2.0, FigureChange.WORSE)):
        (found,) = seen_again([first], [Attribution(NAME, again)], POLICY)
        assert (found.change, found.noise) == (change, 1)


def test_a_profile_that_failed_doubts_nothing():
    before = figure((100, 100), (110, 110), (100, 100))
    assert seen_again([before], [Attribution(NAME, failure="on base: the guest ended")], POLICY) == (before,)
    assert seen_again([before], [], POLICY) == (before,)


def test_a_worse_figure_is_a_regression_and_the_line_names_the_worst():
    worst = figures_of(boots((100, 100), (150, 150), (100, 100), bench="s/bench_b.py::bench_worst"), POLICY)
    said = verdict(measured(figure((100, 100), (110, 110), (100, 100)), *worst))
    assert (said.exit_code, said.kind) == (ExitCode.REGRESSION, VerdictKind.REGRESSION)
    assert said.line == (
        "REGRESSION: 2 of 2 figures worse: s/bench_b.py::bench_worst +50 insns/packet (+50.0%) (and 1 more);"
        " no test broke"
    )


def test_what_got_better_or_stayed_is_told_and_no_regression():
    better, same = figure((100, 100), (90, 90), (100, 100)), figure((100, 100), (100, 100), (100, 100))
    assert verdict(measured(better, same)).line.endswith("; 1 figure better")
    assert verdict(measured(better)).exit_code is ExitCode.NO_REGRESSION
    assert verdict(measured(same)).line.endswith("; no figure changed")


def test_what_cannot_be_compared_is_never_called_unchanged():
    every = boots((100, 100), (100, 100), (100, 100))[:-1]
    said = verdict(measured(*figures_of([*every, Boot("control", 9, ())], POLICY)))
    assert said.exit_code is ExitCode.NO_REGRESSION
    assert said.line.endswith("; 1 figure cannot be compared")


def test_broken_tests_come_before_figures():
    worse = measured(figure((100, 100), (110, 110), (100, 100)))
    said = verdict(worse, patched=Outcome.FAILED)
    assert said.line.startswith("REGRESSION: 1 of 1 test broke: t::a; 1 of 1 figures worse: ")


@pytest.mark.parametrize(
    ("base", "patched", "tests"),
    [
        ((), (), "no test was run"),
        (("s",), ("s",), "the only test was skipped"),
        (("p",), ("l",), "1 test lost by this machine: t::0"),
    ],
)
def test_a_worse_figure_is_a_regression_whatever_tests_are_missing(base, patched, tests):
    sides = [
        side(name, *(result(f"t::{at}", OUTCOMES[letter]) for at, letter in enumerate(letters)))
        for name, letters in (("base", base), ("patched", patched))
    ]
    worse = decide(compare(*sides), performance=measured(figure((100, 100), (110, 110), (100, 100))))
    assert (worse.exit_code, worse.kind) == (ExitCode.REGRESSION, VerdictKind.REGRESSION)
    assert worse.line.startswith("REGRESSION: 1 of 1 figures worse: ")
    assert worse.line.endswith(f"; {tests}")
    same = decide(compare(*sides), performance=measured(figure((100, 100), (100, 100), (100, 100))))
    assert same.exit_code is ExitCode.MACHINE_LOST


def text_of(performance, **how):
    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        console.print(performance_table(performance, **how))
    return captured.get()


def test_the_table_shows_what_changed_and_says_what_does_not_show():
    worse = figure((100, 100), (131, 131), (100, 101))
    same = figures_of(boots((7, 7), (7, 7), (7, 7), bench=f"{NAME[:-5]}64]"), POLICY)
    shown = text_of(measured(worse, *same))
    assert shown.startswith("performance  1 worse, 1 same. icount: instructions; medians of 15 batches")
    assert "get_buff_len[9000]" in shown
    assert " 100 " in shown
    assert " 131 " in shown
    assert "+31" in shown
    assert "+31.0%" in shown
    assert "get_buff_len[64]" not in shown
    assert "get_buff_len[64]" in text_of(measured(worse, *same), every=True)
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_a_long_name_is_broken_before_its_parameters_and_no_line_ends_in_blanks():
    long = "s/b.py::bench_load_bytes_at_the_start[size=linear+14page]"
    boot = boots((100, 100), (131, 131), (100, 101), bench=long)
    shown = text_of(measured(*figures_of(boot, POLICY))).splitlines()
    (at,) = [number for number, line in enumerate(shown) if "load_bytes" in line]
    assert shown[at].startswith("    load_bytes_at_the_start ")
    assert shown[at + 1] == "      [linear+14page]"
    assert [line for line in shown if line != line.rstrip()] == []
    assert all(len(line) <= 80 for line in shown)


def test_where_a_difference_lies_leaves_the_name_its_room():
    varying = replace(figure((100, 100), (131, 131), (100, 101)), interval=(29.5, 32.5), noise=0.5)
    shown = text_of(measured(varying)).splitlines()
    (at,) = [number for number, line in enumerate(shown) if "get_buff_len[9000]" in line]
    assert shown[at].split() == ["get_buff_len[9000]", "100", "131", "+31", "+31.0%", "0.5"]
    assert shown[at + 1] == "      +29.5 to +32.5, seen from"
    assert shown[at + 2].startswith("      ")


@pytest.mark.parametrize("width", [30, 50, 71, 72, 160])
def test_no_width_takes_a_name_or_a_figure_away(width):
    worse = figure((100, 100), (131, 131), (100, 101))
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(performance_table(measured(worse)))
    words = captured.get().split()
    assert {"get_buff_len[9000]", "100", "131", "+31", "+31.0%", "1"} <= set(words)


def test_what_cannot_be_told_is_wrapped_under_itself():
    unknown = replace(figure((1, 1), (1, 1), (1, 1)), change=FigureChange.UNKNOWN, why="words " * 40)
    lines = [line for line in text_of(measured(unknown)).splitlines() if "words" in line or "cannot tell:" in line]
    assert lines[0].startswith("  cannot tell: ")
    assert all(line.startswith("    ") for line in lines[1:])
    assert " ".join(" ".join(lines).split()).endswith("words " * 39 + "words")


def test_all_figures_are_shown_with_the_reasons_of_those_that_cannot_be_told():
    unread = Boot("patched", 1, (Reading(NAME, failure="the guest ended: panic"),))
    figures = figures_of([*boots((100,), (), (100,)), unread], POLICY)
    console = Console(width=100, color_system=None)
    with console.capture() as captured:
        console.print(performance_table(Performance("icount", "", figures), every=True))
    text = " ".join(captured.get().split())
    assert "get_buff_len[9000] 100 - cannot tell" in text
    assert f"cannot tell: {NAME}: on patched: the guest ended: panic" in text


def test_limits_that_are_not_everybody_s_are_told():
    assert counts_from(Policy()) == ""
    assert counts_from(Policy(units=5, share=0.01)) == "; by the settings a change counts from 5 units or 1 %"
    special = Policy(benches=(BenchPolicy("drivers/*", 2, 0.02),))
    assert counts_from(special).endswith("from 2 units or 0.5 %; of drivers/* from others")


def test_a_hostile_name_stays_text():
    hostile = figures_of(boots((1, 1), (9, 9), (1, 1), bench="s/b.py::bench_\x1b[31m[bold]x\n\u202e"), POLICY)
    shown = text_of(measured(*hostile))
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[bold]" in shown


def test_kernels_that_measure_different_things_are_not_compared():
    several = [
        Boot(role, 1, (Reading(NAME, "insns verified", (100.0,), scope=f"{count} programs"),))
        for role, count in (("base", 12), ("patched", 11), ("control", 12))
    ]
    (found,) = figures_of(several, POLICY)
    assert found.change is FigureChange.UNKNOWN
    assert "11 programs / 12 programs" in found.why
