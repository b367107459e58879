"""Which tests are run again, and with what before them. No guest is booted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trial_values import result, side

from harness.passes import with_those_before
from harness.results import Outcome

PASSED, FAILED, TIMED_OUT = Outcome.PASSED, Outcome.FAILED, Outcome.TIMED_OUT


def wanted(*patched, tests):
    names = dict.fromkeys(each.test for each in patched)
    return with_those_before(
        {"base": side("base", **dict.fromkeys(names, "p")), "patched": side("patched", *patched)}, tests
    )


@pytest.mark.parametrize("outcome", [FAILED, TIMED_OUT, Outcome.CRASHED])
def test_what_ran_before_a_suspect_is_run_before_it_again(outcome):
    ran = (result("a", PASSED), result("b", PASSED), result("c", outcome), result("d", PASSED))
    assert set(wanted(*ran, tests=("c",))) == {"b", "c"}


@pytest.mark.parametrize(
    "before",
    [
        result("b", PASSED, boot="vm1"),
        result("b", PASSED, attempt=2),
        replace(result("b", PASSED), seconds=120.0),
    ],
    ids=["in-another-guest", "in-another-attempt", "a-long-one"],
)
def test_but_not_what_had_nothing_to_do_with_it_or_takes_long(before):
    assert wanted(before, result("c", FAILED), tests=("c",)) == ("c",)


def test_the_first_of_a_guest_has_nothing_before_it():
    assert wanted(result("c", FAILED), result("d", PASSED), tests=("c",)) == ("c",)


def test_a_suspect_that_is_well_is_run_alone():
    assert wanted(result("b", PASSED), result("c", PASSED), tests=("c",)) == ("c",)


def test_of_a_selftest_the_item_before_counts_and_not_its_own_subtests():
    ran = (result("b", PASSED), result("t[x]/one", PASSED), result("t[x]/two", FAILED), result("t[x]", FAILED))
    assert set(wanted(*ran, tests=("t[x]",))) == {"t[x]", "b"}
