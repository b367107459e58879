"""Transmit metadata: what a sender asks of the device for each frame, and what it is told when the frame is gone.

Rules: net/xdp/xsk.c:xsk_build_skb (xsk_skb_metadata), include/net/xdp_sock.h:xsk_tx_metadata_to_compl;
Documentation/networking/xsk-tx-metadata.rst.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator

import pytest
from af_xdp.cases import kinds
from af_xdp.lab import Ends, collect_completed, sender, transmit
from af_xdp.test_bind import refusal
from af_xdp.xsk import CONTINUED, METADATA, Bind, Desc, Umem, UmemFlag, Xsk
from net.wire import difference, ethernet
from xdp_multibuf.cases import cases

TIMESTAMP, CHECKSUM = 1, 2  # XDP_TXMD_FLAGS_*
LENGTH = 16
UMEM = Umem(16, 2048, flags=UmemFlag.TX_METADATA_LEN, metadata=LENGTH)
SOFTWARE = Umem(16, 2048, flags=UmemFlag.TX_METADATA_LEN | UmemFlag.TX_SW_CSUM, metadata=LENGTH)
START, OFFSET = 34, 6  # where the checksum of our frames begins, and where it lies from there
_SOL_PACKET, _AUXDATA, _CSUM_NOT_READY = 263, 8, 8


@pytest.fixture(autouse=True)
def _has_metadata() -> None:
    """Skip unless the kernel has room for transmit metadata in a umem."""
    with Xsk() as xsk:
        if refusal(lambda: xsk.register(UMEM)) == "EINVAL":
            pytest.skip("the kernel's umem has no transmit metadata (XDP_UMEM_TX_METADATA_LEN)")


def put(xsk: Xsk, address: int, frame: bytes, flags: int, request: bytes = b"") -> Desc:
    """A frame at `address`, its metadata right before it."""
    xsk.write(address - LENGTH, struct.pack("=Q8s", flags, request))
    xsk.write(address, frame)
    return Desc(address, len(frame), METADATA)


def completion(xsk: Xsk, address: int) -> int:
    """The word that the kernel filled in: the timestamp."""
    assert xsk.memory is not None
    return int(struct.unpack_from("=Q", xsk.memory, address - 8)[0])


def checksummed(size: int) -> tuple[bytes, bytes]:
    """A frame with a zero where its checksum goes, and the frame with it (RFC 1071)."""
    plain = bytearray(ethernet(size))
    plain[START + OFFSET : START + OFFSET + 2] = b"\0\0"
    words = bytes(plain[START:]) + bytes((size - START) % 2)
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    whole = bytearray(plain)
    whole[START + OFFSET : START + OFFSET + 2] = struct.pack("!H", ~total & 0xFFFF or 0xFFFF)
    return bytes(plain), bytes(whole)


@cases("size", [60, 61, 1000, 1514])
def test_checksum_in_software(veth: Ends, size: int):
    """With XDP_UMEM_TX_SW_CSUM the kernel computes it before the device sees the frame."""
    plain, whole = checksummed(size)
    with sender(veth, umem=SOFTWARE) as xsk:
        xsk.send([put(xsk, 2048 + LENGTH, plain, CHECKSUM, struct.pack("=HH", START, OFFSET))])
        assert transmit(xsk, 1) == [2048 + LENGTH]
        got = veth.wire.receive()
        assert not difference(got, whole), f"{size} bytes: {difference(got, whole)}"


@contextlib.contextmanager
def looking(ends: Ends) -> Iterator[socket.socket]:
    """A packet socket that tells whether a frame's checksum is still to be done (PACKET_AUXDATA)."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as found:
        found.setsockopt(_SOL_PACKET, _AUXDATA, 1)
        found.bind((ends.far.name, 0x88B5))
        found.settimeout(20)
        yield found


