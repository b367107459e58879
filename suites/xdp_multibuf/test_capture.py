"""A capture program sees every byte: bpf_perf_event_output of a frame, none silently missing.

Rules: net/core/filter.c:bpf_xdp_event_output, bpf_xdp_copy, bpf_xdp_copy_buf.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest
from bpf.perf_ring import PerfRing
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import Limits, Machine, adjust_head, adjust_tail, difference, frame_of, output

COOKIE = 4  # bytes of the program's own before the frame's


@pytest.fixture(scope="module")
def ring(machine: Machine) -> Iterator[PerfRing]:
    """This test's CPU sends its samples here."""
    cpu = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    try:
        opened = PerfRing(cpu)
    except OSError as error:
        pytest.skip(f"the kernel has no perf events for BPF output: {error}")
    with opened:
        assert machine.object.map("events").update(cpu, opened.fd) == 0
        yield opened


def _captured(ring: PerfRing, length: int) -> bytes:
    (sample,) = ring.samples()
    return sample[COOKIE : COOKIE + length]


@cases("frame", ["60", "linear", "linear+1", "linear+page", "linear+page+1", "9000", "linear+14page+123"])
def test_capture_a_whole_frame(machine: Machine, limits: Limits, ring: PerfRing, frame: str):
    size = limits.size(frame)
    run = machine.run(frame_of(size), output(size))
    assert run.results == (0,), f"{size} bytes: bpf_perf_event_output returned {run.results[0]}"
    got = _captured(ring, size)
    assert not difference(got, frame_of(size)), f"{size} bytes captured: {difference(got, frame_of(size))}"


@cases("length", ["1", "64", "linear-1", "linear", "linear+1", "linear+page", "8999"])
def test_capture_the_start_of_a_frame(machine: Machine, limits: Limits, ring: PerfRing, length: str):
    count = limits.size(length)
    run = machine.run(frame_of(9000), output(count))
    assert run.results == (0,), f"{count} of 9000 bytes: bpf_perf_event_output returned {run.results[0]}"
    got = _captured(ring, count)
    assert not difference(got, frame_of(count)), f"{count} bytes captured: {difference(got, frame_of(count))}"


@cases("frame", ["60", "linear", "9000"])
def test_capture_past_the_frame_is_refused(machine: Machine, limits: Limits, ring: PerfRing, frame: str):
    size = limits.size(frame)
    run = machine.run(frame_of(size), output(size + 1))
    assert run.results == (-errno.EFAULT,), f"{size + 1} of {size} bytes: {run.results[0]}, expected -EFAULT"
    assert not list(ring.samples()), "refused, but a sample came"


def test_capture_an_adjusted_frame(machine: Machine, ring: PerfRing):
    """Head and tail that moved are the captured frame's."""
    run = machine.run(frame_of(9000), adjust_head(20), adjust_tail(-3000), output(5980), output(5981))
    assert run.results == (0, 0, 0, -errno.EFAULT), f"{run.results}"
    got = _captured(ring, 5980)
    assert not difference(got, frame_of(6000)[20:]), difference(got, frame_of(6000)[20:])
