"""Chunks anywhere in the umem (XDP_UMEM_UNALIGNED_CHUNK_FLAG): addresses carry their offset in the upper 16 bits.

Rules: net/xdp/xsk_buff_pool.c:xp_check_unaligned; net/xdp/xsk_queue.h:xp_unaligned_validate_desc;
include/net/xsk_buff_pool.h:xp_get_handle.
"""

from __future__ import annotations

from af_xdp.cases import kinds
from af_xdp.lab import Ends, Steer, collect, collect_completed, receiver, sender, transmit
from af_xdp.xsk import HEADROOM, Desc, Umem, UmemFlag
from net.wire import difference, ethernet
from net.xdp import Mode
from xdp_multibuf.cases import cases

SIZE = 3000
UMEM = Umem(16, SIZE, flags=UmemFlag.UNALIGNED)


@cases("mode", [Mode.NATIVE, Mode.GENERIC])
@cases("headroom", [0, 100])
def test_received_anywhere(veth: Ends, steer: Steer, mode: Mode, headroom: int):
    """At any byte, across pages, and at the very end; the address comes back with where the frame lies in it."""
    given = [0, 4000, 7001, 10777, 13999, UMEM.size - SIZE]
    umem = Umem(16, SIZE, headroom, UmemFlag.UNALIGNED)
    with receiver(veth, steer, mode, umem=umem, given=given) as xsk:
        frames = [ethernet(60 + 250 * number, start=number) for number in range(6)]
        for frame in frames:
            veth.wire.send(frame)
        got = collect(xsk, 6)
        assert [xsk.base(desc) for desc in got] == given, f"given {given}, came back {got}"
        assert {desc.address >> 48 for desc in got} == {HEADROOM + headroom}, f"offsets of {got}"
        for desc, frame in zip(got, frames, strict=True):
            assert not difference(xsk.data(desc), frame), difference(xsk.data(desc), frame)


@kinds("kind, bad", [("last-byte-out", UMEM.size - SIZE + 1), ("beyond", UMEM.size), ("far-beyond", (1 << 48) - 1)])
def test_fill_address_that_does_not_fit_is_passed_over(veth: Ends, steer: Steer, kind: str, bad: int):
    with receiver(veth, steer, umem=UMEM, given=[bad, 5000, bad, 100]) as xsk:
        veth.wire.send(ethernet(1000), 2)
        got = [xsk.base(desc) for desc in collect(xsk, 2)]
        assert got == [5000, 100], f"{kind}: frames went to {got}"


def test_fill_address_with_an_offset_is_its_base(veth: Ends, steer: Steer):
    """An address may be given back as it was received: the upper bits are left out of account."""
    with receiver(veth, steer, umem=UMEM, given=[4001]) as xsk:
        veth.wire.send(ethernet(400))
        (first,) = collect(xsk, 1)
        xsk.give([first.address])
        veth.wire.send(ethernet(500))
        (again,) = collect(xsk, 1)
        assert again.address == first.address, f"given {first.address:#x}, came back {again.address:#x}"
        assert not difference(xsk.data(again), ethernet(500))


def test_sent_from_anywhere(veth: Ends):
    """Across pages, with an offset in the address; it completes as it was sent."""
    wanted = [Desc(3334, 1500), Desc(6000 | 256 << 48, 1000), Desc(UMEM.size - 60, 60), Desc(8190 | 6 << 48, 1514)]
    with sender(veth, umem=UMEM) as xsk:
        for number, desc in enumerate(wanted):
            xsk.write(xsk.at(desc), ethernet(desc.length, start=number))
        xsk.send(wanted)
        assert transmit(xsk, 4) == [desc.address for desc in wanted]
        for number, desc in enumerate(wanted):
            got = veth.wire.receive()
            assert not difference(got, ethernet(desc.length, start=number)), f"{desc.address:#x}"


INVALID = [
    ("no-length", Desc(100, 0)),
    ("longer-than-a-chunk", Desc(100, SIZE + 1)),
    ("out-at-the-end", Desc(UMEM.size - 59, 60)),
    ("offset-out-at-the-end", Desc((UMEM.size - 100) | 41 << 48, 60)),
    ("beyond", Desc(UMEM.size, 60)),
    ("unknown-option", Desc(100, 60, 1 << 31)),
]


@kinds("kind, bad", INVALID)
def test_invalid_descriptor_is_counted_and_not_sent(veth: Ends, kind: str, bad: Desc):
    with sender(veth, umem=UMEM) as xsk:
        xsk.write(1000, ethernet(200))
        xsk.send([bad, Desc(1000, 200)])
        back = collect_completed(xsk, least=1)
        assert len(veth.wire.frames(1)[0]) == 200
        assert back in ([1000], [bad.address, 1000]), f"{kind}: completed {back}"
        # Before 6.6 there was nothing wrong with a length of 0.
        expected = (0, 1) if kind == "no-length" else (1,)
        assert xsk.statistics.tx_invalid_descs in expected, f"{kind}: {xsk.statistics}"
        assert not veth.wire.pending()
