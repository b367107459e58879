"""Live-frames mode: frames from a page pool, batches, and real delivery of what passes.

Rules: net/bpf/test_run.c:bpf_test_run_xdp_live, xdp_test_run_batch; net/core/xdp.c:__xdp_build_skb_from_frame,
xdp_return_buff.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Iterator

import pytest
from bpf.libbpf import BPF_F_TEST_XDP_LIVE_FRAMES as LIVE
from pages import pages_lost
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import (
    XDP_DROP,
    XDP_PASS,
    Limits,
    Machine,
    adjust_head,
    adjust_meta,
    adjust_tail,
    difference,
    frame_of,
    xdp_md,
)

MARK = 0x88B5  # IEEE 802 local experimental EtherType: no protocol takes these frames
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def ethernet(size: int) -> bytes:
    """A frame to nobody, of the experimental type."""
    return bytes(12) + struct.pack("!H", MARK) + frame_of(size - 14)


@pytest.fixture
def wire() -> Iterator[socket.socket]:
    """A packet socket on the loopback device, where passed frames arrive; a new one, with nothing left over in it."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as listener:
        request = fcntl.ioctl(listener, SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        flags = struct.unpack_from("h", request, 16)[0] | IFF_UP
        fcntl.ioctl(listener, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags))
        listener.bind(("lo", MARK))
        listener.settimeout(5)
        yield listener


def _live(machine: Machine, frame: bytes, repeat: int = 1, *, batch_size: int = 0, ctx: bytes | None = None):
    return machine.frags.test_run(frame, flags=LIVE, repeat=repeat, batch_size=batch_size, ctx=ctx)


@cases("frame", ["linear+1", "9000", "largest"])
def test_live_jumbo_frame_is_refused(machine: Machine, limits: Limits, frame: str):
    machine.prepare([], XDP_DROP)
    ran = _live(machine, frame_of(limits.size(frame)))
    assert ran.error_name == "EINVAL", f"live frame of {limits.size(frame)} bytes: test_run said {ran.error_name}"
    assert machine.runs == 0, "refused, but the program ran"


def test_live_frame_has_its_page_less_the_head(machine: Machine, limits: Limits):
    """struct xdp_page_head takes its part of the page: a frame that fills the linear part is too much."""
    machine.prepare([], XDP_DROP)
    assert _live(machine, frame_of(limits.linear)).error_name == "EINVAL"
    assert _live(machine, frame_of(limits.linear - 256)).error_name == "success"


@pytest.mark.usefixtures("header_split")
@cases("size, split", [(200, 64), (1514, 14)])
def test_live_frame_split_into_fragments_is_refused(machine: Machine, size: int, split: int):
    """Live frames are of one buffer, however small they are."""
    machine.prepare([], XDP_DROP)
    ran = _live(machine, ethernet(size), ctx=xdp_md(0, split))
    assert ran.error_name == "EINVAL", f"live frame of {size} bytes split at {split}: test_run said {ran.error_name}"
    assert machine.runs == 0, "refused, but the program ran"


@cases("repeat, batch", [(1, 0), (64, 0), (65, 0), (200, 0), (10, 1), (100, 7), (300, 256)])
def test_live_drop_runs_so_often(machine: Machine, repeat: int, batch: int):
    machine.prepare([], XDP_DROP)
    ran = _live(machine, ethernet(1514), repeat, batch_size=batch)
    assert ran.error_name == "success", f"{repeat} live frames in batches of {batch}: test_run said {ran.error_name}"
    assert machine.runs == repeat, f"{repeat} live frames in batches of {batch}: the program ran {machine.runs} times"


def test_live_batch_has_a_limit(machine: Machine):
    machine.prepare([], XDP_DROP)
    ran = _live(machine, ethernet(256), 1, batch_size=257)
    assert ran.error_name == "E2BIG", f"a batch of 257: test_run said {ran.error_name}"


def test_live_frames_have_no_output(machine: Machine):
    """data_out with a context is refused: there is no one frame to hand back."""
    machine.prepare([], XDP_DROP)
    ran = machine.frags.test_run(ethernet(256), flags=LIVE, repeat=1, out=256, ctx=xdp_md(0, 256))
    assert ran.error_name == "EINVAL", f"live frames with data_out: test_run said {ran.error_name}"


@cases("frame", [60, 1514, 3000])
def test_live_pass_delivers_every_byte(machine: Machine, wire: socket.socket, frame: int):
    """The frame becomes an skb of the same length and bytes."""
    machine.prepare([], XDP_PASS)
    ran = _live(machine, ethernet(frame), 3)
    assert ran.error_name == "success", f"live frame of {frame} bytes: test_run said {ran.error_name}"
    for count in range(3):
        got = wire.recv(1 << 16)
        assert not difference(got, ethernet(frame)), f"frame {count + 1} of 3: {difference(got, ethernet(frame))}"
    assert machine.runs == 3, f"3 live frames: the program ran {machine.runs} times"
    wire.setblocking(False)
    with pytest.raises(BlockingIOError):  # no fourth
        wire.recv(1 << 16)


def test_live_pass_after_adjusting(machine: Machine, wire: socket.socket):
    """Head and tail that the program moved are the skb's head and tail."""
    machine.prepare([adjust_tail(-100), adjust_head(-14), adjust_head(14), adjust_meta(-8)], XDP_PASS)
    assert _live(machine, ethernet(1514), 2).error_name == "success"
    for _ in range(2):
        got = wire.recv(1 << 16)
        assert not difference(got, ethernet(1514)[:1414]), difference(got, ethernet(1514)[:1414])


def test_live_frames_start_afresh(machine: Machine, wire: socket.socket):
    """A page used again has the frame's original bounds: a shrink does not add up (reset_ctx)."""
    machine.prepare([adjust_tail(-10)], XDP_PASS)
    assert _live(machine, ethernet(500), 20, batch_size=4).error_name == "success"
    lengths = {len(wire.recv(1 << 16)) for _ in range(20)}
    assert lengths == {490}, f"20 frames of 500, each shrunk by 10: lengths {sorted(lengths)}"


@cases("action", ["drop", "pass"])
def test_live_frames_lose_no_page(machine: Machine, action: str):
    """Dropped frames go back to the pool, passed ones with their skb; the pool goes when it is empty."""
    machine.prepare([], XDP_DROP if action == "drop" else XDP_PASS)
    frame = ethernet(1000)
    lost = pages_lost(lambda: _live(machine, frame, 64), 40, at_most=4)
    assert lost <= 4, f"{action}: 64 live frames keep {lost:.1f} pages"
