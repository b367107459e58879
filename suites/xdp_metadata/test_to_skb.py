"""Metadata that an XDP program leaves is what traffic control finds before the frame, and nothing else ever is.

Rules: drivers/net/veth.c:veth_xdp_rcv_skb, net/core/dev.c:bpf_prog_run_generic_xdp, skb_metadata_set;
include/linux/filter.h:bpf_compute_data_pointers.
"""

from __future__ import annotations

import pytest
from net.namespace import Namespace
from net.wire import TEST_TYPE, Wire, difference, ethernet
from net.xdp import Mode, attached
from xdp_metadata.ingress import listen
from xdp_metadata.lab import WAYS, Lab, Limits
from xdp_metadata.script import (
    WRITE,
    Action,
    Frame,
    Stage,
    adjust_head,
    adjust_meta,
    adjust_tail,
    marks,
)
from xdp_multibuf.cases import cases

PLAIN_WAYS = ["native", "generic"]


@pytest.fixture(scope="module")
def frames_start_at_their_header(links: Lab, network: Namespace) -> bool:
    """Whether generic XDP for a program with frags support leaves the skb's MAC length as it was.

    Later 6.x kernels copy the skb for it and lose that length (net/core/skbuff.c:skb_pp_cow_data), so that traffic
    control starts 14 bytes late and takes the Ethernet header for metadata. A frame without metadata decides.
    """
    with network.entered():
        links.programs.forget()
        length = links.deliver(ethernet(200), way="generic-frags").length
    assert length in (200, 186), f"a frame of 200 bytes through generic XDP: traffic control sees {length}"
    return length == 200


@pytest.fixture(autouse=True)
def _usable_way(request: pytest.FixtureRequest, frames_start_at_their_header: bool) -> None:
    if request.node.callspec.params["way"] == "generic-frags" and not frames_start_at_their_header:
        pytest.skip("traffic control does not see the Ethernet header behind generic XDP with frags support")


def _same(seen: Frame, metadata: bytes, frame: bytes, what: str) -> None:
    """The skb has this metadata and is this frame (its length and first bytes)."""
    assert len(seen.metadata) == len(metadata), f"{what}: the skb has {len(seen.metadata)} bytes of metadata"
    assert not difference(seen.metadata, metadata), f"{what}: {difference(seen.metadata, metadata)}"
    assert seen.length == len(frame), f"{what}: the skb has {seen.length} bytes, not {len(frame)}"
    assert not difference(seen.head, frame[:64]), f"{what}: the frame: {difference(seen.head, frame[:64])}"


@cases("size", [4, 8, 20, 28, 32])
@cases("way", WAYS)
def test_metadata_reaches_the_skb(lab: Lab, way: str, size: int):
    frame = ethernet(200)
    seen = lab.deliver(frame, adjust_meta(-size), WRITE, way=way, write=marks(size))
    _same(seen, marks(size), frame, f"{size} bytes of metadata, {way} XDP")


@cases("size", [36, 128, 216])
@cases("way", PLAIN_WAYS)
def test_large_metadata_reaches_the_skb(lab: Lab, limits: Limits, way: str, size: int):
    """There is always XDP_PACKET_HEADROOM for it, whatever the skb had."""
    limits.require(size)
    frame = ethernet(200)
    seen = lab.deliver(frame, adjust_meta(-size), WRITE, way=way, write=marks(size))
    assert lab.programs.results(Stage.FIRST, 2) == (0, size), f"adjust_meta by -{size} is refused"
    _same(seen, marks(size), frame, f"{size} bytes of metadata, {way} XDP")


@cases("by", [-60, -4, 4, 30])
@cases("way", WAYS)
def test_metadata_reaches_the_skb_after_the_head_moved(lab: Lab, way: str, by: int):
    frame = ethernet(200)
    seen = lab.deliver(frame, adjust_meta(-32), WRITE, adjust_head(by), way=way, write=marks(32))
    what = f"32 bytes of metadata, head moved by {by}, {way} XDP"
    assert lab.programs.results(Stage.FIRST, 3) == (0, 32, 0), f"{what}: {lab.programs.results(Stage.FIRST, 3)}"
    assert seen.length == 200 - by, f"{what}: the skb has {seen.length} bytes"
    assert not difference(seen.metadata, marks(32)), f"{what}: {difference(seen.metadata, marks(32))}"
    got, expected = seen.head[max(-by, 0) :], frame[max(by, 0) :][: 64 - max(-by, 0)]
    assert not difference(got, expected), f"{what}: the frame: {difference(got, expected)}"


@cases("by", [-14, 14])
@cases("way", PLAIN_WAYS)
def test_metadata_made_after_the_head_moved(lab: Lab, way: str, by: int):
    seen = lab.deliver(ethernet(200), adjust_head(by), adjust_meta(-12), WRITE, way=way, write=marks(12))
    assert seen.length == 200 - by, f"head moved by {by}, {way} XDP: the skb has {seen.length} bytes"
    assert not difference(seen.metadata, marks(12)), difference(seen.metadata, marks(12))


