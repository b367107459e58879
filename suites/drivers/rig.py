"""A device under test on the bench, and the far end that hears and feeds it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

import pytest
from drivers.rows import Native, Row
from net.devices import use_up_buffers
from net.features import Feature, advertised
from net.link import DEADLINE, Link
from net.netlink import NetlinkError
from net.remote import Remote
from net.wire import FLUSH_TYPE, Wire, ethernet
from net.xdp import Mode, detach

__all__ = ["Far", "Rig", "reach"]

_SOON = 0.2  # seconds


class Far(Protocol):
    """The other end: what it sends the device receives, what the device sends it hears."""

    def send(self, frame: bytes, count: int = 1) -> None: ...

    def frames(self, count: int) -> list[bytes]: ...

    def pending(self) -> list[bytes]: ...


@dataclass(frozen=True)
class Rig:
    """A device of the table, up, on the bench.

    peer: the far end, where that is a device here too. ports: of a bond. remote: the far end, on another machine.
    process: the far end is the test itself. mtu: as every test finds it, bytes.
    """

    row: Row
    link: Link
    far: Far
    peer: Link | None
    ports: tuple[Link, ...] = ()
    remote: Remote | None = None
    process: bool = False
    mtu: int = 1500

    @property
    def _devices(self) -> list[Link]:
        return [link for link in (self.peer, self.link) if link is not None]

    def make_ready(self) -> None:
        """As every test finds it: up, MTU 1500, nothing on the wire."""
        if self.remote:
            self.remote.set_mtu(self.mtu)
        for link in self._devices:
            state = link.state
            if state.mtu != self.mtu:
                link.set_mtu(self.mtu)
            if not state.up:
                link.up()
        for mode in Mode:
            if self.link.state.xdp_mode == mode.reported:
                detach(self.link, mode)
        for link in self._devices if self.linked else ():
            link.wait_until_up()
        if self.row.card and self.peer is not None:
            _flush(self.peer, self.link)
            _flush(self.link, self.peer)
        if self.row.maker == "board":
            reach(self.link, self.far)
        self.far.pending()

    @property
    def linked(self) -> bool:
        """Whether frames can reach the device."""
        return self.process or self.peer is not None or self.remote is not None

    def set_mtu(self, mtu: int) -> None:
        """The MTU of both ends, the far one's first: what arrives must never be too large to be sent."""
        if self.remote:
            self.remote.set_mtu(mtu)
        for link in self._devices:
            link.set_mtu(mtu)
        for link in self._devices if self.linked else ():
            link.wait_until_up()

    def use_up_buffers(self) -> None:
        """Have the device receive until each buffer that it has now is used; a small frame takes one, and is passed."""
        use_up_buffers(self.link, self.far.send)

    def skip_without_rx_sg(self, error: NetlinkError) -> None:
        """Skip a refusal of a frags program at the large MTU by a driver that does not claim to take it."""
        told = advertised(self.link)
        if told is None or not told.xdp & Feature.RX_SG:
            claim = "does not advertise rx-sg" if told else "has no xdp-features to say so"
            pytest.skip(f"{self.row.driver} {claim}, and refuses frags programs at MTU {self.row.jumbo}: {error}")

    def skip_unless_replaced(self, mode: Mode) -> None:
        """Skip where the driver leaks a native program that another replaces."""
        if mode is Mode.NATIVE and self.row.leaks_replaced:
            pytest.skip(self.row.leaks_replaced)

    def skip_unless_runs(self, mode: Mode) -> None:
        """Skip where the driver has no such mode by design, or no frame can reach the device."""
        if mode is Mode.NATIVE and self.row.native is Native.NONE:
            pytest.skip(f"{self.row.driver} has no native XDP (test_attach holds it to refusing)")
        if mode is Mode.NATIVE and self.row.native is Native.STORED:
            pytest.skip(f"{self.row.driver} keeps a native program and runs none (it does not advertise basic)")
        self.skip_unless_linked()

    def skip_unless_linked(self) -> None:
        """Skip where frames cannot reach the device at all."""
        if not self.linked:
            pytest.skip(f"this kernel's {self.row.driver} cannot be linked to another, so no frame reaches it")


def _flush(sender: Link, receiver: Link) -> None:
    """Wait until frames arrive, and what QEMU kept for a card that was reset has come.

    It delivers such frames after the next that comes (qemu_net_queue_send), so the second one is the last.
    """
    with Wire(receiver, FLUSH_TYPE) as hear, Wire(sender, 0) as say:
        end = time.monotonic() + DEADLINE
        for number in (b"first", b"second"):
            frame = ethernet(60, kind=FLUSH_TYPE) + number
            while True:
                say.send(frame)
                if hear.receive_until(frame, 0.2):
                    break
                if time.monotonic() > end:
                    pytest.fail(f"frames from {sender.name} do not reach {receiver.name}", False)


def reach(link: Link, far: Far) -> None:
    """Wait until frames arrive in both directions: after a reset of a card a cable takes its time."""
    end = time.monotonic() + DEADLINE
    with Wire(link) as near:
        for ways in range(1 << 30):
            there, back = ethernet(60, start=2 * ways), ethernet(61, start=2 * ways + 1)
            near.send(there)
            far.send(back)
            if near.receive_until(back, _SOON) and _heard(far, there):
                return
            if time.monotonic() > end:
                pytest.fail(f"no frame comes through the cable of {link.name} in both directions", False)


def _heard(far: Far, frame: bytes) -> bool:
    end = time.monotonic() + _SOON
    while time.monotonic() < end:
        if frame in far.pending():
            return True
        time.sleep(0.002)
    return False
