"""What xdpsock's three jobs cost: a packet's way through driver, program, socket, process, and back.

xdpsock notes the time at every 64th packet (--laps). It runs with SCHED_FIFO, so that it takes what has come as soon as
it is woken: with two processes on one processor the scheduler's choices would else be in the figure.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from af_xdp.xdpsock import Refused, Xdpsock, assert_accounted_for, assert_bound, started
from bpf.libbpf import Object, entry_of, find_object
from laps import LAP, Laps
from marks import LAP_CLOCK, marks
from meter import BATCHES, Meter
from net.lane import DEVICES, Kept, Lane, Where, lane_of, loaded_alone
from net.wire import ethernet

MODES = {"skb": ("-S",), "drv": ("-N", "-c"), "zc": ("-N", "-z")}
_WARM = 2  # laps
_COUNT = (_WARM + BATCHES + 1) * LAP
_REALTIME = ("-W", "SCHED_FIFO", "-U", "50")


def _cases(*sizes: int) -> pytest.MarkDecorator:
    """Over every device and mode."""
    rows = []
    for device, mode, size in itertools.product(DEVICES, MODES, sizes):
        marks = [pytest.mark.quick] if device == "veth" and mode != "zc" and size == sizes[0] else []
        name = f"device={device},mode={mode},size={size}"
        rows.append(pytest.param(Where(device), mode, size, id=name, marks=marks))
    return pytest.mark.parametrize(("where", "mode", "size"), rows)


@pytest.fixture(scope="module")
def loaded() -> Iterator[Object]:
    with loaded_alone(find_object("af_xdp", "bench")) as programs:
        yield programs


@pytest.fixture(scope="module")
def lanes(loaded: Object) -> Iterator[Kept[Lane]]:
    laps = Laps(loaded)
    with contextlib.closing(Kept(lambda where: lane_of(where.device, loaded, laps))) as kept:
        yield kept


@pytest.fixture
def lane(where: Where, lanes: Kept[Lane]) -> Iterator[Lane]:
    """The lane, with the bench in its namespace."""
    found = lanes.at(where)
    with found.entered():
        yield found


def _run(meter: Meter, lane: Lane, mode: str, *words: str, feed: int = 0) -> None:
    """One run of xdpsock. feed: size of the frames to send to it. Skips where the device has no such mode."""
    lane.laps.forget()
    # What goes out ends in a program at the far end; what only comes in is xdpsock's own program's.
    marks().packets_enter_at(lane.loaded.program("drain").entry())
    job = [*MODES[mode], *_REALTIME, f"--laps={LAP}", f"-C{_COUNT}", *words]
    with meter.descriptors() as counters:
        try:
            told = _done(lane, mode, job, feed, counters)
        except Refused as error:
            if error.lacks_mode(zero_copy=mode == "zc"):
                pytest.skip(f"{lane.device}: {error}")
            raise
    laps = told["laps"][_WARM:]
    profile = {
        "first": marks().next - 1,
        "segments": 1,
        "clock": LAP_CLOCK,
        "every": True,
        "skip": _WARM,
        "per": [packets for packets, _ in laps],
        "packets": False,  # they come to xdpsock by the ring, and not one by one
    }
    meter.record([took / packets for packets, took in laps], "insns/packet", profile, counts=True)


def _done(lane: Lane, mode: str, job: Sequence[str], feed: int, counters: Sequence[int]) -> dict[str, Any]:
    """Its summary. counters: descriptors to read in the place of the clock."""
    with marks().segment(), started(lane.link, *job, counters=counters) as running:
        if "-r" in job:
            marks().packets_enter_at(entry_of(lane.link.state.xdp_program))
        if feed:
            # What goes back is for the far end: a card that is not promiscuous takes nothing else.
            lane.feed(ethernet(feed, sender=lane.far.mac), _COUNT)
        return _summary(running, mode)


def _summary(running: Xdpsock, mode: str) -> dict[str, Any]:
    told = running.summary()
    assert_bound(told, "skb" if mode == "skb" else "native", zero_copy=mode == "zc")
    assert_accounted_for(told)
    return told


@_cases(64)
def bench_rxdrop(meter: Meter, lane: Lane, mode: str, size: int):
    """xdpsock -r -p: receive and drop."""
    _run(meter, lane, mode, "-r", "-p", feed=size)


@_cases(64, 512, 1024, 1500)
def bench_txonly(meter: Meter, lane: Lane, mode: str, size: int):
    """xdpsock -t -b 32 -s SIZE: as many as the kernel takes in one call (TX_BATCH_SIZE in net/xdp/xsk.c)."""
    _run(meter, lane, mode, "-t", "-b32", f"-s{size}", "-G", lane.far.mac.hex(":"))
    assert lane.laps.drained >= _COUNT, f"{lane.laps.drained} of {_COUNT} frames came to the far end"


@_cases(64)
def bench_l2fwd(meter: Meter, lane: Lane, mode: str, size: int):
    """xdpsock -l -p: receive, swap the addresses, send back."""
    _run(meter, lane, mode, "-l", "-p", feed=size)
    assert lane.laps.drained >= _COUNT, f"{lane.laps.drained} of {_COUNT} frames came back"
