"""test_run on a device of its own: the device is held while the program runs, and let go whatever happens.

Rules: net/bpf/test_run.c:xdp_convert_md_to_buff, xdp_convert_buff_to_md.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import INGRESS, LENGTH, Limits, Machine, frame_of, xdp_md

DEVICE = "ktrial0"
DEADLINE = 8.0  # unregister_netdevice waits for ever for a reference that is never dropped


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", "link", *arguments], check=True, timeout=DEADLINE, capture_output=True)


@pytest.fixture
def device() -> Iterator[int]:
    """A dummy device's index. Removing it proves that nobody holds it any more."""
    if not shutil.which("ip"):
        pytest.skip("the guest has no ip command (iproute2)")
    try:
        _ip("add", DEVICE, "type", "dummy")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the kernel makes no dummy device (CONFIG_DUMMY): {error.stderr.decode()}")
    yield socket.if_nametoindex(DEVICE)
    # No `with`: what waits for the last reference is past killing, and must not hold the guest.
    removal = subprocess.Popen(["ip", "link", "delete", DEVICE])
    try:
        removal.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        removal.kill()
        pytest.fail(f"{DEVICE} cannot be removed within {DEADLINE:.0f} s: test_run left a reference to it", False)


CASES = [
    ("60", 0, "success"),
    ("9000", 0, "success"),
    ("largest+1", 0, "ENOMEM"),
    ("60", 4096, "EINVAL"),
]


@cases("frame, queue, error", CASES)
def test_device_is_let_go(machine: Machine, limits: Limits, device: int, frame: str, queue: int, error: str):
    size = limits.size(frame)
    operations = (INGRESS, LENGTH)
    machine.prepare(operations)
    ran = machine.frags.test_run(frame_of(size), ctx=xdp_md(0, size, ifindex=device, queue=queue), ctx_out=24)
    assert ran.error_name == error, f"{size} bytes, queue {queue}: test_run said {ran.error_name}"
    if error == "success":
        assert machine.collect(operations, ran).results == (device, size)
