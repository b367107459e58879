"""Links: make, find, set up, ask; and always remove what was made.

Whatever is made here is a context manager. A device that cannot be removed is a leaked reference, and says so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from net.netlink import NETLINK_ROUTE, Netlink, NetlinkError, attribute, attributes

__all__ = [
    "PATIENCE",
    "Link",
    "LinkState",
    "Statistics",
    "by_mac",
    "ip",
    "link_states",
    "made",
    "quiet",
    "run_tool",
    "tc",
    "tuned",
    "veth_pair",
    "wait_for",
]

DEADLINE = 20.0  # seconds: far more than anything here takes, also emulated on a loaded machine
# The same for what may wait for the host (programs are read from its disk). Where instructions are the clock, an idle
# guest's runs ahead, and a read that takes the host milliseconds takes hours by it (harness/perf/icount.py).
PATIENCE = 2e6 if os.environ.get("KTRIAL_INSTRUMENT") else DEADLINE
_RTM_NEWLINK, _RTM_GETLINK = 16, 18
_IFINFO = struct.Struct("=BxHiII")
_ADDRESS, _IFNAME, _MTU, _MASTER, _STATS64, _XDP = 1, 3, 4, 10, 23, 43
_XDP_ATTACHED, _XDP_PROG_ID = 2, 4
_UP, _RUNNING, _LOWER_UP = 1, 0x40, 0x10000
_COUNTERS = (
    *("rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_errors", "tx_errors", "rx_dropped", "tx_dropped"),
    *("multicast", "collisions", "rx_length_errors", "rx_over_errors", "rx_crc_errors", "rx_frame_errors"),
    *("rx_fifo_errors", "rx_missed_errors"),
)


def run_tool(*words: str) -> str:
    """Run a program of the guest; gives what it printed. Raises CalledProcessError, skips where there is none."""
    if not shutil.which(words[0]):
        pytest.skip(f"the guest has no {words[0]} command")
    return subprocess.run(words, check=True, timeout=PATIENCE, capture_output=True, text=True).stdout


def ip(*words: str) -> str:
    """iproute2's `ip`."""
    return run_tool("ip", *words)


def tc(*words: str) -> str:
    """iproute2's `tc`."""
    return run_tool("tc", *words)


