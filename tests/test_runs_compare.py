"""`ktrial runs compare` tells what a series' next version broke and mended, and what each version costs."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_samples import finished, performance_of
from report_samples import SAMPLES
from rich.console import Console
from trial_values import KASAN, WARN, compared, result
from typer.testing import CliRunner

from harness.cli import app
from harness.compare import compare
from harness.errors import UsageError
from harness.memory import opened
from harness.memory.recall import recall
from harness.memory.write import remember
from harness.perf.model import FigureChange
from harness.report.between import show_versions, versions_line
from harness.results import Outcome, SideResults
from harness.versions import Standing, VersionChange, between
from harness.why import explain_difference

GOLDEN = Path(__file__).parent / "golden" / "compare"


def of_letters(base, patched):
    """A run with one test `t`."""
    run = finished()
    comparison = compared(base, patched)
    side = SideResults("patched", (), (), 1.0, True)
    results = tuple(result("t", each) for test in comparison.tests for each in test.patched_outcomes)
    return replace(run, comparison=comparison, patched=replace(side, results=results))


def change(before, after):
    (test, *_) = [*between(of_letters(*before), of_letters(*after)).tests, None]
    return test and (test.change, test.before, test.after)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (("ppp", "fff"), ("p", "p"), (VersionChange.MENDED, Standing.BROKEN, Standing.PASSED)),
        (("p", "p"), ("ppp", "fff"), (VersionChange.BROKE, Standing.PASSED, Standing.BROKEN)),
        (("ppp", "fff"), ("ppp", "ccc"), (VersionChange.STILL_BROKEN, Standing.BROKEN, Standing.BROKEN)),
        (("", ""), ("", "fff"), (VersionChange.BROKE, Standing.ABSENT, Standing.BROKEN)),
        (("p", "p"), ("", ""), (VersionChange.VANISHED, Standing.PASSED, Standing.ABSENT)),
        (("", ""), ("p", "p"), (VersionChange.NEW, Standing.ABSENT, Standing.PASSED)),
        (("p", "p"), ("f", "f"), (VersionChange.OTHER, Standing.PASSED, Standing.BAD)),
        (("ppp", "fff"), ("f", "f"), (VersionChange.OTHER, Standing.BROKEN, Standing.BAD)),
        (("ppp", "fff"), ("ppp", "fpf"), (VersionChange.OTHER, Standing.BROKEN, Standing.FLAKY)),
        (("p", "p"), ("ppp", "sss"), (VersionChange.BROKE, Standing.PASSED, Standing.BROKEN)),
        (("s", "s"), ("p", "p"), (VersionChange.OTHER, Standing.SKIPPED, Standing.PASSED)),
        (("p", "p"), ("p", "l"), (VersionChange.OTHER, Standing.PASSED, Standing.LOST)),
        (("p", "p"), ("f", "p"), None),
        (("f", "f"), ("f", "f"), None),
    ],
)
def test_a_test_is_told_of_by_what_its_run_made_of_it(before, after, expected):
    assert change(before, after) == expected


@settings(deadline=None)
@given(*[st.text("pfcsxl", min_size=1, max_size=3)] * 4)
def test_whoever_is_blamed_later_broke_or_is_still_broken(base, patched, base_then, patched_then):
    after = of_letters(base_then, patched_then)
    found = between(of_letters(base, patched), after)
    broken = {test.test for test in found.of(VersionChange.BROKE, VersionChange.STILL_BROKEN)}
    assert broken == {test.test for test in after.comparison.blamed}
    assert found.same + len(found.tests) == 1


def costs(before, after, **more):
    """What one bench costs over its base in two runs, from (base, patched) pairs."""
    runs = [
        replace(finished(), performance=performance_of({"drop": pair}) if pair else None) for pair in (before, after)
    ]
    found = between(*runs, **more).figures
    return [(each.before, each.after, each.change) for each in found]


def test_figures_are_compared_by_what_each_costs_over_its_own_base():
    assert costs((100, 110), (200, 203)) == [(10, 3, FigureChange.BETTER)]
    assert costs((100, 100), (100, 107)) == [(0, 7, FigureChange.WORSE)]
    assert costs((100, 110), (150, 160.5)) == [(10, 10.5, FigureChange.SAME)]
    assert costs(None, (100, 107)) == [(None, 7, FigureChange.UNKNOWN)]
    assert costs((100, 110), None) == []


def test_figures_of_two_instruments_are_not_compared():
    runs = [replace(finished(), performance=performance_of({"drop": (100, 110)})) for _ in range(2)]
    runs[0] = replace(runs[0], performance=replace(runs[0].performance, instrument="wall"))
    assert between(*runs).figures[0].change is FigureChange.UNKNOWN


def test_splats_are_new_and_gone():
    def with_splat(splat):
        sides = [SideResults(name, (), (), 1.0, True) for name in ("base", "patched")]
        patched = replace(sides[1], results=tuple(result("t", Outcome.FAILED, splats=(splat,)) for _ in range(3)))
        base = replace(sides[0], results=(result("t", Outcome.PASSED),))
        return replace(finished(), comparison=compare(base, patched), base=base, patched=patched)

    found = between(with_splat(WARN), with_splat(KASAN))
    assert (found.log_new, found.log_gone) == ((KASAN.key,), (WARN.key,))


def versions():
    """v8 and v9: one test is mended, one broke, one is new and one gone; one path costs less, one more."""
    tests = {"drop[9000]": "p", "shrink[9000]": "p", "grow": "p", "old": "p", "[bold]x[/bold]": "p"}
    v8 = finished(
        "20260102-0304-shrink-v8-0008",
        base=tests,
        patched={**tests, "shrink[9000]": "fff", "[bold]x[/bold]": "fff"},
        version=8,
        change_id="20260101-shrink-abc",
        figures={"drop": (100, 108), "tx": (250, 251), "pass": (400, 400)},
    )
    later = {name: letters for name, letters in tests.items() if name != "old"} | {"new": "p"}
    v9 = finished(
        "20260109-0304-shrink-v9-0009",
        base=later,
        patched={**later, "grow": "ccc", "[bold]x[/bold]": "fff"},
        version=9,
        change_id="20260101-shrink-abc",
        started="2026-01-09T03:04:05+00:00",
        base_commit="f" * 40,
        kernel="6.12.44",
        figures={"drop": (101, 102), "tx": (250, 262), "pass": (400, 400)},
    )
    return v8, v9


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("every", [False, True])
def test_it_is_shown_as_it_was(width, every):
    """KTRIAL_UPDATE_GOLDEN=1 writes the files anew: look at them before committing."""
    v8, v9 = versions()
    out = io.StringIO()
    console = Console(file=out, width=width)
    show_versions(
        between(v8, v9), explain_difference(v8, v9), console, how="change-id 20260101-shrink-abc", every=every
    )
    text = "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())
    path = GOLDEN / f"v9-{width}{'-all' if every else ''}.txt"
    if os.environ.get("KTRIAL_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
    assert max(map(len, text.splitlines()[1:])) <= width  # the first line is one wherever it goes


def test_one_line_says_it():
    assert versions_line(between(*versions())) == (
        "v9 against v8: 1 broke, 1 still broken, 1 mended, 1 vanished, 1 new, 1 the same;"
        " 1 figure worse, 1 figure better"
    )


@pytest.mark.parametrize("one", SAMPLES)
@pytest.mark.parametrize("other", SAMPLES)
def test_runs_of_every_end_can_be_compared(one, other):
    before, after = SAMPLES[one](), SAMPLES[other]()
    out = io.StringIO()
    show_versions(between(before, after), explain_difference(before, after), Console(file=out, width=80), every=True)
    assert out.getvalue()


class TestTheCommand:
    """The version before is looked for where only one run is named."""

    @pytest.fixture(autouse=True)
    def runs(self, tmp_path, monkeypatch):
        monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path / "runs"))
        monkeypatch.delenv("KTRIAL_MEMORY", raising=False)
        with opened() as connection:
            for run in versions():
                remember(connection, run)
            remember(connection, finished("20250101-0000-other-0001", title="net: other", started="2025-01-01"))

    def compare(self, *arguments):
        done = CliRunner().invoke(app, ["runs", "compare", *arguments], env={"COLUMNS": "100"})
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.stdout

    def test_the_newest_run_is_compared_with_the_version_before(self):
        shown = self.compare()
        assert shown.startswith("v9 against v8: 1 broke")
        assert "the same series by change-id 20260101-shrink-abc" in shown

    def test_two_runs_are_compared_in_the_order_given(self):
        assert self.compare("0009", "0008").startswith("v8 against v9: ")

    def test_a_series_is_named_by_its_subject(self):
        assert self.compare("shrink fragments").startswith("v9 against v8: ")

    def test_what_is_remembered_compares_as_what_was_found(self):
        v8, v9 = versions()
        with opened() as connection:
            recalled = between(recall(connection, v8.run), recall(connection, v9.run))
        found = between(v8, v9)
        assert sorted(recalled.tests, key=lambda test: test.test) == sorted(found.tests, key=lambda test: test.test)
        assert (recalled.same, recalled.figures) == (found.same, found.figures)

    def test_it_is_there_for_scripts(self):
        told = json.loads(self.compare("--json"))
        assert told["same_series_by"] == "change-id 20260101-shrink-abc"
        assert [test["test"] for test in told["tests"] if test["change"] == "broke"] == ["suite/f.py::grow"]
        assert {figure["change"] for figure in told["figures"]} == {"worse", "better", "same"}
        assert [each["what"] for each in told["differences"]][:1] == ["series"]

    def test_a_first_version_says_what_was_looked_for(self):
        with pytest.raises(UsageError, match="no run of an earlier version than net: other v1") as caught:
            self.compare("0001")
        assert "change-id" in caught.value.detail

    def test_a_part_of_two_ids_is_refused(self):
        with pytest.raises(UsageError, match="20260 is a part of the ids of 2 runs"):
            self.compare("20260", "0009")

    def test_a_part_of_two_series_names_is_refused(self):
        with opened() as connection:
            remember(connection, finished("20250101-0000-more-0002", title="net: other things", started="2025-01-02"))
        with pytest.raises(UsageError, match="'net:' is 2 series"):
            self.compare("net:")
