"""What test_run takes as ctx_in, and what it hands back in data_out and ctx_out.

Rules: net/bpf/test_run.c:bpf_test_finish, bpf_ctx_init, bpf_ctx_finish, xdp_convert_md_to_buff.
"""

from __future__ import annotations

import struct

import pytest
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import (
    INGRESS,
    LENGTH,
    PEEK_META,
    QUEUE,
    Limits,
    Machine,
    adjust_tail,
    difference,
    frame_of,
    xdp_md,
)

UNTOUCHED = 0xEE
LOOPBACK = 1


@cases("frame, room", [("60", 1), ("60", 59), ("1514", 64), ("linear", 1000), ("linear", 3519)])
def test_partial_output_of_a_linear_frame(machine: Machine, limits: Limits, frame: str, room: int):
    """A data_out too small takes a prefix; -ENOSPC, and data_size_out says how much there is."""
    size = limits.size(frame)
    machine.prepare([])
    run = machine.frags.test_run(frame_of(size), out=room)
    assert run.error_name == "ENOSPC", f"{room} bytes of room for {size}: test_run said {run.error_name}"
    assert run.data_size == size, f"{room} bytes of room for {size}: data_size_out is {run.data_size}"
    assert not difference(run.data[:room], frame_of(room)), difference(run.data[:room], frame_of(room))
    assert set(run.data[room:]) == {UNTOUCHED}, f"{room} bytes of room: bytes past them were written"


PARTIAL = [
    ("linear+1", "1"),
    ("linear+1", "64"),
    ("linear+1", "linear"),
    ("9000", "64"),
    ("9000", "linear"),
    ("9000", "linear+1"),
    ("9000", "linear+page"),
    ("9000", "8999"),
    ("largest", "linear+page"),
    ("largest", "largest-1"),
]


@cases("frame, room", PARTIAL)
def test_partial_output_of_a_fragmented_frame_is_enospc(machine: Machine, limits: Limits, frame: str, room: str):
    """Whatever fits, the answer is -ENOSPC and nothing is written past the room that was offered."""
    size, offered = limits.size(frame), limits.size(room)
    machine.prepare([])
    run = machine.frags.test_run(frame_of(size), out=offered)
    assert run.error_name == "ENOSPC", f"{offered} bytes of room for {size}: test_run said {run.error_name}"
    assert run.data_size in (size, offered), f"{offered} bytes of room for {size}: data_size_out is {run.data_size}"
    assert set(run.data[offered:]) == {UNTOUCHED}, f"{offered} bytes of room: bytes past them were written"


@cases("frame, room", PARTIAL)
def test_partial_output_of_a_fragmented_frame(machine: Machine, limits: Limits, frame: str, room: str):
    """A prefix, and data_size_out says how much there is.

    Kernels up to 6.17 take what there is no room for from the linear part's end and go on with the fragments
    (bpf_test_finish: len = copy_size - xdp_frags_size). That fault is expected, by exactly the bytes that it gives.
    """
    size, offered = limits.size(frame), limits.size(room)
    whole, first = frame_of(size), limits.layout(size)[0]
    machine.prepare([])
    run = machine.frags.test_run(whole, out=offered)
    head = offered - (size - first)
    faulty = (whole[:head] + whole[first:], size) if head >= 0 else (bytes([UNTOUCHED]) * offered, offered)
    if (run.data[:offered], run.data_size) == faulty:
        pytest.xfail("the kernel takes what data_out has no room for from the linear part's end (bpf_test_finish)")
    said = difference(run.data[:offered], whole[:offered])
    assert not said, f"{offered} bytes of room for {size}: {said}"
    assert run.data_size == size, f"{offered} bytes of room for {size}: data_size_out is {run.data_size}"


@cases("frame", ["60", "linear", "9000", "largest"])
def test_size_is_reported_without_a_buffer(machine: Machine, limits: Limits, frame: str):
    size = limits.size(frame)
    machine.prepare([adjust_tail(-20)], action=3)
    run = machine.frags.test_run(frame_of(size))
    assert (run.error_name, run.data_size, run.retval) == ("success", size - 20, 3)


@cases("frame", ["60", "linear", "linear+1", "9000", "largest"])
def test_exact_room_is_enough(machine: Machine, limits: Limits, frame: str):
    size = limits.size(frame)
    machine.prepare([])
    run = machine.frags.test_run(frame_of(size), out=size)
    assert run.error_name == "success", f"{size} bytes of room for {size}: test_run said {run.error_name}"
    assert not difference(run.data[:size], frame_of(size)), difference(run.data[:size], frame_of(size))
    assert set(run.data[size:]) == {UNTOUCHED}, f"{size} bytes of room: bytes past them were written"


