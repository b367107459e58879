"""Whatever a guest reports, a run ends in a result that says so: no line of a journal is an error of ours."""

from __future__ import annotations

import io
import json
import math
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from test_journal import WARNING, boot, finished, gather, gone
from test_report_fuzz import HOSTILE

from harness import record
from harness.compare import compare
from harness.machine.events import NONSENSE, read_event
from harness.machine.journal import collect, finished_tests, read_journal
from harness.machine.model import Accelerator, GuestSpec
from harness.machine.session import Session
from harness.passes import with_unrun
from harness.perf.boots import readings
from harness.perf.figures import figures_of
from harness.perf.model import Boot, Performance, Policy
from harness.perf.paired import ORDER, paired_figures
from harness.perf.profile import _profile
from harness.plan import Silent, listening
from harness.report.figures import performance_table
from harness.report.timeline import _guests
from harness.results import Outcome, SideResults
from harness.splats import find_splats
from harness.verdict import decide

ODD = (None, True, -1, 0.5, 10**30, 10**400, -(10**400), math.nan, math.inf, -math.inf, 5e-324, 1.7e308)
ODD_TEXTS = ("", "\ud800", "\udcff", "\0", "a\nb", "finished", "x" * 10_000_000, *HOSTILE)
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from(ODD))
TEXTS = st.one_of(
    st.text(st.characters(codec=None), max_size=20), st.sampled_from([t for t in ODD_TEXTS if len(t) < 99])
)
LEAVES = st.one_of(NUMBERS, TEXTS)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=9,
)
FIGURE = {"unit": "insns/packet", "values": [1.0, 2.0], "scope": "", "profile": {}}
PROFILE = {"first": 0, "segments": 2, "clock": "ktime_get", "per": 4}
SUBTEST = {"name": "s", "outcome": "passed", "reason": "", "details": "", "seconds": 0.1}
GOOD = (
    {"event": "collected", "time": 1.0, "worker": "gw0", "tests": ["s/t.py::a", "s/bench_t.py::b"]},
    {"event": "started", "time": 1.0, "worker": "gw0", "test": "s/t.py::a"},
    {**finished("s/t.py::a", log=WARNING), "time": 2.0, "subtests": [SUBTEST], "figure": {}},
    {**finished("s/bench_t.py::b"), "time": 2.0, "figure": {**FIGURE, "profile": PROFILE}},
    {**gone("s/t.py::c"), "time": 3.0},
    {"event": "node-down", "time": 4.0, "worker": "gw0", "error": "", "boot": "000", "after": "later",
     "left": [["s/t.py::a", "link", "veth0"]], "kmemleak": {"s/t.py::a": "unreferenced object"}},
    {"event": "over", "time": 5.0, "status": 1},
)  # fmt: skip


@st.composite
def mangled(draw) -> list[object]:
    """A good journal in which some values, deep or not, have become others, or are gone."""
    events = json.loads(json.dumps(GOOD))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.sampled_from(events))
        if not isinstance(place, dict):
            continue
        while isinstance(place, (dict, list)) and place:
            key = draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
            inner = place[key]
            if isinstance(inner, (dict, list)) and inner and draw(st.booleans()):
                place = inner
                continue
            if isinstance(place, dict) and draw(st.integers(0, 3)) == 0:
                del place[key]
            else:
                place[key] = draw(VALUES)
            break
    return events + draw(st.lists(VALUES, max_size=1))


def lines(events: list[object]) -> bytes:
    return "".join(f"{json.dumps(event)}\n" for event in events).encode()


def session_in(folder: Path) -> Session:
    guest = GuestSpec(Path("/k"), folder / "boots", Accelerator.TCG)
    return Session(side="patched", guest=guest, root=folder, suites=(), folder=folder)


def side_of(folder: Path) -> SideResults:
    """All that the tests' half makes of a journal."""
    session = session_in(folder)
    events = read_journal(session.journal)
    finished_tests(events)
    for event in events:
        listening(Silent())("patched", event)
    side = collect("patched", events, session.boots, find_splats, attempt=1, seconds=1.0)
    list(_guests("patched", folder))
    return with_unrun(side, session)


def check_figures(folder: Path) -> None:
    """All that the measuring half makes of it."""
    read = readings(session_in(folder))
    boots = [Boot(role, 1, read) for role in ("base", "patched", "control")]
    rounds = [Boot(role, 1, read) for role in ORDER * 3]
    for event in read_journal(session_in(folder).journal):
        if event["event"] == "finished" and event["figure"]:
            _profile("b", event["figure"], {})
    for figures in (figures_of(boots, Policy()), paired_figures(rounds, Policy())):
        performance = Performance("icount", "how", figures)
        assert record.decode(record.encode(performance), Performance) == performance
        Console(file=io.StringIO(), width=100).print(performance_table(performance, every=True))


def check(data: bytes) -> SideResults:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        boot(folder / "boots")
        (folder / "journal.jsonl").write_bytes(data)
        side = side_of(folder)
        check_figures(folder)
    assert record.decode(record.encode(side), SideResults) == side
    comparison = compare(side, side)
    assert decide(comparison).line
    return side


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(mangled())
def test_a_mangled_journal_is_read(events):
    check(lines(events))


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=60), VALUES.map(lambda value: json.dumps(value).encode())))
def test_any_line_is_an_event(line):
    event = read_event(line)
    assert isinstance(event["event"], str)
    assert isinstance(event["time"], float)


