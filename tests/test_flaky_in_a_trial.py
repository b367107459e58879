"""Flakiness that the memory knows, in a trial that lacks nothing but its guests' kernels.

The tests run in this machine's interpreter (guest_of_this_machine.py). The memory, the passes, pytest and its workers,
the journals, the comparison, the verdict and the reports are the real ones.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from memory_samples import finished
from rich.console import Console

from harness.build.model import Kernel
from harness.compare import Change
from harness.errors import ExitCode
from harness.kconfig import Fragment
from harness.machine import session
from harness.memory import opened
from harness.memory.past import Window, past_of_test
from harness.memory.write import remember
from harness.outcome import conclude
from harness.plan import Invocation, Silent
from harness.report.terminal import render
from harness.run_result import SuiteInfo
from harness.store import RunFolder, new_run
from harness.suites import PickedSuite, load_suite, suite_digest
from harness.tree import Base, BaseReason
from harness.trial import Trial

TEST = "standing/test_it.py::test_flaky"
MANIFEST = """\
name = "standing"
summary = "stands in"
covers = ["nothing"]
fragments = ["boot"]
devices = []
default = true
paths = ["x"]
"""
TESTS = """\
import os

def test_flaky():
    side, _, attempt = os.environ["STANDS_FOR"].rpartition("-")
    at = int(os.environ["KERNEL"].rpartition("-")[2])
    assert side == "base" or int(attempt) >= at, "not yet"

def test_well():
    pass
"""


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("KTRIAL_MEMORY", raising=False)
    real = session._gateway
    monkeypatch.setattr(session, "_gateway", lambda *asked: ("tests.guest_of_this_machine", real(*asked)[1]))
    suite = tmp_path / "suites" / "standing"
    suite.mkdir(parents=True)
    (suite / "suite.toml").write_text(MANIFEST)
    (suite / "test_it.py").write_text(TESTS)
    (suite.parent / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib -p no:cacheprovider\n")


def kernel(side: str, folder: Path) -> Kernel:
    return Kernel(side, "6.12.44", "tree", "config", side, folder, (), 0, 0.0, True, folder / "log", f"code of {side}")


def trial(tmp_path: Path, *, passes_at: int, run: RunFolder | None = None) -> Trial:
    """A trial whose kernels are built, one retry asked for. passes_at: the attempt in which patched's test passes."""
    found = Trial(run or new_run(None, "x"), Invocation("x.mbox", str(tmp_path), accelerator="tcg", reruns=1), Silent())
    found.base = Base("b" * 40, "tree", BaseReason.HEAD, "why", "6.12.44")
    found.fragments = (Fragment("boot", Path("boot"), ()),)
    found.picked = (PickedSuite(load_suite("standing", tmp_path / "suites"), "asked for"),)
    found.base_kernel = kernel("base", tmp_path / "passes-at-0")
    found.patched_kernel = kernel("patched", tmp_path / f"passes-at-{passes_at}")
    return found


def flaked_before(tmp_path: Path) -> None:
    """An earlier run, in which the test failed once on base and then passed."""
    suite = SuiteInfo("standing", "", suite_digest(tmp_path / "suites" / "standing"))
    earlier = finished("20260101-0000-earlier-0001", base={"t": "fp"}, suite=suite, fragments=("boot",))
    tests = tuple(replace(each, test=TEST) for each in earlier.base.results)
    with opened() as connection:
        remember(connection, replace(earlier, base=replace(earlier.base, results=tests)))


def sessions(run: RunFolder) -> list[str]:
    return sorted(path.name for path in (run.path / "results").iterdir())


def shown(result) -> str:
    out = io.StringIO()
    render(result, Console(file=out, width=100))
    return out.getvalue()


def test_a_test_that_flaked_before_is_tried_until_it_passes_and_is_not_blamed(tmp_path):
    flaked_before(tmp_path)
    now = trial(tmp_path, passes_at=3)
    now._test()
    assert sessions(now.run) == [f"{side}-{attempt}" for side in ("base", "patched") for attempt in (1, 2, 3)]
    result = conclude(now, None)
    (flaky,) = result.comparison.of(Change.FLAKY)
    assert flaky.test == TEST
    assert [str(each) for each in flaky.patched_outcomes] == ["failed", "failed", "passed"]
    assert [each.extra for each in result.patched.results if each.test == TEST] == [False, False, True]
    assert result.verdict.exit_code is ExitCode.NO_REGRESSION
    assert [known.test for known in result.known_flaky] == [TEST]
    assert "flaky in 1 of 1 base runs before" in " ".join(shown(result).split())
    with opened() as connection:
        history = past_of_test(connection, TEST, Window())
    assert [len(each.outcomes) for each in history.occurrences if each.run == result.run] == [3, 3]


def test_one_of_which_nothing_is_known_is_blamed_after_the_ordinary_attempts(tmp_path):
    now = trial(tmp_path, passes_at=3)
    now._test()
    assert sessions(now.run) == [f"{side}-{attempt}" for side in ("base", "patched") for attempt in (1, 2)]
    result = conclude(now, None)
    assert [test.test for test in result.comparison.blamed] == [TEST]
    assert result.verdict.exit_code is ExitCode.REGRESSION
    assert result.known_flaky == ()


def test_a_resumed_run_makes_no_extra_attempt_twice(tmp_path):
    flaked_before(tmp_path)
    first = trial(tmp_path, passes_at=3)
    first._test()
    journals = {path: path.read_bytes() for path in first.run.path.rglob("journal.jsonl")}
    again = trial(tmp_path, passes_at=3, run=first.run)
    again._test()
    assert {path: path.read_bytes() for path in first.run.path.rglob("journal.jsonl")} == journals
    assert again.comparison == first.comparison
