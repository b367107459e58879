"""Programs, links, rings and channels that change while frames come in.

What arrives is whole, once and in order; what a change must not lose is not lost; afterwards everything works.
Rules: each driver's ndo_bpf, ndo_open and ndo_stop, its ethtool set_ringparam and set_channels.
"""

from __future__ import annotations

import contextlib
import errno

import pytest
from af_xdp.lab import transmit
from af_xdp.xsk import Desc, Umem, Xsk
from drivers.bench import Bench, assert_same, frames_of
from drivers.cases import on_devices, over
from drivers.programs import Action, Programs
from drivers.rig import Rig
from drivers.rows import Native, Row
from drivers.traffic import Traffic, traffic
from net.ethtool import Channels, channels, rings, set_channels, set_rings
from net.link import Link, wait_for
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
                _wait_until_seen(bench, "plain_a")
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
                _wait_until_seen(bench, "plain_a")
        rig.link.wait_until_up()
        rig.far.send(AFTER[0])
        back: list[bytes] = []
        wait_for(lambda: AFTER[0] in back or back.extend(rig.far.pending()), f"{bench.who}: a frame after the traffic")
        numbers = flow.assert_intact([frame for frame in back if frame != AFTER[0]], f"{bench.who}: frames sent back")
        assert len(numbers) >= 3 * TIMES, f"{bench.who}: of {flow.sent} frames {len(numbers)} were sent back"


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
                _wait_until_seen(bench, "plain_a")
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
                _wait_until_seen(bench, "plain_a")
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
    sizes = [
        (before.max_rx // 2, before.max_tx),
        (before.max_rx // 2, before.max_tx // 2),
        (before.max_rx, before.max_tx),
    ]
    with bench.running("plain_a", Action.PASS) as near, contextlib.ExitStack() as stack:
        stack.callback(set_rings, rig.link, rx=before.rx, tx=before.tx)
        with traffic(rig.far) as flow:
            for rx, tx in sizes:
                flow.wait_for_more()
                with flow.held() if device.deafened else contextlib.nullcontext():
                    _set_rings_or_skip(rig, rx, tx)
                    rig.link.wait_until_up()
                assert (rings(rig.link).rx, rings(rig.link).tx) == (rx, tx)
                _wait_until_seen(bench, "plain_a")
        _drain_after_reset(bench, near, flow)
        _assert_works(bench, near, "plain_a")


def _set_rings_or_skip(rig: Rig, rx: int, tx: int) -> None:
    try:
        set_rings(rig.link, rx=rx, tx=tx)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        pytest.skip(f"{rig.row.driver} cannot change the size of its rings on this device (ethtool -G)")


@on_devices(lambda row: row.maker == "veth")
def test_every_new_channel_runs_the_program(rig: Rig, device: Row, programs: Programs):
    """Frames sent to each queue, on more and on fewer; one that the peer still sends to stays (veth_set_channels)."""
    bench = Bench(rig, Mode.NATIVE, programs)
    assert rig.peer is not None
    with bench.running("plain_a", Action.PASS) as near, contextlib.ExitStack() as stack:
        stack.callback(set_channels, rig.link, rx=1)
        stack.callback(_set_transmit_channels, rig.peer, 1)
        for count in (4, 2, 3):
            if count < channels(rig.peer).tx:
                with pytest.raises(OSError, match="Invalid argument"):
                    set_channels(rig.link, rx=count)
                _set_transmit_channels(rig.peer, count)
            set_channels(rig.link, rx=count)
            _set_transmit_channels(rig.peer, count)
            rig.link.wait_until_up()
            programs.order("plain_a", Action.PASS)
            for queue in range(count):
                _send_to_queue(rig.peer, queue, AFTER[0])
                wait_for(
                    lambda queue=queue: programs.sight("plain_a").runs == queue + 1,
                    f"{bench.who}: a frame on queue {queue} of {count} seen by the program",
                )
            assert_same(near.frames(count), [AFTER[0]] * count, f"{bench.who}: a frame of each of {count} queues")


def _set_transmit_channels(link: Link, count: int) -> None:
    """Once the queues that go have no AF_XDP socket any more (ethtool_set_channels): a closed one's pool goes late."""

    def done() -> bool:
        with contextlib.suppress(OSError):
            set_channels(link, tx=count)
        return channels(link).tx == count

    wait_for(done, f"{link.name}: {count} transmit queues")


def _send_to_queue(link: Link, queue: int, frame: bytes) -> None:
    """Through an AF_XDP socket, whose queue is no hash's affair (__dev_direct_xmit)."""
    try:
        xsk = Xsk()
    except OSError as error:
        pytest.skip(f"the kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS): {error.strerror}")
    with xsk:
        xsk.register(Umem(4, 2048))
        xsk.make_rings(fill=4, completion=4, tx=4)
        xsk.bind(link, queue)
        xsk.write(0, frame)
        xsk.send([Desc(0, len(frame))])
        transmit(xsk, 1)


@on_devices()
def test_channels(rig: Rig, device: Row, programs: Programs):
    """Fewer and more queues than processors, with a program attached."""
    _change_channels(Bench(rig, Mode.NATIVE, programs))


@on_devices()
def test_channels_in_generic_mode(rig: Rig, device: Row, programs: Programs):
    _change_channels(Bench(rig, Mode.GENERIC, programs))


def _change_channels(bench: Bench) -> None:
    rig, device = bench.rig, bench.rig.row
    if device.warns_of_channels:
        pytest.skip(device.warns_of_channels)
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
                _wait_until_seen(bench, "plain_a")
        _drain(bench, near, flow)
        _assert_works(bench, near, "plain_a")


def _set_receive_channels(rig: Rig, before: Channels, count: int) -> None:
    if before.max_combined:
        set_channels(rig.link, combined=count)
    else:
        set_channels(rig.link, rx=count)
