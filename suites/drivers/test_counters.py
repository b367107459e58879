"""Every frame is accounted for: what came in is what was passed, dropped, sent back, redirected or refused.

Rules: each driver's ndo_get_stats64 and, where it has them, its `ethtool -S` counters of XDP.
"""

from __future__ import annotations

from drivers.bench import Bench
from drivers.cases import over
from drivers.programs import Action, Programs
from drivers.rack import Outlet
from drivers.rigs import Rig
from drivers.rows import Row
from net.ethtool import statistics
from net.link import wait_for
from net.wire import Wire, ethernet
from net.xdp import Mode

COUNTS = {Action.PASS: 7, Action.DROP: 5, Action.TX: 3, Action.REDIRECT: 4, Action.ABORTED: 2}
TOTAL = sum(COUNTS.values())


def _frames(action: Action) -> list[bytes]:
    return [ethernet(100 + 10 * number, start=number + action) for number in range(COUNTS[action])]


def _driver_counters(rig: Rig) -> dict[str, int]:
    try:
        return statistics(rig.link)
    except OSError:  # EOPNOTSUPP: it has none
        return {}


def _run_all(bench: Bench, near: Wire, out: Wire) -> dict[str, int]:
    """Send the frames of each action and count where they come out."""
    for action in COUNTS:
        bench.programs.order("plain_a", action)
        bench.send(_frames(action), "plain_a")
    passed = near.frames(COUNTS[Action.PASS])
    sent = bench.rig.far.frames(COUNTS[Action.TX])
    redirected = out.frames(COUNTS[Action.REDIRECT])
    return {
        "passed": len(passed) + len(near.pending()),
        "sent back": len(sent) + len(bench.rig.far.pending()),
        "redirected": len(redirected) + len(out.pending()),
    }


@over()
def test_every_frame_is_accounted_for(rig: Rig, device: Row, mode: Mode, programs: Programs, outlet: Outlet):
    """Frames by where they came out, and the interface's own counters, which `ip -s link` shows."""
    bench = Bench(rig, mode, programs)
    there = programs.redirecting_to(outlet.near.index)
    with there, bench.running("plain_a", Action.PASS) as near, programs.traced():
        before = rig.link.statistics
        came = _run_all(bench, near, outlet.wire)
        assert came == {"passed": 7, "sent back": 3, "redirected": 4}, f"{bench.who}: of 7, 3 and 4 came {came}"
        assert programs.trace.exceptions == COUNTS[Action.ABORTED], f"{bench.who}: {programs.trace}"
        wanted = device.counted(mode, COUNTS)
        wait_for(lambda: _grown(rig, before) == wanted, f"{bench.who}: {wanted} expected, {_grown(rig, before)}", 4.0)


def _grown(rig: Rig, before: dict[str, int]) -> dict[str, int]:
    now = rig.link.statistics
    return {name: now[name] - before[name] for name in ("rx_packets", "tx_packets", "rx_dropped", "tx_dropped")}