@pytest.mark.parametrize("field", sorted(GOOD[3]))
def test_any_value_of_any_field_of_a_report_is_read(field):
    values = [*ODD, *ODD_TEXTS, [], {}, [[]], {"a": []}]
    reports = [{**GOOD[3], "test": f"s/t.py::t{number}", field: value} for number, value in enumerate(values)]
    check(lines([GOOD[0], *reports, GOOD[5]]))


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b'{"event":' * 9_000, b"9" * 9_000, b'"\\ud800', b"\xff", b"{}", b"[]"]
)
def test_a_line_that_is_no_event_says_so(line):
    assert read_event(line)["event"] == NONSENSE
    assert read_event(line)["why"]


def test_what_is_nested_too_deep_for_one_reader_alone_says_so():
    deep = {"event": "finished", "test": "\ud800", "figure": []}
    for _ in range(400):
        deep["figure"] = [deep["figure"]]
    assert read_event(json.dumps(deep).encode())["event"] in (NONSENSE, "finished")


def test_a_report_with_one_wrong_field_has_failed_and_keeps_the_others(tmp_path):
    wrong = {**finished("s/t.py::a", reason="all is well", log=WARNING), "seconds": "soon"}
    (result,) = gather(tmp_path, read_event(json.dumps(wrong).encode())).results
    assert result.outcome is Outcome.FAILED
    assert result.reason.startswith("what its guest reported makes no sense: seconds: Expected `float`, got `str`")
    assert result.reason.endswith("; it said: all is well")
    assert result.splats[0].function == "xdp_planted"


def test_a_subtest_with_a_wrong_field_has_failed_and_its_test_has_not(tmp_path):
    told = finished("s/t.py::a", subtests=[SUBTEST, {**SUBTEST, "name": "odd", "outcome": ["passed"]}])
    results = gather(tmp_path, read_event(json.dumps(told).encode())).results
    assert {each.test: each.outcome.value for each in results} == {
        "s/t.py::a/s": "passed", "s/t.py::a/odd": "failed", "s/t.py::a": "passed"
    }  # fmt: skip


def test_last_words_that_make_no_sense_fail_the_test_that_ended_last(tmp_path):
    boot(tmp_path)
    down = {"event": "node-down", "worker": "gw0", "error": "", "boot": "000", "left": "nothing at all"}
    results = gather(
        tmp_path, finished("s/t.py::a"), finished("s/t.py::b"), read_event(json.dumps(down).encode())
    ).results
    assert [each.outcome for each in results] == [Outcome.PASSED, Outcome.FAILED]
    assert "left: Expected `array`, got `str`" in results[1].reason


def test_a_test_whose_report_names_none_is_lost_and_the_reason_says_why(tmp_path):
    nameless = {**finished("s/t.py::a"), "test": ["s/t.py::a"]}
    side = check(lines([GOOD[0] | {"tests": ["s/t.py::a"]}, nameless]))
    assert side.results[0].outcome is Outcome.LOST
    assert (
        side.results[0].reason == "no report of it came; of one that did, finished: test: Expected `str`, got `array`"
    )


def test_where_pytest_itself_gave_up_the_reason_has_its_last_words(tmp_path):
    (tmp_path / "journal.jsonl").write_bytes(lines([GOOD[0]]))
    (tmp_path / "pytest.log").write_text("INTERNALERROR> Traceback\nINTERNALERROR> KeyError: 7\n\nno tests ran\n")
    lost = side_of(tmp_path).results
    assert {each.reason for each in lost} == {"the session ended before this test was run: KeyError: 7"}
    (tmp_path / "pytest.log").write_text("3 passed\n")
    assert {each.reason for each in side_of(tmp_path).results} == {"the session ended before this test was run"}


def test_a_figure_that_is_no_number_is_none(tmp_path):
    for values in ([math.nan], [], ["1"], [10**400], "12", None):
        event = read_event(json.dumps({**GOOD[3], "figure": {**FIGURE, "values": values}}).encode())
        assert (event["figure"], event["outcome"]) == ({}, "failed")


def test_good_events_stay_as_they_are():
    for event in GOOD:
        read = read_event(json.dumps(event).encode())
        assert {name: read[name] for name in event if name not in ("left", "figure", "subtests", "worker")} == {
            name: value for name, value in event.items() if name not in ("left", "figure", "subtests", "worker")
        }
    assert read_event(json.dumps(GOOD[3]).encode())["figure"]["values"] == [1.0, 2.0]


def test_a_text_that_is_too_long_keeps_both_ends():
    many = random.Random(1).randbytes(10).hex() * 10_000_000
    event = read_event(json.dumps({**GOOD[2], "reason": many, "details": many}).encode())
    assert len(event["reason"]) < 70_000
    assert len(event["details"]) < 17_000_000
    assert event["details"].startswith(many[:99])
    assert event["details"].endswith(many[-99:])
