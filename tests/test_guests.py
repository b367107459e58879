"""Guests under tests that take them down in every way there is: the one at fault pays, the others do not."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.compare import Change, compare
from harness.machine.model import Accelerator, Deadlines, GuestSpec
from harness.machine.session import Session, run_sessions
from harness.results import Outcome
from harness.splats import find_splats

pytestmark = [pytest.mark.kernel, pytest.mark.vm]

ROOT = Path(__file__).parent / "data" / "vm_suite"


@pytest.fixture(scope="module")
def image(ktrial):
    """The base kernel of the examples, from the cache or built."""
    result = ktrial.run("clean-feature.mbox", "--test", "none", "--reruns", "0").result
    return next(Path(kernel["directory"]) / "bzImage" for kernel in result["kernels"] if kernel["side"] == "base")


def session(image, folder, **more):
    deadlines = Deadlines(boot=60, test=10, session=900, scale=4)
    guest = GuestSpec(image, folder, Accelerator.TCG, memory_mib=512, deadlines=deadlines)
    more.setdefault("suites", (ROOT / "crashers",))
    return Session("base", guest, ROOT, folder=folder, **more)


@pytest.fixture(scope="module")
def crashed(image, tmp_path_factory):
    (results,) = run_sessions([session(image, tmp_path_factory.mktemp("crashed"))], find_splats)
    return results


@pytest.fixture(scope="module")
def left(image, tmp_path_factory):
    """In a guest that nobody takes down: what is left is only known at its end."""
    suites = (ROOT / "leavers",)
    (results,) = run_sessions([session(image, tmp_path_factory.mktemp("left"), suites=suites)], find_splats)
    return results


def of(results, name):
    (result,) = (result for result in results.results if result.test.endswith(f"::{name}"))
    return result


@pytest.mark.parametrize(
    ("name", "outcome", "reason"),
    [
        ("test_passes", Outcome.PASSED, ""),
        ("test_fails", Outcome.FAILED, "AssertionError: a frame of 60 bytes was padded"),
        ("test_skips", Outcome.SKIPPED, "no such feature"),
        ("test_is_expected_to_fail", Outcome.XFAILED, "known"),
        ("test_panics", Outcome.CRASHED, "Kernel panic - not syncing: sysrq triggered crash"),
        ("test_powers_off", Outcome.CRASHED, "the guest powered off while the test ran"),
        ("test_resets", Outcome.CRASHED, "the guest reset without a word"),
        ("test_hangs", Outcome.TIMED_OUT, "not done 4 s after its start"),
        ("test_eats_all_memory", Outcome.CRASHED, "the guest ran out of memory and killed the test"),
        ("test_passes_with_a_warning_in_the_kernel_log", Outcome.FAILED, "kernel log: WARNING in xdp_planted"),
        ("test_comes_last", Outcome.PASSED, ""),
    ],
)
def test_each_end_of_a_guest_costs_the_test_at_fault_alone(crashed, name, outcome, reason):
    result = of(crashed, name)
    assert (result.outcome, result.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("name", "outcome", "reason"),
    [
        ("test_leaves_a_link", Outcome.FAILED, "left behind: link left0"),
        ("test_leaves_a_map", Outcome.FAILED, "left behind: bpf map left"),
        ("test_leaves_a_namespace", Outcome.FAILED, "left behind: namespace left"),
        ("test_leaves_a_process", Outcome.FAILED, "left behind: process sleep"),
        ("test_fails_and_leaves_a_map", Outcome.FAILED, "AssertionError: and more"),
        ("test_uses_what_others_use_too", Outcome.PASSED, ""),
        ("test_uses_it_too", Outcome.PASSED, ""),
        ("test_cleans_up", Outcome.PASSED, ""),
    ],
)
def test_what_is_left_behind_costs_the_test_that_made_it(left, name, outcome, reason):
    result = of(left, name)
    assert (result.outcome, result.reason) == (outcome, reason)


def test_what_the_kernel_says_at_the_workers_exit_costs_the_test_that_came_last(image, tmp_path):
    (results,) = run_sessions([session(image, tmp_path, suites=(ROOT / "enders",))], find_splats)
    told = [(result.outcome, result.reason) for result in results.results]
    assert told == [(Outcome.PASSED, ""), (Outcome.FAILED, "kernel log: WARNING in xdp_planted")]


def test_a_panics_trace_is_attached_to_the_test_that_ran(crashed):
    result = of(crashed, "test_panics")
    assert "sysrq_handle_crash" in result.log
    assert result.splats


def test_the_whole_console_of_every_boot_is_kept(crashed):
    for boot in crashed.boots:
        assert "Linux version" in Path(boot.console).read_text(errors="replace")


def test_a_session_that_was_killed_only_runs_what_is_left(image, tmp_path):
    first = session(image, tmp_path, only=("crashers/test_crashers.py::test_passes",))
    run_sessions([first], find_splats)
    events = []
    both = ("crashers/test_crashers.py::test_passes", "crashers/test_crashers.py::test_skips")
    (results,) = run_sessions([replace(first, only=both)], find_splats, lambda _, event: events.append(event))
    assert [event["test"] for event in events if event["event"] == "started"] == [both[1]]
    assert {result.test for result in results.results} == set(both)


def test_a_qemu_that_is_killed_is_our_machines_fault(image, tmp_path):
    import threading

    def kill_qemu():
        import os
        import signal
        import time

        for _ in range(600):
            console = tmp_path / "boots" / "000" / "console.log"
            if console.exists() and b"ktrial: begin" in console.read_bytes():
                for process in Path("/proc").glob("[0-9]*"):
                    try:
                        words = (process / "cmdline").read_bytes()
                        group = (process / "mountinfo").read_bytes()
                    except OSError:
                        continue
                    if words.startswith(b"qemu-system") and str(tmp_path).encode() in group:
                        os.kill(int(process.name), signal.SIGKILL)
                return
            time.sleep(0.1)

    killer = threading.Thread(target=kill_qemu)
    killer.start()
    only = ("crashers/test_crashers.py::test_eats_all_memory",)
    (results,) = run_sessions([session(image, tmp_path, only=only)], find_splats)
    killer.join()
    assert [result.outcome for result in results.results] == [Outcome.LOST]


def test_the_same_kernel_twice_raises_nothing(image, tmp_path):
    only = ("test_passes", "test_skips", "test_fails", "test_is_expected_to_fail", "test_comes_last")
    names = tuple(f"crashers/test_crashers.py::{name}" for name in only)
    sides = [session(image, tmp_path / side, only=names) for side in ("a", "b")]
    base, patched = run_sessions([sides[0], replace(sides[1], side="patched")], find_splats)
    changes = {test.change for test in compare(base, patched).tests}
    assert changes <= {Change.SAME, Change.STILL_FAILING}


def test_a_guest_has_the_modules_that_were_built_with_its_kernel(image, tmp_path):
    built = tmp_path / "built"
    release = _release(image.read_bytes())
    modules = built / "modules" / "lib" / "modules" / release
    modules.mkdir(parents=True)
    (modules / "modules.dep").write_text("kernel/planted.ko:\n")
    shutil.copy(image, built / "bzImage")
    suites = (ROOT / "modular",)
    (results,) = run_sessions([session(built / "bzImage", tmp_path / "run", suites=suites)], find_splats)
    assert [(result.outcome, result.reason) for result in results.results] == [(Outcome.PASSED, "")]


def _release(bz_image: bytes) -> str:
    """A kernel's `uname -r`, where Documentation/arch/x86/boot.rst has it (kernel_version)."""
    at = 0x200 + int.from_bytes(bz_image[0x20E:0x210], "little")
    return bz_image[at : bz_image.index(b"\0", at)].split()[0].decode()
