"""A test that a series brings proves something only where it fails without the series and passes with it."""

from __future__ import annotations

import io

import pytest
from report_samples import bare
from rich.console import Console

from harness.kselftest.proof import Proof, ProofKind, failing, proof_words, proofs
from harness.machine.journal import collect, item_of
from harness.report.terminal import render
from harness.results import Outcome, SideResults, TestResult

ITEM = "kselftest/test_kselftest.py::test[bpf:test_progs/tail]"


def side(name: str, **outcomes: str) -> SideResults:
    """Results of subtests; several words are several attempts. `item` is the program itself."""
    results = [
        TestResult(ITEM if test == "item" else f"{ITEM}/{test}", Outcome(word), reason=f"{word} here", attempt=at)
        for test, words in outcomes.items()
        for at, word in enumerate(words.split(), 1)
    ]
    return SideResults(name, tuple(results), (), 1.0, True)


@pytest.mark.parametrize(
    ("without", "with_series", "kind"),
    [
        ("failed", "passed", ProofKind.PROVEN),
        ("crashed", "passed", ProofKind.PROVEN),
        ("passed", "passed", ProofKind.PROVES_NOTHING),
        ("failed failed", "failed", ProofKind.FAILS_ON_BOTH),
        ("passed", "failed", ProofKind.BROKEN),
        ("failed passed", "passed", ProofKind.UNSTABLE),
        ("skipped", "passed", ProofKind.NOT_RUN),
        ("lost", "passed", ProofKind.NOT_RUN),
    ],
)
def test_what_each_pair_of_outcomes_shows(without, with_series, kind):
    found = proofs(side("proof", item="passed", a=without), side("base", item="passed"), side("patched", a=with_series))
    assert {proof.test: proof.kind for proof in found}[f"{ITEM}/a"] is kind


def test_tests_that_base_has_too_are_not_new():
    without = side("proof", item="passed", a="passed", b="failed")
    found = proofs(without, side("base", a="passed"), side("patched", b="passed"))
    assert {proof.test[len(ITEM) + 1 :]: proof.new for proof in found if proof.test != ITEM} == {"a": False, "b": True}


def test_what_a_program_leaves_behind_proves_nothing_either_way():
    leaves = TestResult(f"{ITEM}/leaves nothing behind", Outcome.XFAILED)
    sides = [side(name, item="passed") for name in ("proof", "base", "patched")]
    with_it = [SideResults(each.side, (*each.results, leaves), (), 1.0, True) for each in sides]
    assert [proof.test for proof in proofs(*with_it)] == [ITEM]


def test_tests_of_programs_that_the_series_leaves_alone_are_left_out():
    other = TestResult("kselftest/test_kselftest.py::test[bpf:test_progs/other]/x", Outcome.PASSED)
    patched = side("patched", item="passed", a="passed")
    patched = SideResults("patched", (*patched.results, other), (), 1.0, True)
    found = proofs(side("proof", item="passed", a="failed"), None, patched)
    assert [proof.test for proof in found] == [f"{ITEM}/a"]


def test_the_reason_is_how_it_fails_without_the_series():
    (proof,) = proofs(side("proof", item="crashed"), None, side("patched", item="passed"))
    assert proof == Proof(ITEM, ProofKind.PROVEN, Outcome.CRASHED, Outcome.PASSED, True, "crashed here")


def test_what_fails_without_the_series_is_run_again():
    assert failing(side("proof", item="passed", a="failed", b="passed")) == (f"{ITEM}/a",)


def test_one_clause_counts_them():
    found = proofs(side("proof", item="passed", a="failed", b="passed"), None, side("patched", a="passed", b="passed"))
    assert proof_words([proof for proof in found if proof.test != ITEM]) == (
        "1 of 2 fail without the series and pass with it, 1 pass on both and prove nothing"
    )


def test_a_journal_tells_subtests_beside_their_item(tmp_path):
    case = {"name": "a/b", "outcome": "failed", "reason": "1 != 2", "details": "said", "seconds": 0.5}
    event = {
        "event": "finished",
        "test": ITEM,
        "outcome": "passed",
        "reason": "",
        "details": "",
        "seconds": 1.0,
        "log": "",
        "before": "",
        "boot": "000",
        "subtests": [case],
    }
    results = collect("base", [event], tmp_path, lambda log: (), attempt=2, seconds=1.0).results
    assert [(each.test, each.outcome, each.reason, each.attempt) for each in results] == [
        (f"{ITEM}/a/b", "failed", "1 != 2", 2),
        (ITEM, "passed", "", 2),
    ]
    assert item_of(results[0].test) == item_of(ITEM) == ITEM


def test_the_report_tells_what_each_test_shows():
    patched = side("patched", item="passed", a="passed", b="passed")
    found = proofs(side("proof", item="passed", a="failed", b="passed"), None, patched)
    out = io.StringIO()
    render(bare(proofs=found), Console(file=out, width=100))
    shown = " ".join(out.getvalue().split())
    assert "the series' own selftests, on both kernels: 1 of 2 fail without the series" in shown
    assert out.getvalue().index("proven") < out.getvalue().index("proves-nothing")
