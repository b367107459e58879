"""Metadata on its way through a device map, a CPU map and XDP_TX: in struct xdp_frame, up to the next program or skb.

Rules: include/net/xdp.h:xdp_update_frame_from_buff, xdp_convert_frame_to_buff; net/core/xdp.c:
__xdp_build_skb_from_frame; kernel/bpf/cpumap.c, kernel/bpf/devmap.c.
"""

from __future__ import annotations

import pytest
from net.features import has_netdev_family
from net.wire import difference, ethernet
from net.xdp import Mode, attached
from xdp_metadata.ingress import listen
from xdp_metadata.lab import Lab, Limits
from xdp_metadata.script import (
    LENGTH,
    METADATA,
    READ,
    WRITE,
    Action,
    Frame,
    Stage,
    adjust_head,
    adjust_meta,
    marks,
)
from xdp_multibuf.cases import cases

SIZES = [4, 32]
FRAMES = [200, 9000]


def _carry(lab: Lab, size: int, *, to_device: bool = False) -> None:
    """Make room for such a frame; skip where device maps take no fragments (net/core/filter.c:xdp_do_redirect)."""
    if size > 1514:
        # What a device can send was first told, and fragments first let through, by one series.
        if to_device and not has_netdev_family():
            pytest.skip("the kernel redirects no fragmented frames to devices (it has no netdev netlink family)")
        lab.carry(size)


def _same(seen: Frame, metadata: bytes, frame: bytes) -> None:
    got = seen.metadata
    assert got == metadata, f"the skb's metadata ({len(got)} bytes): {difference(got, metadata)}"
    assert seen.length == len(frame), f"the skb has {seen.length} bytes, not {len(frame)}"
    assert not difference(seen.head, frame[:64]), f"the frame: {difference(seen.head, frame[:64])}"


def _read(lab: Lab, stage: Stage, metadata: bytes, length: int) -> None:
    """METADATA, LENGTH and READ at a place found this."""
    size = len(metadata)
    assert lab.programs.results(stage, 3) == (size, length, size), f"{stage.name}: {lab.programs.results(stage, 3)}"
    got = lab.programs.read(stage, size)
    assert not difference(got, metadata), f"{stage.name}: {difference(got, metadata)}"


@cases("frame", FRAMES)
@cases("size", SIZES)
def test_cpumap_to_the_skb(lab: Lab, size: int, frame: int):
    _carry(lab, frame)
    lab.programs.prepare(Stage.FIRST, adjust_meta(-size), WRITE, action=Action.REDIRECT, to_cpu=True, write=marks(size))
    with lab.to_cpu(), lab.receiving():
        lab.send(ethernet(frame))
        (seen,) = lab.programs.wait(1)
    _same(seen, marks(size), ethernet(frame))


@cases("frame", FRAMES)
@cases("size", SIZES)
def test_cpumap_with_a_program(lab: Lab, size: int, frame: int):
    """It finds the metadata, and the skb gets what it leaves."""
    _carry(lab, frame)
    lab.programs.prepare(Stage.FIRST, adjust_meta(-size), WRITE, action=Action.REDIRECT, to_cpu=True, write=marks(size))
    lab.programs.prepare(Stage.ON_CPU, METADATA, LENGTH, READ, adjust_meta(size - 8), WRITE, write=marks(8, 50))
    with lab.to_cpu("on_cpu"), lab.receiving():
        lab.send(ethernet(frame))
        (seen,) = lab.programs.wait(1)
    _read(lab, Stage.ON_CPU, marks(size), frame)
    _same(seen, marks(8, 50), ethernet(frame))


def test_cpumap_when_the_headroom_is_full(lab: Lab, limits: Limits):
    """struct xdp_frame and the metadata meet, and neither writes over the other; the frame starts where it did."""
    rest = limits.room - limits.largest
    steps = (adjust_head(-rest), adjust_meta(-limits.largest), WRITE, adjust_meta(-4), adjust_head(-1))
    lab.programs.prepare(Stage.FIRST, *steps, action=Action.REDIRECT, to_cpu=True, write=marks(limits.largest))
    with lab.to_cpu(), lab.receiving():
        lab.send(ethernet(200))
        (seen,) = lab.programs.wait(1)
    assert lab.programs.results(Stage.FIRST, 3) == (0, 0, limits.largest)
    assert seen.metadata == marks(limits.largest), difference(seen.metadata, marks(limits.largest))
    assert seen.length == 200 + rest, f"the skb has {seen.length} bytes"


@cases("frame", FRAMES)
@cases("size", SIZES)
def test_devmap_to_the_next_device(lab: Lab, size: int, frame: int):
    """The program of the device that receives it finds the metadata, and hands it to the skb."""
    _carry(lab, frame, to_device=True)
    lab.programs.prepare(Stage.FIRST, adjust_meta(-size), WRITE, action=Action.REDIRECT, write=marks(size))
    lab.programs.prepare(Stage.SECOND, METADATA, LENGTH, READ)
    with lab.receiving(link=lab.far, program="second"), lab.to_near(), lab.receiving():
        lab.send(ethernet(frame))
        (seen,) = lab.programs.wait(1)
    _read(lab, Stage.SECOND, marks(size), frame)
    assert seen.ifindex == lab.far.index
    _same(seen, marks(size), ethernet(frame))


