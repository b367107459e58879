"""A tracing program on the entry or the exit of an XDP program captures the frame: bpf_xdp_output, every byte of it.

Rules: net/core/filter.c:bpf_xdp_event_output, bpf_xdp_get_buff_len_trace_proto; kernel/bpf/verifier.c:
bpf_check_attach_target.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator

import pytest
from bpf.libbpf import Object, find_object
from bpf.perf_ring import PerfRing
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import XDP_TX, Limits, Machine, adjust_head, adjust_tail, difference, frame_of, store

COOKIE = 4  # bytes of the program's own before the frame's
ENTRY, EXIT = 1, 2
_TRACE = struct.Struct("<IIIIii")


class Tracer:
    """The tracing programs, loaded for the machine's program with frags support, and the ring they write into.

    Each is attached once: the kernel lets go of a tracing program's target when its link goes.
    """

    def __init__(self, machine: Machine, ring: PerfRing, cpu: int) -> None:
        self.object = Object(find_object("xdp_multibuf", "trace"), target=(machine.frags, "frags_machine"))
        self._trace = self.object.map("traces").memory()
        self._ring = ring
        assert self.object.map("captured").update(cpu, ring.fd) == 0

    def prepare(self, where: int, more: int = 0) -> None:
        """Capture at the entry or at the exit. more: bytes to ask for beyond the frame."""
        self._trace[: _TRACE.size] = _TRACE.pack(where, more, 0, 0, 1, -1)
        list(self._ring.samples())

    @property
    def seen(self) -> tuple[int, int, int, int]:
        """Length at the entry, length at the exit, what bpf_xdp_output returned, the traced program's return code."""
        return _TRACE.unpack(self._trace[: _TRACE.size])[2:]

    def captured(self, length: int) -> list[bytes]:
        """What came, each cut to `length` bytes: a sample is padded."""
        return [sample[COOKIE : COOKIE + length] for sample in self._ring.samples()]


@pytest.fixture(scope="module")
def tracer(machine: Machine) -> Iterator[Tracer]:
    """This test's CPU sends its samples to the ring; skips without perf events or without tracing of BPF programs."""
    cpu = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    try:
        ring = PerfRing(cpu)
    except OSError as error:
        pytest.skip(f"the kernel has no perf events for BPF output: {error}")
    with ring:
        made = Tracer(machine, ring, cpu)
        with made.object, made.object.attached("on_entry"), made.object.attached("on_exit"):
            yield made


FRAMES = ("60", "linear", "linear+1", "linear+page", "9000", "linear+14page+123")


@cases("frame", FRAMES)
def test_capture_on_entry(machine: Machine, limits: Limits, tracer: Tracer, frame: str):
    """The frame as it came, linear part and fragments, and its length."""
    size = limits.size(frame)
    tracer.prepare(ENTRY)
    machine.run(frame_of(size), adjust_tail(-20))
    length, _, result, _ = tracer.seen
    assert (length, result) == (size, 0), f"{size} bytes at the entry: length {length}, bpf_xdp_output said {result}"
    (got,) = tracer.captured(size)
    assert not difference(got, frame_of(size)), f"{size} bytes captured: {difference(got, frame_of(size))}"


@cases("frame", FRAMES)
def test_capture_on_exit(machine: Machine, limits: Limits, tracer: Tracer, frame: str):
    """The frame as the program left it, and the program's return code."""
    size = limits.size(frame)
    changes = (adjust_head(8), adjust_tail(-20), store(size - 28 - 16, b"\xab" * 16))
    tracer.prepare(EXIT)
    run = machine.run(frame_of(size), *changes, action=XDP_TX)
    left = frame_of(size)[8 : size - 36] + b"\xab" * 16
    assert run.results == (0, 0, 0), f"{size} bytes: head, tail, store = {run.results}"
    assert tracer.seen[1:] == (len(left), 0, XDP_TX), f"length, bpf_xdp_output, action at the exit: {tracer.seen[1:]}"
    (got,) = tracer.captured(len(left))
    assert not difference(got, left), f"{len(left)} bytes captured: {difference(got, left)}"


@cases("frame", FRAMES)
def test_capture_past_the_frame_is_refused(machine: Machine, limits: Limits, tracer: Tracer, frame: str):
    size = limits.size(frame)
    tracer.prepare(ENTRY, more=1)
    machine.run(frame_of(size))
    assert tracer.seen[2] == -errno.EFAULT, f"{size + 1} of {size} bytes: {tracer.seen[2]}, expected -EFAULT"
    assert not tracer.captured(size), "refused, but a sample came"
