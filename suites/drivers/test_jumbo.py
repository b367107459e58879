"""Frames of MTU 9000: whole for a program that takes fragments; for one that does not, refused or dropped, never cut.

Rules: each driver's ndo_bpf and ndo_change_mtu; net/core/filter.c (frags helpers); kernel/bpf/devmap.c:__xdp_enqueue.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from drivers.bench import Bench, assert_same, frames_of
from drivers.cases import on_devices, over
from drivers.programs import Action, Programs, Target
from drivers.rack import Outlet
from drivers.rig import Rig
from drivers.rows import Native, Row
from drivers.test_adjust import adjusted
from drivers.test_redirect import ready_for_redirects, source
from net.ethtool import rings
from net.features import has_netdev_family
from net.link import tuned, wait_for
from net.netlink import NetlinkError
from net.wire import Wire, ethernet
from net.xdp import Mode, attached, refusal

# Around the ends of one, two and three pages and of what fits beside headroom and tailroom.
SIZES = (60, 1514, 3500, 3600, 4082, 4096, 4110, 7000, 8192, 9000, 9014)
FRAMES = frames_of(*SIZES)
MARKER = ethernet(77, start=99)


def carries_jumbo(row: Row) -> bool:
    return row.jumbo > 1500


def has_own_jumbo(row: Row) -> bool:
    """Where large frames need more than a look: cards without native XDP take seconds for each change of their MTU."""
    return carries_jumbo(row) and row.native is not Native.NONE


def skip_unless_carried(rig: Rig) -> None:
    """Skip where frames as long as that do not get to a board's interface."""
    if rig.row.maker == "board" and not carries_jumbo(rig.row):
        pytest.skip(f"the two ends of {rig.link.name}'s cable cannot both have MTU 9000")


def jumbo_bench(rig: Rig, mode: Mode, programs: Programs) -> Bench:
    """Skips, beside what every test skips, drivers whose native mode has no frags by design."""
    bench = Bench(rig, mode, programs)
    skip_unless_carried(rig)
    if mode is Mode.NATIVE and not rig.row.frags_jumbo:
        pytest.skip(
            f"{rig.row.driver} has no native XDP with fragments (test_frags_program_is_refused holds it to that)"
        )
    return bench


def skip_unless_redirected(mode: Mode) -> None:
    """Kernels before xdp-features redirect no frame of several buffers natively (xdp_do_redirect: EOPNOTSUPP)."""
    if mode is Mode.NATIVE and not has_netdev_family():
        pytest.skip("the kernel redirects no frame of several buffers (it has no xdp-features to know who takes them)")


@over(carries_jumbo)
def test_frags_program_passes_whole_frames(rig: Rig, device: Row, mode: Mode, programs: Programs):
    bench = jumbo_bench(rig, mode, programs)
    with bench.running_jumbo("frags_a", Action.PASS) as near:
        for frame in FRAMES:
            bench.send([frame], "frags_a")
            length = programs.sight("frags_a").length
            assert length == len(frame), f"{bench.who}: of {len(frame)} bytes the program saw {length}"
            assert_same(near.frames(1), [frame], f"{bench.who}: passed frames")


@over(carries_jumbo)
def test_frags_program_sends_whole_frames_back(rig: Rig, device: Row, mode: Mode, programs: Programs):
    bench = jumbo_bench(rig, mode, programs)
    with bench.running_jumbo("frags_a", Action.TX) as near:
        for frame in FRAMES:
            bench.send([frame], "frags_a")
            assert_same(rig.far.frames(1), [frame], f"{bench.who}: frames sent back")
        bench.assert_nothing_but(near, "frags_a", MARKER)


