"""Of two kernels with the same code only selftests that differ can tell anything: then they run, however picked."""

from __future__ import annotations

import contextlib
import re
from unittest.mock import MagicMock

import pytest
from selftest_tree import SELFTESTS, commit_tree

from harness.build.model import Identity, Toolchain
from harness.kselftest.model import Installed, Program
from harness.kselftest.select import Selection, select
from harness.kselftest.stage import Selftests, build_sides, with_time_for
from harness.machine.model import Accelerator, Deadlines, GuestSpec
from harness.places import vm_dir
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


def test_a_kernel_with_lockdep_gets_as_much_more_time_as_its_programs_do(tmp_path):
    hangs = Installed(tmp_path, (Program("net", "a.sh", (), 3600.0),), tmp_path)
    guest = GuestSpec(tmp_path, tmp_path, Accelerator.TCG, deadlines=Deadlines(session=3600.0, scale=2.0))
    longer = with_time_for(guest, Selftests(None, hangs, frozenset(), "6.12", checked=True))
    theirs = re.search(r"^_CHECKED_SCALE = ([\d.]+)", (vm_dir() / "ktrial_pytest.py").read_text(), re.MULTILINE)
    assert theirs is not None
    assert longer.deadlines.session == 3600.0 + 3600.0 * 2.0 * float(theirs[1])


@pytest.mark.parametrize(
    ("configs", "checked"),
    [
        (("CONFIG_NET=y\n# CONFIG_LOCKDEP is not set\n", "CONFIG_NET=y\n"), False),
        (("CONFIG_NET=y\nCONFIG_LOCKDEP=y\n", "CONFIG_NET=y\nCONFIG_LOCKDEP=y\n"), True),
        (("CONFIG_NET=y\n", "CONFIG_LOCKDEP=y\n"), True),  # a selftest's own config may ask for it
        (("CONFIG_LOCKDEP_SUPPORT=y\n", "CONFIG_LOCKDEP_CHAINS_BITS=18\n"), False),
    ],
)
def test_whether_a_kernel_is_checked_is_read_off_its_configuration(tmp_path, monkeypatch, configs, checked):
    monkeypatch.setenv("KTRIAL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "vmlinux").touch()
    (tmp_path / "git").mkdir()
    commit = commit_tree(tmp_path / "git")
    base = Base(commit, "tree", BaseReason.HEAD, "why", "6.12")
    kernel = MagicMock(vmlinux=tmp_path / "vmlinux", key="k")
    with contextlib.ExitStack() as hold:
        built = build_sides(
            NAMED,
            repository=tmp_path / "git",
            base=base,
            applied=Applied(base, (), commit, "tree", ()),
            kernels=(kernel, kernel),
            configs=configs,
            toolchain=Toolchain(llvm=False, compiler="gcc", linker="ld", pahole="", ccache=False, digest="t"),
            say=lambda _: None,
            hold=hold,
        )
    assert built.checked == checked


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
