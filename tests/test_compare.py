"""What is blamed on a series, and what is not."""

from __future__ import annotations

from itertools import product

import pytest
from trial_values import KASAN, OUTCOMES, PANIC, STALL, WARN, compared, result, side

from harness.compare import BootChange, Change, compare, suspects
from harness.results import Boot, Outcome
from harness.splats import silent_splat


@pytest.mark.parametrize(
    ("base", "patched", "change", "blamed"),
    [
        ("p", "p", Change.SAME, False),
        ("s", "s", Change.SAME, False),
        ("x", "x", Change.SAME, False),
        ("", "s", Change.SAME, False),
        ("p", "f", Change.REGRESSION, True),
        ("p", "c", Change.REGRESSION, True),
        ("p", "t", Change.REGRESSION, True),
        ("x", "f", Change.REGRESSION, True),
        ("ppp", "fff", Change.REGRESSION, True),
        ("ppp", "fct", Change.REGRESSION, True),
        ("f", "c", Change.REGRESSION, True),
        ("pf", "cc", Change.REGRESSION, True),
        ("f", "p", Change.FIXED, False),
        ("c", "p", Change.FIXED, False),
        ("x", "p", Change.FIXED, False),
        ("f", "f", Change.STILL_FAILING, False),
        ("c", "c", Change.STILL_FAILING, False),
        ("c", "f", Change.STILL_FAILING, False),
        ("f", "t", Change.STILL_FAILING, False),
        ("", "p", Change.NEW_PASSING, False),
        ("s", "p", Change.NEW_PASSING, False),
        ("", "f", Change.NEW_FAILING, True),
        ("s", "f", Change.NEW_FAILING, True),
        ("p", "s", Change.NOW_SKIPPED, True),
        ("p", "x", Change.NOW_SKIPPED, True),
        ("f", "s", Change.NOW_SKIPPED, False),
        ("p", "", Change.VANISHED, False),
        ("p", "fp", Change.FLAKY, False),
        ("pf", "fff", Change.FLAKY, False),
        ("pf", "ppp", Change.FLAKY, False),
        ("p", "cp", Change.FLAKY, False),
        ("p", "l", Change.LOST, False),
        ("l", "f", Change.LOST, False),
        ("l", "", Change.LOST, False),
        ("p", "lp", Change.SAME, False),
        ("lp", "lf", Change.REGRESSION, True),
    ],
)
def test_outcomes_of_all_attempts_make_the_change(base, patched, change, blamed):
    (test,) = compared(base, patched).tests
    assert (test.change, test.blamed) == (change, blamed)


@pytest.mark.parametrize(("base", "patched"), [*product(["", *OUTCOMES, "pf", "ff", "sp"], repeat=2)])
def test_every_pair_of_outcomes_has_a_change_and_the_same_outcomes_are_never_blamed(base, patched):
    comparison = compared(base, patched)
    assert len(comparison.tests) == (1 if base or patched else 0)
    if base == patched:
        assert not comparison.blamed


def test_a_test_that_no_longer_runs_is_not_the_same():
    assert compared("p", "s").tests[0].change is not Change.SAME
    assert compared("p", "").tests[0].change is not Change.SAME


def test_what_could_be_blamed_or_is_missing_is_to_be_run_again():
    base = side("base", a="p", b="p", c="p", d="p", e="f", g="p")
    patched = side("patched", a="f", b="p", c="s", e="f", f="f", g="fp")
    assert suspects(compare(base, patched)) == ("a", "c", "f", "d")


def test_a_failure_only_for_a_splat_that_base_has_in_another_test_is_not_blamed():
    base = side("base", result("b", Outcome.FAILED, splats=[WARN]), a="p")
    patched = side("patched", result("a", Outcome.FAILED, splats=[WARN]), b="p")
    comparison = compare(base, patched)
    assert {test.test: test.change for test in comparison.tests} == {"a": Change.KNOWN_SPLAT, "b": Change.FIXED}
    assert not comparison.kernel_log


