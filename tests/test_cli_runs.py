"""`ktrial runs` lists what there is, shows a report again, and removes what it is told to."""

import json
import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from harness.cli_runs import app
from harness.errors import ExitCode, UsageError
from harness.memory import opened, remember_run
from harness.memory.recall import known_runs
from harness.report.json import read_result, write_result
from harness.run_result import Environment, Paths, RunResult
from harness.store import list_runs, new_run
from harness.verdict import Verdict, VerdictKind

LINE = "REGRESSION: 1 of 3 tests broke: [bold]xdp_multibuf[/bold]"


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("KTRIAL_MEMORY", raising=False)
    return tmp_path / "runs"


@pytest.fixture
def finished():
    run = new_run(None, "finished")
    verdict = Verdict(ExitCode.REGRESSION, VerdictKind.REGRESSION, LINE)
    now = "2026-01-01T00:00:00+00:00"
    write_result(run.result, RunResult(run.id, now, now, verdict, Environment("0.1"), Paths(str(run.path))))
    return run


@pytest.fixture
def unfinished():
    run = new_run(None, "unfinished")
    run.once("series", int, "i", lambda: 1)
    return run


def ktrial_runs(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "80"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_without_runs_the_list_says_so():
    assert "No runs yet" in ktrial_runs("list")


def test_the_list_has_one_line_for_each_run_in_a_pipe(finished, unfinished):
    lines = ktrial_runs("list").splitlines()
    assert len(lines) == 3
    assert any(finished.id in line and LINE in line for line in lines)
    assert any(unfinished.id in line and "unfinished" in line and "(done: series)" in line for line in lines)


def test_a_line_in_a_pipe_has_no_blanks_at_its_end_and_the_beginning_of_a_long_verdict(finished):
    result = read_result(finished.result)
    long = replace(result.verdict, line=f"REGRESSION: {'x' * 280}")
    write_result(finished.result, replace(result, verdict=long))
    short = new_run(None, "a")
    write_result(short.result, replace(result, run=short.id))
    lines = ktrial_runs("list").splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    assert max(map(len, lines)) <= 160
    assert any(line.endswith("xxx...") for line in lines)
    assert any(line.endswith("x" * 280) for line in ktrial_runs("list", "-v").splitlines())


def test_on_a_terminal_no_id_is_cut(finished, unfinished, monkeypatch):
    """A person copies it from there."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    result = read_result(finished.result)
    write_result(finished.result, replace(result, verdict=replace(result.verdict, line=f"REGRESSION: {'word ' * 50}")))
    for width in (40, 80):
        plain, whole = (
            re.sub(r"\x1b\[[0-9;]*m", "", CliRunner().invoke(app, words, env={"COLUMNS": str(width)}).stdout)
            for words in (["list"], ["list", "-v"])
        )
        assert finished.id in plain
        assert unfinished.id in plain
        assert len(plain.splitlines()) == 4
        assert "REGRESSION: word" in plain
        assert " ".join(whole.split()).count("word") == 50


def test_a_hostile_verdict_is_one_line_of_the_list(finished):
    result = read_result(finished.result)
    for word in ("x\nforged finished 1 MB no regression", "\x1b[2Jx", "[red]x[/] [/nothing]", "a\u202eb", "\t" * 9):
        write_result(finished.result, replace(result, verdict=replace(result.verdict, line=word)))
        shown = ktrial_runs("list")
        assert len(shown.splitlines()) == 2
        assert all(line.isprintable() for line in shown.splitlines())


def test_a_word_between_colons_stays_a_word(finished):
    """`net:key:` is a subject's beginning and `[a:b]` a test's parameters; neither is a picture."""
    result = read_result(finished.result)
    write_result(finished.result, replace(result, verdict=replace(result.verdict, line="net:key: test[a:b:c]")))
    assert ktrial_runs("list").rstrip().endswith("net:key: test[a:b:c]")


def test_the_list_is_there_for_scripts_too(finished, unfinished):
    rows = {row["id"]: row for row in json.loads(ktrial_runs("list", "--json"))}
    assert rows[finished.id]["exit_code"] == 1
    assert (rows[unfinished.id]["exit_code"], rows[unfinished.id]["stage"]) == (None, "series")


def test_a_run_in_progress_is_listed_as_running(unfinished):
    with unfinished.active():
        assert json.loads(ktrial_runs("list", "--json"))[0]["state"] == "running"


def test_show_prints_the_report_again(finished):
    assert LINE in " ".join(ktrial_runs("show", finished.id).split())


def test_show_takes_the_last_run_where_none_is_named(finished):
    assert json.loads(ktrial_runs("show", "--json"))["run"] == finished.id


def test_show_path_is_for_other_commands(finished):
    assert ktrial_runs("show", "--path", finished.id[-4:]) == f"{finished.path}\n"


def test_an_unfinished_run_says_how_to_go_on(unfinished):
    shown = ktrial_runs("show", unfinished.id)
    assert f"ktrial run --resume {unfinished.id}" in shown
    assert "series: done" in shown


def test_a_result_of_another_version_is_a_clear_error(finished):
    finished.result.write_text('{"schema_version": "99"}')
    with pytest.raises(UsageError, match="not a result that this ktrial can read"):
        ktrial_runs("show", finished.id)


def test_rm_removes_what_is_named(finished, unfinished):
    ktrial_runs("rm", finished.id)
    assert [entry.run for entry in list_runs()] == [unfinished]


def test_rm_keeps_the_newest_and_what_is_running():
    made = [new_run(None, f"run {number}") for number in range(4)]
    order = [entry.run for entry in list_runs()]
    with order[-1].active():
        ktrial_runs("rm", "--keep", 1)
        assert [entry.run for entry in list_runs()] == [order[0], order[-1]]
    assert set(order) == set(made)


def test_rm_without_a_run_removes_nothing(finished):
    with pytest.raises(UsageError, match="no run is named"):
        ktrial_runs("rm")
    assert list_runs()


def test_rm_leaves_the_result_in_the_memory_unless_it_is_to_be_forgotten(finished):
    remember_run(read_result(finished.result), print)
    identity = finished.id
    ktrial_runs("rm", identity)
    with opened() as memory:
        assert known_runs(memory) == {identity}
    assert ktrial_runs("rm", "--forget", identity) == f"forgot {identity}\n"
    with opened() as memory:
        assert known_runs(memory) == frozenset()


def test_rm_can_do_both_at_once(finished):
    remember_run(read_result(finished.result), print)
    identity = finished.id
    ktrial_runs("rm", "--forget", identity[-4:])
    with opened() as memory:
        assert known_runs(memory) == frozenset()
    with pytest.raises(UsageError, match="no run"):
        ktrial_runs("rm", "--forget", identity)
