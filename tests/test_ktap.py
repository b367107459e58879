"""What kernel tests print is read as what it means, in every dialect they have, and lost results are noticed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ktap import Case, Report, exit_outcome, parse_ktap, without_stamps
from harness.results import Outcome
from harness.selftest_output import judge, parse_output

GOLDEN = Path(__file__).parent / "golden" / "ktap"
LOGS = sorted(GOLDEN.glob("*.log"))
PROGRAMS = {"test_progs": "test_progs", "test_progs_crashed": "test_progs", "test_verifier": "test_verifier"}


def shown(report: Report) -> str:
    """A report as the golden files have it."""
    lines = [
        f"{case.outcome}: {case.name}"
        + (f" ({case.seconds:g} s)" if case.seconds else "")
        + (f" | {case.reason}" if case.reason else "")
        for case in report.cases
    ]
    lines += [f"problem: {problem}" for problem in report.problems]
    lines += [f"skipped: {report.skipped}"] if report.skipped else []
    return "\n".join(lines or ["nothing"]) + "\n"


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_each_log_means_what_is_written_beside_it(path):
    text = path.read_bytes().decode("utf-8", "replace")
    report = parse_output(PROGRAMS.get(path.stem, "program"), text)
    assert shown(report) == path.with_suffix(".expected").read_text()


def test_every_outcome_is_one_of_ours():
    cases = [case for path in LOGS for case in parse_ktap(path.read_bytes().decode("utf-8", "replace")).cases]
    assert {case.outcome for case in cases} <= {str(outcome) for outcome in Outcome}


def test_a_kernel_log_line_between_any_two_lines_changes_nothing():
    whole = (GOLDEN / "kselftest_runner.log").read_text().splitlines()
    noise = "[  123.456789] not ok 1 eth0: link is up"
    for at in range(len(whole) + 1):
        assert parse_ktap("\n".join([*whole[:at], noise, *whole[at:]])) == parse_ktap("\n".join(whole))


def test_kunit_is_read_from_a_kernel_log_with_time_stamps():
    plain = (GOLDEN / "kunit.log").read_text()
    log = "\n".join(f"[    1.{number:06d}] {line}" for number, line in enumerate(plain.splitlines()))
    assert parse_ktap(without_stamps(log)) == parse_ktap(plain)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(0, "passed"), (1, "failed"), (2, "failed"), (3, "failed"), (4, "skipped"), (124, "failed"), (-11, "failed")],
)
def test_an_exit_status_alone_means_what_the_kernels_own_runner_makes_of_it(status, outcome):
    assert exit_outcome(status)[0] == outcome


def ended(text: str, status: int = 0) -> tuple[str, str]:
    return judge(parse_output("program", text), status, text)


SHELL = """\
Cannot find device "v9"
TEST: ping (ipv6)                                                   [FAIL]
\tping failed: 3 packets lost
TEST: jumbo                                                         [SKIP]
\tno such MTU
TEST: vlan                                                          [FAIL]
INFO: on the other side
\tTEST: indented                                                    [ OK ]
"""


def test_what_the_shell_library_says_below_a_result_is_its_reason_and_no_other_ones():
    report = parse_output("program", SHELL)
    assert [(case.name, case.outcome, case.reason) for case in report.cases] == [
        ("ping (ipv6)", "failed", "ping failed: 3 packets lost"),
        ("jumbo", "skipped", "no such MTU"),
        ("vlan", "failed", ""),
        ("indented", "passed", ""),
    ]
    assert report.cases[0].details == 'Cannot find device "v9"\n\tping failed: 3 packets lost'
    assert not report.cases[2].details


def test_a_program_without_a_dialect_is_judged_by_its_exit_status():
    assert ended("all is well") == ("passed", "")
    assert ended("no such device\n", 1) == ("failed", "exit status 1: no such device")
    assert ended("SKIP: ncat is needed\n", 4) == ("skipped", "SKIP: ncat is needed")


def test_a_failing_subtest_speaks_for_itself():
    assert ended("1..2\nok 1 a\nnot ok 2 b\n", 1) == ("passed", "1 of 2 subtests failed")


def test_a_bad_exit_status_that_no_subtest_explains_fails_the_program():
    assert ended("1..1\nok 1 a\ncleanup: no such link\n", 1) == ("failed", "exit status 1: cleanup: no such link")


def test_a_signal_fails_the_program_whatever_its_subtests_say():
    assert ended("1..1\nnot ok 1 a\n", -11)[0] == "failed"


def test_lost_subtests_fail_the_program():
    assert ended("1..3\nok 1 a\n") == ("failed", "1 of 3 planned results: 2 lost")


def test_a_program_whose_every_subtest_is_skipped_is_skipped():
    assert ended("1..1\nok 1 a # SKIP no NIC\n") == ("skipped", "no NIC")
    assert ended("1..0 # SKIP no NIC\n") == ("skipped", "no NIC")


def test_no_status_makes_a_script_that_cannot_be_read_an_expected_failure():
    error = "./x.sh: 3: Syntax error: end of file unexpected"
    assert ended(f"{error}\n", 2) == ("failed", f"exit status 2: {error}")
    assert ended("1..1\nok 1 a\ngrep: /proc/net/x: No such file\n", 2)[0] == "failed"
    assert ended("TEST: ping  [ OK ]\n./x.sh: line 9: syntax error near `fi'\n", 2)[0] == "failed"


def test_a_program_that_tells_an_expected_failure_may_end_with_its_status():
    assert ended("1..2\nok 1 a\nok 2 # XFAIL no such card yet\n", 2)[0] == "xfailed"
    assert ended("TEST: ping  [XFAIL]\n\tlost a few on this slow machine\n", 2)[0] == "xfailed"
    assert ended("1..2\nnot ok 1 a\nok 2 # XFAIL no such card yet\n", 2) == ("passed", "1 of 2 subtests failed")


def test_status_3_is_a_failure_unless_the_program_tells_what_passed_unexpectedly():
    assert ended("ping: no reply\n", 3) == ("failed", "exit status 3: ping: no reply")
    assert ended("1..1\nok 1 a\nXPASS\n", 3)[0] == "failed"
    assert ended("1..1\nok 1 # XPASS a\n", 3) == ("passed", "")
    assert ended("1..2\nok 1 # XPASS a\nnot ok 2 b\n", 3) == ("passed", "1 of 2 subtests failed")


def test_a_skip_after_the_plan_outweighs_the_results_that_it_leaves_out():
    assert ended("1..3\nok 1 # SKIP no such feature\n", 4) == ("skipped", "no such feature")
    assert ended("1..3\nok 1 a\nok 3 # SKIP no such feature\n", 4)[0] == "skipped"
    assert ended("1..1\nok 1 a\nok 3 # SKIP no such feature\n", 4)[0] == "skipped"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("1..3\nok 1 # SKIP no such feature\n", 0),
        ("1..3\nnot ok 1 a\nok 2 # SKIP no such feature\n", 4),
        ("1..3\nok 1 a\nBail out! no memory\n", 4),
    ],
)
def test_lost_results_count_beside_a_skip_where_anything_went_wrong(text, status):
    assert ended(text, status)[0] == "failed"


names = st.text(st.characters(blacklist_characters="#\n\r", blacklist_categories=("Cc", "Cs", "Zl", "Zp")), max_size=30)


@given(st.lists(st.tuples(st.booleans(), names), max_size=8))
def test_whatever_a_test_is_called_its_outcome_is_kept(results):
    lines = [f"{'ok' if good else 'not ok'} {at} - {name}" for at, (good, name) in enumerate(results, 1)]
    report = parse_ktap("\n".join(["KTAP version 1", f"1..{len(results)}", *lines]))
    assert [case.outcome == "passed" for case in report.cases] == [good for good, _ in results]
    assert not report.problems
    assert len({case.name for case in report.cases}) == len(results)


@given(st.text(max_size=300))
def test_no_text_is_too_strange(text):
    for program in ("program", "test_progs", "test_verifier"):
        report = parse_output(program, text)
        assert all(isinstance(case, Case) and "\n" not in case.name for case in report.cases)
        judge(report, 1, text)
