"""Programs, links, rings and channels that change while frames come in.

What arrives is whole, once and in order; what a change must not lose is not lost; afterwards everything works.
Rules: each driver's ndo_bpf, ndo_open and ndo_stop, its ethtool set_ringparam and set_channels.
"""

from __future__ import annotations

import contextlib
import errno

import pytest
from drivers.bench import Bench, assert_same, frames_of
from drivers.cases import on_devices, over
from drivers.programs import Action, Programs
from drivers.rig import Rig
from drivers.rows import Native, Row
from drivers.traffic import Traffic, traffic
from net.ethtool import Channels, channels, rings, set_channels, set_rings
from net.link import wait_for
from net.wire import Wire
from net.xdp import Mode, attach, detach

TIMES = 4
AFTER = frames_of(60, 1514, 333)


def _assert_works(bench: Bench, near: Wire, name: str) -> None:
    """After the change frames pass, byte for byte."""
    bench.rig.link.wait_until_up()
    near.pending()
    bench.programs.order(name, Action.PASS)
    bench.send(AFTER, name)
    assert_same(near.frames(len(AFTER)), AFTER, f"{bench.who}: frames after the change")


def _skip_if_forgotten(bench: Bench) -> None:
    if bench.mode is Mode.NATIVE and bench.rig.row.forgets_program:
        pytest.skip(bench.rig.row.forgets_program)


def _drain(bench: Bench, near: Wire, flow: Traffic, *, ordered: bool = True) -> list[int]:
    """The numbers of what was passed, up to a frame that is sent after all of them."""
    received: list[bytes] = near.pending()
    bench.rig.far.send(AFTER[0])
    wait_for(lambda: AFTER[0] in received or received.extend(near.pending()), f"{bench.who}: a frame after the traffic")
    return flow.assert_intact([frame for frame in received if frame != AFTER[0]], bench.who, ordered=ordered)


def _drain_after_reset(bench: Bench, near: Wire, flow: Traffic) -> None:
    """As `_drain`; QEMU keeps frames for a card that is being reset, and delivers them after the next that comes."""
    _drain(bench, near, flow, ordered=not bench.rig.row.card)


def _wait_until_seen(bench: Bench, name: str) -> None:
    """Until a program has seen more frames: a card may take its time to tell of them."""
    wanted = bench.programs.sight(name).runs + 3
    wait_for(lambda: bench.programs.sight(name).runs >= wanted, f"{bench.who}: {wanted} frames seen by {name}")


@over()
def test_swap_loses_nothing(rig: Rig, device: Row, mode: Mode, programs: Programs):
    """Every frame sent while programs replace each other is seen by exactly one of them, and passed."""
    bench = Bench(rig, mode, programs)
    rig.skip_unless_replaced(mode)
    programs.order("plain_b", Action.PASS)
    with bench.running("plain_a", Action.PASS) as near:
        with traffic(rig.far) as flow:
            for old, new in (("plain_a", "plain_b"), ("plain_b", "plain_a")) * TIMES:
                _wait_until_seen(bench, old)
                attach(rig.link, programs[new].fd, mode)
        numbers = _drain(bench, near, flow)
        first, second = programs.sight("plain_a").runs, programs.sight("plain_b").runs
        assert first, f"{bench.who}: the first program saw nothing"
        assert second, f"{bench.who}: the second program saw nothing"
        assert first + second == flow.sent + 1, f"{bench.who}: {flow.sent + 1} frames, {first} + {second} seen"
        assert len(numbers) == flow.sent, f"{bench.who}: {flow.sent} frames sent, {len(numbers)} passed"


@over()
def test_detach_and_attach(rig: Rig, device: Row, mode: Mode, programs: Programs):
    bench = Bench(rig, mode, programs)
    with bench.running("plain_a", Action.PASS) as near:
        with traffic(rig.far) as flow:
            for _ in range(TIMES):
                flow.wait_for_more()
                detach(rig.link, mode)
                flow.wait_for_more()
                attach(rig.link, programs["plain_a"].fd, mode)
        rig.link.wait_until_up()
        numbers = _drain(bench, near, flow)
        assert numbers, f"{bench.who}: of {flow.sent} frames none came"
        _assert_works(bench, near, "plain_a")


