"""Instruments that vary: a difference has an interval, and what could not be seen is not called the same."""

import os
import random
import sys

import pytest

from harness.perf.model import Boot, FigureChange, Policy, Reading
from harness.perf.paired import ORDER, interval, paired_figures
from harness.places import suites_dir

UNKNOWN = FigureChange.UNKNOWN
BENCH = "xdp_multibuf/bench_test_run.py::bench_nothing[size=64]"


def boots(difference, *, spread, rounds=10, drift=0.0, seed=7, base=100.0):
    """Rounds of boots that cost `base` and `difference` more, each off by up to `spread`, on a host that drifts."""
    chance = random.Random(seed)
    roles = ORDER * rounds
    return [
        Boot(role, number, (Reading(BENCH, "ns/packet", (cost,) * 3),))
        for number, role in enumerate(roles)
        for cost in [base + (difference if role == "patched" else 0) + chance.uniform(-spread, spread) + drift * number]
    ]


def figure(*args, policy=Policy(), **options):  # noqa: B008
    (only,) = paired_figures(boots(*args, **options), policy)
    return only


@pytest.mark.parametrize(
    ("difference", "spread", "change"),
    [
        (0, 0.1, FigureChange.SAME),
        (10, 0.5, FigureChange.WORSE),
        (-10, 0.5, FigureChange.BETTER),
        # It differs, by less than counts.
        (0.2, 0.01, FigureChange.SAME),
        # It may cost 5 or save 5: nobody knows.
        (0, 20, FigureChange.UNKNOWN),
        (5, 30, FigureChange.UNKNOWN),
    ],
)
def test_a_change_is_called_only_where_the_whole_interval_is_one(difference, spread, change):
    found = figure(difference, spread=spread)
    assert found.change is change, found
    assert found.interval[0] <= found.delta <= found.interval[1]


def test_what_cannot_be_told_says_what_could_have_been_seen():
    assert "could not be seen" in figure(0, spread=20).why


def test_a_machine_that_drifts_does_it_to_both():
    assert figure(0, spread=0.05, drift=3.0).change is FigureChange.SAME


@pytest.mark.parametrize("seed", range(40))
def test_a_kernel_is_not_called_different_from_itself(seed):
    assert figure(0, spread=6.0, seed=seed).change not in (FigureChange.WORSE, FigureChange.BETTER)


def test_the_same_readings_give_the_same_interval():
    differences = [1.0, 2.0, 5.0, 3.0, 2.5, 2.0]
    assert interval(differences) == interval(differences)
    assert min(differences) <= interval(differences)[0] <= 2.25 <= interval(differences)[1] <= max(differences)


def test_a_boot_without_a_reading_leaves_it_open():
    broken = boots(0, spread=1)
    broken[5] = Boot(broken[5].role, 5, (Reading(BENCH, failure="no counter of cycles here"),))
    (found,) = paired_figures(broken, Policy())
    assert found.change is FigureChange.UNKNOWN
    assert found.why == "on patched: no counter of cycles here"


def test_boots_out_of_order_are_refused():
    with pytest.raises(ValueError, match="rounds"):
        paired_figures(boots(0, spread=1)[1:], Policy())


def test_a_counter_of_the_kernel_counts_what_the_kernel_does(monkeypatch):
    """By an event that every kernel has, for the machine may have no counter of cycles."""
    monkeypatch.setattr(sys, "path", [str(suites_dir()), *sys.path])
    from pmu import Counter

    try:
        counter = Counter("1:1")  # PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK
    except OSError as error:
        pytest.skip(f"perf_event_open is not for us here: {error}")
    try:
        before = counter.read()
        for _ in range(2000):
            os.getpriority(os.PRIO_PROCESS, 0)
        assert counter.read() > before
    finally:
        counter.close()


@pytest.mark.parametrize("rounds", [3, 5, 6, 8])
def test_an_interval_has_the_difference_as_often_as_it_says(rounds):
    """Of 100 such runs 95, give or take four."""
    chance = random.Random(rounds)
    runs = [interval([chance.gauss(0, 1) for _ in range(rounds)]) for _ in range(100)]
    assert sum(low <= 0 <= high for low, high in runs) >= 91


@pytest.mark.parametrize("rounds", [3, 4, 6])
def test_few_rounds_call_no_more_than_many(rounds):
    chance = random.Random(rounds)
    names = [f"suite/bench_f.py::{number}" for number in range(100)]
    runs = [
        Boot(role, number, tuple(Reading(name, "ns/packet", (100 + chance.gauss(0, 2),)) for name in names))
        for number, role in enumerate(ORDER * rounds)
    ]
    called = [found for found in paired_figures(runs, Policy(units=0, share=0)) if found.change is not UNKNOWN]
    assert called == []


def test_what_could_have_been_seen_is_a_difference_that_is_called():
    """A kernel that costs as much more is called worse, and one that costs half of it is not."""
    unchanged = figure(0, spread=5, policy=Policy(units=0, share=0))
    assert figure(unchanged.seen * 1.5, spread=5, policy=Policy(units=0, share=0)).change is FigureChange.WORSE
    assert figure(unchanged.seen / 2, spread=5, policy=Policy(units=0, share=0)).change is FigureChange.UNKNOWN