def test_a_failed_assertion_beside_a_known_splat_is_blamed():
    base = side("base", boots=[Boot("vm0", "clean", "c", 6, "tcg", (WARN,))], a="p")
    patched = side("patched", result("a", Outcome.FAILED, splats=[WARN], reason="assert 1 == 2"))
    assert compare(base, patched).tests[0].change is Change.REGRESSION


def test_a_failure_for_a_new_splat_is_blamed_and_told_once():
    patched = side("patched", result("a", Outcome.FAILED, splats=[KASAN]))
    comparison = compare(side("base", a="p"), patched)
    assert comparison.tests[0].change is Change.REGRESSION
    assert comparison.tests[0].new_splats == (KASAN,)
    assert comparison.kernel_log == ()


def test_a_crash_is_excused_only_by_a_splat_that_took_base_down_too():
    panicked = Boot("vm1", "panic", "c", 6, "tcg", (PANIC,))
    warned = Boot("vm1", "clean", "c", 6, "tcg", (PANIC,))
    patched = side("patched", result("a", Outcome.CRASHED, splats=[PANIC]))
    assert compare(side("base", boots=[panicked], a="p"), patched).tests[0].change is Change.KNOWN_SPLAT
    assert compare(side("base", boots=[warned], a="p"), patched).tests[0].change is Change.REGRESSION


def test_a_new_splat_in_a_test_that_failed_before_is_worse_and_blamed():
    base = side("base", result("a", Outcome.FAILED, reason="assert"))
    patched = side("patched", result("a", Outcome.FAILED, splats=[KASAN], reason="assert"))
    (test,) = compare(base, patched).tests
    assert (test.change, test.worse, test.blamed) == (Change.REGRESSION, True, True)


@pytest.mark.parametrize(
    ("reason", "patched", "why", "change"),
    [
        ("kernel log: WARNING in foo", Outcome.FAILED, "assert 1500 == 9000", Change.REGRESSION),
        ("left behind: link veth0", Outcome.FAILED, "assert 1500 == 9000", Change.REGRESSION),
        ("kernel log: WARNING in foo", Outcome.TIMED_OUT, "not done 30 s after its start", Change.REGRESSION),
        ("kernel log: WARNING in foo", Outcome.FAILED, "kernel log: WARNING in foo", Change.STILL_FAILING),
        ("assert 1 == 2", Outcome.FAILED, "assert 1500 == 9000", Change.STILL_FAILING),
    ],
)
def test_a_splat_on_base_does_not_hide_an_assertion_that_only_patched_breaks(reason, patched, why, change):
    base = side(
        "base", result("a", Outcome.FAILED, splats=[WARN], reason=reason), result("a", Outcome.PASSED, attempt=2)
    )
    twice = [result("a", patched, splats=[WARN], reason=why, attempt=attempt) for attempt in (1, 2)]
    (test,) = compare(side("base", base.results[0]), side("patched", twice[0])).tests
    assert (test.change, test.blamed) == (change, change is Change.REGRESSION)
    (test,) = compare(base, side("patched", *twice)).tests
    assert test.change is (Change.FLAKY if change is Change.STILL_FAILING else Change.REGRESSION)


def test_a_test_that_fails_in_another_way_than_before_says_so():
    base = side("base", result("a", Outcome.FAILED, reason="assert 1 == 2"))
    patched = side("patched", result("a", Outcome.FAILED, reason="assert 3 == 4"))
    (test,) = compare(base, patched).tests
    assert (test.change, test.differs, test.blamed) == (Change.STILL_FAILING, True, False)


def test_a_new_splat_at_boot_is_blamed():
    patched = side("patched", boots=[Boot("vm0", "clean", "c", 6, "tcg", (WARN,))], a="p")
    (item,) = compare(side("base", a="p"), patched).kernel_log
    assert (item.splat, item.where, item.blamed) == (WARN, ("vm0",), True)


