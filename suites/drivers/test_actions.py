"""What a program says is what happens to the frame, byte for byte, and to no other.

Rules: the driver's receive path; net/core/dev.c:bpf_prog_run_generic_xdp, netif_receive_generic_xdp, generic_xdp_tx.
"""

from __future__ import annotations

from drivers.bench import LINEAR_SIZES, Bench, assert_same, frames_of
from drivers.cases import over
from drivers.programs import Action, Programs
from drivers.rig import Rig
from drivers.rows import Row
from net.wire import ethernet
from net.xdp import Mode

FRAMES = frames_of(*LINEAR_SIZES)
MARKER = ethernet(77, start=99)


@over()
def test_pass(rig: Rig, device: Row, mode: Mode, programs: Programs):
    bench = Bench(rig, mode, programs)
    with bench.running("plain_a", Action.PASS) as near:
        bench.send(FRAMES, "plain_a")
        assert_same(near.frames(len(FRAMES)), FRAMES, f"{bench.who}: passed frames")
        sight = programs.sight("plain_a")
        assert sight.bytes == sum(map(len, FRAMES)), (
            f"{sum(map(len, FRAMES))} bytes sent, the program saw {sight.bytes}"
        )
        assert sight.linear == sight.length == len(FRAMES[-1]), f"a frame of one buffer: {sight}"
        assert not rig.far.pending(), f"{bench.who}: a passed frame went out too"


@over()
def test_drop(rig: Rig, device: Row, mode: Mode, programs: Programs):
    bench = Bench(rig, mode, programs)
    with bench.running("plain_a", Action.DROP) as near, programs.traced():
        bench.send(FRAMES, "plain_a")
        bench.assert_nothing_but(near, "plain_a", MARKER)
        assert programs.trace.exceptions == 0, "XDP_DROP was traced as an exception"
        assert not rig.far.pending(), f"{bench.who}: a dropped frame went out"


@over()
def test_tx(rig: Rig, device: Row, mode: Mode, programs: Programs):
    bench = Bench(rig, mode, programs)
    with bench.running("plain_a", Action.TX) as near:
        bench.send(FRAMES, "plain_a")
        assert_same(rig.far.frames(len(FRAMES)), FRAMES, f"{bench.who}: frames sent back")
        bench.assert_nothing_but(near, "plain_a", MARKER)
        assert not rig.far.pending(), f"{bench.who}: more frames were sent back than came"


@over()
def test_tx_of_many(rig: Rig, device: Row, mode: Mode, programs: Programs):
    """More frames than one poll handles and a bulk queue holds: each is sent back once."""
    bench = Bench(rig, mode, programs)
    with bench.running("plain_a", Action.TX) as near:
        for first in range(0, 200, 40):
            frames = [ethernet(64 + number, start=number) for number in range(first, first + 40)]
            bench.send(frames, "plain_a")
            assert_same(rig.far.frames(40), frames, f"{bench.who}: frames sent back")
        bench.assert_nothing_but(near, "plain_a", MARKER)
        assert not rig.far.pending(), f"{bench.who}: more frames were sent back than came"


@over()
def test_aborted(rig: Rig, device: Row, mode: Mode, programs: Programs):
    """XDP_ABORTED drops, and says so on the xdp_exception tracepoint."""
    _assert_exceptions(Bench(rig, mode, programs), Action.ABORTED)


@over()
def test_unknown_action_is_aborted(rig: Rig, device: Row, mode: Mode, programs: Programs):
    _assert_exceptions(Bench(rig, mode, programs), Action.UNKNOWN)


def _assert_exceptions(bench: Bench, action: Action) -> None:
    programs = bench.programs
    with bench.running("plain_a", action) as near, programs.traced():
        bench.send(FRAMES, "plain_a")
        bench.assert_nothing_but(near, "plain_a", MARKER)
        assert not bench.rig.far.pending(), f"{bench.who}: a frame of action {action} went out"
        told = programs.trace
        assert told.exceptions == len(FRAMES), f"{len(FRAMES)} frames of action {action}, {told.exceptions} exceptions"
        assert told.last_exception == action, f"action {action} was traced as {told.last_exception}"
