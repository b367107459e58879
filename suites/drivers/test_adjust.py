"""Frames that a program makes longer or shorter, looked at where they come out, byte for byte.

Rules: net/core/filter.c:bpf_xdp_adjust_head, bpf_xdp_adjust_tail (what it grows is zero); the driver makes the skb, or
the descriptor, from where data and data_end are then.
"""

from __future__ import annotations

from drivers.bench import Bench, assert_same, frames_of
from drivers.cases import over
from drivers.programs import Action, Programs, Target
from drivers.rack import Outlet
from drivers.rig import Rig
from drivers.rows import Row
from net.wire import ethernet
from net.xdp import Mode

FRAMES = frames_of(100, 600)
MARKER = ethernet(77, start=99)
FILL = b"\xa5"
# head, tail: as given to the helpers. Growth within the tailroom that a small buffer of any driver has.
ADJUSTMENTS = ((-16, 0), (12, 0), (0, 8), (0, -20), (-32, 8), (26, -11), (-1, 1))


def adjusted(frame: bytes, head: int, tail: int) -> bytes:
    """What comes of a frame: the Ethernet header stays in front (bpf/actions.bpf.c:move_head)."""
    header, rest = frame[:14], frame[14:]
    rest = FILL * -head + rest if head < 0 else rest[head:]
    return header + (rest + bytes(tail) if tail > 0 else rest[: len(rest) + tail])


def _assert_adjusted(bench: Bench, action: Action, out, target: Target = Target.DEVICE) -> None:
    """out: takes a number and gives as many frames, from where they come out."""
    for head, tail in ADJUSTMENTS:
        bench.programs.order("plain_a", action, head=head, tail=tail, target=target)
        bench.send(FRAMES, "plain_a")
        failed = bench.programs.sight("plain_a").failed
        assert not failed, f"{bench.who}: head {head:+}, tail {tail:+}: {failed} of the adjustments were refused"
        expected = [adjusted(frame, head, tail) for frame in FRAMES]
        assert_same(out(len(FRAMES)), expected, f"{bench.who}: head {head:+}, tail {tail:+}")


@over()
def test_adjusted_then_passed(rig: Rig, device: Row, mode: Mode, programs: Programs):
    bench = Bench(rig, mode, programs)
    with bench.running("plain_a", Action.PASS) as near:
        _assert_adjusted(bench, Action.PASS, near.frames)


@over()
def test_adjusted_then_sent_back(rig: Rig, device: Row, mode: Mode, programs: Programs):
    bench = Bench(rig, mode, programs)
    with bench.running("plain_a", Action.TX) as near:
        _assert_adjusted(bench, Action.TX, rig.far.frames)
        bench.assert_nothing_but(near, "plain_a", MARKER)


@over()
def test_adjusted_then_redirected(rig: Rig, device: Row, mode: Mode, programs: Programs, outlet: Outlet):
    bench = Bench(rig, mode, programs)
    with programs.redirecting_to(outlet.near.index), bench.running("plain_a", Action.REDIRECT):
        _assert_adjusted(bench, Action.REDIRECT, outlet.wire.frames)


@over()
def test_adjusted_then_over_a_cpumap(rig: Rig, device: Row, mode: Mode, programs: Programs):
    bench = Bench(rig, mode, programs)
    with programs.redirecting_to_cpu(), bench.running("plain_a", Action.REDIRECT, target=Target.CPU) as near:
        _assert_adjusted(bench, Action.REDIRECT, near.frames, Target.CPU)
