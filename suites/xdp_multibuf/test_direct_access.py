"""Direct access through ctx->data and ctx->data_end: the linear part, all of it and nothing more.

Rules: net/core/filter.c:xdp_convert_ctx_access, net/bpf/test_run.c:bpf_prog_test_run_xdp.
"""

from __future__ import annotations

import pytest
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import Limits, Machine, difference, frame_of, load, peek, poke, store


@cases("frame", ["60", "linear-1", "linear", "linear+1", "9000", "largest"])
def test_direct_access_ends_with_the_linear_part(machine: Machine, limits: Limits, frame: str):
    size = limits.size(frame)
    linear = min(size, limits.linear)
    run = machine.run(frame_of(size), peek(0), peek(linear - 1), peek(linear), peek(linear + 1), poke(linear, 0xAB))
    data = frame_of(size)
    expected = (data[0], data[linear - 1], -1, -1, -1)
    assert run.results == expected, f"frame {size}: bytes 0, {linear - 1}, {linear}, {linear + 1} = {run.results}"
    assert not difference(run.data, data), difference(run.data, data)


@pytest.mark.usefixtures("header_split")
@cases("head", [14, 64, 1000])
def test_direct_access_ends_at_the_split(machine: Machine, head: int):
    run = machine.run(frame_of(9000), peek(head - 1), peek(head), load(head, 1), split=head)
    assert run.results == (frame_of(9000)[head - 1], -1, 0), f"split at {head}: {run.results}"
    assert run.loaded[2] == frame_of(9000)[head : head + 1]


@cases("frame", ["60", "9000", "largest"])
def test_direct_writes_and_the_copy_helpers_see_one_frame(machine: Machine, limits: Limits, frame: str):
    size = limits.size(frame)
    last = min(size, limits.linear) - 1
    run = machine.run(frame_of(size), poke(0, 0xAB), poke(last, 0xCD), load(0, last + 1), store(1, b"\xef"), peek(1))
    assert run.results == (0, 0, 0, 0, 0xEF), f"frame {size}: {run.results}"
    assert (run.loaded[2][0], run.loaded[2][-1]) == (0xAB, 0xCD)
    expected = bytearray(frame_of(size))
    expected[0], expected[1], expected[last] = 0xAB, 0xEF, 0xCD
    assert not difference(run.data, bytes(expected)), difference(run.data, bytes(expected))
