"""A bulk TCP stream forwarded between two veth pairs, without a program on the way and with one that passes all.

The sanity check of the others: what a program costs here is what it costs somebody.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from bpf.libbpf import Object, find_object
from marks import LAP_CLOCK, marks
from meter import BATCHES, Meter
from net.lane import loaded_alone
from net.link import PATIENCE, Link, ip
from net.namespace import Namespace, namespace
from net.veth import add_address, swift_veth
from net.xdp import Mode, attached
from xdp_multibuf.cases import cases

_KIB = 1024
_CHUNK = 64 * _KIB
_BATCH = 512 * _KIB
_WARM = 4096 * _KIB  # buffers and the congestion window have their size by then
_PORT = 9


@dataclass(frozen=True)
class Road:
    """Two ends and the one between them that forwards. doors: the forwarding one's ends of its two links."""

    sender: Namespace
    receiver: Namespace
    middle: Namespace
    doors: tuple[Link, Link]


@pytest.fixture(scope="module")
def loaded() -> Iterator[Object]:
    with loaded_alone(find_object("drivers", "bench")) as programs:
        yield programs


@pytest.fixture(scope="module")
def road() -> Iterator[Road]:
    with namespace() as sender, namespace() as receiver, namespace() as middle, contextlib.ExitStack() as stack:
        with middle.entered(), open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write("1")
        doors = tuple(_link(number, end, middle, stack) for number, end in enumerate((sender, receiver), 1))
        try:
            yield Road(sender, receiver, middle, (doors[0], doors[1]))
        finally:
            with middle.entered():
                stack.close()


def _link(number: int, end: Namespace, middle: Namespace, stack: contextlib.ExitStack) -> Link:
    """A veth between the middle (198.18.N.1) and an end (198.18.N.2)."""
    with middle.entered():
        door, _ = stack.enter_context(swift_veth(f"ktdoor{number}", f"ktend{number}", into=end))
        add_address(door, f"198.18.{number}.1", 24)
    with end.entered():
        other = Link.named(f"ktend{number}")
        other.up()
        add_address(other, f"198.18.{number}.2", 24)
        ip("route", "add", "default", "via", f"198.18.{number}.1")
    return door


@pytest.mark.quick
@cases("program", ["none", "native", "generic"])
def bench_tcp_forwarded(meter: Meter, road: Road, loaded: Object, program: str):
    """Through a router, with no program, or XDP_PASS on both of its links."""
    with road.middle.entered(), contextlib.ExitStack() as stack:
        for door in road.doors if program != "none" else ():
            stack.enter_context(attached(door, loaded.program("through").fd, Mode(program)))
            door.wait_until_up()
        marks().packets_enter_at(0)
        first = marks().next
        readings = _measured(road)
        profile = {"first": first, "segments": BATCHES, "clock": LAP_CLOCK, "every": True, "per": _BATCH // _KIB}
        meter.record(readings, "insns/KiB", {**profile, "packets": False})


def _measured(road: Road) -> list[float]:
    with _connected(road) as (sender, receiver):
        _move(sender, receiver, _WARM)
        readings = []
        for _ in range(BATCHES):
            with marks().segment():
                began = _now()
                _move(sender, receiver, _BATCH)
                readings.append((_now() - began) / (_BATCH / _KIB))
        return readings


def _now() -> int:
    marks().lap()
    return time.monotonic_ns()


@contextlib.contextmanager
def _connected(road: Road) -> Iterator[tuple[socket.socket, socket.socket]]:
    with contextlib.ExitStack() as stack:
        with road.receiver.entered():
            door = stack.enter_context(socket.create_server(("198.18.2.2", _PORT)))
        with road.sender.entered():
            sender = stack.enter_context(socket.create_connection(("198.18.2.2", _PORT), PATIENCE))
        receiver = stack.enter_context(door.accept()[0])
        for one in (sender, receiver):
            one.setblocking(False)
        yield sender, receiver


def _move(sender: socket.socket, receiver: socket.socket, count: int) -> None:
    """So many bytes through, by one process that sends and receives in turns: no scheduler in between."""
    data, room = memoryview(bytes(_CHUNK)), bytearray(_CHUNK)
    sent = got = 0
    while got < count:
        select.select([receiver], [sender] if sent < count else [], [], PATIENCE)
        with contextlib.suppress(BlockingIOError):
            sent += sender.send(data[: min(_CHUNK, count - sent)]) if sent < count else 0
        with contextlib.suppress(BlockingIOError):
            got += receiver.recv_into(room)
