"""Our own xdpsock (vm/xdpsock) in the guest: start it, wait until it is bound, feed it, read its summary."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from net.link import PATIENCE, Link
from net.wire import BROADCAST, TEST_TYPE, payload

__all__ = ["Refused", "Xdpsock", "assert_accounted_for", "assert_bound", "stamped", "started", "xdpsock_path"]

_MAGIC = 0x78736B21  # STAMP_MAGIC of vm/xdpsock/frame.h
_STAMP = 12
SENDER = b"\x02\0\0\0\0\x01"


def stamped(number: int, size: int, *, to: bytes = BROADCAST, sender: bytes = SENDER) -> bytes:
    """The frame that `xdpsock --verify` knows by its number, size and bytes (vm/xdpsock/frame.h)."""
    head = to + sender + struct.pack("!HIII", TEST_TYPE, _MAGIC, number, size)
    return head + payload(size - len(head), number + len(head))


class Refused(Exception):
    """xdpsock gave up before it was bound. what: it was at; errno: its name."""

    def __init__(self, what: str, errno: str) -> None:
        super().__init__(f"xdpsock: {what}: {errno}")
        self.what, self.errno = what, errno

    def lacks_mode(self, *, zero_copy: bool) -> bool:
        """Whether the device has no such mode, or no room for it; else something is wrong."""
        return self.errno == "EOPNOTSUPP" or (self.errno == "EINVAL" and zero_copy)


def assert_bound(told: dict[str, Any], xdp: str, *, zero_copy: bool) -> None:
    """The summary of an xdpsock that ran in the mode that was asked for. xdp: skb or native."""
    bound = told["bound"]
    assert (bound["xdp"], bound["zero_copy"]) == (xdp, zero_copy), f"bound: {bound}"


def assert_accounted_for(told: dict[str, Any]) -> None:
    """Every buffer came back once, and no other."""
    books = told["buffers"]
    assert (books["duplicates"], books["strangers"]) == (0, 0), f"buffers: {books}"
    assert books["tx_returned"] == books["tx_given"], f"sent buffers did not come back: {books}"


def xdpsock_path() -> str:
    """$KTRIAL_TOOLS_DIR/xdpsock, which the host built."""
    path = Path(os.environ.get("KTRIAL_TOOLS_DIR", "")) / "xdpsock"
    if not path.is_file():
        pytest.skip("no xdpsock: KTRIAL_TOOLS_DIR names the folder it is built in")
    return str(path)


class Xdpsock:
    """A running xdpsock."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def summary(self, deadline: float = PATIENCE, *, status: int = 0) -> dict[str, Any]:
        """Wait for its end; what it printed. Fails the test on another exit status, and where it does not end."""
        try:
            out, errors = self.process.communicate(timeout=deadline)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGINT)
            out, errors = self.process.communicate(timeout=deadline)
            pytest.fail(f"xdpsock did not end within {deadline:.0f} s; it says: {out or errors}", False)
        if self.process.returncode != status:
            pytest.fail(f"xdpsock exited with {self.process.returncode}, not {status}: {errors}\n{out}", False)
        return dict(json.loads(out))

    def stop(self) -> dict[str, Any]:
        """End it as a user does, with SIGINT."""
        self.process.send_signal(signal.SIGINT)
        return self.summary()

    def kill(self) -> None:
        """End it as the OOM killer does."""
        self.process.kill()
        self.process.wait(PATIENCE)


@contextlib.contextmanager
def started(link: Link, *words: str, counters: Sequence[int] = ()) -> Iterator[Xdpsock]:
    """Start xdpsock on a link; the block runs once it is bound. counters: for its --laps-fd. Raises Refused.

    Of the frames on the link it takes tests' only, and rings and umem are small: an emulated guest pays for each page.
    """
    sizes = ("--frames=1024", "--ring-size=512", f"--ethertype={TEST_TYPE:x}")
    ready, theirs = os.pipe()
    argv = [xdpsock_path(), "-i", link.name, "--json", f"--ready-fd={theirs}", *sizes, *words]
    argv += [f"--laps-fd={','.join(map(str, counters))}"] if counters else []
    process = subprocess.Popen(
        argv,
        pass_fds=(theirs, *counters),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    try:
        _wait_until_bound(process, ready)
        yield Xdpsock(process)
    finally:
        os.close(ready)
        if process.poll() is None:
            process.kill()
        process.communicate()


def _wait_until_bound(process: subprocess.Popen[str], ready: int) -> None:
    """Until it writes its line, or closes the pipe: it has gone."""
    if not select.select([ready], [], [], PATIENCE)[0]:
        pytest.fail(f"xdpsock was not bound within {PATIENCE:.0f} s", False)
    if os.read(ready, 64):
        return
    out, errors = process.communicate(timeout=PATIENCE)
    try:
        error = json.loads(out)["error"]
    except (ValueError, KeyError):
        pytest.fail(f"xdpsock exited with {process.returncode}: {errors}{out}", False)
    raise Refused(error["what"], error["errno"])
