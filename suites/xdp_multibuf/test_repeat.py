"""Repeated runs: one frame for all repetitions, and no page lost over many runs.

Rules: net/bpf/test_run.c:bpf_test_run, bpf_prog_test_run_xdp; net/core/xdp.c:__xdp_return.
"""

from __future__ import annotations

import errno

from pages import pages_lost
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import LENGTH, Limits, Machine, Op, adjust_tail, difference, frame_of, xdp_md
from xdp_multibuf.model import Behaviour

RUNS = 1500
MANY_RUNS = 10_000


@cases("frame", ["60", "linear", "9000", "largest"])
def test_repeat_runs_the_program_so_often(machine: Machine, limits: Limits, frame: str):
    size = limits.size(frame)
    run = machine.run(frame_of(size), LENGTH, repeat=100)
    assert (run.error, run.runs) == ("", 100), f"repeat=100: {run.error or 'success'} after {run.runs} runs"
    assert run.results == (size,)
    assert run.duration > 0, "a run takes time"
    assert not difference(run.data, frame_of(size)), difference(run.data, frame_of(size))


@cases("frame", ["linear", "linear+5", "9000", "linear+page+3"])
def test_repetitions_share_one_frame(machine: Machine, limits: Limits, frame: str):
    """What a repetition shrinks is gone for the next."""
    size = limits.size(frame)
    run = machine.run(frame_of(size), adjust_tail(-1), LENGTH, repeat=10)
    assert (run.error, run.runs, run.results) == ("", 10, (0, size - 10))
    assert not difference(run.data, frame_of(size - 10)), difference(run.data, frame_of(size - 10))


def test_repetitions_shrink_down_to_the_header(machine: Machine, limits: Limits):
    """Every fragment goes, then the linear part, and the last repetitions are refused."""
    run = machine.run(frame_of(limits.largest), adjust_tail(-limits.page), LENGTH, repeat=25)
    assert run.results == (-errno.EINVAL, limits.linear), f"25 times a page less: {run.results}"
    assert not difference(run.data, frame_of(limits.linear)), difference(run.data, frame_of(limits.linear))


LEAKS: dict[str, tuple[Op, ...]] = {
    "untouched": (),
    "fragment released": (adjust_tail(-4096),),
    "all fragments released": (adjust_tail(-70000),),
    "released and grown": (adjust_tail(-5000), adjust_tail(100)),
    "shrink refused": (adjust_tail(-80000),),
}


@cases("program", LEAKS)
def test_no_page_is_lost(machine: Machine, limits: Limits, program: str):
    """Pages given back by a shrink, and those test_run frees itself, are free again: none kept over many runs."""
    frame = frame_of(limits.largest)
    machine.prepare(LEAKS[program])
    lost = pages_lost(lambda: machine.frags.test_run(frame), RUNS, at_most=0.5)
    assert machine.runs >= RUNS
    assert lost <= 0.5, f"{program}: each run of a {limits.largest} byte frame keeps {lost:.2f} pages"


@cases("program", ["untouched", "released", "shrunk"])
def test_no_page_is_lost_over_ten_thousand_runs(machine: Machine, limits: Limits, behaviour: Behaviour, program: str):
    """The smallest frame with a fragment: one page each run, which the program releases or leaves to test_run."""
    by = {"untouched": 0, "released": -46, "shrunk": -20}[program]
    machine.prepare([adjust_tail(by)] if by else [])
    small = behaviour.splits  # elsewhere there is no fragment behind less than a full linear part
    frame, ctx = frame_of(60 if small else limits.linear + 46), xdp_md(0, 14) if small else None
    runs = MANY_RUNS // 1000
    lost = pages_lost(lambda: machine.frags.test_runs(frame, 1000, ctx=ctx), runs, at_most=50, warm_up=1) / 1000
    assert machine.runs >= MANY_RUNS
    assert lost <= 0.05, f"{program}: {MANY_RUNS} runs of a frame with one fragment keep {lost * MANY_RUNS:.0f} pages"


def test_no_page_is_lost_by_a_refused_frame(machine: Machine, limits: Limits):
    """The error path past the last fragment gives back the 17 pages it had."""
    frame = frame_of(limits.largest + 1)
    machine.prepare([])
    lost = pages_lost(lambda: machine.frags.test_run(frame), RUNS // 3, at_most=0.5)
    assert machine.runs == 0
    assert lost <= 0.5, f"each refused frame of {limits.largest + 1} bytes keeps {lost:.2f} pages"
