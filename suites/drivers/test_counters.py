"""Every frame is accounted for: what came in is what was passed, dropped, sent back, redirected or refused.

Rules: each driver's ndo_get_stats64; net/core/dev.c:dev_get_stats.
"""

from __future__ import annotations

import collections
import re
import time
from collections.abc import Iterable

from drivers.bench import Bench
from drivers.cases import over
from drivers.programs import Action, Programs
from drivers.rack import Outlet
from drivers.rig import Rig
from drivers.rows import Row
from net.ethtool import statistics
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
        before, told_before = rig.link.statistics, _told_by_driver(rig)
        came = _run_all(bench, near, outlet.wire)
        assert came == {"passed": 7, "sent back": 3, "redirected": 4}, f"{bench.who}: of 7, 3 and 4 came {came}"
        assert programs.trace.exceptions == COUNTS[Action.ABORTED], f"{bench.who}: {programs.trace}"
        bench.assert_nothing_but(near, "plain_a", MARKER)
        wanted = _wanted(device, mode)
        end = time.monotonic() + DEADLINE
        while (grown := _grown(rig, before, wanted)) != wanted and time.monotonic() < end:
            time.sleep(0.05)
        received = rig.link.statistics["rx_packets"] - before["rx_packets"]
        least = COUNTS[Action.PASS] + 1
        if device.maker == "board" and not device.counts:
            assert least <= received <= TOTAL + 1, (
                f"{bench.who}: {least} frames passed of {TOTAL + 1}: rx_packets {received}"
            )
        _assert_bytes(bench, before)
        _assert_driver_s(bench, told_before)
        assert grown == wanted, f"{bench.who}: {TOTAL} frames and one more: the counters grew by {grown}, not {wanted}"


def _assert_bytes(bench: Bench, before: dict[str, int]) -> None:
    """A counter of bytes goes with its counter of packets. Drivers count them without the Ethernet header (veth), with
    the frame's checksum, or with virtio_net's header before each that is sent back (__virtnet_xdp_xmit_one).
    """
    sizes = {action: [len(frame) for frame in _frames(action)] for action in COUNTS}
    sizes[Action.PASS].append(len(MARKER))
    counted, now = _counted(bench.rig.row, bench.mode), bench.rig.link.statistics
    for packets, name in (("rx_packets", "rx_bytes"), ("tx_packets", "tx_bytes")):
        each = [size for action in counted.get(packets, ()) for size in sizes[action]]
        grown = now[name] - before[name]
        right = {sum(each) + more * len(each) for more in (0, -14, 4, 12)}
        assert packets not in counted or grown in right, f"{bench.who}: {name} grew by {grown} for frames of {each}"
    errors = {name: now[name] - before[name] for name in _BAD if now[name] != before[name]}
    assert not errors, f"{bench.who}: no frame was bad, and errors were counted: {errors}"


# Of frames that are not as they should be. Those there was no room for are others: a card tells of them late, when
# another test's traffic was (e1000_update_stats, every two seconds).
_BAD = ("rx_errors", "tx_errors", "rx_length_errors", "rx_crc_errors", "rx_frame_errors")


# What drivers call those of a queue: rx_queue_0_xdp_drops (veth), rx0_xdp_redirects (virtio_net, which has sums too).
_OF_XDP = re.compile(r"rx(?:_queue_)?\d+_xdp_(packets|drops|redirect|tx)s?$")


def _told_by_driver(rig: Rig) -> collections.Counter[str]:
    """The driver's own counters of XDP, of all its queues; none where it has none."""
    try:
        told = statistics(rig.link)
    except OSError:
        return collections.Counter()
    found = collections.Counter[str]()
    for name, value in told.items():
        if match := _OF_XDP.search(name):
            found[match[1]] += value
    return found


def _assert_driver_s(bench: Bench, before: collections.Counter[str]) -> None:
    """packets = passed + dropped + sent back + redirected, each of them told."""
    if bench.mode is not Mode.NATIVE or "packets" not in before:
        return
    now = _told_by_driver(bench.rig)
    grown = {name: now[name] - before[name] for name in before}
    wanted = {"packets": TOTAL + 1, "drops": 7, "redirect": 4, "tx": 3}
    assert grown == wanted, f"{bench.who}: ethtool -S: of {TOTAL} frames and one more {grown}, not {wanted}"


def _wanted(row: Row, mode: Mode) -> dict[str, int]:
    """By how much each counter is to grow, by the actions that it counts; the marker that is passed at the end too."""
    counted = _counted(row, mode).items()
    return {name: sum(COUNTS[action] + (action is Action.PASS) for action in actions) for name, actions in counted}


def _counted(row: Row, mode: Mode) -> dict[str, tuple[Action, ...]]:
    """By counter of packets the actions whose frames it counts."""
    return dict(row.counts if mode is Mode.NATIVE else row.generic_counts)


def _grown(rig: Rig, before: dict[str, int], names: Iterable[str]) -> dict[str, int]:
    now = rig.link.statistics
    return {name: now[name] - before[name] for name in names}
