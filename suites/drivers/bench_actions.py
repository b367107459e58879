"""What each XDP action costs on a device, from where a frame is sent to where it ends.

The figure is of all that a packet takes on the guest's one processor: the sender's ndo_xdp_xmit (for jumbo frames, a
packet socket's send), the driver's receive path, the program, and what the action sets off.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

import pytest
from af_xdp.xsk import HEADROOM, Bind, Umem, Xsk
from bpf.libbpf import Object, find_object
from drivers.course import WARM, Course, Received, course_of, cpu_entry
from laps import PACKETS, Laps
from meter import Meter
from net.features import Feature, advertised
from net.lane import DEVICES, JUMBO, Kept, Where, lane_of, loaded_alone
from net.xdp import Mode

SIZES = (64, 512, 1024, 1500)
_CHUNK = 4096  # bytes of a socket's buffer
_QUICK = ("veth", "virtio_net")


def _cases() -> Iterator[object]:
    for device in DEVICES:
        for mode in (Mode.NATIVE, Mode.GENERIC):
            for size in (*SIZES, JUMBO):
                quick = mode is Mode.NATIVE and device in _QUICK and size == SIZES[0]
                where = Where(device, mode, JUMBO) if size == JUMBO else Where(device, mode)
                marks = [pytest.mark.quick] if quick else []
                yield pytest.param(where, size, id=f"device={device},mode={mode},size={size}", marks=marks)


on_courses = pytest.mark.parametrize(("where", "size"), list(_cases()))


@pytest.fixture(scope="module")
def loaded() -> Iterator[Object]:
    with loaded_alone(find_object("drivers", "bench")) as programs:
        yield programs


@pytest.fixture(scope="module")
def courses(loaded: Object) -> Iterator[Kept[Course]]:
    laps = Laps(loaded)

    @contextlib.contextmanager
    def make(where: Where) -> Iterator[Course]:
        with lane_of(where.device, loaded, laps, mtu=where.mtu) as lane, course_of(lane, Mode(where.mode)) as course:
            yield course

    with contextlib.closing(Kept(make)) as kept:
        yield kept


@pytest.fixture
def course(where: Where, courses: Kept[Course]) -> Iterator[Course]:
    """The course, with the bench in its namespace."""
    found = courses.at(where)
    with found.lane.entered():
        yield found


@on_courses
def bench_drop(meter: Meter, course: Course, size: int):
    """XDP_DROP."""
    course.measure(meter, "drop", size)


@on_courses
def bench_pass(meter: Meter, course: Course, size: int):
    """XDP_PASS, to a stack that has no taker for the frame."""
    course.measure(meter, "pass", size, course.passed)


@on_courses
def bench_tx(meter: Meter, course: Course, size: int):
    """XDP_TX, and a program that drops what comes back."""
    course.measure(meter, "tx", size, course.drained)


@on_courses
def bench_redirect_device(meter: Meter, course: Course, size: int):
    """XDP_REDIRECT through a devmap to a veth, and a program that drops at its other end."""
    told = advertised(course.outlet)
    if size == JUMBO and course.mode is Mode.NATIVE and not (told and told.xdp & Feature.NDO_XMIT_SG):
        pytest.skip("the kernel does not claim to redirect frames of several buffers (ndo-xmit-sg)")
    course.lane.loaded.map("devices").update(0, course.outlet.index)
    course.measure(meter, "to_device", size, course.drained)


@on_courses
def bench_redirect_cpu(meter: Meter, course: Course, size: int):
    """XDP_REDIRECT through a cpumap, whose thread makes an skb of it and gives it to the stack."""
    with cpu_entry(course.lane.loaded):
        course.measure(meter, "to_cpu", size, course.passed)


@on_courses
def bench_redirect_socket(meter: Meter, course: Course, size: int):
    """XDP_REDIRECT into an AF_XDP socket in copy mode, that nobody waits at."""
    buffers = -(-size // (_CHUNK - HEADROOM))
    chunks = (WARM + PACKETS) * buffers  # each is used once
    ring = 1 << (chunks - 1).bit_length()
    with Xsk() as xsk:
        xsk.register(Umem(chunks=chunks, chunk_size=_CHUNK))
        xsk.make_rings(fill=ring, completion=64, rx=ring)
        _bind(xsk, course, Bind.COPY | (Bind.USE_SG if size == JUMBO else 0))
        xsk.give(range(0, chunks * _CHUNK, _CHUNK))
        course.lane.loaded.map("sockets").update(0, xsk.socket.fileno())
        course.measure(meter, "to_socket", size, Received(xsk, buffers))


def _bind(xsk: Xsk, course: Course, flags: int) -> None:
    try:
        xsk.bind(course.lane.link, 0, flags)
    except OSError as error:
        if flags & Bind.USE_SG and error.errno == errno.EINVAL:
            pytest.skip("the kernel has no multi-buffer sockets (XDP_USE_SG)")
        raise