def test_a_boot_that_resets_without_a_word_is_blamed_though_the_next_comes_up():
    silent = silent_splat("reset", "")
    patched = side(
        "patched", boots=[Boot("000", "reset", "c", 0, "tcg", (silent,)), Boot("000", "clean", "d", 6, "tcg")], a="p"
    )
    assert [item.blamed for item in compare(side("base", a="p"), patched).kernel_log] == [True]


def test_a_boot_that_is_late_once_is_told_and_not_blamed():
    late = silent_splat("boot-timeout", "")
    patched = side(
        "patched",
        boots=[Boot("000", "boot-timeout", "c", 0, "tcg", (late,)), Boot("000", "clean", "d", 6, "tcg")],
        a="p",
    )
    assert [item.blamed for item in compare(side("base", a="p"), patched).kernel_log] == [False]


def test_a_new_splat_in_a_flaky_test_is_not_hidden_by_the_flakiness():
    patched = side("patched", result("a", Outcome.FAILED, splats=[KASAN]), result("a", Outcome.PASSED, attempt=2))
    comparison = compare(side("base", a="pp"), patched)
    assert comparison.tests[0].change is Change.FLAKY
    assert [(item.where, item.blamed) for item in comparison.kernel_log] == [(("a",), True)]


def test_a_stall_at_one_boot_of_several_is_told_and_not_blamed():
    slow, well = Boot("vm0", "clean", "c", 6, "tcg", (STALL,)), Boot("vm1", "clean", "c", 6, "tcg")
    once = compare(side("base", a="p"), side("patched", boots=[slow, well], a="p"))
    always = compare(side("base", a="p"), side("patched", boots=[slow], a="p"))
    assert [item.blamed for item in (*once.kernel_log, *always.kernel_log)] == [False, True]


def test_a_splat_that_only_base_has_is_gone():
    base = side("base", boots=[Boot("vm0", "clean", "c", 6, "tcg", (WARN,))], a="p")
    assert compare(base, side("patched", a="p")).gone == (WARN,)


def test_a_strict_expected_failure_that_passes_now_is_fixed():
    patched = side("patched", result("a", Outcome.FAILED, reason="[XPASS(strict)] no frags yet"))
    assert compare(side("base", a="x"), patched).tests[0].change is Change.FIXED


@pytest.mark.parametrize(
    ("base", "patched", "change"),
    [
        (side("base", a="p"), side("patched", booted=False), BootChange.REGRESSION),
        (side("base", booted=False), side("patched", booted=False), BootChange.BASE_BROKEN),
        (None, side("patched", booted=False), BootChange.REGRESSION),
        (
            side("base", a="p"),
            side("patched", booted=False, boots=[Boot("vm0", "lost", "c", 0, "tcg")]),
            BootChange.LOST,
        ),
        (side("base", a="p"), side("patched", a="p"), BootChange.BOOTS),
    ],
)
def test_a_kernel_that_does_not_boot_is_a_change_of_its_own(base, patched, change):
    assert compare(base, patched).boot is change


def test_without_a_base_failures_are_failures_and_nobody_is_blamed():
    comparison = compare(None, side("patched", a="p", b="f", c="s", d="l", e="fp"))
    assert not comparison.compared
    assert [test.change for test in comparison.tests] == [
        Change.NOT_COMPARED,
        Change.FAILING,
        Change.NOT_COMPARED,
        Change.LOST,
        Change.FLAKY,
    ]
    assert not comparison.blamed


def test_many_runs_of_the_same_kernel_raise_nothing_whatever_the_outcomes():
    both = {f"t{number}": letters for number, letters in enumerate(("p", "f", "s", "x", "c", "t"))}
    comparison = compare(side("base", **both), side("patched", **both))
    assert not comparison.blamed
    assert not comparison.blamed_log
