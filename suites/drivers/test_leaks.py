"""Whatever becomes of a frame, its pages come back.

Rules: net/core/xdp.c:xdp_return_buff, xdp_return_frame; each driver's receive path, for what a program drops or aborts
on, and for a redirect that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from drivers.bench import Bench
from drivers.cases import on_devices
from drivers.programs import Action, Programs
from drivers.rack import Outlet
from drivers.rig import Rig
from drivers.rows import Native, Row
from drivers.test_jumbo import carries_jumbo, jumbo_bench
from net.features import has_netdev_family
from net.link import tuned
from net.wire import Wire, ethernet
from net.xdp import Mode
from pages import pages_lost

ACTIONS = (Action.DROP, Action.ABORTED, Action.TX, Action.PASS, Action.REDIRECT)
FRAMES = 16  # of each action
CYCLES = 8
WARM = 4  # cycles: rings and pools are filled as they will be
KEPT = FRAMES / 4  # pages: fewer are none, for one frame of four that is lost is a leak of the fourth part


def has_native(row: Row) -> bool:
    """A board's memory is not the tests' alone."""
    return row.native is Native.RUNS and row.maker != "board"


@on_devices(has_native)
def test_no_page_is_kept(rig: Rig, device: Row, programs: Programs, outlet: Outlet):
    bench = Bench(rig, Mode.NATIVE, programs)
    with programs.redirecting_to(outlet.near.index), bench.running("plain_a", Action.PASS) as near:
        _assert_none_kept(bench, "plain_a", ethernet(1000), ACTIONS, (near, outlet.wire))


@on_devices(lambda row: has_native(row) and row.frags_jumbo and carries_jumbo(row))
def test_no_fragment_is_kept(rig: Rig, device: Row, programs: Programs, outlet: Outlet):
    """And none of a frame that is too long for the device that it is redirected to (xdp_ok_fwd_dev)."""
    bench = jumbo_bench(rig, Mode.NATIVE, programs)
    actions = ACTIONS if has_netdev_family() else ACTIONS[:-1]  # without xdp-features it redirects no such frames
    with programs.redirecting_to(outlet.near.index), bench.running_jumbo("frags_a", Action.PASS) as near:
        _assert_none_kept(bench, "frags_a", ethernet(9000), actions, (near, outlet.wire))
        with tuned(outlet.near):
            outlet.near.set_mtu(1500)
            _assert_none_kept(bench, "frags_a", ethernet(9000), (Action.REDIRECT,), (near, outlet.wire))


def _assert_none_kept(bench: Bench, name: str, frame: bytes, actions: Sequence[Action], ends: tuple[Wire, ...]) -> None:
    def cycle(*some: Action) -> Callable[[], None]:
        def run() -> None:
            for action in some:
                bench.programs.order(name, action)
                bench.send([frame] * FRAMES, name)
            for end in (*ends, bench.rig.far):
                end.pending()

        return run

    if pages_lost(cycle(*actions), CYCLES, at_most=KEPT, warm_up=WARM) <= KEPT:
        return
    lost = {action.name: pages_lost(cycle(action), CYCLES, at_most=KEPT, warm_up=WARM) for action in actions}
    worst = max(lost, key=lambda action: lost[action])
    assert lost[worst] <= KEPT, (
        f"{bench.who}: of {FRAMES} frames of {len(frame)} bytes after XDP_{worst} {lost[worst]:.1f} pages stay;"
        f" by action { ({action: round(pages, 1) for action, pages in lost.items()}) }"
    )
