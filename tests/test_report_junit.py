"""JUnit XML: a CI server counts a failure exactly where the verdict does."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from report_golden import is_as_it_was
from report_samples import SAMPLES, bare, no_regression, regression
from report_whole import whole

from harness.compare import Change, compare
from harness.errors import ExitCode, MachineLost
from harness.flakiness import KnownFlake
from harness.report.cases import Standing, cases_of
from harness.report.junit import junit_xml
from harness.report.ktap import ktap_text
from harness.report.markdown import markdown
from harness.results import Boot, Outcome, SideResults, TestResult
from harness.run_result import RunResult
from harness.verdict import decide, failed_verdict, failure_of, identical_verdict

EVERY = {**SAMPLES, "whole": whole}


def tried(base: list[Outcome], patched: list[Outcome], *, other: bool = True) -> RunResult:
    """A run of one test with these outcomes, beside one that passes."""
    sides = []
    for side, outcomes in (("base", base), ("patched", patched)):
        results = [
            TestResult("s/t.py::test_it", each, f"{each} here", attempt=at) for at, each in enumerate(outcomes, 1)
        ]
        results += [TestResult("s/t.py::test_other", Outcome.PASSED)] if other else []
        sides.append(SideResults(side, tuple(results), (Boot("000", "clean", "c", 1.0, "tcg"),), 1.0, True))
    comparison = compare(*sides)
    return replace(bare(), base=sides[0], patched=sides[1], comparison=comparison, verdict=decide(comparison))


def counted(result: RunResult) -> Counter[str]:
    suites = ET.fromstring(junit_xml(result)).findall("testsuite")
    names = ("tests", "failures", "errors", "skipped")
    return Counter({name: sum(int(suite.get(name, "")) for suite in suites) for name in names})


@pytest.mark.parametrize("name", EVERY)
def test_the_document_is_as_it_was(name):
    is_as_it_was(f"{name}.junit.xml", junit_xml(EVERY[name]()).decode())


@pytest.mark.parametrize("base", list(Outcome))
@pytest.mark.parametrize("patched", list(Outcome))
@pytest.mark.parametrize("other", [True, False])
def test_it_has_a_failure_or_an_error_exactly_where_the_exit_status_is_not_0(base, patched, other):
    result = tried([base], [patched], other=other)
    counts = counted(result)
    assert bool(counts["failures"] + counts["errors"]) == (result.verdict.exit_code is not ExitCode.NO_REGRESSION)


@pytest.mark.parametrize("name", EVERY)
def test_so_has_every_other_run(name):
    result = EVERY[name]()
    counts = counted(result)
    assert bool(counts["failures"] + counts["errors"]) == (result.verdict.exit_code is not ExitCode.NO_REGRESSION)


def test_what_fails_without_the_series_too_is_skipped_and_says_so():
    case = next(case for case in cases_of(tried([Outcome.FAILED], [Outcome.FAILED])) if case.name == "test_it")
    assert case.standing is Standing.EXPECTED
    assert case.message == "fails without the series too: failed here"


def test_a_flaky_test_is_no_failure():
    result = tried([Outcome.PASSED, Outcome.PASSED], [Outcome.PASSED, Outcome.FAILED])
    assert result.comparison is not None
    assert result.comparison.of(Change.FLAKY)
    assert counted(result)["skipped"] == 1


@pytest.mark.parametrize("patched", [[Outcome.PASSED, Outcome.FAILED], [Outcome.FAILED, Outcome.FAILED]])
def test_what_is_known_of_its_flaking_is_told_in_every_form_of_cases(patched):
    result = tried([Outcome.PASSED, Outcome.PASSED], patched)
    result = replace(result, known_flaky=(KnownFlake("s/t.py::test_it", 3, 120, 3),))
    words = "(flaky in 3 of 120 base runs before)"
    case = next(case for case in cases_of(result) if case.name == "test_it")
    assert case.message.endswith(words)
    assert words in junit_xml(result).decode()
    assert words in ktap_text(result)
    assert f"`s/t.py::test_it` {words} |" in markdown(result)


def test_a_test_without_a_result_is_an_error():
    result = tried([Outcome.PASSED], [])
    assert counted(result)["errors"] == 1


def test_a_splat_is_a_failure_of_its_own():
    cases = [case for case in cases_of(regression()) if case.file == "kernel log"]
    assert len(cases) == 1
    assert cases[0].standing is Standing.FAILED
    assert "suspicious RCU usage" in cases[0].name


def test_a_figure_that_got_worse_is_a_failure_and_one_that_is_not_known_is_skipped():
    standings = {case.name[-14:]: case.standing for case in cases_of(whole()) if case.file == "performance"}
    assert [*standings.values()] == [Standing.FAILED, Standing.PASSED, Standing.PASSED, Standing.SKIPPED]


def test_a_machine_that_was_lost_is_an_error_and_a_series_that_does_not_apply_a_failure():
    lost = MachineLost("the disk is full")
    result = replace(bare(), verdict=failed_verdict(lost), failure=failure_of(lost))
    assert counted(result)["errors"] == 1
    assert counted(SAMPLES["does_not_apply"]())["failures"] == 1


def test_a_run_without_tests_has_one_case():
    result = replace(bare(), verdict=identical_verdict(), identical=True)
    assert counted(result) == Counter(tests=1, failures=0, errors=0, skipped=0)


def test_a_timeout_says_so_in_its_type():
    root = ET.fromstring(junit_xml(tried([Outcome.PASSED], [Outcome.TIMED_OUT])))
    assert [each.get("type") for each in root.iter("failure")] == ["timeout"]


def test_counts_of_a_suite_are_those_of_its_cases():
    root = ET.fromstring(junit_xml(whole()))
    for suite in root.iter("testsuite"):
        cases = suite.findall("testcase")
        assert int(suite.get("tests", "")) == len(cases)
        for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(count, "")) == sum(case.find(tag) is not None for case in cases)


def test_the_whole_has_the_sums_of_its_suites():
    root = ET.fromstring(junit_xml(whole()))
    for name in ("tests", "failures", "errors"):
        assert int(root.get(name, "")) == counted(whole())[name]


SHAPE = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
        {"properties", "testcase"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"name", "classname", "time"}, {"failure", "error", "skipped", "system-out"}),
    "failure": ({"message", "type"}, set()),
    "error": ({"message", "type"}, set()),
    "skipped": ({"message", "type"}, set()),
    "system-out": (set(), set()),
}
"""What Jenkins's schema allows and this uses: attributes, which are all there, and elements within."""