def wait_for(condition: Callable[[], object], what: str | Callable[[], str], deadline: float = DEADLINE) -> None:
    """Return once the condition holds. Fails the test, saying what did not come, at the deadline (seconds)."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what if isinstance(what, str) else what()}: not within {deadline:.0f} s", False)
        time.sleep(0.002)


Statistics = dict[str, int]
"""struct rtnl_link_stats64 by field name, as `ip -s link` shows it."""


@dataclass(frozen=True)
class LinkState:
    """What RTM_GETLINK tells. xdp_mode: 0 none, 1 native, 2 generic, 3 offloaded, 4 several (XDP_ATTACHED_*)."""

    index: int
    name: str
    mtu: int
    flags: int
    mac: bytes
    statistics: Statistics
    xdp_mode: int
    xdp_program: int

    @property
    def up(self) -> bool:
        return bool(self.flags & _UP)

    @property
    def carrier(self) -> bool:
        """Up, and so is what it is connected to."""
        return self.flags & (_RUNNING | _LOWER_UP) == _RUNNING | _LOWER_UP


@dataclass(frozen=True)
class Link:
    """A network device of the current namespace. name: as it was when it was found; index stays."""

    name: str
    index: int

    @staticmethod
    def named(name: str) -> Link:
        return Link(name, socket.if_nametoindex(name))

    @staticmethod
    def indexed(index: int) -> Link:
        return Link(socket.if_indextoname(index), index)

    @property
    def state(self) -> LinkState:
        with Netlink(NETLINK_ROUTE) as netlink:
            return _state(netlink.ask(_RTM_GETLINK, _IFINFO.pack(0, 0, self.index, 0, 0))[0])

    @property
    def mac(self) -> bytes:
        return self.state.mac

    @property
    def statistics(self) -> Statistics:
        return self.state.statistics

    def up(self) -> None:
        self._set(flags=_UP, mask=_UP)

    def down(self) -> None:
        self._set(flags=0, mask=_UP)

    def set_mtu(self, mtu: int) -> None:
        """Raises NetlinkError where the driver refuses (its .ndo_change_mtu, or an XDP program in the way)."""
        self._set(attribute(_MTU, mtu))

    def enslave(self, master: Link | None) -> None:
        """Make it a port of a bond, a bridge or a team (a bond wants it down), or release it."""
        self._set(attribute(_MASTER, master.index if master else 0))

    def wait_until_up(self, deadline: float = DEADLINE) -> None:
        """Wait for the carrier (some drivers look for it in a timer of theirs)."""
        wait_for(lambda: self.state.carrier, f"carrier of {self.name}", deadline)

    def _set(self, *attrs: bytes, flags: int = 0, mask: int = 0) -> None:
        with Netlink(NETLINK_ROUTE) as netlink:
            netlink.ask(_RTM_NEWLINK, _IFINFO.pack(0, 0, self.index, flags, mask) + b"".join(attrs))


def _state(message: bytes) -> LinkState:
    _, _, index, flags, _ = _IFINFO.unpack_from(message)
    found = attributes(message[_IFINFO.size :])
    xdp = attributes(found.get(_XDP, b""))
    values = struct.unpack_from(f"={len(_COUNTERS)}Q", found[_STATS64])
    return LinkState(
        index=index,
        name=found[_IFNAME].rstrip(b"\0").decode(),
        mtu=int.from_bytes(found[_MTU], "little"),
        flags=flags,
        mac=found.get(_ADDRESS, b""),
        statistics=dict(zip(_COUNTERS, values, strict=True)),
        xdp_mode=int.from_bytes(xdp.get(_XDP_ATTACHED, b""), "little"),
        xdp_program=int.from_bytes(xdp.get(_XDP_PROG_ID, b""), "little"),
    )


def link_states() -> list[LinkState]:
    """All devices of the current namespace."""
    with Netlink(NETLINK_ROUTE) as netlink:
        return [_state(message) for message in netlink.ask(_RTM_GETLINK, _IFINFO.pack(0, 0, 0, 0, 0), dump=True)]


def by_mac(mac: bytes) -> Link | None:
    """The device with that hardware address (udev renames NICs, so a name tells nothing), or None."""
    found = next((state for state in link_states() if state.mac == mac), None)
    return Link(found.name, found.index) if found else None


def quiet(link: Link) -> None:
    """No IPv6 on a link: no frames on it but a test's own."""
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        _write(f"/proc/sys/net/ipv6/conf/{link.name}/disable_ipv6", "1")


@contextlib.contextmanager
def made(name: str, *kind: str, options: tuple[str, ...] = ()) -> Iterator[Link]:
    """A link made with `ip link add NAME OPTIONS... type KIND...`, removed at the end.

    Skips where the kernel has no such kind. Fails where it cannot be removed: somebody holds a reference to it
    (netdev_wait_allrefs in net/core/dev.c).
    """
    try:
        ip("link", "add", name, *options, "type", *kind)
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip()
        if "Unknown device type" in said or "not supported" in said:
            pytest.skip(f"the kernel makes no {kind[0]} device: {said}")
        pytest.fail(f"ip link add {name} type {' '.join(kind)}: {said}", False)
    try:
        link = Link.named(name)
        quiet(link)
        yield link
    finally:
        _remove(name)


def _remove(name: str) -> None:
    with contextlib.suppress(OSError):
        socket.if_nametoindex(name)
        # No `with`: what waits for the last reference is past killing, and must not hold the guest.
        removal = subprocess.Popen(["ip", "link", "delete", name], stderr=subprocess.DEVNULL)
        try:
            removal.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            removal.kill()
            pytest.fail(f"{name} cannot be removed within {DEADLINE:.0f} s: a reference to it was leaked", False)


@contextlib.contextmanager
def veth_pair(left: str, right: str, *options: str, up: bool = True, mtu: int = 1500) -> Iterator[tuple[Link, Link]]:
    """Two ends of a veth, without IPv6, up and with carrier unless up=False. options: more words for both ends
    (`numrxqueues 4 numtxqueues 4`)."""
    peer = ("peer", "name", right, *options)
    with made(left, "veth", *peer, options=options) as first:
        second = Link.named(right)
        quiet(second)
        for link in (first, second):
            link.set_mtu(mtu)
            if up:
                link.up()
        if up:
            first.wait_until_up()
            second.wait_until_up()
        yield first, second


@contextlib.contextmanager
def tuned(link: Link) -> Iterator[Link]:
    """Give a link back as it was found: its MTU, and down where it was down."""
    before = link.state
    try:
        yield link
    finally:
        with contextlib.suppress(NetlinkError):
            link.set_mtu(before.mtu)
        if not before.up:
            link.down()


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