@cases("by", [-100, 20])
@cases("way", PLAIN_WAYS)
def test_metadata_reaches_the_skb_after_the_tail_moved(lab: Lab, way: str, by: int):
    frame = ethernet(200)
    seen = lab.deliver(frame, adjust_meta(-8), WRITE, adjust_tail(by), way=way, write=marks(8))
    _same(seen, marks(8), frame[: 200 + by] + bytes(max(by, 0)), f"tail moved by {by}, {way} XDP")


@cases("size", [4, 32])
@cases("way", WAYS)
def test_metadata_of_a_fragmented_frame(lab: Lab, way: str, size: int):
    frame = ethernet(9000)
    seen = lab.deliver(frame, adjust_meta(-size), WRITE, way=way, write=marks(size))
    _same(seen, marks(size), frame, f"{size} bytes of metadata, 9000 bytes of frame, {way} XDP")


@cases("way", PLAIN_WAYS)
def test_metadata_given_up_in_part(lab: Lab, way: str):
    """The last bytes stay, those next to the frame."""
    steps = (adjust_meta(-32), WRITE, adjust_meta(20))
    seen = lab.deliver(ethernet(200), *steps, way=way, write=marks(32))
    _same(seen, marks(32)[20:], ethernet(200), f"32 bytes of metadata less 20, {way} XDP")


@cases("frame", [200, 9000])
@cases("way", PLAIN_WAYS)
def test_no_metadata_where_none_is_left(lab: Lab, way: str, frame: int):
    """None was made, or all of it was given up; nor does a frame get that of the frame before."""
    _same(
        lab.deliver(ethernet(frame), adjust_meta(-32), WRITE, way=way, write=marks(32)),
        marks(32),
        ethernet(frame),
        "",
    )
    for steps in ((), (adjust_meta(-8), WRITE, adjust_meta(8)), (adjust_head(-8), adjust_head(8))):
        lab.programs.forget()
        seen = lab.deliver(ethernet(frame), *steps, way=way, write=marks(8))
        _same(seen, b"", ethernet(frame), f"steps {steps}, {way} XDP")


@cases("way", PLAIN_WAYS)
def test_the_skb_keeps_its_mark(lab: Lab, way: str):
    """Metadata touches nothing of the skb; both ends are in one namespace, so the sender's mark comes along."""
    seen = lab.deliver(ethernet(200), adjust_meta(-16), WRITE, way=way, write=marks(16), mark=0x1234ABCD)
    assert (seen.mark, seen.priority, seen.vlan) == (0x1234ABCD, 0, 0), f"mark, priority, tag of the skb: {seen}"


@cases("way", PLAIN_WAYS)
def test_each_frame_has_its_own_metadata(lab: Lab, way: str):
    """Four frames with 4, 8, 12 and 16 bytes."""
    steps = [adjust_meta(-4, runs=0b1111 & ~((1 << number) - 1)) for number in range(4)]
    lab.programs.prepare(Stage.FIRST, *steps, WRITE, write=marks(16))
    mode, program = WAYS[way]
    with lab.receiving(mode, program=program):
        for number in range(4):
            lab.send(ethernet(100 + number, start=number))
        frames = lab.programs.wait(4)
    for number, seen in enumerate(frames):
        _same(seen, marks(4 * (number + 1)), ethernet(100 + number, start=number), f"frame {number}, {way} XDP")


@cases("way", PLAIN_WAYS)
def test_no_metadata_of_a_frame_sent_back(lab: Lab, way: str):
    """XDP_TX in generic mode sends the skb without it; natively the other end may get it, whole or not at all."""
    lab.programs.prepare(Stage.FIRST, adjust_meta(-16), WRITE, action=Action.TX, write=marks(16))
    lab.programs.prepare(Stage.SECOND)
    listen(lab.left, lab.programs.fd("ingress"))
    mode, program = WAYS[way]
    with lab.receiving(mode, program=program), attached(lab.left, lab.programs.fd("second"), Mode.NATIVE):
        lab.send(ethernet(200))
        (seen,) = lab.programs.wait(1)
    expected = marks(16) if way == "native" else b""
    _same(seen, expected, ethernet(200), f"sent back by {way} XDP")


COPIED = ["ingress_writes", "ingress_grows"]


@cases("program", COPIED)
@cases("way", WAYS)
def test_metadata_of_a_copied_head_is_whole_or_gone(lab: Lab, way: str, program: str):
    """Where an skb's head is copied to have room or to be written to, its metadata is copied too (later kernels) or
    forgotten (net/core/skbuff.c:pskb_expand_head): never other bytes."""
    lab.programs.grow(2000)
    with Wire(lab.right, TEST_TYPE):  # a second holder of the skb, so that a writer needs a copy
        seen = lab.deliver(ethernet(200), adjust_meta(-16), WRITE, way=way, write=marks(16), ingress=program)
    assert seen.length == (200 if program == "ingress_writes" else 2200)
    assert seen.metadata in (b"", marks(16)), f"{program}, {way} XDP: metadata is {seen.metadata.hex()}"
    if not seen.metadata:
        pytest.skip("the kernel forgets metadata where it copies an skb's head")