@cases("frame", ["60", "linear", "9000", "largest"])
def test_ctx_out_describes_the_linear_part(machine: Machine, limits: Limits, frame: str):
    """data is the metadata's size, data_end the linear part's end; nothing counts the fragments."""
    size = limits.size(frame)
    machine.prepare([])
    ran = machine.frags.test_run(frame_of(size), ctx=xdp_md(0, size), ctx_out=24)
    assert ran.error_name == "success", f"frame of {size} bytes with ctx_in: test_run said {ran.error_name}"
    assert ran.ctx_size == 24, f"ctx_size_out is {ran.ctx_size}"
    assert struct.unpack("<6I", ran.ctx[:24]) == (0, min(size, limits.linear), 0, 0, 0, 0)


def test_short_ctx_out_is_enospc(machine: Machine):
    """ctx_out takes what fits; ctx_size_out says what there is (bpf_ctx_finish)."""
    machine.prepare([])
    ran = machine.frags.test_run(frame_of(9000), out=9000, ctx=xdp_md(0, 9000), ctx_out=8)
    assert (ran.error_name, ran.ctx_size) == ("ENOSPC", 24)
    assert set(ran.ctx[8:]) == {UNTOUCHED}, "bytes past ctx_size_out were written"


def test_longer_ctx_in_must_end_in_zeros(machine: Machine):
    """As every extensible struct of the system call: unknown fields are refused unless they are zero."""
    machine.prepare([])
    zeros = machine.frags.test_run(frame_of(256), ctx=xdp_md(0, 256) + bytes(8))
    assert zeros.error_name == "success", f"ctx_in with zeros behind it: {zeros.error_name}"
    other = machine.frags.test_run(frame_of(256), ctx=xdp_md(0, 256) + b"\1" + bytes(7))
    assert other.error_name == "E2BIG", f"ctx_in with an unknown field: {other.error_name}"


BAD_CONTEXTS = {
    "data_meta is set": xdp_md(8, 256, data_meta=4),
    "data_end past the frame": xdp_md(0, 257),
    "data past data_end": xdp_md(132, 128),
    "egress device": xdp_md(0, 256, egress=LOOPBACK),
    "queue without a device": xdp_md(0, 256, queue=1),
    "queue the device has not": xdp_md(0, 256, ifindex=LOOPBACK, queue=4096),
    "metadata not a multiple of 4": xdp_md(6, 256),
    "metadata over the headroom": xdp_md(220, 256),
    "frame shorter than its header": xdp_md(248, 256),
}


@cases("context", BAD_CONTEXTS)
def test_bad_context_is_refused(machine: Machine, context: str):
    machine.prepare([LENGTH])
    ran = machine.frags.test_run(frame_of(256), ctx=BAD_CONTEXTS[context])
    assert ran.error_name == "EINVAL", f"{context}: test_run said {ran.error_name}"
    assert machine.runs == 0, f"{context}: refused, but the program ran"


def test_unknown_device_is_enodev(machine: Machine):
    machine.prepare([LENGTH])
    ran = machine.frags.test_run(frame_of(256), ctx=xdp_md(0, 256, ifindex=0x7FFFFFF0))
    assert ran.error_name == "ENODEV", f"a device that is not there: test_run said {ran.error_name}"


@cases("frame", ["256", "9000"])
def test_device_of_the_context_is_seen(machine: Machine, limits: Limits, frame: str):
    """ingress_ifindex chooses the receive queue that the program sees, and comes back in ctx_out."""
    size = limits.size(frame)
    operations = [INGRESS, QUEUE, LENGTH]
    machine.prepare(operations)
    ran = machine.frags.test_run(frame_of(size), ctx=xdp_md(0, size, ifindex=LOOPBACK), ctx_out=24)
    assert ran.error_name == "success", f"frame on the loopback device: test_run said {ran.error_name}"
    assert machine.collect(operations, ran).results == (LOOPBACK, 0, size)
    assert struct.unpack_from("<I", ran.ctx, 12) == (LOOPBACK,)


@cases("frame", ["256", "9000"])
@cases("meta", [4, 16, 32])
def test_metadata_of_the_context(machine: Machine, limits: Limits, frame: str, meta: int):
    """ctx_in's data puts that many bytes of the frame into the metadata; length and data exclude them."""
    size = limits.size(frame)
    run = machine.run(frame_of(size), LENGTH, PEEK_META, meta=meta)
    assert not run.error, f"{meta} bytes of metadata: test_run said {run.error}"
    assert run.results == (size - meta, frame_of(1)[0])
    assert (run.meta, run.size) == (meta, size)
    assert not difference(run.data, frame_of(size)), difference(run.data, frame_of(size))


@cases("flags", [1, 4, 1 << 31])
def test_unknown_flags_are_refused(machine: Machine, flags: int):
    machine.prepare([LENGTH])
    ran = machine.frags.test_run(frame_of(9000), flags=flags)
    assert ran.error_name == "EINVAL", f"flags {flags:#x}: test_run said {ran.error_name}"


def test_batch_size_needs_live_frames(machine: Machine):
    machine.prepare([LENGTH])
    ran = machine.frags.test_run(frame_of(256), batch_size=1)
    assert ran.error_name == "EINVAL", f"batch_size without live frames: test_run said {ran.error_name}"
