"""Redirected frames, linear and of many fragments, end in an skb with every byte, the right length and a good checksum.

Rules: net/core/xdp.c:__xdp_build_skb_from_frame, xdp_return_frame; kernel/bpf/cpumap.c:cpu_map_kthread_run,
cpu_map_bpf_prog_run_xdp; kernel/bpf/devmap.c:bq_xmit_all, __xdp_enqueue; include/net/xdp.h:xdp_update_frame_from_buff.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Iterator

import pytest
from bpf.libbpf import Map
from net.features import has_netdev_family
from net.link import Link, tuned, veth_pair
from net.wire import Wire, ethernet
from net.xdp import Mode, attach
from pages import pages_lost
from xdp_multibuf.cases import cases
from xdp_multibuf.datagram import payload_of
from xdp_multibuf.machine import Limits, difference
from xdp_multibuf.redirect import JUMBO_MTU, Redirects, Street, listener

SIZES = (64, 1500, 3000, 3600, 4000, 9014)
XDP_DROP = 1
FRAMES = 384
# Pages for a frame. The least that can be lost is half a page, where two frames share one; what the page pool of veth
# has in store differs by up to 64 pages from one look to the next (PP_ALLOC_CACHE_REFILL).
NOISE = 0.3
DEVICE_MAPS = {"devmap": 14, "devmap_hash": 25}  # BPF_MAP_TYPE_DEVMAP, BPF_MAP_TYPE_DEVMAP_HASH
EVERY_TYPE = 3  # ETH_P_ALL: an adjusted head has another EtherType


@pytest.fixture
def deliverable(limits: Limits, where: str, size: int) -> None:
    """Skip a frame with fragments for a device where the kernel knows no such thing (xdp_do_redirect before 6.3)."""
    if where == "devmap" and size > limits.linear and not has_netdev_family():
        pytest.skip("the kernel redirects no frame with fragments to a device (it has no NETDEV_XDP_ACT_NDO_XMIT_SG)")


def _received(receiver: socket.socket, size: int, how: str) -> None:
    """Fail unless the datagram of a frame of `size` bytes is the next."""
    try:
        got = receiver.recv(1 << 16)
    except TimeoutError:
        pytest.fail(f"frame of {size} bytes {how}: no datagram reached the socket (lost, or a wrong checksum)", False)
    assert not difference(got, payload_of(size)), f"frame of {size} bytes {how}: {difference(got, payload_of(size))}"


@pytest.mark.usefixtures("deliverable")
@cases("size", SIZES)
@cases("where, program", [("cpumap", ""), ("cpumap", "on_cpu"), ("devmap", ""), ("devmap", "on_device")])
def test_datagram_is_delivered(links: Street, redirects: Redirects, where: str, program: str, size: int):
    """The frame becomes an skb, behind a CPU or a device: the UDP socket gets its payload, checksum verified."""
    redirects.prepare()
    frame = links.near_datagram(size) if where == "cpumap" else links.far_datagram(size)
    with _redirecting(links, redirects, where, program), listener() as receiver, Wire(links.near, 0) as wire:
        wire.send(frame)
        _received(receiver, size, f"redirected to a {where}")
    if program:
        seen = redirects.seen
        assert (seen.runs, seen.length) == (1, size), f"frame of {size} bytes: the {where}'s program saw {seen}"


@pytest.mark.usefixtures("deliverable")
@cases("where", ["cpumap", "devmap"])
@cases("size", [1500, 9014])
def test_wrong_checksum_is_still_wrong(links: Street, redirects: Redirects, where: str, size: int):
    """Nothing on the way vouches for a checksum: of a bad datagram and a good one only the good one is received."""
    redirects.prepare()
    with _redirecting(links, redirects, where), listener() as receiver, Wire(links.near, 0) as wire:
        good = links.near_datagram if where == "cpumap" else links.far_datagram
        before = _wrong_checksums()
        wire.send(_spoiled(good(size)))
        wire.send(good(1400))
        _received(receiver, 1400, f"through a {where} behind one of {size} with a wrong checksum")
        assert _wrong_checksums() == before + 1, "the datagram with a wrong checksum never came to its socket"


def _wrong_checksums() -> int:
    """UDP datagrams that this namespace threw away for their checksum (net/ipv4/udp.c: UDP_MIB_CSUMERRORS)."""
    with open("/proc/thread-self/net/snmp", encoding="ascii") as file:  # noqa: PTH123 - pathlib is slow here
        names, values = (line.split() for line in file if line.startswith("Udp:"))
    return int(values[names.index("InCsumErrors")])


def _spoiled(frame: bytes) -> bytes:
    """The same with another last byte."""
    return frame[:-1] + bytes([frame[-1] ^ 1])


@contextlib.contextmanager
def _redirecting(links: Street, redirects: Redirects, where: str, program: str = "") -> Iterator[Link]:
    """Frames from `near` are redirected to the CPU or the device; gives the link where they arrive.

    program: runs in the map. The redirecting program stays until the next takes its place: that is quicker.
    """
    to_cpu = where == "cpumap"
    entry = redirects.cpu(program) if to_cpu else redirects.device(links.far, program)
    with entry:
        attach(links.near_peer, redirects.program("to_cpu" if to_cpu else "to_device"), Mode.NATIVE)
        yield links.near_peer if to_cpu else links.far_peer


@cases("size", [3600, 9014])
def test_fragmented_frame_for_a_device_is_whole_or_not_there(links: Street, redirects: Redirects, size: int):
    """Kernels that redirect no fragments to a device (xdp_do_redirect before 6.3) send none of the frame, and give
    all of it back."""
    redirects.prepare()
    with _redirecting(links, redirects, "devmap") as arrival, Wire(arrival) as taken, Wire(links.near, 0) as wire:
        wire.send(ethernet(size))
        wire.send(ethernet(1400))
        first = ethernet(size) if has_netdev_family() else ethernet(1400)
        got = taken.receive(what=f"a frame of {len(first)} bytes through a devmap")
        assert not difference(got, first), f"of {size} bytes, then 1400: {difference(got, first)}"
        if not has_netdev_family():
            lost = pages_lost(lambda: wire.send(ethernet(size)), FRAMES, at_most=NOISE)
            assert lost <= NOISE, f"each refused frame of {size} bytes keeps {lost:.2f} pages"


@pytest.mark.usefixtures("deliverable")
@cases("where", ["cpumap", "devmap"])
@cases("size", [65549])
def test_datagram_of_sixteen_fragments(links: Street, redirects: Redirects, where: str, size: int):
    """As large as a frame on a wire can be: MTU 65535."""
    redirects.prepare()
    frame = links.near_datagram(size) if where == "cpumap" else links.far_datagram(size)
    with contextlib.ExitStack() as back, _redirecting(links, redirects, where):
        for link in (links.near, links.near_peer, links.far, links.far_peer):
            back.enter_context(tuned(link)).set_mtu(size - 14)
        with listener() as receiver, Wire(links.near, 0) as wire:
            wire.send(frame)
            _received(receiver, size, f"redirected to a {where}")


@pytest.mark.usefixtures("deliverable")
@cases("where, program", [("cpumap", "on_cpu"), ("devmap", "on_device")])
@cases("size", [9014])
def test_fragments_do_not_grow_in_the_map(links: Street, redirects: Redirects, where: str, program: str, size: int):
    """Nobody knows there how large a fragment's buffer is (xdp_rxq_info.frag_size is 0): -EOPNOTSUPP, and the frame is
    as it was."""
    redirects.prepare(late_tail=10)
    with _redirecting(links, redirects, where, program) as arrival, Wire(arrival) as taken, Wire(links.near, 0) as wire:
        wire.send(ethernet(size))
        got = taken.receive(what=f"frame of {size} bytes through a {where}")
    assert redirects.seen.refused == -errno.EOPNOTSUPP, f"growing in a {where}: {redirects.seen.refused}"
    assert not difference(got, ethernet(size)), difference(got, ethernet(size))


# No fragment goes whole: veth before 6.18 gives a page of its pool back as if it were none (veth_xdp_rcv_skb), and what
# comes of that is no longer this test's.
ADJUSTED = [(3000, -14, -100), (9014, 0, -14), (9014, 20, -1000), (9014, -60, -1390)]


@pytest.mark.usefixtures("deliverable")
@cases("where", ["cpumap", "devmap"])
@cases("size, head, tail", ADJUSTED)
def test_adjusted_then_redirected(links: Street, redirects: Redirects, where: str, size: int, head: int, tail: int):
    """What the program cut off or put on before the redirect is so in the skb."""
    redirects.prepare(head=head, tail=tail)
    frame = ethernet(size)
    with (
        _redirecting(links, redirects, where) as arrival,
        Wire(arrival, EVERY_TYPE) as taken,
        Wire(links.near, 0) as wire,
    ):
        wire.send(frame)
        got = taken.receive(what=f"frame of {size} bytes, head {head}, tail {tail}, through a {where}")
    assert redirects.seen.refused == 0, f"adjusting a frame of {size} bytes: {redirects.seen.refused}"
    kept = frame[max(head, 0) : size + tail]
    assert len(got) == size - head + tail, f"{len(got)} bytes arrived of {size}, head {head}, tail {tail}"
    assert not difference(got[max(-head, 0) :], kept), difference(got[max(-head, 0) :], kept)


@pytest.mark.usefixtures("deliverable")
@cases("where, program", [("cpumap", "on_cpu"), ("devmap", "on_device")])
@cases("size, tail", [(1500, -100), (9014, -10), (9014, -3000), (9014, -8000)])
def test_adjusted_in_the_map(links: Street, redirects: Redirects, where: str, program: str, size: int, tail: int):
    """The map's own program shrinks the frame: its fragments go, and the skb is the rest."""
    redirects.prepare(late_tail=tail)
    frame = ethernet(size)
    with _redirecting(links, redirects, where, program) as arrival, Wire(arrival) as taken, Wire(links.near, 0) as wire:
        wire.send(frame)
        got = taken.receive(what=f"frame of {size} bytes, shrunk by {-tail} in a {where}")
    assert redirects.seen.refused == 0, f"shrinking {size} bytes in a {where}: {redirects.seen.refused}"
    assert not difference(got, frame[:tail]), f"{size} bytes shrunk by {-tail}: {difference(got, frame[:tail])}"


