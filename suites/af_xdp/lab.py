"""A socket on one end of a link, a packet socket on the other, and the program between them."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from af_xdp.xsk import Bind, Desc, Umem, Xsk
from bpf.libbpf import Object
from net.ethtool import set_channels
from net.features import Feature, advertised
from net.link import Link, veth_pair, wait_for
from net.namespace import Namespace
from net.wire import Wire, difference
from net.xdp import Mode, attached

__all__ = [
    "Ends",
    "Steer",
    "advertises_zero_copy",
    "assert_returned",
    "collect",
    "collect_completed",
    "ends_of",
    "kept_pair",
    "pinned_pages",
    "queued_pair",
    "receiver",
    "sender",
    "transmit",
]


@dataclass(frozen=True)
class Ends:
    """link: where the AF_XDP sockets are. far, wire: the other end, and a packet socket on it."""

    link: Link
    far: Link
    wire: Wire


@contextlib.contextmanager
def ends_of(link: Link, far: Link) -> Iterator[Ends]:
    with Wire(far, promiscuous=True) as wire:
        yield Ends(link, far, wire)


@contextlib.contextmanager
def queued_pair(left: str, right: str, *, mtu: int = 1500, far_queues: int = 1) -> Iterator[tuple[Link, Link]]:
    """A veth whose first end has two queues, and the other so many to send from.

    With one queue there, what a packet socket sends arrives on queue 0; with two, on one that a random hash chooses.
    """
    with veth_pair(left, right, "numrxqueues", "2", "numtxqueues", "2", mtu=mtu) as (link, far):
        set_channels(far, tx=far_queues)
        yield link, far


@contextlib.contextmanager
def kept_pair(private: Namespace, left: str, right: str, **wanted: int) -> Iterator[tuple[Link, Link]]:
    """A `queued_pair` in a namespace that the caller is in only while the pair is made and removed."""
    pair = queued_pair(left, right, **wanted)
    with private.entered():
        made = pair.__enter__()
    try:
        yield made
    finally:
        with private.entered():
            pair.__exit__(None, None, None)


def advertises_zero_copy(link: Link) -> bool:
    """Whether it says so over netlink (xsk-zerocopy)."""
    told = advertised(link)
    return told is not None and bool(told.xdp & Feature.XSK_ZEROCOPY)


def assert_returned(got: Sequence[bytes], sent: Sequence[bytes]) -> None:
    """Every frame that was sent came back, in order, its addresses swapped."""
    for number, (frame, original) in enumerate(zip(got, sent, strict=True)):
        wanted = original[6:12] + original[:6] + original[12:]
        assert not difference(frame, wanted), f"frame {number}: {difference(frame, wanted)}"


class Steer:
    """The programs of bpf/steer.bpf.c, their map of sockets and their counters."""

    def __init__(self, loaded: Object) -> None:
        self.object = loaded
        self._counts = loaded.map("counts").memory()

    def seen(self, queue: int = 0) -> int:
        """Test frames that a program met on a queue, since the program was loaded."""
        return int(struct.unpack_from("=Q", self._counts, 8 * queue)[0])

    def redirected(self, key: int = 0) -> int:
        return int(struct.unpack_from("=Q", self._counts, 64 + 8 * key)[0])

    @contextlib.contextmanager
    def into(self, link: Link, mode: Mode, *sockets: Xsk, program: str = "plain") -> Iterator[None]:
        """Sockets at keys 0, 1, ... of the map, and a program on the link, for as long as the block runs."""
        xsks = self.object.map("xsks")
        try:
            for key, xsk in enumerate(sockets):
                error = xsks.update(key, xsk.socket.fileno())
                assert error == 0, f"socket {key} into the XSKMAP: errno {error}"
            with attached(link, self.object.program(program).fd, mode):
                yield
        finally:
            for key in range(len(sockets)):
                xsks.delete(key)


@contextlib.contextmanager
def receiver(
    ends: Ends,
    steer: Steer,
    mode: Mode = Mode.NATIVE,
    *,
    umem: Umem | None = None,
    fill: int = 64,
    rx: int = 64,
    flags: int = Bind.COPY,
    program: str = "plain",
    queue: int = 0,
    given: Sequence[int] | None = None,
) -> Iterator[Xsk]:
    """A bound socket that receives. given: addresses for the fill ring; all chunks unless told."""
    with Xsk() as xsk:
        xsk.register(umem or Umem())
        xsk.make_rings(fill=fill, completion=fill, rx=rx)
        xsk.bind(ends.link, queue, flags)
        chunks = [number * xsk.umem.chunk_size for number in range(min(xsk.umem.chunks, fill))]
        xsk.give(chunks if given is None else given)
        with steer.into(ends.link, mode, xsk, program=program):
            yield xsk


@contextlib.contextmanager
def sender(
    ends: Ends, *, umem: Umem | None = None, tx: int = 64, completion: int = 64, flags: int = Bind.COPY, queue: int = 0
) -> Iterator[Xsk]:
    """A bound socket that sends."""
    with Xsk() as xsk:
        xsk.register(umem or Umem())
        xsk.make_rings(fill=64, completion=completion, tx=tx)
        xsk.bind(ends.link, queue, flags)
        ends.wire.pending()
        yield xsk


def collect(xsk: Xsk, count: int, what: str = "descriptors") -> list[Desc]:
    """The next received descriptors, `count` of them, and whatever else is there by then."""
    got: list[Desc] = []

    def enough() -> bool:
        got.extend(xsk.received())
        return len(got) >= count

    wait_for(enough, f"{count} {what}")
    return got


def transmit(xsk: Xsk, completions: int) -> list[int]:
    """Kick until so many completions have come; gives the addresses in their order."""
    got: list[int] = []

    def enough() -> bool:
        xsk.kick()
        got.extend(xsk.completed())
        return len(got) >= completions

    wait_for(enough, f"{completions} completions")
    return got


def collect_completed(xsk: Xsk, least: int) -> list[int]:
    """Kick until the kernel has taken all of the transmit ring and `least` completions have come; gives them all."""
    got: list[int] = []

    def taken() -> bool:
        xsk.kick()
        got.extend(xsk.completed())
        return xsk.tx.waiting == 0 and len(got) >= least

    wait_for(taken, f"the transmit ring to be taken, and {least} completions")
    return got


def pinned_pages() -> int:
    """Pages that the kernel holds for good (a umem's, among others); skips where it does not count them.

    Each processor counts for itself, and /proc/vmstat lags behind by up to a second but for vm.stat_refresh.
    """
    with contextlib.suppress(OSError), open("/proc/sys/vm/stat_refresh", "w") as refresh:  # noqa: PTH123
        refresh.write("1")
    with open("/proc/vmstat", encoding="ascii") as file:  # noqa: PTH123 - pathlib is slow here
        counted = dict(line.split() for line in file)
    if "nr_foll_pin_acquired" not in counted:
        pytest.skip("the kernel does not count pinned pages in /proc/vmstat")
    return int(counted["nr_foll_pin_acquired"]) - int(counted["nr_foll_pin_released"])
