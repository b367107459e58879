"""The page of what figures take and how far they spread: from what the benchmarks wrote, without a boot."""

from dataclasses import asdict

import pytest

from bench.figures_spread import called_by, spreads_of
from bench.perf_matrix import Timed, over_limits, stages_of
from bench.perf_page import page
from bench.profile_overhead import compare
from harness.perf.model import Boot, Reading

A, B = "s/f.py::bench_a[x]", "s/f.py::bench_b[x]"
PLAIN = [{A: 100.0, B: 200.0}, {A: 100.0, B: 202.0}]
UNDER = [{A: 100.0, B: 201.0}, {A: 100.0, B: 202.2}]
EVENTS = """\
2026-01-01T10:00:00+00:00 tests-1: begins
2026-01-01T10:00:10+00:00 tests-1: done
2026-01-01T10:00:10+00:00 perf-base-1-patched-1: begins
2026-01-01T10:00:40+00:00 perf-base-1-patched-1: done
2026-01-01T10:00:40+00:00 where: begins
2026-01-01T10:01:25+00:00 where: done
"""


def boots(*values):
    """Two for each seed."""
    return [
        Boot("boot", 1 + number // 2, (Reading("s/bench_f.py::bench_a[size=64]", "insns/packet", (value,) * 3),))
        for number, value in enumerate(values)
    ]


def timed(selection, seconds):
    return Timed(selection, seconds, (("perf-base-1-patched-1", 30.0), ("where", seconds - 30)), 79, 55, 6, 0.3)


def shown(*values):
    measured = {
        "profile_overhead": {"pairs": [[10.0, 12.0], [10.0, 13.0], [10.0, 12.5]], **asdict(compare(PLAIN, UNDER))},
        "perf_matrix": [asdict(timed("quick", 75.0)), asdict(timed("every", 900.0))],
        "figures_spread": {
            "boots": len(values),
            "trials": 1,
            "called": 0,
            "spreads": [asdict(each) for each in spreads_of(boots(*values))],
        },
    }
    return "\n".join(page(measured, "2 processors"))


def test_a_run_s_journal_tells_how_long_it_measured():
    assert stages_of(EVENTS) == (("perf-base-1-patched-1", 30.0), ("where", 45.0))
    assert stages_of("2026-01-01T10:00:00+00:00 perf-base-1-patched-1: begins\n") == ()


def test_a_selection_that_takes_too_long_is_told():
    assert over_limits([timed("quick", 89), timed("default", 361), timed("every", 900)]) == ["default"]
    assert over_limits([timed("quick", 91), timed("quick", 80), timed("quick", 85)]) == []


def test_equal_seeds_are_compared_to_the_digit():
    (same,) = spreads_of(boots(100, 100, 102, 102))
    assert (same.median, same.spread, same.share, same.equal, same.boots) == (101, 2, 2 / 101, True, 4)
    (other,) = spreads_of(boots(100, 101, 102, 102))
    assert not other.equal


def test_what_the_plugin_changes_is_told_from_what_boots_differ_by():
    compared = compare(PLAIN, UNDER)
    assert (compared.readings, compared.same, compared.furthest, compared.missing) == (2, 1, B, ())
    assert compared.beyond == pytest.approx(0.2 / 201)
    assert compare(PLAIN, PLAIN).beyond == 0
    assert compare(PLAIN, [UNDER[0], {A: 103.0}]).missing == (B,)
    assert compare(PLAIN, [{**UNDER[0], A: 97.0}]).beyond == 0.03


def test_the_page_has_every_figure_and_how_it_came():
    text = shown(100, 100, 102, 102)
    assert "1.250 times as long as one without (1.200 to 1.300, 3 pairs in turns, wall-clock)" in text
    assert "Of 2 readings 1 are the same to the digit" in text
    assert "more than 0.10% beyond those without it, `b[x]`." in text
    assert "| quick | 79 | 55 | 6 | 30 | 45 | 75 | 90 | 0.3 |" in text
    assert "| every | 79 | 55 | 6 | 30 | 870 | 900 | - | 0.3 |" in text
    assert "called no changes" in text
    assert "### s/bench_f.py, insns/packet" in text
    assert "| `a[64]` | 101 | 2 | 1.980 | equal | 4 |" in text


def test_a_trial_of_a_kernel_against_itself_calls_what_a_run_would():
    steady = [100.0] * 12
    assert called_by(boots(*steady)) == []
    at = [number for number, role in enumerate("bpbpc--cbpbp") if role == "p"]
    slower = [110.0 if number in at else 100.0 for number in range(12)]
    (found,) = called_by(boots(*slower))
    assert (found.delta, found.noise) == (10, 0)
    once = [110.0 if number in at[:2] else 100.0 for number in range(12)]
    assert called_by(boots(*once)) == []
