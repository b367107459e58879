"""Whatever a guest's pytest-xdist worker sends, the journal's writer writes it down, and what reads the journal tells.

The reports and last words go in where pytest-xdist hands them over: no guest, no worker.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_journal import WARNING, boot
from test_journal_fuzz import ODD

from harness.machine.journal import collect, read_journal
from harness.places import vm_dir
from harness.results import Outcome
from harness.splats import find_splats

TEST = "s/t.py::a"
WHOLE = [("ktrial-seconds", 0.1), ("ktrial-boot", "000")]
DEEP: list[object] = []
for _ in range(5000):
    DEEP = [DEEP]

NO_PAIRS = (None, 5, "x", [], {}, [1], [("a",)], [(1, 2)], [([], 1)], [None], [("a", 1, 2)])
ODD_VALUES = (10**5000, b"x", {1: 2, (1, 2): 3}, math.nan, math.inf, None, DEEP, {1, 2}, 1j, "\ud800", (DEEP,), {})


def kind(value):
    """A parameter's name in a test's: most of these cannot be shown."""
    return type(value).__name__


@pytest.fixture(scope="module")
def plugin():
    """The plugin's module, which stands beside what it imports and not in a package."""
    sys.path.insert(0, str(vm_dir()))
    yield importlib.import_module("ktrial_pytest")
    sys.path.remove(str(vm_dir()))


class Loose(pytest.TestReport):
    """A report whose name is whatever came, as in the versions of pytest that do not look at it."""

    nodeid = ""


def report(**given):
    """A report as it leaves pytest-xdist's channel: any of its fields is what a guest put there."""
    location = ("f", 1, "a")
    made = Loose(TEST, location, {}, "passed", None, "call", duration=0.1)
    made.node = SimpleNamespace(gateway=SimpleNamespace(id="gw0"))
    for name, value in {"nodeid": TEST, "user_properties": WHOLE, **given}.items():
        setattr(made, name, value)
    return made


def node(output):
    return SimpleNamespace(workeroutput=output, gateway=SimpleNamespace(id="gw0"))


def written(plugin, folder, reports=(), outputs=()):
    """The events of a journal that these came into, and the results they make."""
    if not (folder / "boots").exists():
        boot(folder / "boots")
    half = plugin.HostHalf(folder / "journal.jsonl")
    for each in reports:
        half.pytest_runtest_logreport(each)
    for each in outputs:
        half.pytest_testnodedown(node(each), None)
    half.pytest_unconfigure()
    events = read_journal(folder / "journal.jsonl")
    return events, collect("patched", events, folder / "boots", find_splats, attempt=1, seconds=1.0).results


def test_a_good_report_is_one_passed_test(plugin, tmp_path):
    events, (result,) = written(plugin, tmp_path, [report()])
    assert (result.test, result.outcome, result.boot, events[0]["worker"]) == (TEST, Outcome.PASSED, "000", "gw0")


@pytest.mark.parametrize("properties", NO_PAIRS, ids=kind)
def test_properties_that_are_no_pairs_are_none_and_the_next_report_still_counts(plugin, tmp_path, properties):
    events, results = written(plugin, tmp_path, [report(user_properties=properties), report()])
    assert [event["event"] for event in events] == ["finished"]
    assert [result.outcome for result in results] == [Outcome.PASSED]


@pytest.mark.parametrize("value", ODD_VALUES, ids=kind)
@pytest.mark.parametrize("name", ["ktrial-seconds", "ktrial-figure", "ktrial-subtests", "ktrial-log", "ktrial-boot"])
def test_a_property_of_the_wrong_kind_fails_the_test_and_the_reason_names_it(plugin, tmp_path, name, value):
    events, (result,) = written(plugin, tmp_path, [report(user_properties=[*WHOLE, (name, value)])])
    assert [event["event"] for event in events] == ["finished"]
    if (name, value) in (("ktrial-figure", {}), ("ktrial-log", "\ud800"), ("ktrial-boot", "\ud800")):
        return  # an empty figure is none, and a text is a text
    if name in ("ktrial-log", "ktrial-boot") and isinstance(value, bytes | set | complex):
        return  # what JSON has not is a text by then
    assert result.outcome is Outcome.FAILED
    assert f"makes no sense: {name.removeprefix('ktrial-')}: " in result.reason


def test_a_figure_without_end_leaves_the_rest_of_the_report_as_it_was(plugin, tmp_path):
    wrong = [*WHOLE, ("ktrial-figure", DEEP), ("ktrial-log", WARNING), ("ktrial-seconds", 0.5)]
    _, (result,) = written(plugin, tmp_path, [report(user_properties=wrong)])
    assert (result.outcome, result.seconds, result.boot) == (Outcome.FAILED, 0.5, "000")
    assert result.splats[0].function == "xdp_planted"
    assert "figure: " in result.reason
    assert "subtests" not in result.reason


@pytest.mark.parametrize("outcome", ["odd", None, ["passed"], 5, 10**5000, DEEP], ids=kind)
def test_an_outcome_that_is_none_is_a_failure_that_says_so(plugin, tmp_path, outcome):
    _, (result,) = written(plugin, tmp_path, [report(outcome=outcome)])
    assert result.outcome is Outcome.FAILED
    assert "outcome: Invalid enum value" in result.reason


