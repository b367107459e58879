"""`ktrial history` tells what a test did in every run: how often, on which kernels, how long, and since when."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_samples import finished
from rich.console import Console
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import UsageError
from harness.flakiness import KnownFlake
from harness.history import Durations, Ending, Occurrence, bench_history, test_history
from harness.memory import opened
from harness.memory.past import Window, past_of_bench, past_of_test
from harness.memory.write import remember
from harness.report.past import show_bench, show_many, show_test
from harness.report.sparks import letters, sparkline
from harness.results import Outcome

GOLDEN = Path(__file__).parent / "golden" / "history"
P, F, S, C, L = Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED, Outcome.CRASHED, Outcome.LOST
test_history.__test__ = False


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    """Six runs of a series on two kernels: a flaky test, one that v2 breaks, one that is new in v2, and a bench."""
    monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("KTRIAL_MEMORY", raising=False)
    with opened() as connection:
        for number in range(6):
            version = 1 if number < 3 else 2
            tests = {"drop[9000]": "p" if number % 3 else "fpp", "shrink": "p", "[bold]skip[/bold]": "s"}
            broken = {**tests, "drop[9000]": "p", "shrink": "p" if version == 1 else "fcf"}
            remember(
                connection,
                finished(
                    f"2026010{number}-0304-shrink-000{number}",
                    started=f"2026-01-0{number + 1}T00:00:00+00:00",
                    base=tests,
                    patched=broken if version == 1 else {**broken, "new": "p"},
                    version=version,
                    kernel="6.12.40" if number < 4 else "6.12.41",
                    code="c0de" if number < 4 else "0dd",
                    figures={"drop": (100, 100 if version == 1 else 107.5)},
                ),
            )
        yield connection


def occurrence(*outcomes, side="base", run="r", started="2026-01-01", kernel="k", version="6.12.40", seconds=0.5):
    return Occurrence(
        run, started, side, version, "c", "a series", 1, outcomes, (seconds,) * len(outcomes), kernel=kernel
    )


def shown(show, what, width):
    out = io.StringIO()
    show(what, Console(file=out, width=width))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("name", "show", "tests"),
    [
        ("flaky", show_test, ["drop[9000]"]),
        ("broken", show_test, ["shrink"]),
        ("many", show_many, ["drop[9000]", "shrink", "[bold]skip[/bold]", "new"]),
        ("bench", show_bench, ["drop"]),
    ],
)
def test_the_history_is_shown_as_it_was(memory, name, show, tests, width):
    """KTRIAL_UPDATE_GOLDEN=1 writes the files anew: look at them before committing."""
    if show is show_bench:
        what = past_of_bench(memory, f"suite/bench_f.py::{tests[0]}", Window())
    else:
        found = [past_of_test(memory, f"suite/f.py::{test}", Window()) for test in tests]
        what = found if show is show_many else found[0]
    text = shown(show, what, width)
    path = GOLDEN / f"{name}-{width}.txt"
    if os.environ.get("KTRIAL_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize(
    ("outcomes", "ending"),
    [
        ((P,), Ending.PASSED),
        ((P, F), Ending.FLAKY),
        ((F, F), Ending.FAILED),
        ((F, C), Ending.CRASHED),
        ((L, P), Ending.PASSED),
        ((L, L), Ending.LOST),
        ((S,), Ending.SKIPPED),
        ((F, S), Ending.FLAKY),
        ((Outcome.TIMED_OUT,), Ending.TIMED_OUT),
        ((Outcome.XFAILED,), Ending.XFAILED),
    ],
)
def test_a_test_ends_in_one_way_by_all_its_attempts(outcomes, ending):
    assert occurrence(*outcomes).ending is ending


def test_occurrences_are_counted_by_kernel_and_side():
    found = test_history(
        "t",
        [
            occurrence(F, F, side="patched", started="2026-01-03", version="6.12.41"),
            occurrence(P, started="2026-01-01"),
            occurrence(P, F, started="2026-01-02", run="s"),
        ],
    )
    assert found.endings == ((Ending.PASSED, 1), (Ending.FLAKY, 1), (Ending.FAILED, 1))
    assert [(each.version, each.side, dict(each.endings)) for each in found.by_kernel] == [
        ("6.12.40", "base", {Ending.PASSED: 1, Ending.FLAKY: 1}),
        ("6.12.41", "patched", {Ending.FAILED: 1}),
    ]
    assert found.first_bad == found.last_bad == found.occurrences[-1]
    assert found.flake == KnownFlake("t", 1, 2, 0, (F,), "2026-01-02")


def test_durations_are_those_of_attempts_that_passed():
    found = test_history("t", [occurrence(P, seconds=second) for second in (1.0, 2.0, 3.0, 4.0, 100.0)])
    assert found.durations == Durations(5, 3.0, 2.0, 4.0)
    assert test_history("t", [occurrence(F, seconds=30.0)]).durations is None
    assert test_history("t", [occurrence(P, seconds=2.0)]).durations == Durations(1, 2.0, 2.0, 2.0)


def test_the_newest_letters_are_kept():
    every = [occurrence(P), occurrence(F), occurrence(P, F), occurrence(C)]
    assert str(letters(every, 10)) == ".F~C"
    assert str(letters(every, 2)) == "…~C"


def test_a_sparkline_has_both_ends_and_a_blank_for_what_is_not_known():
    assert sparkline([1, 2, None, 8], 10) == "▁▂ █"
    assert sparkline([1, 2, None, 8], 2) == " ▁"
    assert sparkline([5, 5], 10) == "▁▁"
    assert sparkline([5, 5], 10, among=[1, 5]) == "██"
    assert sparkline([1, 8], 10, plain=True) == "_#"
    assert sparkline([None], 10) == sparkline([], 10) == ""


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(0, 1e6))), st.integers(1, 50))
def test_a_sparkline_is_as_long_as_its_values(values, most):
    line = sparkline(values, most)
    assert len(line) == (len(values[-most:]) if any(value is not None for value in values[-most:]) else 0)


def ktrial_history(*arguments):
    result = CliRunner().invoke(app, ["history", *arguments], env={"COLUMNS": "100"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_one_test_is_told_at_length_and_several_in_a_line_each():
    assert "last bad" in ktrial_history("f.py::shrink")
    several = ktrial_history("suite/f.py")
    assert "last bad" not in several
    assert several.index("  drop[9000]") < several.index("  new")
    assert "[bold]skip[/bold]" in several


def test_it_is_there_for_scripts():
    told = json.loads(ktrial_history("shrink", "--json", "--side", "patched"))
    (test,) = told["tests"]
    assert test["endings"] == [["passed", 3], ["crashed", 3]]
    assert test["first_bad"]["series"] == "xdp: shrink fragments in one pass"
    assert test["first_bad"]["revision"] == 2
    assert told["benches"] == []


def test_a_bench_has_its_figures():
    told = json.loads(ktrial_history("bench_f.py::drop", "--json"))
    assert [each["patched"] for each in told["benches"][0]["measurements"]] == [100.0] * 3 + [107.5] * 3


def test_what_no_run_has_is_said():
    with pytest.raises(UsageError, match="no test 'grow' in any run"):
        ktrial_history("grow")
    with pytest.raises(UsageError, match="in such runs"):
        ktrial_history("shrink", "--kernel", "5.10")
    with pytest.raises(UsageError, match="there are base and patched"):
        ktrial_history("shrink", "--side", "both")


def test_measurements_come_in_order():
    found = bench_history("b", past_of_bench_reversed())
    assert [each.started for each in found.measurements] == sorted(each.started for each in found.measurements)


def past_of_bench_reversed():
    with opened() as connection:
        return reversed(past_of_bench(connection, "suite/bench_f.py::drop", Window()).measurements)


def test_of_very_many_those_with_most_trouble_are_shown(memory):
    names = [f"t{number:03}" for number in range(80)]
    tests = dict.fromkeys(names, "p") | {"t079": "fff"}
    remember(memory, finished("20270101-0000-many-0001", base=tests, patched=tests))
    shown = ktrial_history()
    assert "t079" in shown
    assert "shrink" in shown
    assert "more with less trouble match" in shown
    told = json.loads(ktrial_history("suite/f.py", "--json"))
    assert len(told["tests"]) == 50
    assert [test["test"] for test in told["tests"]][:1] == ["suite/f.py::shrink"]