@over()
def test_detach_while_sending_back(rig: Rig, device: Row, mode: Mode, programs: Programs):
    """Frames of a program that is gone are still in the transmit queue."""
    bench = Bench(rig, mode, programs)
    if mode is Mode.NATIVE and device.forgets_sent:
        pytest.skip(device.forgets_sent)
    with bench.running("plain_a", Action.TX):
        with traffic(rig.far) as flow:
            for _ in range(TIMES):
                flow.wait_for_more()
                detach(rig.link, mode)
                attach(rig.link, programs["plain_a"].fd, mode)
        rig.link.wait_until_up()
        rig.far.send(AFTER[0])
        back: list[bytes] = []
        wait_for(lambda: AFTER[0] in back or back.extend(rig.far.pending()), f"{bench.who}: a frame after the traffic")
        flow.assert_intact([frame for frame in back if frame != AFTER[0]], f"{bench.who}: frames sent back")


@over()
def test_link_down_and_up(rig: Rig, device: Row, mode: Mode, programs: Programs):
    """The program stays, and runs again."""
    bench = Bench(rig, mode, programs)
    _skip_if_forgotten(bench)
    with bench.running("plain_a", Action.PASS) as near:
        with traffic(rig.far) as flow:
            for _ in range(2):
                flow.wait_for_more()
                rig.link.down()
                rig.link.up()
                rig.link.wait_until_up()
                flow.wait_for_more()
        assert rig.link.state.xdp_mode == mode.reported, f"{bench.who}: the program is gone after down and up"
        _drain_after_reset(bench, near, flow)
        _assert_works(bench, near, "plain_a")


@over()
def test_mtu_changes(rig: Rig, device: Row, mode: Mode, programs: Programs):
    """Up and down within what a program without frags may have."""
    bench = Bench(rig, mode, programs)
    _skip_if_forgotten(bench)
    with bench.running("plain_a", Action.PASS) as near:
        with traffic(rig.far) as flow:
            # A card without native XDP knows of no program, and takes seconds for each change.
            for mtu in (1800, 1500) if device.native is Native.NONE else (1800, 1500, 2000, 1500):
                flow.wait_for_more()
                rig.link.set_mtu(mtu)
                rig.link.wait_until_up()
                assert rig.link.state.mtu == mtu
        _drain_after_reset(bench, near, flow)
        assert rig.link.state.xdp_mode == mode.reported
        _assert_works(bench, near, "plain_a")


@over()
def test_ring_sizes(rig: Rig, device: Row, mode: Mode, programs: Programs):
    bench = Bench(rig, mode, programs)
    _skip_if_forgotten(bench)
    try:
        before = rings(rig.link)
        set_rings(rig.link, rx=before.rx)
    except OSError as error:
        pytest.skip(f"{device.driver} has no ring sizes to change (ethtool -G: {error.strerror})")
    sizes = [before.max_rx // 2, before.max_rx]
    with bench.running("plain_a", Action.PASS) as near, contextlib.ExitStack() as stack:
        stack.callback(set_rings, rig.link, rx=before.rx, tx=before.tx)
        with traffic(rig.far) as flow:
            for size in sizes:
                flow.wait_for_more()
                _set_rings_or_skip(rig, size)
                rig.link.wait_until_up()
                assert rings(rig.link).rx == size
                flow.wait_for_more()
        _drain_after_reset(bench, near, flow)
        _assert_works(bench, near, "plain_a")


def _set_rings_or_skip(rig: Rig, size: int) -> None:
    try:
        set_rings(rig.link, rx=size)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        pytest.skip(f"{rig.row.driver} cannot change the size of its rings on this device (ethtool -G)")


@on_devices()
def test_channels(rig: Rig, device: Row, programs: Programs):
    """Fewer and more queues than processors, with a program attached."""
    bench = Bench(rig, Mode.NATIVE, programs)
    try:
        before = channels(rig.link)
    except OSError as error:
        pytest.skip(f"{device.driver} has no channels to change (ethtool -L: {error.strerror})")
    if max(before.max_rx, before.max_combined) < 2:
        pytest.skip(f"{device.driver} has a single channel here (ethtool -l)")
    with bench.running("plain_a", Action.PASS) as near, contextlib.ExitStack() as stack:
        stack.callback(_set_receive_channels, rig, before, max(before.rx, before.combined))
        with traffic(rig.far) as flow:
            most = max(before.max_rx, before.max_combined)
            for count in (min(count, most) for count in (4, 2, 3, 1)):
                flow.wait_for_more()
                _set_receive_channels(rig, before, count)
                rig.link.wait_until_up()
                flow.wait_for_more()
        _drain(bench, near, flow)
        _assert_works(bench, near, "plain_a")


def _set_receive_channels(rig: Rig, before: Channels, count: int) -> None:
    if before.max_combined:
        set_channels(rig.link, combined=count)
    else:
        set_channels(rig.link, rx=count)
