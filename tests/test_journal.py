"""What became of each test, from the workers' journal and the guests' ends together. No guest is booted."""

import json

import pytest

from harness import record
from harness.machine.journal import collect, finished_tests, read_boots, read_journal
from harness.machine.model import Accelerator, BootEnd, BootRecord
from harness.results import Outcome
from harness.splats import find_splats, is_timely

WARNING = """[    9.012345] ------------[ cut here ]------------
[    9.012345] WARNING: CPU: 0 PID: 1 at net/core/xdp.c:42 xdp_planted+0x10/0x20
[    9.012345] RIP: 0010:xdp_planted+0x10/0x20
[    9.012345] Call Trace:
[    9.012345]  xdp_outer+0x10/0x20
[    9.012345] ---[ end trace 0000000000000000 ]---"""


def boot(folder, name="000", end=BootEnd.CLEAN, running="", last="", console="", ready=5.0):
    values = BootRecord(name, end, "why it ended", Accelerator.TCG, ready, 9.0, running, last, 0)
    (folder / name).mkdir(parents=True)
    (folder / name / "console.log").write_text(console)
    record.save(folder / name / "boot.json", values)


def finished(test, outcome="passed", **more):
    event = {"event": "finished", "test": test, "outcome": outcome, "reason": "", "details": "", "seconds": 0.1}
    return {**event, "log": "", "before": "", "boot": "000", "worker": "gw0", **more}


def gone(test):
    return {"event": "gone", "test": test, "worker": "gw0"}


def gather(boots, *events):
    return collect("patched", events, boots, find_splats, attempt=1, seconds=9.0)


def test_a_warning_in_a_tests_own_log_fails_it_though_its_assertions_held(tmp_path):
    boot(tmp_path)
    (result,) = gather(tmp_path, finished("s/t.py::a", log=WARNING)).results
    assert result.outcome is Outcome.FAILED
    assert result.reason.startswith("kernel log: WARNING")
    assert result.splats[0].function == "xdp_planted"


def test_what_the_kernel_says_between_two_tests_belongs_to_the_one_before(tmp_path):
    boot(tmp_path)
    first, second = gather(tmp_path, finished("s/t.py::a"), finished("s/t.py::b", before=WARNING)).results
    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.PASSED)


def test_what_it_says_after_the_last_test_belongs_to_that(tmp_path):
    boot(tmp_path)
    down = {"event": "node-down", "worker": "gw0", "error": "", "after": WARNING, "boot": "000"}
    (result,) = gather(tmp_path, finished("s/t.py::a"), down).results
    assert result.outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (BootEnd.PANIC, Outcome.CRASHED),
        (BootEnd.RESET, Outcome.CRASHED),
        (BootEnd.POWERED_OFF, Outcome.CRASHED),
        (BootEnd.OUT_OF_MEMORY, Outcome.CRASHED),
        (BootEnd.TEST_TIMEOUT, Outcome.TIMED_OUT),
        (BootEnd.LOST, Outcome.LOST),
    ],
)
def test_the_guests_end_says_what_became_of_the_test_that_ran(tmp_path, end, outcome):
    boot(tmp_path, end=end, running="s/t.py::a")
    (result,) = gather(tmp_path, gone("s/t.py::a")).results
    assert (result.outcome, result.reason) == (outcome, "why it ended")


def test_a_crashed_test_carries_the_console_from_its_own_beginning(tmp_path):
    console = "[ 1.0] boot\n[ 2.0] ktrial: begin 9 s/t.py::a\n[ 3.0] Kernel panic - not syncing: oh\n"
    boot(tmp_path, end=BootEnd.PANIC, running="s/t.py::a", console=console)
    (result,) = gather(tmp_path, gone("s/t.py::a")).results
    assert result.log == "[ 3.0] Kernel panic - not syncing: oh"


def test_a_test_that_never_began_is_lost_and_the_one_before_is_blamed(tmp_path):
    boot(tmp_path, end=BootEnd.PANIC, last="s/t.py::a")
    first, second = gather(tmp_path, finished("s/t.py::a"), gone("s/t.py::b")).results
    assert (first.outcome, second.outcome) == (Outcome.CRASHED, Outcome.LOST)
    assert first.reason == "right after the test: why it ended"


def test_a_guest_that_stood_still_behind_a_test_is_that_tests_doing(tmp_path):
    console = f"[ 2.0] ktrial: begin 9 s/t.py::a\n[ 3.0] ktrial: end\n{WARNING}\n"
    boot(tmp_path, end=BootEnd.TEST_TIMEOUT, last="s/t.py::a", console=console)
    (result,) = gather(tmp_path, finished("s/t.py::a")).results
    assert (result.outcome, result.reason) == (Outcome.TIMED_OUT, "right after the test: why it ended")
    assert [splat.function for splat in result.splats] == ["xdp_planted"]


DONE = "[ 1.0] ktrial: ready\n[ 2.0] ktrial: begin 9 s/t.py::a\n[ 3.0] ktrial: end\n"
LAST_WORDS = {"event": "node-down", "worker": "gw0", "error": "", "after": "", "boot": "000"}


