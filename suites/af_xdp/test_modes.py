"""rxdrop, txonly and l2fwd, in every mode, on every device that a guest can hold: nothing lost, nothing changed.

The frames are numbered; xdpsock checks those it receives, we those it sends. Its books say that every buffer came back.
Rules: net/xdp/xsk.c; drivers' XDP and ndo_xsk_wakeup; Documentation/networking/af_xdp.rst.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from af_xdp.lab import Ends, advertises_zero_copy, assert_returned, ends_of
from af_xdp.xdpsock import Refused, Xdpsock, assert_accounted_for, assert_bound, stamped, started
from net.devices import card_pair, use_up_buffers
from net.link import tuned, wait_for
from net.wire import difference
from xdp_multibuf.cases import cases

DEVICES = ("veth", "virtio_net", "vmxnet3", "e1000e", "igb")
MODES = (("skb", ("-S",), "skb"), ("drv-copy", ("-N", "-c"), "native"), ("drv-zc", ("-N", "-z"), "native"))
COUNT = 96
SIZES = (60, 64, 65, 128, 590, 1024, 1500, 1514)


def frames() -> list[bytes]:
    return [stamped(number, SIZES[number % len(SIZES)]) for number in range(COUNT)]


@pytest.fixture
def ends(device: str, request: pytest.FixtureRequest) -> Iterator[Ends]:
    """The device under test and its far end, both up."""
    if device == "veth":
        yield request.getfixturevalue("veth")
        return
    link, far = card_pair(device)
    for one in (link, far):
        one.up()
    with tuned(link), tuned(far), ends_of(link, far) as found:
        for one in (link, far):
            one.wait_until_up()
        found.wire.pending()
        yield found


@contextlib.contextmanager
def bound(ends: Ends, mode: str, *words: str) -> Iterator[Xdpsock]:
    """xdpsock in a mode; a skip, with the kernel's reason, where the device has no such mode."""
    _, how, _ = next(row for row in MODES if row[0] == mode)
    try:
        with started(ends.link, *how, *words) as running:
            yield running
    except Refused as error:
        if "-F" in words and error.errno == "EINVAL" and error.what.startswith("binding"):
            pytest.skip("the kernel's AF_XDP sockets have no multi-buffer (XDP_USE_SG)")
        if _lacks(ends, mode, error):
            pytest.skip(f"the device has no such mode: {error}")
        raise


def _lacks(ends: Ends, mode: str, error: Refused) -> bool:
    """Every device has generic XDP and copy mode; zero-copy is refused only where it is not advertised."""
    if mode == "drv-zc" and advertises_zero_copy(ends.link):
        return False
    return mode != "skb" and error.lacks_mode(zero_copy=mode == "drv-zc")


def send(ends: Ends, sent: Sequence[bytes]) -> None:
    """The first alone, until it came: what a card has no buffers for yet waits in QEMU, and the next overtakes it."""
    before = ends.link.statistics["rx_packets"]
    ends.wire.send(sent[0])
    wait_for(lambda: ends.link.statistics["rx_packets"] > before, f"a frame counted by {ends.link.name}")
    for frame in sent[1:]:
        ends.wire.send(frame)


def check(told: dict[str, Any], mode: str) -> None:
    """The mode that was bound is the one asked for, and every buffer is accounted for."""
    _, _, xdp = next(row for row in MODES if row[0] == mode)
    assert told["ended"] == "count"
    assert_bound(told, xdp, zero_copy=mode == "drv-zc")
    assert_accounted_for(told)
    books = told["buffers"]
    if mode != "drv-zc":  # a driver in zero-copy mode keeps buffers in its ring
        assert books["fill_held"] == 0, f"the kernel keeps buffers: {books}"
    assert not any(told["kernel"][name] for name in ("rx_dropped", "tx_invalid_descs", "rx_ring_full")), told["kernel"]