@pytest.mark.usefixtures("deliverable")
@cases("where, program", [("cpumap", "on_cpu"), ("devmap", "on_device")])
@cases("size", [9014])
def test_dropped_in_the_map_loses_no_page(links: Street, redirects: Redirects, where: str, program: str, size: int):
    """Every fragment of a frame that the map's program drops is given back (xdp_return_frame)."""
    redirects.prepare(late_action=XDP_DROP)
    frame = ethernet(size)
    with _redirecting(links, redirects, where, program), Wire(links.near, 0) as wire:
        lost = pages_lost(lambda: wire.send(frame), FRAMES, at_most=NOISE)
    # Not every frame: a CPU's queue that is full takes no more, and those are given back elsewhere.
    assert redirects.seen.runs > 60, f"the {where}'s program ran {redirects.seen.runs} times"
    assert lost <= NOISE, f"each frame of {size} bytes dropped in a {where} keeps {lost:.2f} pages"


@pytest.mark.usefixtures("deliverable")
@cases("where", ["cpumap", "devmap"])
@cases("size", [1500, 9014])
def test_delivered_frames_lose_no_page(links: Street, redirects: Redirects, where: str, size: int):
    """The skb gives back every fragment with it."""
    redirects.prepare()
    frame = ethernet(size)
    with _redirecting(links, redirects, where), Wire(links.near, 0) as wire:
        lost = pages_lost(lambda: wire.send(frame), FRAMES, at_most=NOISE)
    assert lost <= NOISE, f"each frame of {size} bytes through a {where} keeps {lost:.2f} pages"


