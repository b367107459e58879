"""The redirecting programs (bpf/redirect.bpf.c), loaded, and two veth pairs in a namespace of a test's own.

Frames enter at `near` and are taken off the wire at `near_peer`, where a program redirects them: to a CPU, from which
they go on up the stack of `near_peer`, or out at `far`, and so to `far_peer`.
"""

from __future__ import annotations

import contextlib
import mmap
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from bpf.libbpf import Object, find_object
from net.link import DEADLINE, Link, ip, veth_pair
from net.namespace import Namespace, namespace
from net.xdp import Mode, attached
from xdp_multibuf.datagram import PORT, datagram

__all__ = ["JUMBO_MTU", "Redirects", "Stage", "Street", "listener", "street"]

XDP_PASS = 2
NEAR_ADDRESS, FAR_ADDRESS = "192.0.2.1", "198.51.100.1"
NEAR_SENDER, FAR_SENDER = "192.0.2.2", "198.51.100.2"
JUMBO_MTU = 9000
_STAGE = struct.Struct("<iiiIIIIi")
_ROOM = 2 << 20  # of the socket's buffer: many datagrams of 9,000 bytes


@dataclass(frozen=True)
class Stage:
    """What the program in the map saw: how often it ran, length and linear part of the last frame, an error."""

    runs: int
    length: int
    linear: int
    refused: int


class Redirects:
    """The loaded programs and their maps."""

    def __init__(self) -> None:
        self.object = Object(find_object("xdp_multibuf", "redirect"))
        self._stage: mmap.mmap = self.object.map("stages").memory()

    def program(self, name: str) -> int:
        """Its file descriptor."""
        return self.object.program(name).fd

    def prepare(self, *, head: int = 0, tail: int = 0, late_tail: int = 0, late_action: int = XDP_PASS) -> None:
        """What the redirecting program adjusts, what the map's program adjusts and returns. Forgets what was seen."""
        self._stage[: _STAGE.size] = _STAGE.pack(tail, head, late_tail, late_action, 0, 0, 0, 0)

    @property
    def seen(self) -> Stage:
        return Stage(*_STAGE.unpack(self._stage[: _STAGE.size])[4:])

    @contextlib.contextmanager
    def cpu(self, program: str = "") -> Iterator[None]:
        """CPU 0 in the map, with a program of its own or none."""
        cpus = self.object.map("cpus")
        error = cpus.update(0, struct.pack("<Ii", 64, self.program(program) if program else 0))
        assert not error, f"CPU 0 with {program or 'no program'} into the map: errno {error}"
        try:
            yield
        finally:
            cpus.delete(0)

    @contextlib.contextmanager
    def device(self, link: Link, program: str = "") -> Iterator[None]:
        """A device in the map, with a program of its own or none."""
        devices = self.object.map("devices")
        error = devices.update(0, struct.pack("<Ii", link.index, self.program(program) if program else 0))
        assert not error, f"{link.name} with {program or 'no program'} into the map: errno {error}"
        try:
            yield
        finally:
            devices.delete(0)

    def close(self) -> None:
        self.object.close()


@dataclass(frozen=True)
class Street:
    """The links of the namespace. Both peers have an address."""

    place: Namespace
    near: Link
    near_peer: Link
    far: Link
    far_peer: Link

    def near_datagram(self, size: int, wrong: int = 0) -> bytes:
        """A frame for `near_peer`'s own stack."""
        return datagram(size, self.near_peer.mac, NEAR_ADDRESS, NEAR_SENDER, wrong=wrong)

    def far_datagram(self, size: int) -> bytes:
        """A frame for `far_peer`'s stack."""
        return datagram(size, self.far_peer.mac, FAR_ADDRESS, FAR_SENDER)


@contextlib.contextmanager
def street(takes: int, mtu: int = JUMBO_MTU) -> Iterator[Street]:
    """Two veth pairs in a new namespace, which this thread is not in: that is for each test to do.

    takes: descriptor of the program that takes in what arrives at `far_peer`.
    """
    with namespace() as place, contextlib.ExitStack() as leaving:
        inside = contextlib.ExitStack()
        leaving.callback(_close_in, place, inside)
        with place.entered():
            near = inside.enter_context(veth_pair("near", "near_peer", mtu=mtu))
            far = inside.enter_context(veth_pair("far", "far_peer", mtu=mtu))
            ip("address", "add", f"{NEAR_ADDRESS}/24", "dev", "near_peer")
            ip("address", "add", f"{FAR_ADDRESS}/24", "dev", "far_peer")
            inside.enter_context(attached(far[1], takes, Mode.NATIVE))
        yield Street(place, *near, *far)


def _close_in(place: Namespace, stack: contextlib.ExitStack) -> None:
    with place.entered():
        stack.close()


@contextlib.contextmanager
def listener() -> Iterator[socket.socket]:
    """A UDP socket of the current namespace: the stack checks length and checksum before it has a datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        receiver.bind(("0.0.0.0", PORT))
        receiver.settimeout(DEADLINE)
        yield receiver
