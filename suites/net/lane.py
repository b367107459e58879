"""A link to measure on: the device, a far end that feeds it, and the same state on every kernel.

Frames of up to a page come as live frames out of the far end (its ndo_xdp_xmit), jumbo frames through a packet socket,
for the kernel makes no jumbo live frames (bpf_prog_test_run_xdp). What the device sends is dropped and counted by a
program at the far end: a bench whose frames get lost on the way fails.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import pytest
from bpf.libbpf import Object
from laps import Laps

from net.devices import card_pair
from net.ethtool import set_gro
from net.feed import BURST, live_frames, packets
from net.link import Link, tuned
from net.namespace import Namespace, namespace
from net.netlink import NetlinkError
from net.veth import swift_veth
from net.xdp import Mode, attach, detach

__all__ = ["DEVICES", "JUMBO", "Kept", "Lane", "Where", "lane_of", "loaded_alone"]

DEVICES = ("veth", "virtio_net", "vmxnet3")
JUMBO = 9000
_MTU = 1500
_SETTLED = 0.5  # seconds, of the guest's clock
_PAGE_HOLDS = 3000  # bytes of a live frame at least, whatever the kernel's structures beside it take


@dataclass(frozen=True)
class Where:
    """What a bench is run on. suites/conftest.py has those of the same place run after each other."""

    device: str
    mode: str = ""
    mtu: int = _MTU


T = TypeVar("T")


class Kept(Generic[T]):
    """What was made last, for as long as the same is asked for: making it takes longer than measuring on it."""

    def __init__(self, make: Callable[[Where], contextlib.AbstractContextManager[T]]) -> None:
        self._make = make
        self._held: tuple[Where, T] | None = None
        self._stack = contextlib.ExitStack()

    def at(self, where: Where) -> T:
        if self._held is None or self._held[0] != where:
            self.close()
            self._held = where, self._stack.enter_context(self._make(where))
        return self._held[1]

    def close(self) -> None:
        self._held = None
        self._stack.close()


@dataclass(frozen=True)
class Lane:
    """link: the device under measure. far: where its frames come from, and end. loaded: an object with ktrial_laps.h.

    place: the namespace of both; None for cards.
    """

    device: str
    mtu: int
    link: Link
    far: Link
    place: Namespace | None
    loaded: Object
    laps: Laps

    def feed(self, frame: bytes, count: int, *, burst: int = BURST) -> None:
        """Frames for the device, so many at a time. They have left the far end when this returns."""
        if len(frame) > _PAGE_HOLDS:
            packets(self.far, frame, count)
        else:
            live_frames(self.loaded.program("inject"), self.far, frame, count, burst=burst)

    def entered(self) -> contextlib.AbstractContextManager[None]:
        """In its namespace."""
        return _entered(self.place)

    def drained(self, link: Link) -> contextlib.AbstractContextManager[None]:
        """A program on a link that drops what comes in, and counts it. Skips where the driver refuses it."""
        return _drained(link, self.loaded, f"{self.device} at MTU {self.mtu}")


@contextlib.contextmanager
def loaded_alone(path: Path) -> Iterator[Object]:
    """An object, loaded when the programs of the module before are gone.

    They are freed in the background (bpf_prog_free_deferred); and where ours then lie decides how deep the dispatcher
    searches for each (kernel/bpf/dispatcher.c): two instructions a packet.
    """
    time.sleep(_SETTLED)
    with Object(path) as programs:
        yield programs


@contextlib.contextmanager
def lane_of(device: str, loaded: Object, laps: Laps, *, mtu: int = _MTU) -> Iterator[Lane]:
    """A lane; the caller is in its namespace only while it is made and removed. Skips where it cannot be had."""
    with contextlib.ExitStack() as outer:
        place = outer.enter_context(namespace()) if device == "veth" else None
        with _entered(place), contextlib.ExitStack() as making:
            link, far = making.enter_context(_ends(device, mtu))
            lane = Lane(device, mtu, link, far, place, loaded, laps)
            making.enter_context(lane.drained(far))
            for one in (link, far):
                one.wait_until_up()
            made = making.pop_all()
        try:
            yield lane
        finally:
            with _entered(place):
                made.close()


def _entered(place: Namespace | None) -> contextlib.AbstractContextManager[None]:
    return place.entered() if place else contextlib.nullcontext()


@contextlib.contextmanager
def _ends(device: str, mtu: int) -> Iterator[tuple[Link, Link]]:
    if device == "veth":
        with swift_veth("ktmeas", "ktfeed", mtu=mtu) as (link, far):
            # Only with NAPI does a veth take frames that XDP sends: a native program brings it, else GRO does.
            set_gro(link, True)
            yield link, far
        return
    link, far = card_pair(device)
    with tuned(link), tuned(far):
        for one in (link, far):
            one.set_mtu(mtu)
            one.up()
        yield link, far


@contextlib.contextmanager
def _drained(link: Link, loaded: Object, what: str) -> Iterator[None]:
    try:
        attach(link, loaded.program("drain").fd, Mode.NATIVE)
    except NetlinkError as error:
        pytest.skip(f"{what} refuses a program with frags support: {error}")
    try:
        yield
    finally:
        detach(link, Mode.NATIVE)
