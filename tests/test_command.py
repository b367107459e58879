"""The door: deadlines, process groups, what a jail hides. Every program here really runs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.command import Command, CommandFailed, Jail, run
from harness.errors import ToolchainError

JAIL = Jail()


def jailed(script, **more):
    return run(Command(("sh", "-c", script), jail=Jail(**more), deadline=20), check=False)


def gone(pid):
    """Ended, if not yet reaped by whoever inherited it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "Z"
    except FileNotFoundError:
        return True


def wait_until_gone(pid):
    """A signal was sent; the kernel takes its time to deliver it."""
    for _ in range(100):
        if gone(pid):
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} is still running")


def test_output_and_errors_are_captured_and_logged(tmp_path):
    log = tmp_path / "deep" / "out.log"
    done = run(Command(("sh", "-c", "echo one; echo two >&2"), log=log))
    assert done.text.split() == ["one", "two"]
    assert log.read_bytes() == done.output


def test_standard_error_can_be_kept_apart():
    done = run(Command(("sh", "-c", "echo one; echo two >&2")), merge=False)
    assert (done.output, done.errors) == (b"one\n", b"two\n")


def test_a_megabyte_goes_in_and_comes_out():
    data = os.urandom(1 << 20)
    assert run(Command(("cat",)), stdin=data).output == data


def test_lines_are_told_as_they_come_the_last_without_a_newline_too():
    lines = []
    run(Command(("printf", "a\\nb\\nc")), on_line=lines.append)
    assert lines == ["a", "b", "c"]


def test_a_failure_carries_the_status_the_words_and_the_log(tmp_path):
    with pytest.raises(CommandFailed) as caught:
        run(Command(("sh", "-c", "echo why; exit 3"), log=tmp_path / "log"))
    assert "status 3" in caught.value.summary
    assert caught.value.detail == "why"
    assert caught.value.log == tmp_path / "log"


def test_a_program_that_is_not_installed_is_named():
    with pytest.raises(ToolchainError, match="no-such-program-here"):
        run(Command(("no-such-program-here",)))


def test_the_deadline_ends_the_whole_process_group():
    began = time.monotonic()
    done = run(Command(("sh", "-c", "sleep 61 & sleep 62 & echo $!; wait"), deadline=0.5), check=False)
    assert done.timed_out
    assert time.monotonic() - began < 10
    wait_until_gone(done.text.strip())


def test_a_killed_ktrial_takes_its_programs_with_it(tmp_path):
    shell = f"echo $$ >{tmp_path}/pid; sleep 63"
    script = f"from harness.command import *; run(Command(('sh', '-c', {shell!r})))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    parent = subprocess.Popen([sys.executable, "-c", script], env=environment)
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until_gone(pid.read_text().strip())


def test_a_jail_has_no_home_no_network_and_no_other_process():
    assert jailed("ls -A /home /root 2>/dev/null").text == ""
    assert "lo" in jailed("cat /proc/net/dev").text
    assert "eth0" not in jailed("cat /proc/net/dev").text
    assert len(jailed("ls /proc").text.split("\n")) < 200
    assert jailed("ls -d /proc/[0-9]* | wc -l").text.strip() in ("2", "3", "4")


def test_a_jail_cannot_write_to_the_system_nor_to_what_it_may_only_read(tmp_path):
    (tmp_path / "mine").write_text("x")
    for place in ("/usr/bin/x", "/etc/passwd", "/given/mine"):
        done = jailed(f"echo y >{place}", read_only=((tmp_path, Path("/given")),))
        assert done.status != 0
    assert (tmp_path / "mine").read_text() == "x"


def test_a_jail_writes_where_it_may(tmp_path):
    assert jailed("echo y >/given/file", read_write=((tmp_path, Path("/given")),)).ok
    assert (tmp_path / "file").read_text() == "y\n"


def test_a_jail_has_no_capabilities_and_cannot_mount():
    assert "CapEff:\t0000000000000000" in jailed("cat /proc/self/status").text
    assert jailed("mount -t tmpfs none /tmp").status != 0


def test_a_jail_does_not_see_the_callers_variables(monkeypatch):
    monkeypatch.setenv("KTRIAL_SECRET", "hunter2")
    assert "hunter2" not in jailed("env").text
