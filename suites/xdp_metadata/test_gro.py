"""Frames with different metadata are never put together: nobody could tell any more which of it was whose.

Rules: net/core/gro.c:gro_list_prepare; include/linux/skbuff.h:skb_metadata_differs, __skb_metadata_differs.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from net.ethtool import set_gro
from net.link import wait_for
from xdp_metadata.lab import Lab, Limits
from xdp_metadata.packets import tcp
from xdp_metadata.script import WRITE, Action, Frame, Stage, Step, adjust_meta, fill, flip, marks
from xdp_multibuf.cases import cases

PAYLOAD = 32
HEADERS = 14 + 20 + 20


@pytest.fixture
def gro(lab: Lab) -> Iterator[Lab]:
    """The links with GRO at right. Skips where two like segments without metadata stay two: then nothing is shown."""
    set_gro(lab.right, True)
    try:
        if len(_received(lab, 2)) != 1:
            pytest.skip("the kernel does not put together two TCP segments that arrive at a veth as XDP frames")
        lab.programs.forget()
        yield lab
    finally:
        set_gro(lab.right, False)


def _received(lab: Lab, count: int, *steps: Step, write: bytes = b"") -> list[Frame]:
    """Some consecutive TCP segments, arriving in one poll, through steps at right; the skbs behind GRO."""
    segments = [tcp(number, bytes(PAYLOAD), mac=lab.right.mac) for number in range(count)]
    lab.programs.outgoing(*segments)
    lab.programs.prepare(Stage.SECOND, fill(), action=Action.TX)
    lab.programs.prepare(Stage.FIRST, *steps, write=write)
    with lab.receiving():
        ran = lab.inject(segments[0], count=count)
        assert ran.error_name == "success", f"live frames sent from left: test_run said {ran.error_name}"
        lab.programs.wait_for_runs(Stage.FIRST, count)
        _until(lab, count * PAYLOAD)
    return lab.programs.seen()


def _until(lab: Lab, payload: int) -> None:
    """Wait until skbs with so many bytes of payload were seen."""

    def arrived() -> bool:
        return sum(frame.length - HEADERS for frame in lab.programs.seen()) >= payload

    wait_for(arrived, f"{payload} bytes of payload at traffic control")


@cases("size", [0, 4, 8, 12, 16, 20, 24, 28, 32])
def test_like_metadata_is_put_together(gro: Lab, size: int):
    """Four segments are one skb, and it has the metadata that each of them had."""
    steps = (adjust_meta(-size), WRITE) if size else ()
    frames = _received(gro, 4, *steps, write=marks(size))
    said = [(frame.length, len(frame.metadata)) for frame in frames]
    assert said == [(HEADERS + 4 * PAYLOAD, size)], f"length and metadata of each skb: {said}"
    assert frames[0].metadata == marks(size)


def _kept_apart(lab: Lab, size: int, at: int) -> None:
    """Two segments whose metadata differs in one byte are two skbs, each with its own."""
    lab.programs.forget()
    frames = _received(lab, 2, adjust_meta(-size), WRITE, flip(at, runs=0b10), write=marks(size))
    other = marks(size)[:at] + bytes((marks(size)[at] ^ 0xFF,)) + marks(size)[at + 1 :]
    what = f"{size} bytes of metadata that differ in byte {at}"
    assert len(frames) == 2, f"{what}: {len(frames)} skb of {frames[0].segments} segments"
    assert [frame.metadata for frame in frames] == [marks(size), other], f"{what}: the skbs have other metadata"


@cases("size", [4, 8, 12, 16, 20, 24, 28, 32])
def test_metadata_that_differs_in_one_byte(gro: Lab, size: int):
    """Each word of it counts."""
    for at in range(size % 3, size, 4):
        _kept_apart(gro, size, at)


@cases("size", [36, 100, 216])
def test_large_metadata_that_differs_in_one_byte(gro: Lab, limits: Limits, size: int):
    limits.require(size)
    for at in (0, 3, size // 2, size - 33, size - 1):
        _kept_apart(gro, size, at)


@cases("first, more", [(0, 4), (0, 32), (4, 4), (8, 16), (28, 4)])
def test_metadata_of_different_size(gro: Lab, first: int, more: int):
    """Also against none at all, and where one is the end of the other."""
    size = first + more
    steps = [adjust_meta(-first)] if first else []
    frames = _received(gro, 2, *steps, adjust_meta(-more, runs=0b10), WRITE, write=bytes(size))
    said = [len(frame.metadata) for frame in frames]
    assert said == [first, size], f"{first} and {size} bytes of metadata: the skbs have {said}"


def test_like_neighbours_of_a_different_one(gro: Lab):
    """Four segments, the third with other metadata: what is put together is right, and no byte is lost."""
    frames = _received(gro, 4, adjust_meta(-16), WRITE, flip(5, runs=0b100), write=marks(16))
    assert sum(frame.length - HEADERS for frame in frames) == 4 * PAYLOAD
    assert len({frame.metadata for frame in frames}) == 2, "metadata of the third segment is lost"
    other = [frame for frame in frames if frame.metadata != marks(16)]
    assert [frame.length for frame in other] == [HEADERS + PAYLOAD], f"the third segment: {other}"