@pytest.mark.parametrize(
    "sections", [[("a", 5)], [("a", DEEP)], [("a",)], 5, None, "abc", DEEP, [(DEEP, "x")]], ids=kind
)
def test_sections_of_any_kind_are_details_and_no_error(plugin, tmp_path, sections):
    _, (result,) = written(plugin, tmp_path, [report(sections=sections)])
    assert result.outcome is Outcome.PASSED


@pytest.mark.parametrize("longrepr", [5, DEEP, (1, 2), ("f", 1, "Skipped: why"), {}, {"reprcrash": 1}, b"x"], ids=kind)
@pytest.mark.parametrize("outcome", ["failed", "skipped"])
def test_a_failure_of_any_kind_has_a_result_of_its_outcome(plugin, tmp_path, longrepr, outcome):
    _, (result,) = written(plugin, tmp_path, [report(longrepr=longrepr, outcome=outcome)])
    assert result.outcome is Outcome(outcome)


@pytest.mark.parametrize("nodeid", [None, 5, [TEST], {}, DEEP], ids=kind)
def test_a_report_that_names_no_test_is_told_as_nonsense(plugin, tmp_path, nodeid):
    events, results = written(plugin, tmp_path, [report(nodeid=nodeid), report()])
    assert [result.test for result in results if result.outcome is Outcome.PASSED] == [TEST]
    assert events[0]["event"] in ("nonsense", "finished")


@pytest.mark.parametrize(
    "output",
    [
        {"ktrial-event": "x"},
        {"ktrial-worker": 1},
        {5: 6},
        {"ktrial-time": "a"},
        {"ktrial-test": "t"},
        {"ktrial-": 1},
        {},
    ],
    ids=kind,
)
def test_last_words_of_no_known_name_change_no_event(plugin, tmp_path, output):
    events, results = written(plugin, tmp_path, [report()], [output])
    assert [event["event"] for event in events] == ["finished", "node-down"]
    assert events[1]["worker"] == "gw0"
    assert [result.outcome for result in results] == [Outcome.PASSED]


@pytest.mark.parametrize("value", [{(1,): 2}, 5, DEEP, None, "x", [DEEP], 10**5000], ids=kind)
@pytest.mark.parametrize("name", ["ktrial-left", "ktrial-kmemleak"])
def test_last_words_that_make_no_sense_fail_the_test_that_ended_last(plugin, tmp_path, name, value):
    said = {"ktrial-boot": "000", "ktrial-left": [], "ktrial-kmemleak": {}, name: value}
    events, (result,) = written(plugin, tmp_path, [report()], [said])
    if (name, value) == ("ktrial-kmemleak", {(1,): 2}):  # a name that is none has no test
        assert result.outcome is Outcome.PASSED
        return
    assert result.outcome is Outcome.FAILED
    assert name.removeprefix("ktrial-") in result.reason
    assert json.dumps(events[1]["nonsense"])


@pytest.mark.parametrize("output", [5, "x", [1], ("a",), DEEP], ids=kind)
def test_last_words_that_are_no_words_at_all_are_told(plugin, tmp_path, output):
    events, _ = written(plugin, tmp_path, [report()], [output])
    assert "after: Expected `str`, got `null`" in events[1]["nonsense"]


BYTES_TOO = st.one_of(st.binary(max_size=9), st.sampled_from(ODD), st.text(st.characters(codec=None), max_size=9))
VALUES = st.recursive(
    BYTES_TOO,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(BYTES_TOO, inner, max_size=3),
        st.frozensets(BYTES_TOO, max_size=3),
    ),
    max_leaves=9,
)
NAMES = st.sampled_from(["ktrial-" + name for name in ("seconds", "log", "before", "boot", "figure", "subtests")])
PAIRS = st.lists(st.one_of(VALUES, st.tuples(NAMES, VALUES)), max_size=4).map(lambda more: [*WHOLE, *more])
REPORTS = st.fixed_dictionaries(
    {},
    optional={
        "user_properties": st.one_of(PAIRS, VALUES),
        "outcome": st.one_of(st.sampled_from(["passed", "failed", "skipped"]), VALUES),
        **dict.fromkeys(("nodeid", "sections", "longrepr", "wasxfail", "duration", "keywords"), VALUES),
        "when": st.one_of(st.sampled_from(["setup", "call", "teardown", "???"]), VALUES),
    },
)
WORDS = st.dictionaries(
    st.one_of(st.sampled_from(["ktrial-after", "ktrial-boot", "ktrial-left", "ktrial-kmemleak"]), BYTES_TOO), VALUES
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(REPORTS, max_size=3), st.one_of(WORDS, VALUES))
def test_any_reports_and_last_words_are_written_and_read(plugin, reports, words):
    with tempfile.TemporaryDirectory() as name:
        events, results = written(plugin, Path(name), [report(**each) for each in reports] + [report()], [words])
    assert events[-1]["event"] == "node-down"
    assert TEST in {result.test for result in results}
