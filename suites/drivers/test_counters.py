"""Every frame is accounted for: what came in is what was passed, dropped, sent back, redirected or refused.

Rules: each driver's ndo_get_stats64; net/core/dev.c:dev_get_stats.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from drivers.bench import Bench
from drivers.cases import over
from drivers.programs import Action, Programs
from drivers.rack import Outlet
from drivers.rig import Rig
from drivers.rows import Row
from net.link import DEADLINE
from net.wire import Wire, ethernet
from net.xdp import Mode

COUNTS = {Action.PASS: 7, Action.DROP: 5, Action.TX: 3, Action.REDIRECT: 4, Action.ABORTED: 2}
TOTAL = sum(COUNTS.values())
MARKER = ethernet(77, start=99)


def _frames(action: Action) -> list[bytes]:
    return [ethernet(100 + 10 * number, start=number + action) for number in range(COUNTS[action])]


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
        bench.assert_nothing_but(near, "plain_a", MARKER)
        wanted = _wanted(device, mode)
        end = time.monotonic() + DEADLINE
        while (grown := _grown(rig, before, wanted)) != wanted and time.monotonic() < end:
            time.sleep(0.05)
        assert grown == wanted, f"{bench.who}: {TOTAL} frames and one more: the counters grew by {grown}, not {wanted}"


def _wanted(row: Row, mode: Mode) -> dict[str, int]:
    """By how much each counter is to grow, by the actions that it counts; the marker that is passed at the end too."""
    counted = row.counts if mode is Mode.NATIVE else row.generic_counts
    return {name: sum(COUNTS[action] + (action is Action.PASS) for action in actions) for name, actions in counted}


def _grown(rig: Rig, before: dict[str, int], names: Iterable[str]) -> dict[str, int]:
    now = rig.link.statistics
    return {name: now[name] - before[name] for name in names}
