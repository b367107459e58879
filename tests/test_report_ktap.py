"""KTAP: what ktrial writes, its own reader and the kernel's specification read as it was meant."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter

import pytest
from report_golden import is_as_it_was
from report_samples import SAMPLES
from report_whole import whole
from test_kconfig_resolve import kernel_source
from test_report_fuzz import HOSTILE, hostile
from test_report_junit import tried

from harness.ktap import parse_ktap
from harness.report import safe
from harness.report.cases import Standing, cases_of
from harness.report.ktap import ktap_text
from harness.results import Outcome

EVERY = {**SAMPLES, "whole": whole}
READ = {
    Standing.PASSED: "passed",
    Standing.FAILED: "failed",
    Standing.ERROR: "failed",
    Standing.SKIPPED: "skipped",
    Standing.EXPECTED: "xfailed",
}


@pytest.mark.parametrize("name", EVERY)
def test_the_output_is_as_it_was(name):
    is_as_it_was(f"{name}.ktap", ktap_text(EVERY[name]()))


@pytest.mark.parametrize("name", EVERY)
def test_our_reader_finds_every_case_with_its_outcome(name):
    result = EVERY[name]()
    report = parse_ktap(ktap_text(result))
    assert not report.problems
    assert Counter(case.outcome for case in report.cases) == Counter(READ[case.standing] for case in cases_of(result))
    assert [case.name for case in report.cases] == [f"{case.file}/{case.name}"[:160] for case in cases_of(result)]


THE_KERNELS = """\
import contextlib, io, json, sys
sys.path.insert(0, sys.argv[1])
with contextlib.redirect_stdout(io.StringIO()):  # what it prints it prints where stdout was when it was imported
    import kunit_parser

def leaves(test, above):
    if test.subtests:
        return [leaf for each in test.subtests for leaf in leaves(each, above + [test.name])]
    return [[above[-1] if above else "", test.name, test.status.name.lower()]]

text = sys.stdin.read().split("\\n")
found = kunit_parser.parse_run_tests(iter(text))
json.dump({"errors": found.counts.errors, "cases": leaves(found, [])}, sys.stdout)
"""
KUNIT = {
    Standing.PASSED: "success",
    Standing.FAILED: "failure",
    Standing.ERROR: "failure",
    Standing.SKIPPED: "skipped",
    Standing.EXPECTED: "success",  # it knows no XFAIL
}


@pytest.mark.kernel
@pytest.mark.parametrize("release", ["6.1", "6.12"])
def test_the_kernels_own_reader_finds_every_case_with_its_outcome(release):
    """tools/testing/kunit/kunit_parser.py of a kernel's source: what kernel developers read KTAP with."""
    kunit = kernel_source(release) / "tools" / "testing" / "kunit"
    for result in (*(make() for make in EVERY.values()), *map(hostile, HOSTILE)):
        argv = [sys.executable, "-c", THE_KERNELS, str(kunit)]
        written = ktap_text(result).encode("utf-8", "surrogatepass")
        done = subprocess.run(argv, input=written, capture_output=True, timeout=60, check=True)
        found = json.loads(done.stdout)
        assert found["errors"] == 0
        assert [status for _, _, status in found["cases"]] == [KUNIT[case.standing] for case in cases_of(result)]
        names = [(file, name.strip()) for file, name, _ in found["cases"]]
        assert names == [(_written(case.file), _written(case.name)) for case in cases_of(result)]


def _written(name: str) -> str:
    shown = safe.line(name).replace("#", "\\x23").strip()
    return f"\\x2d{shown[1:]}" if shown.startswith("- ") else shown


@pytest.mark.parametrize("name", EVERY)
def test_every_level_has_its_version_and_its_plan(name):
    lines = ktap_text(EVERY[name]()).splitlines()
    for at, line in enumerate(lines):
        if line.endswith("KTAP version 1"):
            indent = line[: -len("KTAP version 1")]
            plan = next(each for each in lines[at + 1 :] if re.match(rf"{indent}1\.\.\d+$", each))
            results = _results_at(lines[at + 1 :], indent)
            assert int(plan.rpartition(".")[2]) == len(results)
            assert results == list(range(1, len(results) + 1))


def _results_at(lines: list[str], indent: str) -> list[int]:
    """Numbers of the results of one level, up to its end."""
    found = []
    for line in lines:
        if match := re.match(rf"{indent}(?:not )?ok (\d+)", line):
            found.append(int(match[1]))
        elif not line.startswith(indent) or line == f"{indent}KTAP version 1":
            break
    return found


def test_a_test_fails_where_one_below_it_fails():
    text = ktap_text(tried([Outcome.PASSED], [Outcome.FAILED]))
    assert text.splitlines()[-1] == "not ok 1 s/t.py"


def test_a_timeout_and_a_skip_have_their_directives():
    assert "  not ok 1 test_it # TIMEOUT regression: timed-out here" in ktap_text(
        tried([Outcome.PASSED], [Outcome.TIMED_OUT])
    )
    assert "  ok 1 test_it # SKIP skipped here" in ktap_text(tried([Outcome.SKIPPED], [Outcome.SKIPPED]))
    assert "  ok 1 test_it # XFAIL fails without the series too: failed here" in ktap_text(
        tried([Outcome.FAILED], [Outcome.FAILED])
    )