def test_checksum_left_to_the_device(veth: Ends):
    """The skb says where (CHECKSUM_PARTIAL); veth, which can, hands that on to the other end as it is."""
    plain, _ = checksummed(500)
    with sender(veth, umem=UMEM) as xsk, looking(veth) as far:
        xsk.send([put(xsk, LENGTH, plain, CHECKSUM, struct.pack("=HH", START, OFFSET)), Desc(2048 + LENGTH, 100)])
        xsk.write(2048 + LENGTH, ethernet(100))
        transmit(xsk, 2)
        for expected, status in ((plain, _CSUM_NOT_READY), (ethernet(100), 0)):
            got, control, _, _ = far.recvmsg(4096, 256)
            (auxiliary,) = (data for level, kind, data in control if (level, kind) == (_SOL_PACKET, _AUXDATA))
            assert struct.unpack_from("=I", auxiliary)[0] & _CSUM_NOT_READY == status, "of the two frames"
            assert not difference(got, expected), difference(got, expected)


def test_timestamp_on_completion(veth: Ends):
    """In CLOCK_TAI, between sending and completion; frames that did not ask have none."""
    with sender(veth, umem=UMEM) as xsk:
        address = [number * 2048 + LENGTH for number in range(3)]
        before = time.clock_gettime_ns(time.CLOCK_TAI)
        xsk.send(
            [
                put(xsk, address[0], ethernet(100), TIMESTAMP),
                put(xsk, address[1], ethernet(101), 0),
                put(xsk, address[2], ethernet(102), TIMESTAMP),
            ]
        )
        assert transmit(xsk, 3) == address
        veth.wire.frames(3)
        after = time.clock_gettime_ns(time.CLOCK_TAI)
        stamps = [completion(xsk, one) for one in address]
        assert stamps[1] == 0, f"a frame that asked for none was stamped {stamps[1]}"
        for stamp in (stamps[0], stamps[2]):
            assert before <= stamp <= after, f"stamped {stamp}, sent after {before}, completed before {after}"
        assert stamps[0] <= stamps[2]


def test_metadata_is_no_part_of_the_frame(veth: Ends):
    with sender(veth, umem=UMEM) as xsk:
        xsk.send([put(xsk, LENGTH, ethernet(1514), 0), put(xsk, 4096 + 200, ethernet(60), 0)])
        assert transmit(xsk, 2) == [LENGTH, 4096 + 200]
        for size in (1514, 60):
            got = veth.wire.receive()
            assert not difference(got, ethernet(size)), difference(got, ethernet(size))


OUTSIDE = [
    ("no-room-before", Desc(0, 60, METADATA)),
    ("no-room-before-by-one", Desc(LENGTH - 1, 60, METADATA)),
    ("metadata-in-the-chunk-before", Desc(2048 + 8, 60, METADATA)),
]


@kinds("kind, bad", OUTSIDE)
def test_metadata_must_lie_in_the_chunk(veth: Ends, kind: str, bad: Desc):
    """Such a descriptor is invalid: the kernel never reads before the umem (xp_aligned_validate_desc)."""
    with sender(veth, umem=UMEM) as xsk:
        good = put(xsk, 4096 + LENGTH, ethernet(100), 0)
        xsk.send([bad, good])
        back = collect_completed(xsk, least=1)
        assert back in ([good.address], [bad.address, good.address]), f"{kind}: completed {back}"
        assert [len(frame) for frame in veth.wire.frames(1)] == [100]
        assert xsk.statistics.tx_invalid_descs == 1, f"{kind}: {xsk.statistics}"


REQUESTS = [
    ("unknown-flag", 1 << 40, b""),
    ("checksum-beyond-the-frame", CHECKSUM, struct.pack("=HH", 99, 0)),
    ("checksum-offset-beyond", CHECKSUM, struct.pack("=HH", 0, 99)),
    ("checksum-far-beyond", CHECKSUM, struct.pack("=HH", 0xFFFF, 0xFFFF)),
]


