"""Whatever a series, a test or a guest says: the memory keeps it whole, and what is shown of it stays in its place."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from report_whole import whole
from rich.console import Console
from test_report_fuzz import HOSTILE, MESSY, SGR, hostile
from typer.testing import CliRunner

from harness.cli import app
from harness.memory import opened
from harness.memory.identity import written
from harness.memory.past import Window, past_of_bench, past_of_tests
from harness.memory.recall import find, recall
from harness.memory.write import remember
from harness.post.checks import checks_of
from harness.post.model import PatchworkSettings
from harness.report.between import show_explanation, show_versions
from harness.report.past import show_bench, show_many, show_test
from harness.run_result import RunResult
from harness.verdict import Verdict
from harness.versions import between
from harness.why import explain_difference


@pytest.fixture(autouse=True)
def own_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("KTRIAL_MEMORY", str(tmp_path / "m.sqlite"))


def run_of(word: str, number: int) -> RunResult:
    """A run with a stranger's word in all that a stranger can write, were it an imported one."""
    found = hostile(word)
    return replace(
        found,
        run=f"20260102-030{number}-x-000{number}",
        environment=replace(found.environment, compiler=f"{number} {found.environment.compiler}"),
        suites=whole().suites,
    )


def screen(show) -> str:
    """What is on a terminal, without colours."""
    out = io.StringIO()
    show(Console(file=out, width=80, force_terminal=True, color_system="standard", highlight=False))
    return SGR.sub("", out.getvalue())


def check(word: str) -> None:
    one, other = run_of(word, 1), run_of(word, 2)
    with opened() as connection:
        for run in (one, other):
            remember(connection, run)
        kept = recall(connection, one.run)
        names = sorted({written(result.test) for side in (one.base, one.patched) for result in side.results})
        assert sorted({result.test for side in (kept.base, kept.patched) for result in side.results}) == names
        told = [sorted(result.outcome for result in run.patched.results) for run in (kept, one)]
        assert told[0] == told[1]
        assert find(connection, one.run)
        find(connection, word)
        histories = past_of_tests(connection, names, Window(series=word))
        histories = histories or past_of_tests(connection, names, Window())
        benches = [past_of_bench(connection, written(each.bench), Window()) for each in one.performance.figures]
    assert sorted(each.test for each in histories) == names
    views = [lambda console, each=each: show_test(each, console) for each in histories]
    views += [lambda console, each=each: show_bench(each, console) for each in benches]
    views += [lambda console: show_many(histories, console)]
    why = explain_difference(one, other)
    views += [lambda console: show_explanation(why, console, every=True)]
    views += [lambda console: show_versions(between(one, other), why, console, how=word, every=True)]
    for view in views:
        shown = screen(view)
        assert shown.replace("\n", "").replace("\u200d", "").isprintable()
    for state in checks_of(one, PatchworkSettings(target_url="https://ci.example.org/{run}/{suite}")):
        assert state.description.isprintable()
        assert len(state.description) <= 200


@pytest.mark.parametrize("word", HOSTILE, ids=range(len(HOSTILE)))
def test_no_word_is_lost_or_gets_out(word):
    check(word)


@given(MESSY)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
def test_nor_one_that_was_made_up(word):
    check(word)


def test_a_line_of_ten_megabytes_is_remembered_with_its_beginning():
    long = run_of("plain", 1)
    results = tuple(replace(each, reason="x" * 10_000_000, log="y" * 10_000_000) for each in long.patched.results[:1])
    verdict = Verdict(long.verdict.exit_code, long.verdict.kind, "z" * 300)
    long = replace(long, patched=replace(long.patched, results=results), verdict=verdict)
    with opened() as connection:
        remember(connection, long)
        (kept,) = recall(connection, long.run).patched.results
        (history,) = past_of_tests(connection, (kept.test,), Window(side="patched"))
    assert 100 <= len(kept.reason) <= 1000
    assert set(kept.reason) == {"x"}
    assert len(screen(lambda console: show_test(history, console))) < 10_000


@pytest.mark.parametrize("seconds", [1e300, float("inf"), -1.0])
def test_a_duration_that_cannot_be_is_remembered_as_one_that_can(seconds):
    run = run_of("plain", 1)
    results = tuple(replace(each, seconds=seconds) for each in run.patched.results)
    with opened() as connection:
        remember(connection, replace(run, patched=replace(run.patched, results=results)))
        kept = recall(connection, run.run).patched.results
    assert all(0 <= each.seconds <= 366 * 86400 for each in kept)


@pytest.mark.parametrize(
    "word", ["\x1b[2Jx", "x' OR 1=1 --", "%", "_", "*", "[red]x[/]", "x\ny", "\u202ex", "a\udcffb"]
)
def test_what_is_asked_for_is_no_pattern_and_no_statement(word):
    with opened() as connection:
        remember(connection, run_of("plain", 1))
        remember(connection, run_of("plain", 2))
    for asked in (("history", word), ("runs", "why", word, "last"), ("runs", "compare", word)):
        done = CliRunner().invoke(app, [*asked, "--json"], env={"COLUMNS": "80"})
        assert done.exit_code in (0, 1, 2)
        if done.exit_code == 0 and not done.exception:
            json.loads(done.stdout)
        else:
            assert "Traceback" not in done.output
            assert type(done.exception).__name__ in ("UsageError", "SystemExit")
