"""Making the devices of the table: each a device under test, and a far end that hears and feeds it."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import select
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from drivers.programs import Action, Programs
from drivers.rig import Rig
from drivers.rows import Native, Row
from drivers.wired import wired
from net.devices import card_pair
from net.ethtool import set_channels
from net.features import Feature, advertised
from net.link import DEADLINE, Link, link_states, made, tuned, veth_pair
from net.wire import Wire
from net.xdp import Mode, attached

__all__ = ["IFF_TUN", "Tap", "rig_of", "tap_opened"]

_TUNSETIFF, _IFF_NO_PI = 0x400454CA, 0x1000
IFF_TUN, _IFF_TAP = 1, 2
_NETDEVSIM = Path("/sys/bus/netdevsim")
_NETDEVSIM_ID = 7700


@contextlib.contextmanager
def rig_of(row: Row, programs: Programs) -> Iterator[Rig]:
    """Make a device of the table, in the current namespace, and take it away again; a card is left as it was found.

    Skips, with the reason, where QEMU or the kernel has no such device.
    """
    maker = functools.partial(wired, programs=programs) if row.maker == "board" else _MAKERS[row.maker]
    with maker(row) as rig, contextlib.ExitStack() as stack:
        if row.far_program and rig.peer is not None:
            programs.order("witness", Action.PASS)
            stack.enter_context(attached(rig.peer, programs["witness"].fd, Mode.NATIVE))
        yield rig if row.maker == "board" else _as_told(rig)


def _as_told(rig: Rig) -> Rig:
    """What a driver advertises beyond its row it is held to: a series that adds an ability is no fault of itself."""
    told = advertised(rig.link)
    if told is None:
        return rig
    row = rig.row
    more = told.xdp & ~(row.features | row.with_program | row.undecided | Feature.HW_OFFLOAD)
    native = Native.RUNS if told.xdp & Feature.BASIC else row.native
    frags = row.frags_jumbo or bool(more & Feature.RX_SG) or (native is not row.native and row.generic_code)
    return replace(rig, row=replace(row, native=native, frags_jumbo=frags, features=row.features | more))


@contextlib.contextmanager
def _veth(row: Row) -> Iterator[Rig]:
    """With several queues, of which one is used until a test wants more."""
    queues = ("numrxqueues", "4", "numtxqueues", "4")
    with veth_pair("ktdut", "ktfar", *queues) as (link, peer), Wire(peer) as far:
        for one in (link, peer):
            set_channels(one, rx=1, tx=1)
        for one in (link, peer):
            one.wait_until_up()
        yield Rig(row, link, far, peer)


@contextlib.contextmanager
def _card(row: Row) -> Iterator[Rig]:
    """Cards stay up between tests: looking for a carrier takes some of them seconds.

    No promiscuous sockets: at each change of its receive filter QEMU's e1000 holds frames back for a second, and
    gives them out of order. The tests' frames are broadcast.
    """
    link, peer = card_pair(row.card)
    for one in (link, peer):
        if not one.state.up:
            one.up()
    with tuned(link), tuned(peer), Wire(peer) as far:
        for one in (link, peer):
            one.wait_until_up()
        far.pending()
        yield Rig(row, link, far, peer)


class Tap:
    """The process's end of a tap or tun: a frame each read and write, no header (IFF_NO_PI)."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor, self._name = descriptor, name

    def send(self, frame: bytes, count: int = 1) -> None:
        for _ in range(count):
            os.write(self._descriptor, frame)

    def frames(self, count: int) -> list[bytes]:
        got: list[bytes] = []
        end = time.monotonic() + DEADLINE
        while len(got) < count:
            got += self.pending()
            if len(got) < count and time.monotonic() > end:
                pytest.fail(f"{count} frames out of {self._name}: {len(got)} came within {DEADLINE:.0f} s", False)
            if len(got) < count:
                select.select([self._descriptor], [], [], 0.05)
        return got

    def pending(self) -> list[bytes]:
        got = []
        with contextlib.suppress(BlockingIOError):
            while True:
                got.append(os.read(self._descriptor, 1 << 17))
        return got


@contextlib.contextmanager
def _tap(row: Row) -> Iterator[Rig]:
    with tap_opened("ktdut", _IFF_TAP) as (link, end):
        yield Rig(row, link, end, None, process=True)


@contextlib.contextmanager
def tap_opened(name: str, kind: int) -> Iterator[tuple[Link, Tap]]:
    """A tap, or a tun (IFF_TUN), up, and the process's end of it. Skips where the kernel has none.

    Opened without waiting: only then does the driver run a program on a buffer of its own (tun_can_build_skb).
    """
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"the kernel has no /dev/net/tun (CONFIG_TUN): {error.strerror}")
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), kind | _IFF_NO_PI))
        link = Link.named(name)
        link.up()
        link.wait_until_up()
        yield link, Tap(descriptor, name)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _netdevsim(row: Row) -> Iterator[Rig]:
    """Two devices, linked where the kernel can link them (Linux 6.9 and later)."""
    if not _NETDEVSIM.is_dir():
        pytest.skip("the kernel has no netdevsim (CONFIG_NETDEVSIM)")
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(_simulated(_NETDEVSIM_ID + number)) for number in range(2)]
        linked = _link_netdevsims(*links)
        for link in links:
            link.up()
        for link in links if linked else ():
            link.wait_until_up()
        far = stack.enter_context(Wire(links[1]))
        yield Rig(row, links[0], far, links[1] if linked else None)


@contextlib.contextmanager
def _simulated(number: int) -> Iterator[Link]:
    """A device of the current namespace: the one that was not there before."""
    before = {state.index for state in link_states()}
    _write(_NETDEVSIM / "new_device", f"{number} 1 4")
    try:
        (new,) = (state for state in link_states() if state.index not in before)
        yield Link(new.name, new.index)
    finally:
        _write(_NETDEVSIM / "del_device", f"{number}")


def _link_netdevsims(first: Link, second: Link) -> bool:
    door = _NETDEVSIM / "link_device"
    if not door.exists():
        return False
    descriptor = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _write(door, f"{descriptor}:{first.index} {descriptor}:{second.index}")
    finally:
        os.close(descriptor)
    return True


def _write(path: Path, text: str) -> None:
    """Write to a file of sysfs, all at once. Raises OSError with the kernel's answer."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _bonding(row: Row) -> Iterator[Rig]:
    """An active-backup bond over one end of a veth."""
    with (
        made("ktdut", "bond", "mode", "active-backup", "miimon", "50") as bond,
        veth_pair("ktport", "ktfar", up=False) as (port, peer),
        Wire(peer) as far,
    ):
        port.enslave(bond)
        for link in (bond, port, peer):
            link.up()
        for link in (peer, bond):
            link.wait_until_up()
        yield Rig(row, bond, far, peer, (port,))


_MAKERS: dict[str, Callable[[Row], contextlib.AbstractContextManager[Rig]]] = {
    "veth": _veth,
    "card": _card,
    "tap": _tap,
    "netdevsim": _netdevsim,
    "bonding": _bonding,
}
