"""Of two kernels with the same code only selftests that differ can tell anything: then they run, however picked."""

from __future__ import annotations

import contextlib
from unittest.mock import MagicMock

import pytest
from selftest_tree import SELFTESTS, commit_tree

from harness.build.model import Identity
from harness.kselftest.model import Installed, Program
from harness.kselftest.select import Selection, select
from harness.kselftest.stage import Selftests, with_time_for
from harness.machine.model import Accelerator, Deadlines, GuestSpec
from harness.plan import Invocation, Silent
from harness.store import new_run
from harness.suites import PickedSuite, load_suite
from harness.tree import Applied, Base, BaseReason
from harness.tree.apply import applied_repository
from harness.trial import Trial

COMMENT = {"net/core/filter.c": "/* a comment */\n"}
TEST = {f"{SELFTESTS}/net/plain.sh": "#!/bin/sh\necho fine\n"}
LIBRARY = {"tools/lib/bpf/libbpf.c": "int x;\n"}
NAMED = select(["net/plain.sh"], [])


def test_a_program_that_may_take_an_hour_takes_no_time_from_the_others(tmp_path):
    quick, slow = (Program("net", f"{name}.sh", (), timeout) for name, timeout in (("a", 45.0), ("b", 3600.0)))
    broken = Program("net", "c.sh", (), 9000.0, unbuildable="no such C")
    built = Selftests(None, Installed(tmp_path, (quick, slow, broken), tmp_path), frozenset(), "6.12")
    guest = GuestSpec(tmp_path, tmp_path, Accelerator.TCG, deadlines=Deadlines(session=3600.0, scale=4.0))
    assert with_time_for(guest, built).deadlines == Deadlines(session=3600.0 + 4 * 3600.0, scale=4.0)


@pytest.mark.parametrize(
    ("named", "builds"),
    [
        ((), True),
        (("kselftest/test_kselftest.py::test[net:plain.sh]",), True),
        (("drivers/test_x.py::test_y", "kselftest/test_kselftest.py::test[net:plain.sh]"), True),
        (("drivers/test_x.py::test_y",), False),
        (("none",), False),
    ],
)
def test_selftests_are_built_unless_all_tests_that_are_named_are_of_other_suites(tmp_path, monkeypatch, named, builds):
    monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path))
    trial = Trial(new_run(None, "x"), Invocation(series="x.mbox", cwd=".", tests=named), Silent())
    suites = [load_suite("drivers"), load_suite("kselftest")]
    trial.picked, trial.selection = tuple(PickedSuite(suite, "named") for suite in suites), NAMED
    for name in ("base", "applied", "configs", "toolchain", "patched_kernel"):
        setattr(trial, name, MagicMock())
    built = MagicMock()
    monkeypatch.setattr("harness.trial.build_sides", built)
    monkeypatch.setattr("harness.trial.applied_repository", MagicMock())
    with contextlib.ExitStack() as hold:
        trial._build_selftests(hold)
    assert built.called == builds


@pytest.mark.parametrize(
    ("changes", "selection", "runs"),
    [
        (TEST, NAMED, True),
        (TEST, select([], TEST), True),
        (LIBRARY, NAMED, True),  # what a test is made from differs too
        (COMMENT, NAMED, False),
        (COMMENT, select([], COMMENT), False),
        (TEST, Selection(), False),  # the suite was not picked
    ],
)
def test_selftests_that_a_series_changes_run_on_equal_kernels(tmp_path, monkeypatch, changes, selection, runs):
    monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path))
    trial = Trial(new_run(None, "x"), Invocation(series="x.mbox", cwd="."), Silent())
    repository = applied_repository(trial.run.path / "tree")
    repository.mkdir(parents=True)
    commits = [commit_tree(repository), commit_tree(repository, changes)]
    base = Base(commits[0], "tree", BaseReason.HEAD, "why", "6.12")
    trial.applied = Applied(base, (), commits[1], "tree", tuple(changes))
    trial.selection, trial.identity = selection, Identity(True, ())
    done = []
    for stage in ("_read", "_apply", "_choose", "_configure", "_build", "_build_selftests", "_test"):
        monkeypatch.setattr(trial, stage, lambda *_, stage=stage: done.append(stage))
    for stage in ("_measure", "_find_patches"):
        monkeypatch.setattr(trial, stage, lambda *_: None)
    trial.go()
    assert ("_test" in done) == runs