@pytest.mark.parametrize(
    ("end", "console", "down"),
    [
        (BootEnd.CLEAN, f"{DONE}{WARNING}\n[ 9.9] reboot: Power down\n", {**LAST_WORDS, "boot": ""}),
        (BootEnd.CLEAN, f"{DONE}[ 4.0] ktrial: over\n{WARNING}\n", LAST_WORDS),
        (BootEnd.LOST, f"{DONE}{WARNING}\n", {**LAST_WORDS, "boot": ""}),
        (BootEnd.RUNNING, f"{DONE}{WARNING}\n", {**LAST_WORDS, "boot": ""}),
    ],
    ids=["worker-oopsed", "at-exit", "lost", "session-killed"],
)
def test_what_the_kernel_says_when_nobody_can_send_it_home_is_read_off_the_console(tmp_path, end, console, down):
    boot(tmp_path, end=end, last="s/t.py::a", console=console)
    side = gather(tmp_path, finished("s/t.py::a"), down)
    assert side.results[0].reason == "kernel log: WARNING in xdp_planted"
    assert side.boots[0].splats == ()
    assert side.boots[0].end == (BootEnd.LOST if end is BootEnd.RUNNING else end)


def test_a_guest_whose_session_was_killed_is_told_of_but_has_not_come_to_its_end(tmp_path):
    boot(tmp_path, end=BootEnd.RUNNING, console=DONE)
    assert read_boots(tmp_path) == ()
    assert [each.end for each in gather(tmp_path, finished("s/t.py::a")).boots] == [BootEnd.LOST]


def test_what_was_sent_home_is_not_taken_from_the_console_again(tmp_path):
    console = f"[ 1.0] ktrial: begin 9 s/t.py::a\n{WARNING}\n[ 9.1] ktrial: end\n[ 9.2] ktrial: over\n"
    boot(tmp_path, console=console)
    (result,) = gather(tmp_path, finished("s/t.py::a", log=WARNING), LAST_WORDS).results
    assert result.log == WARNING


def test_what_the_kernel_says_before_a_test_that_ends_its_guest_is_the_one_befores(tmp_path):
    console = f"{DONE}{WARNING}\n[ 9.5] ktrial: begin 9 s/t.py::b\n[    9.900000] Kernel panic - not syncing: oh\n"
    boot(tmp_path, end=BootEnd.PANIC, running="s/t.py::b", last="s/t.py::a", console=console)
    first, second = gather(tmp_path, finished("s/t.py::a"), gone("s/t.py::b")).results
    assert first.reason == "kernel log: WARNING in xdp_planted"
    assert (second.outcome, [splat.kind for splat in second.splats]) == (Outcome.CRASHED, ["panic: oh"])


def test_what_it_says_before_the_first_test_is_the_boots(tmp_path):
    console = f"[ 1.0] ktrial: ready\n{WARNING}\n[ 9.9] ktrial: begin 9 s/t.py::a\n[ 10.0] ktrial: end\n"
    boot(tmp_path, console=console)
    side = gather(tmp_path, finished("s/t.py::a", before=WARNING))
    assert side.results[0].outcome is Outcome.PASSED
    assert [splat.function for splat in side.boots[0].splats] == ["xdp_planted"]


def test_a_report_far_before_a_guests_end_is_found_though_it_is_not_shown(tmp_path):
    far = "".join(f"[   10.{line:06d}] and so on\n" for line in range(300))
    console = f"[ 1.0] ktrial: begin 9 s/t.py::a\n{WARNING}\n{far}[   11.000000] Kernel panic - not syncing: oh\n"
    boot(tmp_path, end=BootEnd.PANIC, running="s/t.py::a", console=console)
    (result,) = gather(tmp_path, gone("s/t.py::a")).results
    assert [splat.kind for splat in result.splats] == ["WARNING", "panic: oh"]
    assert len(result.log.splitlines()) == 200


@pytest.mark.parametrize(
    ("end", "kind", "timely"),
    [
        (BootEnd.RESET, "reset before it was up", False),
        (BootEnd.POWERED_OFF, "off before it was up", False),
        (BootEnd.BOOT_TIMEOUT, "not up in time", True),
    ],
)
def test_a_boot_that_ends_without_a_word_is_a_complaint(tmp_path, end, kind, timely):
    boot(tmp_path, end=end, console="[ 1.0] smp: Bringing up secondary CPUs ...\n", ready=0.0)
    (splat,) = gather(tmp_path).boots[0].splats
    assert (splat.kind, is_timely(splat)) == (kind, timely)


def test_a_gateway_that_was_killed_leaves_a_lost_test(tmp_path):
    (tmp_path / "000").mkdir()
    (result,) = gather(tmp_path, gone("s/t.py::a")).results
    assert result.outcome is Outcome.LOST


def test_a_journal_that_a_kill_cut_short_is_read_up_to_there(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text(json.dumps(finished("s/t.py::a")) + "\n" + '{"event": "finis')
    assert finished_tests(read_journal(path)) == {"s/t.py::a"}


def test_what_is_no_json_and_python_writes_is_read(tmp_path):
    """The worker's Python wrote it in the guest: an infinite duration, a name with a byte of no encoding."""
    journal = tmp_path / "journal.jsonl"
    events = [finished("t::a\udcff", reason="b\ud800"), finished("t::b", seconds=float("inf"))]
    journal.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    boot(tmp_path / "boots")
    side = gather(tmp_path / "boots", *read_journal(journal))
    assert [each.test for each in side.results] == ["t::a\\udcff", "t::b"]
    assert side.results[0].reason == "b\\ud800"
    assert (side.results[1].outcome, side.results[1].seconds) == (Outcome.FAILED, 0.0)
    assert side.results[1].reason.startswith("what its guest reported makes no sense: seconds: ")
    assert record.decode(record.encode(side), type(side)) == side


def test_a_long_name_is_found_by_what_the_console_shows_of_it(tmp_path):
    name = "s/t.py::test[" + "x" * 2000 + "]"
    boot(tmp_path, end=BootEnd.PANIC, running=name[:700])
    (result,) = gather(tmp_path, gone(name)).results
    assert result.outcome is Outcome.CRASHED