@cases("by", ["software", "device"])
@kinds("kind, flags, words", REQUESTS)
def test_request_that_makes_no_sense(veth: Ends, kind: str, flags: int, words: bytes, by: str):
    """Nothing is sent, and sendto() says EINVAL."""
    with sender(veth, umem=SOFTWARE if by == "software" else UMEM) as xsk:
        xsk.send([put(xsk, LENGTH, ethernet(100), flags, words)])
        said = xsk.kick()
        assert said == "EINVAL", f"{kind}: sendto said {said or 'yes'}"
        assert not veth.wire.pending(), f"{kind}: and yet a frame was sent"


def test_refused_frame_completes_once(veth: Ends):
    """It stays in the ring until its request makes sense: one frame, one completion (xsk_build_skb: free_err)."""
    with sender(veth, umem=UMEM) as xsk:
        descs = [put(xsk, LENGTH, ethernet(100), 1 << 40), put(xsk, 2048 + LENGTH, ethernet(101), 0)]
        xsk.send(descs)
        assert xsk.kick() == "EINVAL"
        put(xsk, LENGTH, ethernet(100), 0)
        back = transmit(xsk, 2)
        assert [len(frame) for frame in veth.wire.frames(2)] == [100, 101]
        back += xsk.completed()
        assert back == [desc.address for desc in descs], f"two frames, the first refused at first: completed {back}"


def test_descriptor_with_metadata_in_a_umem_without(veth: Ends):
    with sender(veth, umem=Umem(16, 2048)) as xsk:
        xsk.write(4096, ethernet(100))
        xsk.send([Desc(4096, 100, METADATA)])
        assert xsk.kick() == "EINVAL"
        assert not veth.wire.pending()


@cases("length, error", [(12, "EINVAL"), (16, ""), (248, ""), (249, "EINVAL"), (256, "EINVAL"), (1 << 31, "EINVAL")])
def test_length_of_metadata(length: int, error: str):
    """A multiple of 8 below 256. (Whether it may be shorter than struct xsk_tx_metadata, kernels do not agree.)"""
    with Xsk() as xsk:
        said = refusal(lambda: xsk.register(Umem(4, 2048, flags=UmemFlag.TX_METADATA_LEN, metadata=length)))
        assert said == error, f"metadata of {length} bytes: {said or 'accepted'}"


def test_metadata_of_a_frame_in_several_buffers(jumbo: Ends):
    """One timestamp, by the first buffer's; the others' are left alone (xsk_build_skb: first_frag)."""
    frame = ethernet(5000)
    with Xsk() as probe:
        probe.register(UMEM)
        probe.make_rings(fill=64, completion=64, tx=64)
        if refusal(lambda: probe.bind(jumbo.link, 0, Bind.COPY | Bind.USE_SG)):
            pytest.skip("the kernel's AF_XDP sockets have no multi-buffer (XDP_USE_SG)")
    with sender(jumbo, umem=UMEM, flags=Bind.COPY | Bind.USE_SG) as xsk:
        first = put(xsk, LENGTH, frame[:2000], TIMESTAMP)
        rest = [Desc(2048 + LENGTH, 2000, CONTINUED), Desc(4096 + LENGTH, 1000)]
        xsk.write(2048 + LENGTH, frame[2000:4000])
        xsk.write(4096 + LENGTH, frame[4000:])
        before = time.clock_gettime_ns(time.CLOCK_TAI)
        xsk.send([first._replace(options=METADATA | CONTINUED), *rest])
        assert transmit(xsk, 3) == [first.address, *(desc.address for desc in rest)]
        got = jumbo.wire.receive()
        after = time.clock_gettime_ns(time.CLOCK_TAI)
        assert not difference(got, frame), difference(got, frame)
        assert before <= completion(xsk, LENGTH) <= after, f"stamped {completion(xsk, LENGTH)}, sent after {before}"
        assert completion(xsk, 2048 + LENGTH) == completion(xsk, 4096 + LENGTH) == 0