@pytest.mark.usefixtures("deliverable")
@cases("where", ["devmap"])
@cases("size, mtu", [(3500, 3000), (9014, 4000)])
def test_frame_larger_than_the_target_is_dropped(links: Street, redirects: Redirects, where: str, size: int, mtu: int):
    """xdp_ok_fwd_dev: past the target's MTU, fragments counted, nothing is sent; the next frame goes through."""
    redirects.prepare()
    links.far.set_mtu(mtu)
    try:
        with _redirecting(links, redirects, where) as arrival, Wire(arrival) as taken, Wire(links.near, 0) as wire:
            wire.send(ethernet(size))
            wire.send(ethernet(2000))
            got = taken.receive(what=f"frame of 2000 bytes behind one of {size}, target's MTU {mtu}")
    finally:
        links.far.set_mtu(JUMBO_MTU)
    assert not difference(got, ethernet(2000)), f"the target's MTU is {mtu}: {difference(got, ethernet(2000))}"


@pytest.mark.usefixtures("deliverable")
@cases("where", ["devmap"])
@cases("size", [3500, 9014])
def test_refused_frames_lose_no_page(links: Street, redirects: Redirects, where: str, size: int):
    """What the target's driver does not take is given back, fragments and all (bq_xmit_all): its peer's MTU is less."""
    redirects.prepare()
    frame = ethernet(size)
    links.far_peer.set_mtu(1500)
    try:
        with _redirecting(links, redirects, where), Wire(links.near, 0) as wire:
            lost = pages_lost(lambda: wire.send(frame), FRAMES, at_most=NOISE)
    finally:
        links.far_peer.set_mtu(JUMBO_MTU)
    assert lost <= NOISE, f"each frame of {size} bytes that the device refuses keeps {lost:.2f} pages"


@cases("kind", DEVICE_MAPS)
def test_map_that_goes_lets_its_device_go(links: Street, kind: str):
    """Entries that nobody took out go with their map (dev_map_free): the device can be removed then."""
    with veth_pair("held", "held_peer") as (held, _):
        with Map.made(DEVICE_MAPS[kind], 4) as entries:
            error = entries.update(0, struct.pack("<I", held.index))
        assert not error, f"{held.name} into a {kind}: errno {error}"
