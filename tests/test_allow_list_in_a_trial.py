"""An allow-list in a trial that lacks nothing but its guests' kernels: what test_flaky_in_a_trial.py stands in for."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from test_allow_list import PLANTED, written
from test_flaky_in_a_trial import machine, shown, trial  # noqa: F401  # a fixture
from test_journal import WARNING

from harness.allow_list import Allowed, kept_lists, read_lists
from harness.errors import ExitCode
from harness.outcome import conclude
from harness.report.json import read_result
from harness.results import Outcome
from harness.tree import Tree

LOGS = f"""\
import os
import ktrial_pytest

WARNING = {WARNING!r}
LOUD = os.environ.get("STANDS_FOR", "").startswith("patched")
ktrial_pytest.KernelLog.take = lambda self: WARNING if LOUD else ""
"""


@pytest.fixture(autouse=True)
def logs(tmp_path, machine):  # noqa: F811  # the fixture
    """The patched kernel says the same in every test."""
    (tmp_path / "suites" / "standing" / "conftest.py").write_text(LOGS)


def concluded(tmp_path, *allowed: Allowed, passes_at: int = 0):
    now = trial(tmp_path, passes_at=passes_at)
    lists = read_lists([written(tmp_path, *allowed)]) if allowed else ()
    now.invocation = replace(now.invocation, allow_splats=lists)
    now.tree = Tree(tmp_path, "~/linux", "~/linux")
    now._test()
    return conclude(now, None), now.run


def test_without_a_list_the_series_is_blamed_for_the_splat(tmp_path):
    result, _ = concluded(tmp_path)
    assert result.verdict.exit_code is ExitCode.REGRESSION
    assert {test.reason for test in result.comparison.blamed} == {"kernel log: WARNING in xdp_planted"}


def test_with_one_it_is_not_and_the_result_tells_of_it(tmp_path):
    result, run = concluded(tmp_path, PLANTED)
    assert result.verdict.exit_code is ExitCode.NO_REGRESSION
    assert {each.outcome for each in result.patched.results} == {Outcome.PASSED}
    assert all(len(each.excused) == 1 for each in result.patched.results)
    assert read_result(run.result).allow_splats == result.allow_splats
    assert dict(result.asked)["allow_splats"].startswith("quirks.toml ")
    assert "1 splat is allowed: WARNING in xdp_planted" in " ".join(shown(result).split())


def test_an_entry_for_another_splat_changes_nothing(tmp_path):
    result, _ = concluded(tmp_path, Allowed("^RCU stall", "no KVM"))
    assert result.verdict.exit_code is ExitCode.REGRESSION


def test_a_test_that_fails_beside_it_is_blamed_and_reproduced_with_the_runs_own_copy(tmp_path):
    result, run = concluded(tmp_path, PLANTED, passes_at=9)
    assert [test.test for test in result.comparison.blamed] == ["standing/test_it.py::test_flaky"]
    (copy,) = kept_lists(run.path, result.allow_splats)
    assert result.reproduce.count(f"--allow-splats {copy}") == 3
    assert json.loads(run.result.read_bytes())["allow_splats"][0]["entries"][0]["reason"] == PLANTED.reason
