"""One test for each way in which a guest, or a test in it, can end."""

import os
import time
from pathlib import Path

import pytest


def sysrq(key):
    """Do what SysRq-KEY does (Documentation/admin-guide/sysrq.rst), and wait for it."""
    Path("/proc/sysrq-trigger").write_text(key)
    time.sleep(30)


def test_passes():
    pass


def test_fails():
    assert 60 == 64, "a frame of 60 bytes was padded"


def test_skips():
    pytest.skip("no such feature")


@pytest.mark.xfail(reason="known")
def test_is_expected_to_fail():
    raise AssertionError


def test_panics():
    sysrq("c")


def test_powers_off():
    sysrq("o")


def test_resets():
    sysrq("b")


@pytest.mark.deadline(1)
def test_hangs():
    while True:
        pass


def test_eats_all_memory():
    eaten = []
    while True:
        eaten.append(b"x" * 10_000_000)


def test_passes_with_a_warning_in_the_kernel_log():
    lines = (
        "------------[ cut here ]------------",
        "WARNING: CPU: 0 PID: 1 at net/core/xdp.c:42 xdp_planted+0x10/0x20",
        "CPU: 0 PID: 1 Comm: test Not tainted 6.12.0 #1",
        "RIP: 0010:xdp_planted+0x10/0x20",
        "Call Trace:",
        " <TASK>",
        " xdp_outer+0x10/0x20",
        " </TASK>",
        "---[ end trace 0000000000000000 ]---",
    )
    for line in lines:
        descriptor = os.open("/dev/kmsg", os.O_WRONLY)
        os.write(descriptor, f"<4>{line}\n".encode())
        os.close(descriptor)


def test_comes_last():
    pass