@pytest.mark.parametrize("name", EVERY)
def test_elements_and_attributes_are_those_of_the_schema_that_servers_check_by(name):
    root = ET.fromstring(junit_xml(EVERY[name]()))
    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, within = SHAPE[element.tag]
        assert set(element.attrib) == attributes
        assert {child.tag for child in element} <= within
        if element.tag == "testsuite":
            assert element[0].tag == "properties"
        if "time" in attributes:
            assert re.fullmatch(r"\d+\.\d{3}", element.get("time", ""))


def test_two_names_that_look_alike_are_told_apart():
    """GitLab drops the second of two cases that have classname and name in common."""
    names = ("s/t.py::test[a b]", "s/t.py::test[a\tb]", "s/t.py::test[a\nb]")
    sides = [
        SideResults(side, tuple(TestResult(name, Outcome.PASSED) for name in names), (), 1.0, True)
        for side in ("base", "patched")
    ]
    comparison = compare(*sides)
    root = ET.fromstring(junit_xml(replace(bare(), comparison=comparison, verdict=decide(comparison))))
    assert [case.get("name") for case in root.iter("testcase")] == ["test[a b]", "test[a b] (2)", "test[a b] (3)"]


def test_names_are_what_a_server_tells_cases_apart_by():
    result = no_regression()
    assert result.comparison is not None
    root = ET.fromstring(junit_xml(result))
    names = {(case.get("classname"), case.get("name")) for case in root.iter("testcase")}
    assert len(names) == len(result.comparison.tests)
    assert ("xdp_multibuf.test_device", "test_veth") in names
