"""XDP_REDIRECT out of a device, into it, back to itself and over a processor's queue.

Rules: net/core/filter.c:xdp_do_redirect, xdp_do_generic_redirect; kernel/bpf/devmap.c, kernel/bpf/cpumap.c; each
driver's ndo_xdp_xmit.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from drivers.bench import LINEAR_SIZES, Bench, assert_same, frames_of
from drivers.cases import over
from drivers.programs import Action, Programs, Target
from drivers.rack import Outlet
from drivers.rig import Rig
from drivers.rows import Native, Row
from net.features import Feature
from net.link import Link, wait_for
from net.wire import Wire, ethernet
from net.xdp import Mode, attached

FRAMES = frames_of(*LINEAR_SIZES)
MARKER = ethernet(77, start=99)


@over()
def test_to_another_device(rig: Rig, device: Row, mode: Mode, programs: Programs, outlet: Outlet):
    bench = Bench(rig, mode, programs)
    there = programs.redirecting_to(outlet.near.index)
    with there, bench.running("plain_a", Action.REDIRECT) as near, programs.traced():
        bench.send(FRAMES, "plain_a")
        assert_same(outlet.wire.frames(len(FRAMES)), FRAMES, f"{bench.who}: redirected frames")
        bench.assert_nothing_but(near, "plain_a", MARKER)
        told = programs.trace
        assert told.redirect_errors == told.devmap_dropped == 0, f"all frames came, and errors were traced: {told}"
        expected = len(FRAMES) if mode is Mode.NATIVE and not device.generic_code else 0
        assert told.devmap_sent == expected, f"{expected} frames sent by the devmap, {told.devmap_sent} traced"


@over()
def test_back_to_itself(rig: Rig, device: Row, mode: Mode, programs: Programs):
    """The device sends what it received, by its own ndo_xdp_xmit."""
    bench = Bench(rig, mode, programs)
    with programs.redirecting_to(rig.link.index), bench.running("plain_a", Action.REDIRECT) as near:
        bench.send(FRAMES, "plain_a")
        assert_same(rig.far.frames(len(FRAMES)), FRAMES, f"{bench.who}: frames redirected back")
        bench.assert_nothing_but(near, "plain_a", MARKER)


@over()
def test_over_a_cpumap(rig: Rig, device: Row, mode: Mode, programs: Programs):
    """A kernel thread makes the skb, and the device's stack receives it."""
    bench = Bench(rig, mode, programs)
    with programs.redirecting_to_cpu(), bench.running("plain_a", Action.REDIRECT, target=Target.CPU) as near:
        bench.send(FRAMES, "plain_a")
        assert_same(near.frames(len(FRAMES)), FRAMES, f"{bench.who}: frames over a cpumap")
        assert not near.pending(), f"{bench.who}: more frames came over the cpumap than went"


@over()
def test_to_a_device_that_is_down(rig: Rig, device: Row, mode: Mode, programs: Programs, outlet: Outlet):
    """Each frame is dropped, and the error told (xdp_ok_fwd_dev)."""
    bench = Bench(rig, mode, programs)
    there = programs.redirecting_to(outlet.near.index)
    with there, bench.running("plain_a", Action.REDIRECT) as near, programs.traced(), down(outlet.near):
        bench.send(FRAMES, "plain_a")
        bench.assert_nothing_but(near, "plain_a", MARKER)
        told = programs.trace
        assert told.redirect_errors == len(FRAMES), f"{len(FRAMES)} frames to a device that is down: {told}"
        assert told.last_redirect_error == errno.ENETDOWN, f"ENETDOWN expected: {told}"


@contextlib.contextmanager
def down(link: Link) -> Iterator[None]:
    link.down()
    try:
        yield
    finally:
        link.up()


@over()
def test_to_nowhere(rig: Rig, device: Row, mode: Mode, programs: Programs):
    """An empty slot of the map makes bpf_redirect_map give the action of its flags: XDP_ABORTED."""
    bench = Bench(rig, mode, programs)
    with bench.running("plain_a", Action.REDIRECT) as near, programs.traced():
        bench.send(FRAMES, "plain_a")
        bench.assert_nothing_but(near, "plain_a", MARKER)
        assert programs.trace.exceptions == len(FRAMES), f"{len(FRAMES)} frames to an empty slot: {programs.trace}"


@contextlib.contextmanager
def source(outlet: Outlet, programs: Programs, mode: Mode) -> Iterator[Wire]:
    """What is sent into the given socket, a veth's program (`frags_b`, in this mode) redirects."""
    programs.order("frags_b", Action.REDIRECT)
    with attached(outlet.near, programs["frags_b"].fd, mode):
        outlet.near.wait_until_up()
        yield outlet.wire


@contextlib.contextmanager
def ready_for_redirects(rig: Rig, programs: Programs, mode: Mode) -> Iterator[None]:
    """The device can be redirected to: it has a program of its own, where it needs one (skbs need none)."""
    with contextlib.ExitStack() as stack:
        if rig.row.own_program and mode is Mode.NATIVE:
            programs.order("frags_a", Action.PASS)
            stack.enter_context(attached(rig.link, programs["frags_a"].fd, Mode.NATIVE))
        rig.link.wait_until_up()
        stack.enter_context(programs.redirecting_to(rig.link.index))
        yield


@over()
def test_into_the_device(rig: Rig, device: Row, mode: Mode, programs: Programs, outlet: Outlet):
    """From a veth in this mode. A native frame goes through ndo_xdp_xmit, or is refused where there is none."""
    rig.skip_unless_linked()
    with ready_for_redirects(rig, programs, mode), source(outlet, programs, mode) as wire, programs.traced():
        for frame in FRAMES:
            wire.send(frame)
        if mode is Mode.NATIVE and not device.takes_redirects:
            wait_for(lambda: programs.trace.redirect_errors >= len(FRAMES), f"{device.name}: redirects refused")
            assert programs.trace.last_redirect_error == errno.EOPNOTSUPP, f"EOPNOTSUPP expected: {programs.trace}"
            assert not rig.far.pending(), f"{device.name} has no ndo_xdp_xmit, and sent a frame"
            return
        assert_same(rig.far.frames(len(FRAMES)), FRAMES, f"{device.name}: frames redirected into it, {mode}")
        assert programs.trace.redirect_errors == programs.trace.devmap_dropped == 0, f"{programs.trace}"


@over(lambda row: row.native is Native.RUNS and row.own_program and not row.undecided & Feature.NDO_XMIT)
def test_into_a_device_without_its_program(rig: Rig, device: Row, mode: Mode, programs: Programs, outlet: Outlet):
    """A driver that sends XDP frames only while it has a program says no without one, and loses nothing else."""
    with source(outlet, programs, mode) as wire, programs.redirecting_to(rig.link.index), programs.traced():
        for frame in FRAMES:
            wire.send(frame)
        if mode is Mode.GENERIC:
            assert_same(rig.far.frames(len(FRAMES)), FRAMES, f"{device.name}: frames redirected into it, {mode}")
            return
        wait_for(
            lambda: programs.trace.redirect_errors + programs.trace.devmap_dropped >= len(FRAMES),
            f"{device.name}: {len(FRAMES)} redirects told as failed",
        )
        assert not rig.far.pending(), f"{device.name} sent a frame without the program it needs for that"
