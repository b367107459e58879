"""Locks between runs."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

from harness.locks import is_locked, locked, try_locked

HOLDER = """
import sys, time
from pathlib import Path
from harness.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_taker_waits_and_is_told_so(tmp_path):
    path, said, entered = tmp_path / "entry.lock", threading.Event(), threading.Event()

    def second() -> None:
        with locked(path, wait_message=said.set):
            entered.set()

    with locked(path):
        thread = threading.Thread(target=second)
        thread.start()
        assert said.wait(5)
        assert not entered.is_set()
    thread.join(5)
    assert entered.is_set()


def test_readers_share_and_keep_writers_out(tmp_path):
    path = tmp_path / "entry.lock"
    with locked(path, shared=True), locked(path, shared=True), try_locked(path) as free:
        assert not free
        assert is_locked(path)
    assert not is_locked(path)


def test_a_killed_holder_leaves_no_lock(tmp_path):
    path = tmp_path / "entry.lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    assert is_locked(path)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    assert not is_locked(path)


def test_a_lock_file_removed_by_its_holder_is_made_anew_by_the_next(tmp_path):
    path, entered = tmp_path / "entry.lock", threading.Event()

    def waiter() -> None:
        with locked(path):
            assert path.exists()
            entered.set()

    with locked(path):
        thread = threading.Thread(target=waiter)
        thread.start()
        path.unlink()
    thread.join(5)
    assert entered.is_set()


def test_asking_about_a_lock_does_not_create_it(tmp_path):
    assert not is_locked(tmp_path / "none.lock")
    assert not (tmp_path / "none.lock").exists()
