"""The console's watcher: what a guest runs, what is overdue, how it ended. Pure: no guest is booted."""

import pytest

from harness.machine.model import BootEnd, Deadlines
from harness.machine.watch import Watched, ended, overdue, see

DEADLINES = Deadlines(boot=60, test=30, scale=2)
BOOTED = (
    (5.0, "[    4.1] ktrial: ready"),
    (6.0, "[    5.0] ktrial: begin 40 suite/test_a.py::test_one[frame=9000,by=1]"),
)


def watch(*lines, state=None):
    state = state or Watched()
    for now, line in lines:
        state = see(state, line, now)
    return state


def test_a_worker_that_is_up_is_ready_at_that_time():
    assert watch(*BOOTED).ready_at == 5.0


def test_the_running_test_is_the_one_that_began_and_did_not_end():
    state = watch(*BOOTED)
    assert (state.running, state.last) == ("suite/test_a.py::test_one[frame=9000,by=1]", "")
    state = watch((7.0, "[    6.0] ktrial: end"), state=state)
    assert (state.running, state.last) == ("", "suite/test_a.py::test_one[frame=9000,by=1]")


def test_a_test_is_overdue_at_the_deadline_in_its_mark_and_not_before():
    state = watch(*BOOTED)
    assert overdue(state, DEADLINES, 45.9) is None
    assert overdue(state, DEADLINES, 46.1) == (BootEnd.TEST_TIMEOUT, "not done 40 s after its start")


def test_a_guest_may_wait_for_the_boots_of_others_before_its_first_test_but_not_for_ever():
    state = watch(BOOTED[0])
    assert overdue(state, DEADLINES, 5 + 480) is None
    assert overdue(state, DEADLINES, 5 + 481) == (BootEnd.TEST_TIMEOUT, "the guest did nothing for 480 s")


def test_a_guest_that_hangs_behind_a_test_is_overdue():
    state = watch(*BOOTED, (7.0, "[    6.0] ktrial: end"), (100.0, "[   99.0] watchdog: BUG: soft lockup - CPU#0"))
    assert overdue(state, DEADLINES, 7 + 120) is None
    assert overdue(state, DEADLINES, 7 + 121) == (BootEnd.TEST_TIMEOUT, "the guest did nothing for 120 s")
    assert overdue(watch((110.0, BOOTED[1][1]), state=state), DEADLINES, 7 + 121) is None


def test_a_guest_has_the_time_for_its_farewell_that_it_asked_for():
    state = watch(*BOOTED, (7.0, "[    6.0] ktrial: end"), (8.0, "[    7.0] ktrial: leaving 960"))
    assert overdue(state, DEADLINES, 8 + 960) is None
    assert overdue(state, DEADLINES, 8 + 961) == (BootEnd.TEST_TIMEOUT, "the guest did nothing for 960 s")
    assert (state.running, state.last) == ("", "suite/test_a.py::test_one[frame=9000,by=1]")


def test_a_boot_is_overdue_at_the_scaled_deadline():
    assert overdue(Watched(), DEADLINES, 119) is None
    assert overdue(Watched(), DEADLINES, 121) == (BootEnd.BOOT_TIMEOUT, "not up 120 s after its start")


def test_a_panicked_guest_gets_time_for_its_last_words_and_no_more():
    state = watch(*BOOTED, (8.0, "[    7.0] Kernel panic - not syncing: Fatal exception in interrupt"))
    assert overdue(state, DEADLINES, 12.0) is None
    end, why = overdue(state, DEADLINES, 19.0)
    assert (end, why) == (BootEnd.PANIC, "Kernel panic - not syncing: Fatal exception in interrupt")


@pytest.mark.parametrize(
    ("lines", "status", "end"),
    [
        ([], 0, BootEnd.RESET),
        (["reboot: Restarting system"], 0, BootEnd.RESET),
        (["reboot: Power down"], 0, BootEnd.POWERED_OFF),
        (["Kernel panic - not syncing: x"], 0, BootEnd.PANIC),
        (["Kernel panic - not syncing: x"], 137, BootEnd.PANIC),
        (["Out of memory: Killed process 9 (python)", "reboot: Power down"], 0, BootEnd.OUT_OF_MEMORY),
        ([], 137, BootEnd.LOST),
        ([], 1, BootEnd.LOST),
        ([], None, BootEnd.LOST),
    ],
)
def test_how_a_guest_ended_under_a_test(lines, status, end):
    state = watch(*BOOTED, *((9.0, line) for line in lines))
    assert ended(state, status, "last words")[0] is end


def test_a_guest_that_powers_off_with_nothing_to_do_ended_cleanly():
    state = watch(BOOTED[0], (9.0, "[    8.0] reboot: Power down"))
    assert ended(state, 0, "") == (BootEnd.CLEAN, "")


def test_a_guest_that_powers_off_before_its_worker_is_up_did_not_boot():
    assert ended(watch((3.0, "reboot: Power down")), 0, "")[0] is BootEnd.POWERED_OFF


def test_memory_that_ran_out_in_an_earlier_test_is_not_held_against_this_one():
    later = (9.0, "[    8.0] ktrial: begin 40 suite/test_a.py::test_two")
    state = watch(*BOOTED, (8.0, "Out of memory: Killed process 9 (x)"), later, (9.5, "reboot: Power down"))
    assert ended(state, 0, "")[0] is BootEnd.POWERED_OFF


def test_a_lost_machine_says_its_last_words():
    assert ended(watch(*BOOTED), 1, "qemu: no memory")[1] == "QEMU exited with status 1: qemu: no memory"
