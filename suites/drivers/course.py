"""A program on a lane, and what one packet costs it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import pytest
from af_xdp.xsk import Xsk
from bpf.libbpf import Object
from laps import LAP, PACKETS
from marks import marks
from meter import Meter
from net.lane import Lane
from net.link import Link, wait_for
from net.netlink import NetlinkError
from net.veth import swift_veth
from net.wire import ethernet
from net.xdp import Mode, attach, detach

__all__ = ["WARM", "Course", "Received", "course_of", "cpu_entry"]

WARM = 4 * LAP  # packets: what the first ones pay for alone
_CPU_QUEUE = 2048  # frames


class Course:
    """A lane in one mode. outlet: the end of another link, to redirect to; what comes out of it is dropped, counted."""

    def __init__(self, lane: Lane, mode: Mode, outlet: Link) -> None:
        self.lane, self.mode, self.outlet = lane, mode, outlet
        self._on = ""

    def put_on(self, program: str) -> None:
        """A program of bench.bpf.c onto the device, in place of the last one. Skips where the driver refuses it."""
        if self._on == program:
            return
        try:
            attach(self.lane.link, self.lane.loaded.program(program).fd, self.mode)
        except NetlinkError as error:
            pytest.skip(f"{self.lane.device} refuses a program in {self.mode} mode at MTU {self.lane.mtu}: {error}")
        self._on = program
        self.lane.link.wait_until_up()

    def take_off(self) -> None:
        if self._on:
            detach(self.lane.link, self.mode)
        self._on = ""

    def measure(self, meter: Meter, program: str, size: int, arrived: Callable[[], int] | None = None) -> None:
        """Feed a program frames of `size` bytes, and read what one costs.

        arrived: how many frames have come where the program sends them.
        """
        self.put_on(program)
        laps = self.lane.laps
        if meter.is_counter:
            meter.sends(lambda: self._send(program, size, PACKETS, arrived), PACKETS)
            return
        marks().packets_enter_at(self.lane.loaded.program(program).entry())
        for count in (WARM, PACKETS):
            self._send(program, size, count, arrived)
        profile = {"first": marks().next - 1, "segments": 1, "clock": "bpf_ktime_get_ns", "every": True, "per": LAP}
        meter.record(laps.readings(), "insns/packet", profile)

    def _send(self, program: str, size: int, count: int, arrived: Callable[[], int] | None) -> None:
        """Feed it so many frames, until all have arrived."""
        laps = self.lane.laps
        laps.forget()
        before = arrived() if arrived else 0
        with marks().segment():
            self.lane.feed(ethernet(size), count)
        _expect(lambda: laps.packets, count, f"the program was to see {count} frames")
        if arrived:
            _expect(arrived, before + count, f"{count} frames were to come where {program} sends them")

    def passed(self) -> int:
        """Frames that the stack got of the device, and had no taker for (__netif_receive_skb_core)."""
        return self.lane.link.statistics["rx_dropped"]

    def drained(self) -> int:
        """Frames that came to the far end, or out of the outlet."""
        return self.lane.laps.drained


@contextlib.contextmanager
def course_of(lane: Lane, mode: Mode) -> Iterator[Course]:
    """A course, with its outlet; the caller is in the lane's namespace only while it is made and removed."""
    with contextlib.ExitStack() as stack:
        with lane.entered():
            outlet, end = stack.enter_context(swift_veth("ktout", "ktend", mtu=lane.mtu))
            stack.enter_context(lane.drained(end))
            course = Course(lane, mode, outlet)
            stack.callback(course.take_off)
        try:
            yield course
        finally:
            with lane.entered():
                stack.close()


def _expect(counted: Callable[[], int], wanted: int, what: str) -> None:
    wait_for(lambda: counted() >= wanted, lambda: f"{what}; {wanted - counted()} are missing")


class Received:
    """Packets that a socket got, of so many buffers each, and that nobody looks at: that takes longer than the rest."""

    def __init__(self, xsk: Xsk, buffers: int) -> None:
        self._xsk, self._buffers = xsk, buffers
        self._count = 0

    def __call__(self) -> int:
        self._count += self._xsk.rx.drop()
        return self._count // self._buffers


@contextlib.contextmanager
def cpu_entry(loaded: Object) -> Iterator[None]:
    """Processor 0 in the cpumap. Its thread runs as soon as it has something: a scheduler's choices are no figure."""
    cpus = loaded.map("cpus")
    error = cpus.update(0, _CPU_QUEUE)
    assert not error, f"an entry in the cpumap: {os.strerror(error)}"
    try:
        for thread in _threads("cpumap/0"):
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(50))
        yield
    finally:
        cpus.delete(0)


def _threads(name: str) -> Iterator[int]:
    for entry in os.listdir("/proc"):  # noqa: PTH208 - pathlib is slow here
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/comm", encoding="ascii") as file:  # noqa: PTH123
                if file.read().startswith(name):
                    yield int(entry)
