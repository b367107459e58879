"""Frames of several buffers (XDP_USE_SG): split on receive, put together on transmit, and their limits.

Rules: net/xdp/xsk.c:__xsk_rcv, xsk_copy_xdp, xsk_build_skb, __xsk_generic_xmit;
Documentation/networking/af_xdp.rst, "Multi-Buffer Support".
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from af_xdp.lab import Ends, Steer, assert_returned, collect, collect_completed, receiver, sender, transmit
from af_xdp.test_bind import ready, refusal
from af_xdp.xdpsock import stamped, started
from af_xdp.xsk import CONTINUED, HEADROOM, Bind, Desc, Umem, UmemFlag, Xsk
from net.link import wait_for
from net.wire import difference, ethernet
from net.xdp import Mode
from xdp_multibuf.cases import cases

MODES = cases("mode", [Mode.NATIVE, Mode.GENERIC])
SG = Bind.COPY | Bind.USE_SG
CHUNK = 2048
ROOM = CHUNK - HEADROOM  # of a received buffer


@pytest.fixture(autouse=True)
def _multi_buffer(jumbo: Ends) -> None:
    """Skip unless the kernel has multi-buffer sockets: it refuses a bind flag that it does not know."""
    with ready(Umem(4, CHUNK)) as xsk:
        said = refusal(lambda: xsk.bind(jumbo.link, 0, SG))
    if said == "EINVAL":
        pytest.skip("the kernel's AF_XDP sockets have no multi-buffer (XDP_USE_SG)")
    assert said == "", f"bind with XDP_USE_SG said {said}"


@contextlib.contextmanager
def listening(jumbo: Ends, steer: Steer, mode: Mode, *, fill: int = 64, rx: int = 64, **more) -> Iterator[Xsk]:
    umem = Umem(64, CHUNK)
    with receiver(jumbo, steer, mode, umem=umem, fill=fill, rx=rx, flags=SG, program="frags", **more) as xsk:
        yield xsk


def packets(xsk: Xsk, descs: list[Desc]) -> list[bytes]:
    """Descriptors put together; fails on a packet without an end."""
    whole, part = [], b""
    for desc in descs:
        part += xsk.data(desc)
        if not desc.options & CONTINUED:
            whole.append(part)
            part = b""
    assert not part, f"the last descriptor says that the packet goes on: {descs[-1]}"
    return whole


SIZES = ["room-1", "room", "room+1", "2*room", "2*room+1", "4096", "3*room", "5*room", "9000", "9014"]


def size_of(word: str) -> int:
    number, _, more = word.partition("+")
    number, _, less = number.partition("-")
    times, _, name = number.rpartition("*")
    value = ROOM if name == "room" else int(name)
    return value * int(times or 1) + int(more or 0) - int(less or 0)


# --- receiving ---


@MODES
@cases("frame", SIZES)
def test_received_in_as_few_buffers_as_hold_it(jumbo: Ends, steer: Steer, mode: Mode, frame: str):
    """All but the last are full and say that the packet goes on; put together they are the frame."""
    size = size_of(frame)
    with listening(jumbo, steer, mode) as xsk:
        jumbo.wire.send(ethernet(size))
        buffers = -(-size // ROOM)
        got = collect(xsk, buffers)
        assert [desc.options for desc in got] == [CONTINUED] * (buffers - 1) + [0], f"{size} bytes: {got}"
        assert [desc.length for desc in got[:-1]] == [ROOM] * (buffers - 1), f"{size} bytes: {got}"
        assert len({xsk.base(desc) for desc in got}) == buffers, f"a buffer was used twice: {got}"
        (whole,) = packets(xsk, got)
        assert not difference(whole, ethernet(size)), difference(whole, ethernet(size))
        assert xsk.fill.waiting == 64 - buffers, f"{buffers} buffers, and {64 - xsk.fill.waiting} are gone"


@MODES
def test_large_and_small_frames_in_turn(jumbo: Ends, steer: Steer, mode: Mode):
    sizes = [60, 9000, 1500, ROOM + 1, 60, 5000, 2 * ROOM]
    with listening(jumbo, steer, mode) as xsk:
        for number, size in enumerate(sizes):
            jumbo.wire.send(ethernet(size, start=number))
        got = packets(xsk, collect(xsk, sum(-(-size // ROOM) for size in sizes)))
        for number, (whole, size) in enumerate(zip(got, sizes, strict=True)):
            assert not difference(whole, ethernet(size, start=number)), difference(whole, ethernet(size, start=number))


@MODES
def test_metadata_before_a_jumbo_frame(jumbo: Ends, steer: Steer, mode: Mode):
    """The metadata goes before the first buffer only, and takes nothing from the frame's end (__xsk_rcv: meta_len)."""
    umem = Umem(64, CHUNK)
    with receiver(jumbo, steer, mode, umem=umem, flags=SG, program="with_metadata_frags") as xsk:
        for size in (ROOM, ROOM + 1, 2 * ROOM, 9000):
            jumbo.wire.send(ethernet(size))
            got = collect(xsk, -(-size // ROOM))
            (whole,) = packets(xsk, got)
            assert not difference(whole, ethernet(size)), difference(whole, ethernet(size))
            before = xsk.data(got[0], before=8)[:8].hex()
            assert before == "f6e5d4c3b2a1c05e", f"{size} bytes: before the frame lies {before}"
            xsk.give(xsk.base(desc) for desc in got)


@MODES
def test_without_the_flag_jumbo_frames_are_dropped(jumbo: Ends, steer: Steer, mode: Mode):
    """A socket that did not ask for several buffers never gets a part of a frame (xsk_rcv_check)."""
    with receiver(jumbo, steer, mode, umem=Umem(8, CHUNK), program="frags") as xsk:
        jumbo.wire.send(ethernet(9000))
        wait_for(lambda: xsk.statistics.rx_dropped == 1, "rx_dropped for a frame of 9000 bytes")
        jumbo.wire.send(ethernet(500))
        assert [desc.length for desc in collect(xsk, 1)] == [500]
        assert xsk.fill.waiting == 7


@MODES
def test_too_few_buffers_drop_the_whole_frame(jumbo: Ends, steer: Steer, mode: Mode):
    """None of them is used up by it, and they serve the next frame."""
    with listening(jumbo, steer, mode, given=[0, CHUNK, 2 * CHUNK]) as xsk:
        jumbo.wire.send(ethernet(9000))
        wait_for(lambda: xsk.statistics.rx_dropped == 1, "rx_dropped for a frame with too few buffers")
        assert xsk.received() == []
        jumbo.wire.send(ethernet(3 * ROOM))
        got = collect(xsk, 3)
        assert [xsk.base(desc) for desc in got] == [0, CHUNK, 2 * CHUNK], f"three buffers came back as {got}"
        assert not difference(packets(xsk, got)[0], ethernet(3 * ROOM))


@MODES
def test_too_little_room_in_the_ring_drops_the_whole_frame(jumbo: Ends, steer: Steer, mode: Mode):
    with listening(jumbo, steer, mode, rx=8) as xsk:
        jumbo.wire.send(ethernet(9000, start=1))
        wait_for(lambda: xsk.rx.waiting == 6, "six buffers of a frame of 9000 bytes")
        jumbo.wire.send(ethernet(9000, start=2))
        wait_for(lambda: xsk.statistics.rx_ring_full == 1, "rx_ring_full for a frame without room")
        assert xsk.rx.waiting == 6, "a part of a frame is in the ring"
        assert not difference(packets(xsk, xsk.received())[0], ethernet(9000, start=1))
        jumbo.wire.send(ethernet(9000, start=3))
        assert not difference(packets(xsk, collect(xsk, 6))[0], ethernet(9000, start=3))
        assert xsk.fill.waiting == 64 - 12, f"two frames of 6 buffers, and {64 - xsk.fill.waiting} are gone"


# --- sending ---


def put(xsk: Xsk, first: int, frame: bytes, *, piece: int = CHUNK) -> list[Desc]:
    """A frame into chunks from `first` on, `piece` bytes in each: its descriptors."""
    parts = [frame[at : at + piece] for at in range(0, len(frame), piece)]
    for number, part in enumerate(parts):
        xsk.write((first + number) * CHUNK, part)
    last = len(parts) - 1
    return [
        Desc((first + number) * CHUNK, len(part), CONTINUED if number < last else 0)
        for number, part in enumerate(parts)
    ]


@cases("frame, piece", [(2049, 2048), (4096, 2048), (9014, 2048), (9000, 1000), (1500, 100), (60, 14)])
def test_sent_from_several_buffers(jumbo: Ends, frame: int, piece: int):
    """One frame on the wire; every buffer completes once, in order."""
    with sender(jumbo, umem=Umem(64, CHUNK), flags=SG) as xsk:
        descs = put(xsk, 0, ethernet(frame), piece=piece) + put(xsk, 32, ethernet(100, start=9))
        xsk.send(descs)
        assert transmit(xsk, len(descs)) == [desc.address for desc in descs]
        got = jumbo.wire.frames(2)
        assert not difference(got[0], ethernet(frame)), difference(got[0], ethernet(frame))
        assert not difference(got[1], ethernet(100, start=9)), difference(got[1], ethernet(100, start=9))
        assert xsk.statistics.tx_invalid_descs == 0


def test_an_unfinished_frame_waits_for_its_end(jumbo: Ends):
    """Nothing is sent or completed before the last buffer is there, over several calls."""
    with sender(jumbo, umem=Umem(64, CHUNK), flags=SG) as xsk:
        descs = put(xsk, 0, ethernet(5 * CHUNK - 2000))
        for desc in descs[:-1]:
            xsk.send([desc])
            xsk.kick()
            assert xsk.completed() == [], "a buffer of a frame without an end was completed"
        assert not jumbo.wire.pending()
        xsk.send(descs[-1:])
        assert transmit(xsk, 5) == [desc.address for desc in descs]
        got = jumbo.wire.receive()
        assert not difference(got, ethernet(5 * CHUNK - 2000)), difference(got, ethernet(5 * CHUNK - 2000))


def test_closed_amid_a_frame(jumbo: Ends):
    """A socket that goes with half a frame in the kernel takes it along; the next one starts afresh."""
    for _ in range(3):
        with sender(jumbo, umem=Umem(64, CHUNK), flags=SG) as xsk:
            xsk.send(put(xsk, 0, ethernet(9000))[:-1])
            xsk.kick()
    with sender(jumbo, umem=Umem(64, CHUNK), flags=SG) as xsk:
        descs = put(xsk, 0, ethernet(9000))
        xsk.send(descs)
        assert transmit(xsk, 5) == [desc.address for desc in descs]
        assert [len(frame) for frame in jumbo.wire.frames(1)] == [9000]


@cases("buffers", ["most-1", "most", "most+1", "most+9"])
def test_most_buffers_of_a_frame(jumbo: Ends, max_frags: int, buffers: str):
    """MAX_SKB_FRAGS + 1 are sent (one may be the linear part); a frame of more is dropped whole, and counted."""
    count = max_frags + 1 + int(buffers.removeprefix("most") or 0)
    frame, small = ethernet(count * 100), ethernet(70, start=3)
    with sender(jumbo, umem=Umem(64, CHUNK), flags=SG) as xsk:
        descs = put(xsk, 0, frame, piece=100) + put(xsk, 60, small)
        xsk.send(descs)
        back = collect_completed(xsk, least=1)
        got = jumbo.wire.frames(1 if "+" in buffers else 2)
        assert not difference(got[-1], small), f"after a frame of {count} buffers: {difference(got[-1], small)}"
        if "+" not in buffers:
            assert not difference(got[0], frame), difference(got[0], frame)
            assert back == [desc.address for desc in descs]
            return
        # The documentation has them all come back. Older kernels keep silent about a frame that they drop, and 6.12
        # gives back those from the one on that was too many.
        known = [desc.address for desc in descs]
        assert back in (known, known[-1:], known[max_frags + 1 :]), f"{count} buffers and one: completed {back}"
        assert xsk.statistics.tx_invalid_descs >= 1
        assert not jumbo.wire.pending()


@cases("where", ["first", "middle", "last"])
def test_an_invalid_buffer_drops_the_whole_frame(jumbo: Ends, where: str):
    """No part of it is sent, and what follows its end is a frame again."""
    small = ethernet(70, start=3)
    with sender(jumbo, umem=Umem(64, CHUNK), flags=SG) as xsk:
        descs = put(xsk, 0, ethernet(4 * CHUNK))
        at = {"first": 0, "middle": 2, "last": 3}[where]
        descs[at] = descs[at]._replace(address=64 * CHUNK)
        descs += put(xsk, 60, small)
        xsk.send(descs)
        back = collect_completed(xsk, least=1)
        got = jumbo.wire.frames(1)
        lengths = [len(frame) for frame in got]
        assert not difference(got[-1], small), f"{where} buffer invalid: sent lengths {lengths}, completed {back}"
        known = [desc.address for desc in descs]  # as above
        assert back in (known, known[-1:], known[at:]), f"{where} buffer invalid: completed {back}"
        assert xsk.statistics.tx_invalid_descs >= 1
        assert not jumbo.wire.pending()


@MODES
def test_forwarded_by_an_application(jumbo: Ends, mode: Mode):
    """xdpsock -l -F: frames of one and of several buffers come back whole, and so does every buffer."""
    sizes = (60, 9000, ROOM, ROOM + 1, 1514, 5000, 2 * ROOM, 9014)
    frames = [stamped(number, sizes[number % len(sizes)]) for number in range(32)]
    how = ("-S",) if mode is Mode.GENERIC else ("-N", "-c")
    with started(jumbo.link, "-l", "-p", "-F", "-f2048", "--verify", f"-C{len(frames)}", *how) as running:
        for frame in frames:
            jumbo.wire.send(frame)
        told = running.summary()
        back = jumbo.wire.frames(len(frames))
    assert told["verify"]["checked"] == len(frames), told["verify"]
    buffers = sum(-(-len(frame) // ROOM) for frame in frames)
    assert (told["rx"]["buffers"], told["tx"]["buffers"]) == (buffers, buffers)
    assert told["buffers"]["tx_returned"] == buffers, f"buffers: {told['buffers']}"
    assert told["buffers"]["fill_held"] == 0, f"buffers: {told['buffers']}"
    assert_returned(back, frames)


UNALIGNED = Umem(32, 3000, flags=UmemFlag.UNALIGNED)


@MODES
def test_received_into_unaligned_chunks(jumbo: Ends, steer: Steer, mode: Mode):
    """Full but for the last, at any address, across pages."""
    given = [1, 4095, 9001, 13777]
    with receiver(jumbo, steer, mode, umem=UNALIGNED, given=given, flags=SG, program="frags") as xsk:
        jumbo.wire.send(ethernet(9000))
        got = collect(xsk, 4)
        assert [xsk.base(desc) for desc in got] == given, f"given {given}, came back {got}"
        assert [desc.length for desc in got] == [3000 - HEADROOM] * 3 + [9000 - 3 * (3000 - HEADROOM)]
        assert not difference(packets(xsk, got)[0], ethernet(9000))


def test_sent_from_unaligned_chunks(jumbo: Ends):
    """Across pages, with an offset in an address; each completes as it was sent, and one outside spoils the frame."""
    frame = ethernet(9000)
    with sender(jumbo, umem=UNALIGNED, flags=SG) as xsk:
        parts = [Desc(4 * 4096 - 100, 3000, CONTINUED), Desc(20000 | 334 << 48, 3000, CONTINUED), Desc(94, 3000)]
        for number, desc in enumerate(parts):
            xsk.write(xsk.at(desc), frame[number * 3000 : number * 3000 + 3000])
        small = Desc(60000, 70)
        xsk.write(small.address, ethernet(70, start=3))
        bad = [parts[0], Desc(UNALIGNED.size - 2999, 3000, CONTINUED), parts[2]]
        xsk.send([*parts, *bad, small])
        back = collect_completed(xsk, least=4)
        assert back[:3] == [desc.address for desc in parts], f"completed {back}"
        assert back[-1] == small.address, f"completed {back}"
        got = jumbo.wire.frames(2)
        assert not difference(got[0], frame), difference(got[0], frame)
        assert not difference(got[1], ethernet(70, start=3)), difference(got[1], ethernet(70, start=3))
        assert xsk.statistics.tx_invalid_descs >= 1
        assert not jumbo.wire.pending()
