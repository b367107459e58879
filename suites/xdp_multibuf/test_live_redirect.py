"""Live frames that leave: XDP_TX, and redirects to a device and to a CPU. As many arrive as were sent, each whole.

Rules: net/bpf/test_run.c:xdp_test_run_batch; net/core/filter.c:xdp_do_redirect_frame; kernel/bpf/devmap.c,
kernel/bpf/cpumap.c; net/core/xdp.c:__xdp_build_skb_from_frame.
"""

from __future__ import annotations

from bpf.libbpf import BPF_F_TEST_XDP_LIVE_FRAMES as LIVE
from bpf.libbpf import Program
from net.link import Link, tuned
from net.wire import Wire, ethernet
from pages import pages_lost
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import XDP_DROP, XDP_PASS, XDP_TX, Machine, adjust_head, adjust_tail, difference, xdp_md
from xdp_multibuf.redirect import Redirects, Street

EVERY_TYPE = 3  # ETH_P_ALL: an adjusted head has another EtherType


def _live(program: Program, frame: bytes, link: Link, count: int, batch: int = 0) -> None:
    """Run over live frames as if they came in on a link."""
    ctx = xdp_md(0, len(frame), ifindex=link.index)
    ran = program.test_run(frame, flags=LIVE, repeat=count, batch_size=batch, ctx=ctx)
    assert ran.error_name == "success", f"{count} live frames of {len(frame)} bytes: test_run said {ran.error_name}"


def _arrived(wire: Wire, count: int, expected: bytes) -> None:
    """Fail unless so many frames came in, each as expected, and no more."""
    for number, got in enumerate(wire.frames(count), 1):
        assert not difference(got, expected), f"frame {number} of {count}: {difference(got, expected)}"
    more = wire.pending()
    assert not more, f"{count} frames were sent, {count + len(more)} arrived"


COUNTS = [(60, 1, 0), (60, 200, 0), (1514, 64, 0), (1514, 65, 7), (3000, 20, 256)]


@cases("size, count, batch", COUNTS)
def test_live_tx(machine: Machine, links: Street, size: int, count: int, batch: int):
    """XDP_TX sends on the very device that the frame came in on."""
    machine.prepare([], XDP_TX)
    with Wire(links.far_peer) as wire:
        _live(machine.frags, ethernet(size), links.far, count, batch)
        assert machine.runs == count, f"{count} live frames: the program ran {machine.runs} times"
        _arrived(wire, count, ethernet(size))


@cases("size, count, batch", COUNTS)
@cases("program", ["", "on_device"])
def test_live_redirect_to_a_device(
    redirects: Redirects, links: Street, size: int, count: int, batch: int, program: str
):
    redirects.prepare()
    with redirects.device(links.far, program), Wire(links.far_peer) as wire:
        _live(redirects.object.program("to_device"), ethernet(size), links.near_peer, count, batch)
        _arrived(wire, count, ethernet(size))
    assert redirects.seen.runs == (count if program else 0), f"the map's program ran {redirects.seen.runs} times"


@cases("size, count, batch", COUNTS)
@cases("program", ["", "on_cpu"])
def test_live_redirect_to_a_cpu(redirects: Redirects, links: Street, size: int, count: int, batch: int, program: str):
    """They go on up the stack of the device that they came in on."""
    redirects.prepare()
    with redirects.cpu(program), Wire(links.near_peer) as wire:
        # The CPU's queue holds 64: what is more is dropped, as ptr_ring says (bq_flush_to_queue).
        for sent in range(0, count, 50):
            now = min(50, count - sent)
            _live(redirects.object.program("to_cpu"), ethernet(size), links.near_peer, now, batch)
            _arrived(wire, now, ethernet(size))
    assert redirects.seen.runs == (count if program else 0), f"the map's program ran {redirects.seen.runs} times"


@cases("count, batch", [(64, 0), (65, 7), (20, 2)])
def test_live_frames_of_two_fates(machine: Machine, links: Street, count: int, batch: int):
    """Sent and passed frames in one batch: neither hinders the other, and there are as many of each as there were."""
    machine.prepare([], XDP_TX, XDP_PASS)
    with Wire(links.far_peer) as sent, Wire(links.far) as passed:
        _live(machine.frags, ethernet(200), links.far, count, batch)
        _arrived(sent, (count + 1) // 2, ethernet(200))
        _arrived(passed, count // 2, ethernet(200))


def test_live_tx_after_adjusting(machine: Machine, links: Street):
    """Head and tail that the program moved are those of what is sent, for every frame alike."""
    machine.prepare([adjust_head(20), adjust_tail(-100)], XDP_TX)
    with Wire(links.far_peer, EVERY_TYPE) as wire:
        _live(machine.frags, ethernet(1514), links.far, 10, 3)
        _arrived(wire, 10, ethernet(1514)[20:1414])


@cases("where, program", [("cpumap", "on_cpu"), ("devmap", "on_device")])
def test_live_frames_dropped_in_the_map_lose_no_page(redirects: Redirects, links: Street, where: str, program: str):
    """They go back to the pool, and the pool goes."""
    redirects.prepare(late_action=XDP_DROP)
    entry = redirects.cpu(program) if where == "cpumap" else redirects.device(links.far, program)
    run = redirects.object.program("to_cpu" if where == "cpumap" else "to_device")
    with entry:
        lost = pages_lost(lambda: _live(run, ethernet(1000), links.near_peer, 32), 40, at_most=4)
    assert redirects.seen.runs >= 40 * 32
    assert lost <= 4, f"32 live frames dropped in a {where} keep {lost:.1f} pages"


def test_live_frames_that_a_device_does_not_take_lose_no_page(redirects: Redirects, links: Street):
    """What ndo_xdp_xmit leaves over, without an error, is the devmap's to free (bq_xmit_all).

    The devmap goes by the MTU of the veth that sends, the veth by that of its peer (veth_xdp_xmit).
    """
    redirects.prepare()
    run = redirects.object.program("to_device")
    with tuned(links.far_peer), redirects.device(links.far), Wire(links.far_peer) as wire:
        links.far_peer.set_mtu(1500)
        lost = pages_lost(lambda: _live(run, ethernet(3000), links.near_peer, 32), 40, at_most=4)
        assert not wire.pending(), "frames of 3000 bytes came over a veth whose peer has MTU 1500"
    assert lost <= 4, f"32 live frames that a device does not take keep {lost:.1f} pages"
