"""The interface at the other end of a cable, on another machine: frames in and out of it, through ssh.

That machine needs ssh for root without a password and Python 3; nothing is installed there. What serves it ends with
the connection, and gives the interface back as it found it.
"""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
import time
from types import TracebackType
from typing import Any

import pytest

from net.link import DEADLINE, Link
from net.netlink import NetlinkError
from net.wire import TEST_TYPE, ethernet

__all__ = ["Remote", "ssh_command"]

# Each line asks for one thing, and is answered by one: {"send": frame, "count": n}, {"take": seconds}, {"mtu": n}.
_SERVER = """\
import base64, fcntl, json, select, socket, struct, sys
KIND = int(sys.argv[1])
def ioctl(number, name, value=0):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        told = fcntl.ioctl(door, number, struct.pack("16si20x", name.encode(), value))
    return struct.unpack_from("i", told, 16)[0]
def open_on(name):
    door = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    door.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)
    door.bind((name, KIND))
    door.setblocking(False)
    return door
def take(doors, seconds):
    ready = select.select(doors, [], [], seconds)[0]
    for door in ready:
        try:
            frame, address = door.recvfrom(1 << 17)
        except OSError:
            continue
        if address[2] != 4:
            return door, frame
    return None
doors = {}
for _, name in socket.if_nameindex():
    if name != "lo":
        try:
            doors[name] = open_on(name)
        except OSError:
            pass
name, before = "", 0
def answer(asked):
    global name, before
    if "find" in asked:
        found = take(list(doors.values()), asked["find"])
        if found is None:
            return {"name": ""}
        name = next(each for each, door in doors.items() if door is found[0])
        before = ioctl(0x8921, name)
        return {"name": name, "mtu": before}
    door = doors[name]
    if "send" in asked:
        frame = base64.b64decode(asked["send"])
        door.setblocking(True)
        for _ in range(asked["count"]):
            door.send(frame)
        door.setblocking(False)
        return {}
    if "take" in asked:
        got = []
        found = take([door], asked["take"])
        while found is not None:
            got.append(base64.b64encode(found[1]).decode())
            found = take([door], 0)
        return {"frames": got}
    ioctl(0x8922, name, asked["mtu"])
    return {}
try:
    for line in sys.stdin:
        try:
            told = answer(json.loads(line))
        except OSError as error:
            told = {"errno": error.errno, "error": str(error)}
        print(json.dumps(told), flush=True)
finally:
    if before:
        ioctl(0x8922, name, before)
"""
_OPTIONS = ("BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=6")


class Remote:
    """The far end. Use it as a context manager. link: the end here, up; target: for ssh."""

    def __init__(self, target: str, link: Link) -> None:
        argv = ssh_command(target, "python3", "-u", "-c", _SERVER, str(TEST_TYPE))
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.target, self._link = target, link
        self.name = ""
        self.mtu = 0

    def find(self, send: Any) -> None:
        """Learn which of its interfaces the cable comes to. send: sends a frame out of the end here."""
        end = time.monotonic() + DEADLINE
        while not self.name and time.monotonic() < end:
            send(ethernet(60))
            told = self._ask(find=1.0)
            self.name, self.mtu = told["name"], told.get("mtu", 0)
        if not self.name:
            pytest.fail(f"no frame from {self._link.name} comes to {self.target}: is that where its cable ends?", False)

    def send(self, frame: bytes, count: int = 1) -> None:
        """Raises NetlinkError: ENETDOWN, EMSGSIZE (larger than the MTU there)."""
        self._ask(send=base64.b64encode(frame).decode(), count=count)

    def pending(self, seconds: float = 0.0) -> list[bytes]:
        """What has come and was not taken yet; waits so long for the first."""
        return [base64.b64decode(frame) for frame in self._ask(take=seconds)["frames"]]

    def frames(self, count: int) -> list[bytes]:
        """The next frames. Fails the test where fewer come."""
        got: list[bytes] = []
        end = time.monotonic() + DEADLINE
        while len(got) < count:
            got += self.pending(0.2)
            if len(got) < count and time.monotonic() > end:
                where = f"{self.name} of {self.target}"
                pytest.fail(f"{count} frames on {where}: {len(got)} came within {DEADLINE:.0f} s", False)
        return got

    def set_mtu(self, mtu: int) -> None:
        """Raises NetlinkError, as for an interface here."""
        if mtu != self.mtu:
            self._ask(mtu=mtu)
            self.mtu = mtu

    def _ask(self, **what: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            pytest.fail(f"{self.target} cannot be used: {self._last_words()}", False)
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            raise NetlinkError(told["errno"], f"{self.name or 'an interface'} of {self.target}")
        return told

    def _last_words(self) -> str:
        assert self._process.stderr is not None
        self._process.kill()
        said = self._process.stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
        return said or "the connection was lost"

    def close(self) -> None:
        """End the server, once it has put the MTU back."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Remote:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def ssh_command(target: str, *words: str) -> list[str]:
    """ssh that never asks, and that notices within half a minute when the other side is gone."""
    options = [word for option in _OPTIONS for word in ("-o", option)]
    return ["ssh", "-T", "-e", "none", *options, "--", target, shlex.join(words)]