@cases("mode", [row[0] for row in MODES])
@cases("device", DEVICES)
def test_rxdrop(ends: Ends, mode: str):
    """All frames, each once, in order, with every byte."""
    with bound(ends, mode, "-r", "-p", "--verify", f"-C{COUNT}") as running:
        send(ends, frames())
        told = running.summary()
    check(told, mode)
    verified = told["verify"]
    assert verified.pop("checked") == COUNT, f"of {COUNT} frames: {told}"
    assert not any(verified.values()), f"of {COUNT} frames: {verified}"
    assert told["rx"]["bytes"] == sum(map(len, frames()))
    assert told["buffers"]["fill_returned"] == COUNT


@cases("mode", [row[0] for row in MODES])
@cases("device", DEVICES)
def test_txonly(ends: Ends, mode: str):
    """All frames, each once, in order, with every byte; every buffer completes."""
    with bound(
        ends, mode, "-t", "--verify", f"-C{COUNT}", "-s1514", "-b16", "--frames=64", "--ring-size=64"
    ) as running:
        told = running.summary()
        got = ends.wire.frames(COUNT)
    check(told, mode)
    assert told["buffers"]["tx_given"] == COUNT
    to, sender = got[0][:6], got[0][6:12]
    for number, frame in enumerate(got):
        wanted = stamped(number, 1514, to=to, sender=sender)
        assert not difference(frame, wanted), f"frame {number}: {difference(frame, wanted)}"


@cases("mode", [row[0] for row in MODES])
@cases("device", DEVICES)
def test_l2fwd(ends: Ends, mode: str):
    """What came in goes out again, its addresses swapped."""
    with bound(ends, mode, "-l", "-p", "--verify", f"-C{COUNT}") as running:
        send(ends, frames())
        told = running.summary()
        got = ends.wire.frames(COUNT)
    check(told, mode)
    assert (told["rx"]["packets"], told["tx"]["packets"]) == (COUNT, COUNT)
    assert_returned(got, frames())


JUMBO = (60, 9000, 3840, 3841, 1514, 5000, 9014)  # 4096 less XDP_PACKET_HEADROOM fit into a chunk


@cases("mode", ["skb", "drv-copy"])
@cases("device", ["virtio_net", "e1000e"])
def test_jumbo_frames_forwarded(ends: Ends, device: str, mode: str):
    """A card's own fragments (not those of veth's copied skbs) into chunks and out again, whole."""
    sent = [stamped(number, JUMBO[number % len(JUMBO)]) for number in range(28)]
    for one in (ends.far, ends.link):
        one.set_mtu(9000)
        one.wait_until_up()
    with bound(ends, mode, "-l", "-p", "-F", "--verify", f"-C{len(sent)}") as running:
        use_up_buffers(ends.link, ends.wire.send)
        send(ends, sent)
        told = running.summary()
        got = ends.wire.frames(len(sent))
    check(told, mode)
    assert told["verify"]["checked"] == len(sent), told["verify"]
    assert told["rx"]["buffers"] == told["tx"]["buffers"] > len(sent), f"no frame took several buffers: {told}"
    assert_returned(got, sent)


@cases("way", ["spin", "busy-poll", "no-need-wakeup"])
@cases("device", ["virtio_net", "igb"])
def test_zero_copy_without_poll(ends: Ends, device: str, way: str):
    """Here the need-wakeup flags of both rings are the driver's own (xsk_set_rx_need_wakeup).

    Busy polling drives what is received (xsk_no_wakeup): what is sent is the driver's affair.
    """
    words = {"spin": ("-l",), "busy-poll": ("-r", "-B", "-b16"), "no-need-wakeup": ("-l", "-m")}[way]
    with bound(ends, "drv-zc", "--verify", f"-C{COUNT}", *words) as running:
        send(ends, frames())
        told = running.summary()
        got = [] if way == "busy-poll" else ends.wire.frames(COUNT)
    check(told, "drv-zc")
    assert told["verify"]["checked"] == COUNT, told["verify"]
    if got:
        assert told["calls"]["tx_wakeup_sendtos"] > 0, f"nobody rang: {told['calls']}"
        assert sorted(map(len, got)) == sorted(map(len, frames()))
