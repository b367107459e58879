"""A program without frags support, and the border between the two kinds.

Rules: kernel/bpf/core.c:__bpf_prog_map_compatible, net/bpf/test_run.c:bpf_prog_test_run_xdp.
"""

from __future__ import annotations

import errno

import pytest
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import LENGTH, LINEAR, XDP_TX, Limits, Machine, adjust_tail, difference, frame_of, jump, load


@cases("frame", ["60", "1514", "linear-1", "linear"])
def test_plain_program_on_a_linear_frame(machine: Machine, limits: Limits, frame: str):
    size = limits.size(frame)
    run = machine.run(
        frame_of(size), LENGTH, LINEAR, load(0, size), adjust_tail(-10), LENGTH, plain=True, action=XDP_TX
    )
    assert (run.error, run.action) == ("", XDP_TX), f"frame {size}: {run.error}, action {run.action}"
    assert run.results == (size, size, 0, 0, size - 10), f"frame {size}: {run.results}"
    assert not difference(run.data, frame_of(size - 10)), difference(run.data, frame_of(size - 10))


@cases("frame", ["linear+1", "9000", "largest"])
def test_plain_program_never_sees_a_frame_cut_short(machine: Machine, limits: Limits, frame: str):
    """A jumbo frame is refused with -EINVAL or shown whole through test_run, by the choice of the kernel."""
    size = limits.size(frame)
    run = machine.run(frame_of(size), LENGTH, LINEAR, plain=True)
    if run.error:
        assert (run.error, run.runs) == ("EINVAL", 0), f"frame {size}, plain program: test_run said {run.error}"
        pytest.skip("the kernel's test_run gives a program without frags support no jumbo frame")
    assert run.results == (size, limits.linear), f"frame {size}, plain program: length, linear = {run.results}"
    assert not difference(run.data, frame_of(size)), difference(run.data, frame_of(size))


@pytest.mark.parametrize("kind", ["frags", "plain"])
def test_tail_call_within_a_kind(machine: Machine, limits: Limits, kind: str):
    """The target runs on the same frame and its return code counts."""
    jumps = machine.object.map(f"{kind}_jumps")
    error = jumps.update(0, machine.object.program(f"{kind}_landing").fd)
    assert error == 0, f"{kind} program into the {kind} map: {errno.errorcode[error]}"
    size = limits.linear + 1 if kind == "frags" else limits.linear
    run = machine.run(frame_of(size), adjust_tail(-5), jump(0), plain=kind == "plain")
    assert jumps.delete(0) == 0
    assert (run.error, run.action) == ("", XDP_TX), f"tail call in a {kind} program: {run.error}, action {run.action}"
    assert machine.landed == size - 5, f"the target saw {machine.landed} bytes instead of {size - 5}"


@pytest.mark.parametrize(("kind", "other"), [("frags", "plain"), ("plain", "frags")])
def test_tail_call_between_kinds_is_refused(machine: Machine, kind: str, other: str):
    """A map of programs belongs to one kind: a program that cannot handle fragments must not meet them."""
    error = machine.object.map(f"{kind}_jumps").update(1, machine.object.program(f"{other}_landing").fd)
    assert error == errno.EINVAL, (
        f"{other} program into the map of {kind} programs: {errno.errorcode.get(error, 'accepted')}"
    )


def test_missed_tail_call_goes_on(machine: Machine):
    run = machine.run(frame_of(9000), jump(1), LENGTH)
    assert run.results == (-1, 9000)
