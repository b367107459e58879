"""What a suite finds on a board, and what it does to one."""

import os
import subprocess
import time
from pathlib import Path

import pytest


def test_knows_the_wiring():
    told = {name: os.environ.get(f"KTRIAL_{name}") for name in ("IFACE", "LOOP", "PEER")}
    assert told == {"IFACE": "lo", "LOOP": None, "PEER": "root@peer"}


def test_runs_from_what_was_brought(tmp_path):
    brought = Path(os.environ["KTRIAL_BOARD_FOLDER"])
    assert Path(pytest.__file__).is_relative_to(brought)
    assert Path(__file__).is_relative_to(brought)
    assert tmp_path.is_relative_to(brought)


def test_logs():
    with Path("/dev/kmsg").open("w") as log:
        log.write("<6>wired: a word of the kernel's\n")


def test_leaves_a_process():
    subprocess.Popen(("sleep", "987"), start_new_session=True)


@pytest.mark.deadline(1)
def test_hangs():
    time.sleep(60)


def test_is_run_after_one_that_hung():
    pass


def test_waits():
    time.sleep(60)
