"""While a run goes on, its lines say what is done, what runs and for how long; they fit, and end cleanly."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from harness.build.model import BuildProgress, Phase
from harness.cli_progress import LiveObserver, PlainObserver, observing, tell_what_is_known
from harness.plan import Silent, listening
from harness.report.progress import BuildState, GuestState, SideState, build_lines, known_lines, left, side_lines

LONG = "xdp_multibuf/test_adjust_tail.py::test_shrink_into_a_short_linear_part[head=64,frame=9000,by=linear+2page+100]"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def side(*events: tuple, guests: int = 1, began: float = 0.0) -> SideState:
    """A side that heard events: (seconds, event, test, outcome, worker)."""
    state = SideState("patched", began, [GuestState(since=began) for _ in range(guests)])
    for seconds, event, test, outcome, worker in events:
        state.heard(event, test, outcome, worker, seconds)
    return state


def text(lines) -> list[str]:
    return [line.plain for line in lines]


def test_a_guest_boots_before_anything_is_known():
    assert text(side_lines(side(), 80, 7.0)) == [
        "test patched   ──────────────   booting    0:07             ",
        "    booting  0:07",
    ]


def test_the_current_test_and_the_counts_are_shown():
    state = side(
        (10, "collected", "", "40", "gw0"),
        (10, "started", "s/t.py::a", "", "gw0"),
        (12, "finished", "s/t.py::a", "passed", "gw0"),
        (12, "started", "s/t.py::b", "", "gw0"),
        (13, "finished", "s/t.py::b", "failed", "gw0"),
        (13, "started", "s/t.py::c", "", "gw0"),
        (14, "finished", "s/t.py::c", "skipped", "gw0"),
        (14, "started", LONG, "", "gw0"),
    )
    head, guest = text(side_lines(state, 80, 20.0))
    assert "3/40" in head
    assert "1 failed, 1 skipped" in head
    assert guest.startswith("    …")
    assert guest.endswith("by=linear+2page+100]  0:06")
    assert len(guest) <= 80


def test_each_guest_has_its_line_and_keeps_it():
    state = side(
        (5, "collected", "", "9", "gw0"),
        (6, "collected", "", "9", "gw1"),
        (6, "started", "s/t.py::a", "", "gw0"),
        (6, "started", "s/t.py::b", "", "gw1"),
        guests=2,
    )
    assert [line.split()[2] for line in text(side_lines(state, 80, 9.0))[1:]] == ["t.py::a", "t.py::b"]
    state.heard("gone", "s/t.py::a", "", "gw0", 10.0)
    assert text(side_lines(state, 80, 12.0))[1:] == ["    guest 1  booting  0:02", "    guest 2  t.py::b  0:06"]
    state.heard("collected", "", "9", "gw2", 15.0)
    state.heard("started", "s/t.py::c", "", "gw2", 15.0)
    assert text(side_lines(state, 80, 15.0))[1:] == ["    guest 1  t.py::c  0:00", "    guest 2  t.py::b  0:09"]
    assert len(state.guests) == 2


def test_journals_that_name_no_worker_are_shown_too():
    state = side((5, "collected", "", "9", "gw0"), (5, "started", "a", "", ""), (6, "finished", "a", "passed", "gw0"))
    state.heard("started", "b", "", "", 6.0)
    assert text(side_lines(state, 80, 9.0))[1:] == ["    b  0:03"]


@pytest.mark.parametrize(
    ("done", "total", "seconds", "told"),
    [
        (0, 100, 10.0, ""),
        (4, 100, 10.0, ""),
        (10, 100, 10.0, "~2 min left"),
        (50, 100, 50.0, "~50 s left"),
        (99, 100, 100.0, "~10 s left"),
        (100, 100, 100.0, ""),
        (2, 3, 30.0, ""),
        (10, 10_000, 100.0, "~28 h left"),
        (10, 0, 10.0, ""),
    ],
)
def test_the_estimate_follows_from_what_this_run_has_done(done, total, seconds, told):
    assert left(done, total, seconds) == told


def test_the_estimate_counts_from_the_moment_a_guest_was_up():
    state = side((100, "collected", "", "20", "gw0"))
    for number in range(10):
        state.heard("finished", f"t{number}", "passed", "gw0", 110.0)
    assert "~10 s left" in text(side_lines(state, 80, 110.0))[0]


def test_the_moment_between_two_tests_does_not_flicker_and_a_longer_wait_is_told_of():
    state = side(
        (5, "collected", "", "9", "gw0"),
        (6, "started", "s/t.py::a", "", "gw0"),
        (7, "finished", "s/t.py::a", "passed", "gw0"),
    )
    assert text(side_lines(state, 80, 7.5))[1:] == ["    t.py::a  0:00"]
    assert text(side_lines(state, 80, 30.0))[1:] == ["    waiting  0:23"]
    state.heard("node-down", "", "", "gw0", 30.0)
    assert text(side_lines(state, 80, 30.5))[1:] == ["    booting  0:00"]


def test_what_went_wrong_is_written_at_once_with_the_live_lines():
    class Writes(io.StringIO):
        count = 0

        def write(self, words: str) -> int:
            self.count += bool(words)
            return super().write(words)

    out = Writes()
    with LiveObserver(Console(file=out, width=60, force_terminal=True), Clock()) as observer:
        observer.live.auto_refresh = False
        observer.testing("base", "collected", "", "3", "gw0")
        before = out.count
        observer.testing("base", "finished", LONG, "failed", "gw0")
        assert out.count == before + 1
    assert "page+100]" in out.getvalue()


def test_a_side_that_is_over_says_so_and_stands_still():
    state = side((5, "collected", "", "1", "gw0"), (6, "finished", "a", "passed", "gw0"), (7, "over", "", "", ""))
    assert side_lines(state, 80, 8.0) == side_lines(state, 80, 800.0)
    assert "done" in text(side_lines(state, 80, 8.0))[0]


def test_a_build_shows_its_objects_and_how_long_they_will_take():
    state = BuildState("patched", 0.0, BuildProgress(Phase.CONFIGURING, 0, None, "olddefconfig"))
    state.heard(BuildProgress(Phase.COMPILING, 0, 200, "init/main.o"), 10.0)
    state.heard(BuildProgress(Phase.COMPILING, 50, 200, "net/core/filter.o"), 40.0)
    head, now = text(build_lines(state, 80, 40.0))
    assert head.split() == ["build", "patched", "━━━───────────", "50/200", "0:40", "~2", "min", "left"]
    assert now == "    compiling net/core/filter.o"


HOSTILE = [
    "a\nb\r\x1b[2Jc",
    "漢字" * 60,
    "👩‍💻" * 40,
    "[red]x[/red]",
    "\udcff",
    "\t" * 99,
    "",
    "x" * 5000,
    "right\u202eto left",
]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["begun", "collected", "started", "finished", "gone", "node-down", "over", "not-collected"]
            ),
            st.sampled_from(HOSTILE) | st.text(max_size=30),
            st.sampled_from(["passed", "failed", "crashed", "timed-out", "skipped", "xfailed", ""]),
            st.sampled_from(["", "gw0", "gw1", "gw2"]),
        ),
        max_size=40,
    ),
    st.integers(30, 200),
)
def test_whatever_comes_no_line_is_wider_than_the_terminal(events, width):
    clock = Clock()
    console = Console(file=io.StringIO(), width=width, height=24, force_terminal=True)
    observer = LiveObserver(console, clock)
    for event, test, outcome, worker in events:
        clock.now += 1.0
        told = "3" if event in ("begun", "collected") else outcome
        observer.testing("patched", event, test, told, worker)
        lines = list(observer.shown().renderables)  # type: ignore[attr-defined]
        assert max((line.cell_len for line in lines), default=0) <= width
        assert all(line.plain.replace("\u200d", "").isprintable() for line in lines)
        assert len(lines) <= 22
    observer.known()


def test_the_lines_of_a_pass_neither_come_nor_go():
    clock = Clock()
    observer = LiveObserver(Console(file=io.StringIO(), width=80, height=24, force_terminal=True), clock)
    heights = set()
    observer.testing("patched", "begun", "", "2")
    for number in range(50):
        worker = f"gw{number % 2}"
        for event, outcome in (("collected", "50"), ("started", ""), ("finished", "passed")):
            clock.now += 1.0
            observer.testing("patched", event, f"s/t.py::t{number}", outcome, worker)
            heights.add(len(observer.shown().renderables))  # type: ignore[attr-defined]
    observer.testing("patched", "over", "", "")
    heights.add(len(observer.shown().renderables))  # type: ignore[attr-defined]
    assert heights == {3}


def test_a_second_pass_takes_the_place_of_the_first_and_both_are_known():
    observer = LiveObserver(Console(file=io.StringIO(), width=80, force_terminal=True), Clock())
    for test in ("a", "b"):
        observer.testing("base", "begun", "", "1")
        observer.testing("base", "collected", "", "1", "gw0")
        observer.testing("base", "finished", test, "failed", "gw0")
        observer.testing("base", "over", "", "")
    assert len(observer.sides) == 1
    assert observer.known() == [
        *("base: 1 of 1 tests: 1 failed", "  failed: a"),
        *("base: 1 of 1 tests: 1 failed", "  failed: b"),
    ]


def test_a_new_stage_clears_what_is_over():
    out = io.StringIO()
    observer = LiveObserver(Console(file=out, width=80, force_terminal=True), Clock())
    observer.testing("base", "collected", "", "1", "gw0")
    observer.stage("boot", "still")
    assert len(observer.shown().renderables) == 2  # type: ignore[attr-defined]
    observer.testing("base", "over", "", "")
    observer.stage("perf", "next")
    assert observer.shown().renderables == []  # type: ignore[attr-defined]


def test_in_a_log_there_is_a_line_for_what_matters():
    clock = Clock()
    out = io.StringIO()
    observer = PlainObserver(Console(file=out, width=80), clock)
    observer.stage("boot", "base and patched")
    observer.testing("patched", "begun", "", "1")
    for worker in ("gw0", "gw1"):
        observer.testing("patched", "collected", "", "40", worker)
    for number in range(20):
        clock.now += 2.0
        observer.testing("patched", "finished", f"t{number}", "failed" if number == 3 else "passed", "gw0")
    lines = [re.sub(r"^\[ *[\d.]+ s\] ", "", line) for line in out.getvalue().splitlines()]
    assert lines == [
        "boot: base and patched",
        "test: patched: 40 tests",
        "test: patched: failed: t3",
        "test: patched: 12/40, 1 failed, ~60 s left",
        "test: patched: 20/40, 1 failed, ~40 s left",
    ]


def test_events_of_a_session_reach_the_observer():
    heard = []

    class Listening(Silent):
        def testing(self, side, event, test, outcome, worker=""):
            heard.append((side, event, test, outcome, worker))

    listen = listening(Listening())
    listen("base", {"event": "begun", "guests": 2})
    listen("base", {"event": "collected", "worker": "gw0", "tests": ["a", "b"]})
    listen("base", {"event": "started", "test": "a"})
    listen("base", {"event": "finished", "test": "a", "outcome": "failed", "worker": "gw0"})
    assert heard == [
        ("base", "begun", "", "2", ""),
        ("base", "collected", "", "2", "gw0"),
        ("base", "started", "a", "", ""),
        ("base", "finished", "a", "failed", "gw0"),
    ]


@pytest.mark.parametrize("quiet", [True, False])
def test_without_a_terminal_nothing_is_painted_over(quiet):
    out = io.StringIO()
    with observing(Console(file=out, width=80), quiet=quiet) as observer:
        observer.stage("boot", "x")
        observer.building("base", BuildProgress(Phase.COMPILING, 1, 2, "a.o"))
    assert "\x1b" not in out.getvalue()
    assert bool(out.getvalue()) is not quiet
    tell_what_is_known(observer, Console(file=out))


def test_what_is_known_counts_and_names_what_went_wrong():
    state = side((1, "collected", "", "9", "gw0"))
    for number in range(6):
        state.heard("finished", f"t{number}", "failed", "gw0", 2.0)
    state.heard("finished", "well", "passed", "gw0", 3.0)
    assert known_lines([state, side()]) == [
        "patched: 7 of 9 tests: 6 failed, 1 passed",
        *(f"  failed: t{number}" for number in range(4)),
        "  ... and 2 more",
    ]


INTERRUPTED = """
import sys, time
from rich.console import Console
from harness.cli_progress import observing, tell_what_is_known
console = Console(stderr=True, force_terminal=True, width=80, highlight=False)
with observing(console) as observer:
    try:
        observer.testing("base", "begun", "", "1")
        observer.testing("base", "collected", "", "3", "gw0")
        observer.testing("base", "finished", "s/t.py::a", "failed", "gw0")
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        tell_what_is_known(observer, console)
        sys.exit(130)
"""


def test_ctrl_c_takes_the_live_lines_away_and_says_what_is_known():
    argv = [sys.executable, "-c", INTERRUPTED]
    root = Path(__file__).parent.parent
    process = subprocess.Popen(argv, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.6)
    process.send_signal(2)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "base: 1 of 3 tests: 1 failed" in errors
    assert "\x1b[?25h" in errors  # the cursor is back
    assert "Traceback" not in errors
