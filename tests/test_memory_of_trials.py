"""A trial is remembered however it ends, and asks its memory once which tests flake."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from memory_samples import finished

from harness.cli import app
from harness.errors import ApplyError
from harness.kconfig import Fragment
from harness.machine.accel import AcceleratorChoice
from harness.machine.model import Accelerator
from harness.memory import opened
from harness.memory.recall import recall
from harness.memory.write import remember
from harness.outcome import conclude
from harness.plan import Invocation, Silent, chosen_options, option_of
from harness.report.json import read_result
from harness.run_result import SuiteInfo
from harness.store import new_run
from harness.suites import PickedSuite, load_suite, suite_digest
from harness.surroundings import look_around, version_with_commit
from harness.tree import Base, BaseReason
from harness.trial import Trial

SUITE = load_suite("xdp_multibuf")
TEST = "xdp_multibuf/test_frames.py::test_frame"


class Telling(Silent):
    """An observer that keeps what it is told."""

    def __init__(self):
        self.told = []

    def stage(self, name, text):
        self.told.append((name, text))


@pytest.fixture(autouse=True)
def own_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("KTRIAL_MEMORY", raising=False)


@pytest.fixture
def trial():
    return Trial(new_run(None, "x"), Invocation(series="x.mbox", cwd="."), Telling())


def test_a_run_that_an_error_stopped_is_remembered_once_though_it_ends_twice(trial):
    for reason in ("patch 1/2 does not apply", "patch 2/2 does not apply"):
        result = conclude(trial, ApplyError(reason))
    with opened() as connection:
        assert recall(connection, result.run).failure.summary == "patch 2/2 does not apply"
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    assert trial.observer.told == []


def test_a_memory_that_cannot_be_written_is_a_remark(trial, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KTRIAL_MEMORY", str(tmp_path / "file" / "m.sqlite"))
    result = conclude(trial, ApplyError("patch 1/2 does not apply"))
    assert read_result(trial.run.result) == result
    ((stage, text),) = trial.observer.told
    assert stage == "memory"
    assert text.startswith("this run is not remembered: ")


def test_the_result_has_what_was_there_before_the_trial(trial):
    trial.surroundings = replace(look_around(), load=0.25, ktrial="0.1.0 (35803c3b9a12)")
    environment = conclude(trial, ApplyError("x")).environment
    assert (environment.load_before, environment.ktrial) == (0.25, "0.1.0 (35803c3b9a12)")
    assert environment.processors > 0
    assert environment.memory_mib > 100
    assert environment.seed == 0


def test_only_chosen_options_are_told():
    asked = Invocation(series="x", cwd="/", keyword="shrink", tests=("a", "b"), test_deadline=12.5, fuzz_seed=7)
    assert chosen_options(asked) == (("keyword", "shrink"), ("tests", "a, b"), ("test_deadline", "12.5"))
    assert chosen_options(Invocation(series="y", cwd="/tmp", json="-")) == ()


def test_every_option_is_told_by_the_name_that_a_user_types():
    run = typer.main.get_command(app).commands["run"]
    known = {name for parameter in run.params for name in parameter.opts}
    fields = {field.name for field in dataclasses.fields(Invocation)} - {"series", "cwd", "policy"}
    assert {option_of(name) for name in fields} <= known


def test_the_version_names_the_commit_of_a_checkout(tmp_path):
    assert "(" not in version_with_commit(tmp_path)
    (tmp_path / ".git").mkdir()
    assert "(" not in version_with_commit(tmp_path)  # git does not know it


class TestFlakyBefore:
    """What the memory knows goes into the trial, and stays what it was when the trial first asked."""

    @pytest.fixture(autouse=True)
    def asking(self, trial):
        self.trial = trial
        trial.base = Base("b" * 40, "tree", BaseReason.HEAD, "why", "6.12.44")
        trial.accelerator = AcceleratorChoice(Accelerator.TCG, "asked for", "host")
        trial.fragments = (Fragment("boot", Path("boot"), ()),)
        trial.picked = (PickedSuite(SUITE, "asked for"),)

    def remember(self, run="earlier", **fields):
        suite = SuiteInfo(SUITE.name, "", suite_digest(SUITE.directory))
        result = finished(run, base={"t": "pfp"}, suite=suite, **fields)
        tests = tuple(replace(each, test=TEST) for each in result.base.results)
        with opened() as connection:
            remember(connection, replace(result, base=replace(result.base, results=tests)))

    def test_a_test_that_flaked_on_such_a_base_is_known(self):
        self.remember()
        assert list(self.trial._flaky_before()) == [TEST]

    def test_a_resumed_run_goes_by_what_was_known_then(self):
        assert self.trial._flaky_before() == {}
        self.remember()
        assert self.trial._flaky_before() == {}

    def test_where_nothing_can_be_known_the_trial_goes_on(self, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("KTRIAL_MEMORY", str(tmp_path / "file" / "m.sqlite"))
        assert self.trial._flaky_before() == {}
        assert self.trial.observer.told[0][1].startswith("nothing is known of earlier runs: ")


def test_a_suites_version_is_that_of_its_files(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "suite.toml").write_text(f'name = "{name}"\nsummary = "x"\n')
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "x.py").write_text("one")
    digests = [fresh(tmp_path / "a")]
    (tmp_path / "b" / "test_b.py").write_text("another suite's")
    (tmp_path / "a" / "__pycache__").mkdir()
    (tmp_path / "a" / "__pycache__" / "x.pyc").write_text("compiled")
    assert fresh(tmp_path / "a") == digests[0]
    (tmp_path / "a" / "test_a.py").write_text("its own")
    digests.append(fresh(tmp_path / "a"))
    (tmp_path / "shared" / "x.py").write_text("two")
    digests.append(fresh(tmp_path / "a"))
    assert len(set(digests)) == 3


def fresh(directory):
    suite_digest.cache_clear()
    return suite_digest(directory)
