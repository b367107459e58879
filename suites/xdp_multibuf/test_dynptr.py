"""Dynptrs over XDP frames: reads, writes and slices at every alignment across fragments.

Rules: net/core/filter.c:bpf_dynptr_from_xdp; kernel/bpf/helpers.c:bpf_dynptr_read, bpf_dynptr_write, bpf_dynptr_slice,
bpf_dynptr_slice_rdwr, bpf_dynptr_check_off_len.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest
from bpf.libbpf import has_function
from xdp_multibuf.cases import cases
from xdp_multibuf.dynptr import MOST, SLICE, Dynptr, Request, read, slice_of, write, write_slice
from xdp_multibuf.machine import Limits, Machine, difference, frame_of, ink

IN_FRAME, IN_BUFFER = 1, 2
BOUNDARIES = ("linear", "linear+page", "linear+2page")


@pytest.fixture(scope="module")
def dynptr(machine: Machine) -> Iterator[Dynptr]:
    """The program; skips where the kernel has no dynptrs over XDP frames (before 6.4)."""
    for name in ("bpf_dynptr_from_xdp", "bpf_dynptr_slice", "bpf_dynptr_slice_rdwr"):
        if not has_function(name):
            pytest.skip(f"the kernel has no kfunc {name}")
    loaded = Dynptr()
    with loaded.object:
        yield loaded


def _in_turn(requests: list[Request]) -> Iterator[list[Request]]:
    """As many requests at a time as one run takes."""
    for start in range(0, len(requests), MOST):
        yield requests[start : start + MOST]


@cases("frame", ["60", "linear", "linear+1", "9000", "linear+14page"])
def test_read_and_write_a_whole_frame(dynptr: Dynptr, limits: Limits, frame: str):
    size = limits.size(frame)
    answer = dynptr.run(frame_of(size), read(0, size), write(0, ink(size)), read(0, size))
    assert answer.results == (0, 0, 0), f"frame {size} read, written, read whole: {answer.results}"
    assert not difference(answer.got[0], frame_of(size)), difference(answer.got[0], frame_of(size))
    assert not difference(answer.got[2], ink(size)), difference(answer.got[2], ink(size))
    assert not difference(answer.data, ink(size)), difference(answer.data, ink(size))


@cases("boundary", BOUNDARIES)
def test_slice_at_every_alignment_around_a_boundary(dynptr: Dynptr, limits: Limits, boundary: str):
    """A pointer into the frame where the slice is in one buffer, else a copy; the same bytes either way."""
    at, frame = limits.size(boundary), frame_of(limits.linear + 3 * limits.page)
    for requests in _in_turn([slice_of(offset) for offset in range(at - SLICE - 1, at + 2)]):
        answer = dynptr.run(frame, *requests)
        for request, result, got in zip(requests, answer.results, answer.got, strict=True):
            crosses = request.offset < at < request.offset + SLICE
            expected = IN_BUFFER if crosses else IN_FRAME
            assert result == expected, f"slice at {request.offset}, boundary {at}: {result}, expected {expected}"
            said = difference(got, frame[request.offset : request.offset + SLICE])
            assert not said, f"slice at {request.offset}, boundary {at}: {said}"


@cases("boundary", BOUNDARIES)
def test_written_slice_at_every_alignment_around_a_boundary(dynptr: Dynptr, limits: Limits, boundary: str):
    """What is written to a slice is in the frame, and nothing beside it."""
    at, frame = limits.size(boundary), frame_of(limits.linear + 3 * limits.page)
    for offset in range(at - SLICE - 1, at + 2):
        answer = dynptr.run(frame, write_slice(offset, ink(SLICE)))
        expected = IN_BUFFER if offset < at < offset + SLICE else IN_FRAME
        assert answer.results == (expected,), f"slice at {offset}, boundary {at}: {answer.results[0]}"
        said = difference(answer.got[0], frame[offset : offset + SLICE])
        assert not said, f"slice at {offset} before it is written, boundary {at}: {said}"
        whole = frame[:offset] + ink(SLICE) + frame[offset + SLICE :]
        assert not difference(answer.data, whole), f"slice at {offset} written: {difference(answer.data, whole)}"


@cases("boundary", BOUNDARIES)
@cases("length", [1, 8, 61])
def test_read_at_every_alignment_around_a_boundary(dynptr: Dynptr, limits: Limits, boundary: str, length: int):
    at, frame = limits.size(boundary), frame_of(limits.linear + 3 * limits.page)
    for requests in _in_turn([read(offset, length) for offset in range(at - length - 1, at + 2)]):
        answer = dynptr.run(frame, *requests)
        for request, result, got in zip(requests, answer.results, answer.got, strict=True):
            assert result == 0, f"{length} bytes at {request.offset}: bpf_dynptr_read returned {result}"
            said = difference(got, frame[request.offset : request.offset + length])
            assert not said, f"{length} bytes at {request.offset}, boundary {at}: {said}"


@cases("frame", ["60", "linear", "linear+1", "9000"])
def test_out_of_range_is_refused(dynptr: Dynptr, limits: Limits, frame: str):
    """-E2BIG for reads and writes, no pointer for slices; the frame is as it was."""
    size = limits.size(frame)
    data = ink(SLICE)
    for offset in (size - SLICE + 1, size, size + 1, 0xFFFFFFF0, 0xFFFFFFFF):
        requests = (read(offset, SLICE), write(offset, data), slice_of(offset), write_slice(offset, data))
        answer = dynptr.run(frame_of(size), *requests)
        expected = (-errno.E2BIG, -errno.E2BIG, 0, 0)
        assert answer.results == expected, f"{SLICE} bytes at {offset} of {size}: {answer.results}"
        assert not difference(answer.data, frame_of(size)), difference(answer.data, frame_of(size))
    last = dynptr.run(frame_of(size), read(size - SLICE, SLICE), slice_of(size - SLICE), read(size, 0))
    assert last.results[0] == 0, f"the last {SLICE} bytes of {size}: {last.results}"
    assert last.results[1] in (IN_FRAME, IN_BUFFER), f"a slice of the last {SLICE} bytes of {size}: {last.results}"
    assert last.got[0] == last.got[1] == frame_of(size)[-SLICE:]


def test_unknown_flags_make_no_dynptr(dynptr: Dynptr):
    """-EINVAL, and a dynptr to nothing: every use of it is refused."""
    answer = dynptr.run(frame_of(9000), read(0, 8), write(0, b"\xab" * 8), slice_of(0), flags=1)
    assert answer.made == -errno.EINVAL, f"bpf_dynptr_from_xdp with flags 1 returned {answer.made}"
    assert answer.results == (-errno.EINVAL, -errno.EINVAL, 0), f"a dynptr to nothing: {answer.results}"
    assert not difference(answer.data, frame_of(9000)), difference(answer.data, frame_of(9000))
