"""bpf_xdp_load_bytes and bpf_xdp_store_bytes: every alignment over every kind of boundary.

Rules: net/core/filter.c:bpf_xdp_pointer, bpf_xdp_copy_buf.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import MAX_OPERATIONS, Limits, Machine, Op, difference, frame_of, load, store

BOUNDARIES = ("linear", "linear+page", "linear+2page", "linear+14page")
OFFSET_LIMIT = 0xFFFF  # bpf_xdp_pointer: neither offset nor length past it


def _in_turn(operations: list[Op]) -> Iterator[list[Op]]:
    """As many operations at a time as one run takes."""
    for start in range(0, len(operations), MAX_OPERATIONS):
        yield operations[start : start + MAX_OPERATIONS]


@cases("boundary", BOUNDARIES)
@cases("length", [1, 2, 8, 16, 61])
def test_load_at_every_alignment_around_a_boundary(machine: Machine, limits: Limits, boundary: str, length: int):
    """From wholly before to wholly behind it."""
    at, frame = limits.size(boundary), frame_of(limits.largest)
    for batch in _in_turn([load(offset, length) for offset in range(at - length - 1, at + 2)]):
        run = machine.run(frame, *batch)
        for op, result, got in zip(batch, run.results, run.loaded, strict=True):
            assert result == 0, f"{length} bytes at {op.offset}: bpf_xdp_load_bytes returned {result}"
            said = difference(got, frame[op.offset : op.offset + length])
            assert not said, f"{length} bytes at {op.offset}, boundary {at}: {said}"


@cases("boundary", BOUNDARIES)
@cases("length", [1, 8, 61])
def test_store_at_every_alignment_around_a_boundary(machine: Machine, limits: Limits, boundary: str, length: int):
    """Each store, on a frame of its own, changes its bytes and no other."""
    at, frame, ink = limits.size(boundary), frame_of(limits.largest), bytes(range(1, 252))[::-1][:length]
    for offset in range(at - length - 1, at + 2, 1 if length < 16 else 12):
        run = machine.run(frame, store(offset, ink))
        assert run.results == (0,), f"{length} bytes at {offset}: bpf_xdp_store_bytes returned {run.results[0]}"
        expected = frame[:offset] + ink + frame[offset + length :]
        assert not difference(run.data, expected), f"{length} bytes at {offset}: {difference(run.data, expected)}"


@cases("frame", ["60", "linear", "linear+1", "linear+page", "9000", "linear+5page+7"])
def test_load_a_whole_frame(machine: Machine, limits: Limits, frame: str):
    size = limits.size(frame)
    run = machine.run(frame_of(size), load(0, size), load(1, size - 1), load(0, size - 1))
    assert run.results == (0, 0, 0), f"frame {size} loaded whole: {run.results}"
    for got, expected in zip(run.loaded, (frame_of(size), frame_of(size)[1:], frame_of(size - 1)), strict=True):
        assert not difference(got, expected), f"frame {size}: {difference(got, expected)}"


@cases("frame", ["60", "linear", "linear+1", "linear+page", "9000", "linear+5page+7"])
def test_store_a_whole_frame(machine: Machine, limits: Limits, frame: str):
    size = limits.size(frame)
    ink = frame_of(size)[::-1]
    run = machine.run(frame_of(size), store(0, ink), load(0, size))
    assert run.results == (0, 0), f"frame {size} stored whole: {run.results}"
    assert not difference(run.loaded[1], ink), difference(run.loaded[1], ink)
    assert not difference(run.data, ink), difference(run.data, ink)


def test_load_the_most_there_can_be(machine: Machine, limits: Limits):
    """64 KiB less one byte at a time, from 0 and to the largest frame's end."""
    frame = frame_of(limits.largest)
    tail = limits.largest - OFFSET_LIMIT
    run = machine.run(frame, load(0, OFFSET_LIMIT), load(tail, OFFSET_LIMIT), load(OFFSET_LIMIT, tail))
    assert run.results == (0, 0, 0), f"{OFFSET_LIMIT} bytes of {limits.largest}: {run.results}"
    for got, expected in zip(run.loaded, (frame[:OFFSET_LIMIT], frame[tail:], frame[OFFSET_LIMIT:]), strict=True):
        assert not difference(got, expected), difference(got, expected)


OUT_OF_RANGE = [
    ("60", "0", "61", "EINVAL"),
    ("60", "60", "1", "EINVAL"),
    ("60", "59", "2", "EINVAL"),
    ("linear", "linear", "1", "EINVAL"),
    ("linear+1", "linear", "2", "EINVAL"),
    ("linear+1", "linear+1", "1", "EINVAL"),
    ("9000", "0", "9001", "EINVAL"),
    ("9000", "8999", "2", "EINVAL"),
    ("9000", "9000", "1", "EINVAL"),
    ("9000", "16page-1", "16page-1", "EINVAL"),
    ("9000", "16page", "1", "EFAULT"),
    ("largest", "16page", "1", "EFAULT"),
    ("largest", "0", "16page", "EFAULT"),
    ("9000", "-1", "1", "EFAULT"),
    ("9000", "-100", "200", "EFAULT"),
]


@cases("frame, offset, length, error", OUT_OF_RANGE)
def test_out_of_range_is_refused(machine: Machine, limits: Limits, frame: str, offset: str, length: str, error: str):
    """-EINVAL past the frame, -EFAULT past 64 KiB; no byte moves either way."""
    size, at, count = limits.size(frame), limits.size(offset) % (1 << 32), limits.size(length)
    run = machine.run(frame_of(size), load(at, count), store(at, b"\xab" * count))
    code = -getattr(errno, error)
    assert run.results == (code, code), f"{count} bytes at {offset} of {size}: {run.results}, expected -{error}"
    # The kernel clears a load's buffer that it cannot fill, or leaves it; the frame's bytes never show.
    assert set(run.loaded[0]) <= {0xEE, 0}, f"{count} bytes at {offset} of {size}: refused, but bytes were loaded"
    assert not difference(run.data, frame_of(size)), f"refused store wrote: {difference(run.data, frame_of(size))}"


@pytest.mark.usefixtures("header_split")
@cases("head", [14, 15, 63, 64, 65])
def test_load_and_store_over_a_header_split(machine: Machine, head: int):
    frame, ink = frame_of(5000), b"\xab" * 32
    run = machine.run(frame, load(head - 7, 31), store(head - 9, ink[:20]), load(0, 5000), split=head)
    expected = frame[: head - 9] + ink[:20] + frame[head + 11 :]
    assert run.results == (0, 0, 0), f"split at {head}: {run.results}"
    assert not difference(run.loaded[0], frame[head - 7 : head + 24]), difference(run.loaded[0], frame[head - 7 :][:31])
    assert not difference(run.loaded[2], expected), difference(run.loaded[2], expected)
    assert not difference(run.data, expected), difference(run.data, expected)
