"""The verdict is one honest line, one kind and one exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from trial_values import KASAN, STALL, WARN, compared, result, side

from harness import errors
from harness.compare import Change, compare
from harness.errors import ExitCode
from harness.results import Boot, Outcome
from harness.verdict import VerdictKind, decide, failed_verdict, failure_of, identical_verdict


def decided(base, patched, **options):
    return decide(compare(base, patched), **options)


def test_a_regression_names_the_first_test_and_counts_the_rest():
    base = side("base", a="p", b="p", c="p", d="p")
    verdict = decided(base, side("patched", a="f", b="p", c="c", d="f"))
    assert verdict.line == "REGRESSION: 3 of 4 tests broke: a (and 2 more)"
    assert (verdict.exit_code, verdict.kind) == (ExitCode.REGRESSION, VerdictKind.REGRESSION)


def test_every_sort_of_blame_is_in_the_line():
    base = side("base", a="p", b="p", c="s", d="p")
    patched = side("patched", boots=[Boot("vm0", "clean", "c", 6, "tcg", (WARN,))], a="f", b="s", c="ff", d="l")
    assert decided(base, patched).line == (
        "REGRESSION: 1 of 4 tests broke: a; 1 test that base does not run fails: c; 1 test no longer runs: b; "
        "new in the kernel log: WARNING in xdp_f; 1 test lost by this machine"
    )


def test_no_regression_counts_what_was_the_same_and_what_was_not():
    base = side("base", a="p", b="p", c="s", d="f", e="f", f="pf", g="s")
    patched = side("patched", a="p", b="p", c="s", d="p", e="f", f="pf", g="p")
    verdict = decided(base, patched)
    assert verdict.exit_code is ExitCode.NO_REGRESSION
    assert verdict.line == (
        "no regression: 3 of 7 tests same on both (1 skipped), 1 fixed, 1 newly passing, 1 failing on both, 1 flaky"
    )
    assert decided(side(a="p"), side(a="p")).line == "no regression: 1 test same on both"


def test_new_compiler_warnings_are_told_and_not_blamed():
    verdict = decided(side(a="p"), side(a="p"), new_warnings=2)
    assert verdict.exit_code is ExitCode.NO_REGRESSION
    assert verdict.line == "no regression: 1 test same on both; 2 new compiler warnings"


@pytest.mark.parametrize(
    ("base", "patched", "line"),
    [
        ("", "", "NOTHING TESTED: no test was run"),
        ("ss", "ss", "NOTHING TESTED: all 2 tests were skipped"),
        ("fs", "fs", "NOTHING TESTED: none of 2 tests passes, with or without the series"),
    ],
)
@pytest.mark.parametrize("with_base", [True, False])
def test_a_run_in_which_nothing_passed_never_reads_as_no_regression(base, patched, line, with_base):
    names = "abc"
    sides = [side("x", **dict(zip(names, letters, strict=False))) for letters in (base, patched)]
    verdict = decided(sides[0] if with_base else None, sides[1])
    assert verdict.exit_code is not ExitCode.NO_REGRESSION
    if with_base or "f" not in patched:
        assert verdict.line == line
        assert verdict.kind is VerdictKind.NOTHING_TESTED


@pytest.mark.parametrize(("base", "patched"), [("pp", "pl"), ("pl", "pp"), ("pp", "p")])
def test_a_run_that_lost_results_is_incomplete(base, patched):
    sides = [side("x", **dict(zip("ab", letters, strict=False))) for letters in (base, patched)]
    verdict = decided(*sides)
    assert (verdict.exit_code, verdict.kind) == (ExitCode.MACHINE_LOST, VerdictKind.INCOMPLETE)
    assert "b" in verdict.line


def test_a_regression_is_one_even_where_other_results_were_lost():
    verdict = decided(side(a="p", b="p"), side(a="f", b="l"))
    assert verdict.exit_code is ExitCode.REGRESSION


def test_a_patched_kernel_that_does_not_boot_is_a_regression():
    dead = side("patched", booted=False, boots=[Boot("vm0", "panic", "c", 6, "tcg", (KASAN,))])
    verdict = decided(side(a="p"), dead)
    assert verdict.line == "REGRESSION: the kernel does not boot, base does (KASAN: use-after-free)"
    assert verdict.exit_code is ExitCode.REGRESSION
    assert decided(None, dead).kind is VerdictKind.FAILING


def test_a_base_that_does_not_boot_is_the_trees_fault():
    verdict = decided(side(booted=False), side(a="p"))
    assert (verdict.exit_code, verdict.kind) == (ExitCode.TREE_UNUSABLE, VerdictKind.BASE_BROKEN)


def test_guests_that_never_came_up_are_the_machines_fault():
    lost = side("patched", booted=False, boots=[Boot("vm0", "lost", "c", 0, "tcg")])
    assert decided(side(a="p"), lost).exit_code is ExitCode.MACHINE_LOST


def test_without_a_base_the_line_says_so():
    assert decided(None, side(a="p", b="s")).line == "passed: 1 test (1 skipped), not compared with a base"
    verdict = decided(None, side(a="p", b="f"))
    assert verdict.line == "FAILING: 1 of 2 tests (not compared with a base): b"
    assert verdict.exit_code is ExitCode.REGRESSION


def test_without_a_base_a_splat_outside_of_tests_is_a_failure():
    patched = side("patched", boots=[Boot("vm0", "clean", "c", 6, "tcg", (WARN,))], a="p")
    assert decided(None, patched).kind is VerdictKind.FAILING


def test_a_stall_that_only_one_guest_had_does_not_fail_the_run():
    boots = [Boot("vm0", "clean", "c", 6, "tcg", (STALL,)), Boot("vm1", "clean", "c", 6, "tcg")]
    assert decided(side(a="p"), side(boots=boots, a="p")).kind is VerdictKind.NO_REGRESSION


def test_identical_kernels_are_called_identical_and_not_tested():
    verdict = identical_verdict()
    assert verdict.exit_code is ExitCode.NO_REGRESSION
    assert "no regression" not in verdict.line


def test_identical_kernels_say_nothing_about_code_that_neither_compiles():
    verdict = identical_verdict(["arch/arm64/net/bpf_jit_comp.c", "drivers/net/fec.c"])
    assert verdict.exit_code is ExitCode.MACHINE_LOST
    assert verdict.line == (
        "NOTHING TESTED: what the series touches is not compiled: arch/arm64/net/bpf_jit_comp.c and 1 more"
    )


def test_a_touched_file_that_was_not_compiled_is_in_the_verdict():
    assert decided(side(a="p"), side(a="p"), uncompiled=1).line.endswith("; 1 touched file not compiled")


@pytest.mark.parametrize(
    ("error", "kind", "exit_code"),
    [
        (errors.UsageError, VerdictKind.BAD_USAGE, 2),
        (errors.ApplyError, VerdictKind.DOES_NOT_APPLY, 3),
        (errors.ConfigError, VerdictKind.DOES_NOT_CONFIGURE, 4),
        (errors.BuildError, VerdictKind.DOES_NOT_BUILD, 5),
        (errors.TreeError, VerdictKind.TREE_UNUSABLE, 6),
        (errors.ToolchainError, VerdictKind.TREE_UNUSABLE, 6),
        (errors.MachineLost, VerdictKind.MACHINE_LOST, 7),
        (errors.SeriesError, VerdictKind.NOT_A_SERIES, 8),
        (errors.KtrialError, VerdictKind.INTERNAL, 70),
    ],
)
def test_an_error_is_a_verdict_too(error, kind, exit_code):
    verdict = failed_verdict(error("patch 2/3: no such file", detail="d", hint="h"))
    assert (verdict.kind, int(verdict.exit_code)) == (kind, exit_code)
    assert verdict.line.endswith(": patch 2/3: no such file")
    assert failure_of(error("s", detail="d", hint="h")).detail == "d"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            errors.BuildError("patch 2/3 (net: a) does not build: b.c:1: no"),
            "DOES NOT BUILD: patch 2/3 (net: a): b.c:1: no",
        ),
        (errors.BuildError("the patched kernel does not build: b.c:1: no"), "DOES NOT BUILD: b.c:1: no"),
        (errors.BuildError("b.c:1: a does not build"), "DOES NOT BUILD: b.c:1: a does not build"),
        (
            errors.ApplyError('patch 2/2 "net: a" does not apply: b.c, hunk 1'),
            'DOES NOT APPLY: patch 2/2 "net: a": b.c, hunk 1',
        ),
    ],
)
def test_what_the_label_says_is_not_said_again(error, line):
    assert failed_verdict(error).line == line


def test_the_line_is_one_line_whatever_a_series_says():
    verdict = failed_verdict(errors.ApplyError("patch\r\nX-Forged: yes\x1b[2J\u2028\u202e" + "a" * 5000))
    assert verdict.line.isprintable()
    assert len(verdict.line) <= 300
    hostile = compare(side(), side("patched", result("a\nverdict: no regression", Outcome.FAILED)))
    assert decide(hostile).line.isprintable()


def test_the_manual_explains_every_word_a_report_can_use():
    docs = Path(__file__).parent.parent / "docs"
    codes = (docs / "exit-codes.md").read_text()
    assert [code for code in ExitCode if f"| {int(code)} |" not in codes] == []
    words = (docs / "verdicts.md").read_text()
    assert [word for word in (*VerdictKind, *Change, *Outcome) if word not in words] == []


def test_only_these_outcomes_of_one_test_exit_with_zero():
    letters = ["p", "f", "s", "x", "c", "t", "l", ""]
    good = {(b, p) for b in letters for p in letters if decide(compared(b, p)).exit_code is ExitCode.NO_REGRESSION}
    assert good == {("p", "p"), ("f", "p"), ("s", "p"), ("x", "p"), ("c", "p"), ("t", "p"), ("", "p")}