@on_devices(lambda row: row.keeps_buffers)
def test_buffers_from_before_the_program(rig: Rig, device: Row, programs: Programs):
    """Frames that come into them are passed whole, or dropped and counted (virtio_net.c:mergeable_xdp_get_buf)."""
    bench = jumbo_bench(rig, Mode.NATIVE, programs)
    with bench.running_jumbo("frags_a", Action.PASS):
        pass  # or a skip, where the driver takes no fragments
    rig.use_up_buffers()
    with Wire(rig.link) as near:
        for _ in range(2 * rings(rig.link).rx // 3):  # buffers grow with what comes, up to a page
            rig.far.send(FRAMES[-1])
            near.frames(1)
    before = rig.link.statistics["rx_dropped"]
    with bench.running("frags_a", Action.PASS) as near:
        for frame in FRAMES * 2:
            rig.far.send(frame)
        came: list[bytes] = []
        rig.far.send(MARKER)
        wait_for(lambda: MARKER in came or came.extend(near.pending()), f"{bench.who}: a small frame after long ones")
    came.remove(MARKER)
    for frame in came:
        sent = next((one for one in FRAMES if len(one) == len(frame)), FRAMES[0])
        assert_same([frame], [sent], f"{bench.who}: frames in buffers from before the program")
    lost = 2 * len(FRAMES) - len(came)
    wait_for(lambda: rig.link.statistics["rx_dropped"] - before == lost, f"{bench.who}: rx_dropped for {lost} frames")


@over(has_own_jumbo)
def test_frags_program_drops(rig: Rig, device: Row, mode: Mode, programs: Programs):
    bench = jumbo_bench(rig, mode, programs)
    with bench.running_jumbo("frags_a", Action.DROP) as near:
        bench.send(FRAMES, "frags_a")
        bench.assert_nothing_but(near, "frags_a", MARKER)


@over(has_own_jumbo)
def test_frags_program_redirects_whole_frames(rig: Rig, device: Row, mode: Mode, programs: Programs, outlet: Outlet):
    """To a veth, which advertises ndo-xmit-sg."""
    bench = jumbo_bench(rig, mode, programs)
    skip_unless_redirected(mode)
    with (
        programs.redirecting_to(outlet.near.index),
        bench.running_jumbo("frags_a", Action.REDIRECT) as near,
        programs.traced(),
    ):
        bench.send(FRAMES, "frags_a")
        assert_same(outlet.wire.frames(len(FRAMES)), FRAMES, f"{bench.who}: redirected frames")
        bench.assert_nothing_but(near, "frags_a", MARKER)
        assert programs.trace.redirect_errors == programs.trace.devmap_dropped == 0, f"{programs.trace}"


@over(has_own_jumbo)
def test_frags_program_over_a_cpumap(rig: Rig, device: Row, mode: Mode, programs: Programs):
    bench = jumbo_bench(rig, mode, programs)
    with programs.redirecting_to_cpu(), bench.running_jumbo("frags_a", Action.REDIRECT, target=Target.CPU) as near:
        bench.send(FRAMES, "frags_a")
        # Not in order: of what waits on a processor's queue, frames come after skbs (cpu_map_kthread_run), and tun
        # gives it both.
        assert_same(sorted(near.frames(len(FRAMES))), sorted(FRAMES), f"{bench.who}: frames over a cpumap")


@over(has_own_jumbo)
def test_too_long_for_the_target(rig: Rig, device: Row, mode: Mode, programs: Programs, outlet: Outlet):
    """A device of MTU 1500 takes no longer frame by redirect: EMSGSIZE for each (xdp_ok_fwd_dev), none is cut."""
    bench = jumbo_bench(rig, mode, programs)
    skip_unless_redirected(mode)
    long = [frame for frame in FRAMES if len(frame) > 1518]
    with (
        tuned(outlet.near),
        programs.redirecting_to(outlet.near.index),
        bench.running_jumbo("frags_a", Action.REDIRECT) as near,
        programs.traced(),
    ):
        outlet.near.set_mtu(1500)
        bench.send([*long, MARKER], "frags_a")
        assert_same(outlet.wire.frames(1), [MARKER], f"{bench.who}: frames redirected to a device of MTU 1500")
        assert programs.trace.redirect_errors == len(long), f"{len(long)} frames are too long: {programs.trace}"
        assert programs.trace.last_redirect_error == errno.EMSGSIZE, f"EMSGSIZE expected: {programs.trace}"
        assert not near.pending(), f"{bench.who}: a frame that could not be redirected came to the stack"


# Of the last fragment only a part goes.
SHRINKS = (-1, -100, -1000)
# Whole fragments go too.
RELEASES = (-4000, -5500, -8900)


@over(has_own_jumbo)
def test_shrunk_then_passed(rig: Rig, device: Row, mode: Mode, programs: Programs):
    """The last fragment gets shorter, whole ones go, and the skb has what the program left."""
    bench = jumbo_bench(rig, mode, programs)
    with bench.running_jumbo("frags_a", Action.PASS) as near:
        _assert_shrunk(bench, Action.PASS, near.frames)


@over(has_own_jumbo)
def test_shrunk_then_sent_back(rig: Rig, device: Row, mode: Mode, programs: Programs):
    bench = jumbo_bench(rig, mode, programs)
    with bench.running_jumbo("frags_a", Action.TX) as near:
        _assert_shrunk(bench, Action.TX, rig.far.frames)
        bench.assert_nothing_but(near, "frags_a", MARKER)


def _assert_shrunk(bench: Bench, action: Action, out: Callable[[int], list[bytes]]) -> None:
    """Fragments are released only where they are the driver's own.

    Those of a copied skb are of a page pool, and bpf_xdp_shrink_data gives them back as if they were not (it goes by
    rxq->mem, which veth sets only once the program has run, and generic XDP never).
    """
    frame = FRAMES[-1]
    own = bench.mode is Mode.NATIVE and bench.rig.row.own_fragments
    for tail in (*SHRINKS, *(RELEASES if own else ())):
        bench.programs.order("frags_a", action, tail=tail)
        bench.send([frame], "frags_a")
        assert not bench.programs.sight("frags_a").failed, f"{bench.who}: a shrink by {-tail} was refused"
        assert_same(out(1), [frame[:tail]], f"{bench.who}: {len(frame)} bytes shrunk by {-tail}")


@on_devices(lambda row: row.native is not Native.NONE)
def test_plain_program_is_refused_or_safe(rig: Rig, device: Row, programs: Programs):
    """Attached natively at MTU 9000: the row's errno, or frames that come whole or not at all."""
    skip_unless_carried(rig)
    rig.set_mtu(9000)
    if device.plain_jumbo is None and refusal(rig.link, programs["plain_a"].fd, Mode.NATIVE):
        assert rig.link.state.xdp_mode == 0, f"{device.name}: refused, and attached"
        return
    if device.plain_jumbo:
        error = refusal(rig.link, programs["plain_a"].fd, Mode.NATIVE)
        assert error is not None, f"{device.name}: a program without frags was attached at MTU 9000"
        assert error.name == device.plain_jumbo, f"{device.name}: {device.plain_jumbo} expected at MTU 9000: {error}"
        assert rig.link.state.xdp_mode == 0, f"{device.name}: refused, and attached"
        return
    bench = Bench(rig, Mode.NATIVE, programs)
    with bench.running("plain_a", Action.PASS) as near:
        _assert_safe(bench, near)


@on_devices(lambda row: carries_jumbo(row) and row.native is Native.NONE)
def test_plain_program_gets_one_buffer(rig: Rig, device: Row, programs: Programs):
    """Of a card without native XDP the code of generic XDP makes one buffer of a frame (netif_skb_check_for_xdp)."""
    bench = jumbo_bench(rig, Mode.GENERIC, programs)
    with bench.running_jumbo("plain_a", Action.PASS) as near:
        for frame in FRAMES:
            bench.send([frame], "plain_a")
            sight = programs.sight("plain_a")
            assert (sight.length, sight.linear) == (len(frame), len(frame)), (
                f"{bench.who}: of {len(frame)} bytes the program saw {sight.length}, {sight.linear} of them at once"
            )
            assert_same(near.frames(1), [frame], f"{bench.who}: frames passed by a program without frags")


@on_devices(lambda row: row.native is not Native.NONE and not row.frags_jumbo)
def test_frags_program_is_refused(rig: Rig, device: Row, programs: Programs):
    """A driver without frags refuses every program at MTU 9000."""
    if device.frags_jumbo:
        pytest.skip(f"this kernel's {device.driver} takes fragments, which the other tests hold it to")
    rig.set_mtu(9000)
    error = refusal(rig.link, programs["frags_a"].fd, Mode.NATIVE)
    assert error is not None, f"{device.name}: a program was attached at MTU 9000"
    assert error.name == device.plain_jumbo, f"{device.name}: {device.plain_jumbo} expected at MTU 9000: {error}"


@over(lambda row: has_own_jumbo(row) or row.forgets_program != "")
def test_mtu_raised_over_a_plain_program(rig: Rig, device: Row, mode: Mode, programs: Programs):
    """With a program without frags attached the MTU stays small (the row's errno), or frames are safe."""
    if mode is Mode.NATIVE and device.native is Native.NONE:
        pytest.skip(f"{device.driver} has no native XDP")
    if mode is Mode.NATIVE and device.forgets_program:
        pytest.skip(device.forgets_program)
    skip_unless_carried(rig)
    programs.order("plain_a", Action.PASS)
    with attached(rig.link, programs["plain_a"].fd, mode):
        error = _mtu_error(rig)
        rig.set_mtu(1500)  # some drivers refuse even a detach at the large MTU
        said, wanted = error.name if error else "", device.raise_mtu if mode is Mode.NATIVE else ""
        known = wanted is not None
        assert not known or said == wanted, (
            f"{device.name}: MTU 9000 over a {mode} program: {wanted or 'success'} expected: {error}"
        )
    if error is None:
        bench = Bench(rig, mode, programs)
        with bench.running("plain_a", Action.PASS) as near:
            rig.set_mtu(9000)
            try:
                _assert_safe(bench, near)
            finally:
                rig.set_mtu(1500)


def _mtu_error(rig: Rig) -> NetlinkError | None:
    try:
        rig.set_mtu(9000)
    except NetlinkError as error:
        return error
    return None


def _assert_safe(bench: Bench, near: Wire) -> None:
    """Every frame comes whole, or not at all; what the program saw of one that came was all of it."""
    for frame in FRAMES:
        runs = bench.programs.sight("plain_a").runs
        bench.rig.far.send(frame)
        bench.rig.far.send(MARKER)
        came = near.frames(1)
        if came != [MARKER]:
            assert_same(came, [frame], f"{bench.who}: frames over a program without frags")
            assert_same(near.frames(1), [MARKER], f"{bench.who}: the frame after it")
        sight = bench.programs.sight("plain_a")
        assert sight.runs >= runs + 1, f"{bench.who}: the program does not run at MTU 9000"


@over(has_own_jumbo)
def test_jumbo_frames_into_the_device(rig: Rig, device: Row, mode: Mode, programs: Programs, outlet: Outlet):
    """Frames of several buffers go through ndo_xdp_xmit where ndo-xmit-sg is advertised; else EOPNOTSUPP, none cut."""
    rig.skip_unless_linked()
    skip_unless_redirected(mode)
    skip_unless_carried(rig)
    rig.set_mtu(9000)
    long = [frame for frame in FRAMES if len(frame) > 4096]
    try:
        ready = ready_for_redirects(rig, programs, mode)
        with ready, source(outlet, programs, mode) as wire, programs.traced():
            for frame in long:
                wire.send(frame)
            wait_for(lambda: programs.sight("frags_b").runs >= len(long), "frames at the source")
            if mode is Mode.NATIVE and not device.takes_fragments:
                assert programs.trace.redirect_errors == len(long), f"{len(long)} refusals expected: {programs.trace}"
                assert programs.trace.last_redirect_error == errno.EOPNOTSUPP, f"EOPNOTSUPP expected: {programs.trace}"
                assert not rig.far.pending(), f"{device.name} does not send fragments by XDP, and sent a frame"
                return
            assert_same(rig.far.frames(len(long)), long, f"{device.name}: jumbo frames redirected into it, {mode}")
    except NetlinkError as error:
        rig.skip_without_rx_sg(error)
        raise


@over(has_own_jumbo)
def test_mtu_raised_over_a_frags_program(rig: Rig, device: Row, mode: Mode, programs: Programs):
    """Attached at MTU 1500: long frames come whole as soon as the MTU lets them, short ones after it is small again."""
    bench = jumbo_bench(rig, mode, programs)
    if mode is Mode.NATIVE and device.forgets_program:
        pytest.skip(device.forgets_program)
    with bench.running_jumbo("frags_a", Action.PASS):
        pass  # or a skip, where the driver takes no fragments
    rig.set_mtu(rig.mtu)
    with bench.running("frags_a", Action.PASS) as near:
        for mtu, frames in ((9000, FRAMES), (1500, FRAMES[:2]), (9000, FRAMES)):
            rig.set_mtu(mtu)
            assert rig.link.state.xdp_mode == mode.reported, f"{bench.who}: the program is gone at MTU {mtu}"
            if mode is Mode.NATIVE and device.keeps_buffers:
                rig.use_up_buffers()
            bench.send(frames, "frags_a")
            assert_same(near.frames(len(frames)), frames, f"{bench.who}: frames passed at MTU {mtu}")


HEADS = (-16, 12, -32, 26)


@over(has_own_jumbo)
def test_head_moved_then_passed(rig: Rig, device: Row, mode: Mode, programs: Programs):
    bench = jumbo_bench(rig, mode, programs)
    with bench.running_jumbo("frags_a", Action.PASS) as near:
        _assert_moved(bench, Action.PASS, near.frames)


@over(has_own_jumbo)
def test_head_moved_then_sent_back(rig: Rig, device: Row, mode: Mode, programs: Programs):
    bench = jumbo_bench(rig, mode, programs)
    with bench.running_jumbo("frags_a", Action.TX):
        _assert_moved(bench, Action.TX, rig.far.frames)


@over(has_own_jumbo)
def test_head_moved_then_redirected(rig: Rig, device: Row, mode: Mode, programs: Programs, outlet: Outlet):
    bench = jumbo_bench(rig, mode, programs)
    skip_unless_redirected(mode)
    with programs.redirecting_to(outlet.near.index), bench.running_jumbo("frags_a", Action.REDIRECT):
        _assert_moved(bench, Action.REDIRECT, outlet.wire.frames)


def _assert_moved(bench: Bench, action: Action, out: Callable[[int], list[bytes]]) -> None:
    """What is left is whole, fragments and all (test_adjust.py has the same for frames of one buffer)."""
    frames = [frame for frame in FRAMES if 4200 < len(frame) < 8950]  # with 32 bytes more it is still to be sent
    for head in HEADS:
        bench.programs.order("frags_a", action, head=head)
        bench.send(frames, "frags_a")
        assert not bench.programs.sight("frags_a").failed, f"{bench.who}: head {head:+} was refused"
        expected = [adjusted(frame, head, 0) for frame in frames]
        assert_same(out(len(frames)), expected, f"{bench.who}: head {head:+}")
