"""How long a packet takes from XDP_PASS to a UDP socket, one packet at a time.

Read by two programs in the kernel: the XDP program, and the filter of the socket (sk_filter() in udp_queue_rcv_skb),
behind which only its queue is left. What a process takes to wake up and to read is not in it.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
from collections.abc import Iterator
from statistics import median

import pytest
from bpf.libbpf import Object, find_object
from laps import Laps
from marks import marks
from meter import BATCHES, BETWEEN_TWO, Meter
from net.lane import DEVICES, Kept, Lane, Where, lane_of, loaded_alone
from net.link import wait_for
from net.veth import add_address, remove_address
from net.wire import payload
from net.xdp import Mode, attached

_SO_ATTACH_BPF = 50
_HERE, _THERE, _PORT = "198.18.0.1", "198.18.0.2", 9  # RFC 2544's network for benchmarks
_BATCH = 16  # packets
_WARM = 64
_PACKETS = BATCHES * _BATCH


def _cases() -> Iterator[object]:
    for device, mode, size in itertools.product(DEVICES, (Mode.NATIVE, Mode.GENERIC), (64, 1500)):
        marks = [pytest.mark.quick] if (device, mode, size) == ("veth", Mode.NATIVE, 64) else []
        yield pytest.param(Where(device), mode, size, id=f"device={device},mode={mode},size={size}", marks=marks)


@pytest.fixture(scope="module")
def loaded() -> Iterator[Object]:
    with loaded_alone(find_object("drivers", "bench_latency")) as programs:
        yield programs


@pytest.fixture(scope="module")
def lanes(loaded: Object) -> Iterator[Kept[Lane]]:
    laps = Laps(loaded)

    @contextlib.contextmanager
    def make(where: Where) -> Iterator[Lane]:
        with lane_of(where.device, loaded, laps) as lane:
            with lane.entered():
                add_address(lane.link, _HERE, 24)
            try:
                yield lane
            finally:
                with lane.entered():
                    remove_address(lane.link, _HERE, 24)

    with contextlib.closing(Kept(make)) as kept:
        yield kept


@pytest.fixture
def lane(where: Where, lanes: Kept[Lane]) -> Iterator[Lane]:
    """The lane, with the bench in its namespace."""
    found = lanes.at(where)
    with found.entered():
        yield found


@pytest.mark.parametrize(("where", "mode", "size"), list(_cases()))
def bench_pass_to_socket(meter: Meter, lane: Lane, loaded: Object, mode: Mode, size: int):
    """From the XDP program to the socket's filter."""
    waits = loaded.map("waits").memory()
    frame = _datagram(lane.link.mac, size)
    marks().packets_enter_at(loaded.program("arrived").entry())
    with _listening(loaded.program("arrived").fd), attached(lane.link, loaded.program("pass").fd, mode):
        lane.link.wait_until_up()
        for count in (_WARM, _PACKETS):
            struct.pack_into("=2Q", waits, 0, 0, 0)
            with marks().segment():
                lane.feed(frame, count, burst=1)
                wait_for(
                    lambda count=count: _count(waits) >= count,
                    lambda: f"only {_count(waits)} packets came to the socket",
                )
    took = struct.unpack_from(f"={_PACKETS}Q", waits, 16)
    profile = {"first": marks().next - 1, "segments": 1, "per": 1, **BETWEEN_TWO}
    meter.record([median(took[at : at + _BATCH]) for at in range(0, _PACKETS, _BATCH)], "insns", profile)


def _count(waits: bytes) -> int:
    return int(struct.unpack_from("=Q", waits)[0])


@contextlib.contextmanager
def _listening(socket_filter: int) -> Iterator[None]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
        door.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_BPF, socket_filter)
        door.bind((_HERE, _PORT))
        yield


def _datagram(to: bytes, size: int) -> bytes:
    """A UDP datagram in a frame of `size` bytes, without a UDP checksum."""
    addresses = socket.inet_aton(_THERE) + socket.inet_aton(_HERE)
    head = struct.pack("!BBHHHBBH", 0x45, 0, size - 14, 0, 0, 64, socket.IPPROTO_UDP, 0) + addresses
    head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    udp = struct.pack("!4H", _PORT, _PORT, size - 34, 0)
    return to + b"\x02\0\0\0\0\1" + struct.pack("!H", 0x0800) + head + udp + payload(size - 42)


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