@cases("frame", FRAMES)
def test_devmap_with_a_program(lab: Lab, frame: int):
    """The entry's program finds the metadata and may change it before the frame leaves."""
    _carry(lab, frame, to_device=True)
    lab.programs.prepare(Stage.FIRST, adjust_meta(-32), WRITE, action=Action.REDIRECT, write=marks(32))
    lab.programs.prepare(Stage.ON_DEVICE, METADATA, LENGTH, READ, adjust_meta(16), WRITE, write=marks(16, 60))
    lab.programs.prepare(Stage.SECOND, METADATA, LENGTH, READ)
    with lab.receiving(link=lab.far, program="second"), lab.to_near("on_device"), lab.receiving():
        lab.send(ethernet(frame))
        (seen,) = lab.programs.wait(1)
    _read(lab, Stage.ON_DEVICE, marks(32), frame)
    _read(lab, Stage.SECOND, marks(16, 60), frame)
    _same(seen, marks(16, 60), ethernet(frame))


def test_metadata_moves_with_the_head_at_the_next_device(lab: Lab):
    lab.programs.prepare(Stage.FIRST, adjust_meta(-32), WRITE, action=Action.REDIRECT, write=marks(32))
    lab.programs.prepare(Stage.SECOND, adjust_head(-20), METADATA, READ, adjust_head(20))
    with lab.receiving(link=lab.far, program="second"), lab.to_near(), lab.receiving():
        lab.send(ethernet(200))
        (seen,) = lab.programs.wait(1)
    assert lab.programs.results(Stage.SECOND, 4) == (0, 32, 32, 0)
    _same(seen, marks(32), ethernet(200))


def test_metadata_of_a_redirected_frame_in_generic_mode(lab: Lab):
    """Generic XDP redirects the skb, and only XDP_PASS leaves metadata with it: none, or later all of it."""
    lab.programs.prepare(Stage.FIRST, adjust_meta(-16), WRITE, action=Action.REDIRECT, write=marks(16))
    lab.programs.prepare(Stage.SECOND)
    with lab.receiving(link=lab.far, program="second"), lab.to_near(), lab.receiving(Mode.GENERIC):
        lab.send(ethernet(200))
        (seen,) = lab.programs.wait(1)
    assert seen.metadata in (b"", marks(16)), f"metadata of the redirected skb: {seen.metadata.hex()}"
    assert not difference(seen.head, ethernet(200)[:64]), difference(seen.head, ethernet(200)[:64])
    if not seen.metadata:
        pytest.skip("the kernel forgets metadata where generic XDP redirects")


@cases("size", [*SIZES, 100])
def test_live_frames_to_the_skb(lab: Lab, limits: Limits, size: int):
    """ctx_in's metadata goes with each live frame that passes (net/bpf/test_run.c:xdp_test_run_init_page)."""
    limits.require(size)
    lab.programs.prepare(Stage.SECOND, METADATA, LENGTH, READ)
    listen(lab.left, lab.programs.fd("ingress"))
    ran = lab.inject(ethernet(200), marks(size), count=3)
    assert ran.error_name == "success", f"live frames with {size} bytes of metadata: test_run said {ran.error_name}"
    frames = lab.programs.wait(3)
    _read(lab, Stage.SECOND, marks(size), 200)
    for seen in frames:
        assert seen.ifindex == lab.left.index
        _same(seen, marks(size), ethernet(200))


def test_live_frames_start_afresh(lab: Lab):
    """The next frame in a recycled page has the metadata it was given, not what a program left of it."""
    lab.programs.prepare(Stage.SECOND, METADATA, LENGTH, adjust_meta(-4), adjust_head(-8), action=Action.DROP)
    ran = lab.inject(ethernet(200), marks(16), count=50, batch=2)
    assert ran.error_name == "success", f"test_run said {ran.error_name}"
    assert lab.programs.runs(Stage.SECOND) == 50
    results = lab.programs.results(Stage.SECOND, 4)
    assert results == (16, 200, 0, 0), f"the last of 50 frames: metadata, length, adjust_meta, adjust_head = {results}"


@cases("size", [*SIZES, 100])
def test_live_frames_over_a_veth(lab: Lab, limits: Limits, size: int):
    """Sent with XDP_TX as an xdp_frame: the other end's program finds the metadata, and so does the skb."""
    limits.require(size)
    lab.programs.prepare(Stage.SECOND, action=Action.TX)
    lab.programs.prepare(Stage.FIRST, METADATA, LENGTH, READ)
    with lab.receiving():
        ran = lab.inject(ethernet(200), marks(size), count=3)
        assert ran.error_name == "success", f"test_run said {ran.error_name}"
        frames = lab.programs.wait(3)
    _read(lab, Stage.FIRST, marks(size), 200)
    for seen in frames:
        _same(seen, marks(size), ethernet(200))


@cases("size", SIZES)
def test_sent_back_natively(lab: Lab, size: int):
    """XDP_TX over a veth: the sender's program finds the metadata that the receiver made."""
    lab.programs.prepare(Stage.FIRST, adjust_meta(-size), WRITE, action=Action.TX, write=marks(size))
    lab.programs.prepare(Stage.SECOND, METADATA, LENGTH, READ, action=Action.DROP)
    with attached(lab.left, lab.programs.fd("second"), Mode.NATIVE), lab.receiving():
        lab.send(ethernet(200))
        lab.programs.wait_for_runs(Stage.SECOND, 1)
    _read(lab, Stage.SECOND, marks(size), 200)
