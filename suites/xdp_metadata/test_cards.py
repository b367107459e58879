"""Metadata of native XDP on network cards: from the driver's buffer to the skb that traffic control sees.

Rules: drivers/net/virtio_net.c: receive_small_xdp, receive_mergeable_xdp and what builds their skbs;
drivers/net/ethernet/intel/igb/igb_main.c: igb_build_skb, igb_construct_skb. skb_metadata_set is the driver's to call.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from net.devices import card_pair
from net.link import Link, tc, tuned
from net.wire import Wire, difference, ethernet
from net.xdp import Mode, attached
from xdp_metadata.ingress import listen
from xdp_metadata.script import WRITE, Programs, Stage, adjust_head, adjust_meta, marks
from xdp_multibuf.cases import cases

CARDS = ["virtio_net", "virtio_net:mrg_rxbuf=off", "igb"]


@pytest.fixture
def far(programs: Programs, card: str) -> Iterator[Link]:
    """The card that sends; the other has the program `first`, and `ingress` behind it."""
    near, far = card_pair(card)
    programs.forget()
    with tuned(near), tuned(far):
        near.up()
        far.up()
        listen(near, programs.fd("ingress"))
        try:
            with attached(near, programs.fd("first"), Mode.NATIVE):
                near.wait_until_up()
                far.wait_until_up()
                yield far
        finally:
            tc("qdisc", "del", "dev", near.name, "clsact")


@cases("card", CARDS)
@cases("size", [0, 4, 32])
@cases("by", [0, -20, 14])
def test_metadata_reaches_the_skb(programs: Programs, far: Link, card: str, size: int, by: int):
    """All of it, wherever the program moved the head."""
    programs.prepare(Stage.FIRST, adjust_meta(-size), WRITE, adjust_head(by), write=marks(size))
    with Wire(far, 0) as wire:
        wire.send(ethernet(200))
        (seen,) = programs.wait(1)
    results = programs.results(Stage.FIRST, 3)
    assert results == (0, size, 0), f"{card}: adjust_meta, bytes written, adjust_head = {results}"
    assert seen.metadata == marks(size), f"{card}, head moved by {by}: {difference(seen.metadata, marks(size))}"
    assert seen.length == 200 - by, f"{card}, head moved by {by}: the skb has {seen.length} bytes"


@cases("card", CARDS)
def test_no_metadata_of_the_frame_before(programs: Programs, far: Link, card: str):
    """A buffer that is used again says nothing of the last frame in it."""
    counts = [16, 0] * 8
    with Wire(far, 0) as wire:
        for number, size in enumerate(counts, 1):
            programs.prepare(Stage.FIRST, adjust_meta(-size), WRITE, write=marks(size))
            wire.send(ethernet(200))
            seen = programs.wait(number)[-1]
            assert seen.metadata == marks(size), f"{card}, frame {number}: {difference(seen.metadata, marks(size))}"
