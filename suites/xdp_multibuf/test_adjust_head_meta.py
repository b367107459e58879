"""bpf_xdp_adjust_head and bpf_xdp_adjust_meta, on linear frames and on fragmented ones.

Rules: net/core/filter.c:bpf_xdp_adjust_head, bpf_xdp_adjust_meta; include/net/xdp.h:xdp_metalen_invalid.
"""

from __future__ import annotations

import errno

import pytest
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import (
    LENGTH,
    LINEAR,
    METADATA,
    PEEK_META,
    Limits,
    Machine,
    adjust_head,
    adjust_meta,
    difference,
    frame_of,
    load,
    peek,
    poke_meta,
)

FRAMES = ("60", "linear", "linear+1", "9000", "largest")


@cases("frame", FRAMES)
@cases("by", [1, 14, 46])
def test_pull_the_head(machine: Machine, limits: Limits, frame: str, by: int):
    """The frame loses its first bytes; offsets count from the new start."""
    size = limits.size(frame)
    run = machine.run(
        frame_of(size), adjust_head(by), LENGTH, LINEAR, peek(0), load(size - by - 8 if size < 60000 else 8, 8)
    )
    linear = min(size, limits.linear) - by
    assert run.results == (0, size - by, linear, frame_of(size)[by], 0), f"frame {size}, head +{by}: {run.results}"
    assert not difference(run.data, frame_of(size)[by:]), difference(run.data, frame_of(size)[by:])
    expected = frame_of(size)[-8:] if size < 60000 else frame_of(size)[by + 8 : by + 16]
    assert not difference(run.loaded[4], expected), f"frame {size}, head +{by}: {difference(run.loaded[4], expected)}"


@cases("frame", FRAMES)
@cases("by", [1, 14, 128])
def test_push_the_head(machine: Machine, limits: Limits, frame: str, by: int):
    """The headroom becomes frame; what follows it is unchanged."""
    size = limits.size(frame)
    run = machine.run(frame_of(size), adjust_head(-by), LENGTH, LINEAR)
    expected = (0, size + by, min(size, limits.linear) + by)
    assert run.results == expected, f"frame {size}, head -{by}: result, length, linear = {run.results}"
    assert run.size == size + by, f"frame {size}, head -{by}: data_size_out is {run.size}"
    assert not difference(run.data[by:], frame_of(size)), difference(run.data[by:], frame_of(size))


@cases("frame", FRAMES)
def test_pulling_leaves_an_ethernet_header_in_the_linear_part(machine: Machine, limits: Limits, frame: str):
    """The limit is the linear part's end, not the frame's."""
    size = limits.size(frame)
    linear = min(size, limits.linear)
    run = machine.run(frame_of(size), adjust_head(linear - 13), LENGTH, adjust_head(linear - 14), LENGTH, LINEAR)
    expected = (-errno.EINVAL, size, 0, size - linear + 14, 14)
    assert run.results == expected, f"frame {size}: pulled by {linear - 13}, then {linear - 14}: {run.results}"
    assert not difference(run.data, frame_of(size)[linear - 14 :]), difference(run.data, frame_of(size)[linear - 14 :])


@cases("frame", FRAMES)
def test_pushing_ends_before_the_frame_header(machine: Machine, limits: Limits, frame: str):
    """struct xdp_frame keeps the start of the headroom."""
    size, room = limits.size(frame), limits.headroom - limits.frame_header
    run = machine.run(frame_of(size), adjust_head(-room - 1), LENGTH, adjust_head(-room), LENGTH, adjust_head(-1))
    expected = (-errno.EINVAL, size, 0, size + room, -errno.EINVAL)
    assert run.results == expected, f"frame {size}: pushed by {room + 1}, {room}, 1 more: {run.results}"


@cases("frame", ["60", "9000", "largest"])
def test_push_and_pull_cancel(machine: Machine, limits: Limits, frame: str):
    size = limits.size(frame)
    run = machine.run(frame_of(size), adjust_head(-64), adjust_head(64), LENGTH)
    assert run.results == (0, 0, size), f"frame {size}: {run.results}"
    assert not difference(run.data, frame_of(size)), difference(run.data, frame_of(size))


@cases("frame", FRAMES)
@cases("by", [4, 32])
def test_make_metadata(machine: Machine, limits: Limits, frame: str, by: int):
    """Metadata comes out of the headroom: not counted in the length, but handed back before the frame."""
    size = limits.size(frame)
    run = machine.run(frame_of(size), adjust_meta(-by), METADATA, LENGTH, LINEAR, poke_meta(0xAB), PEEK_META)
    linear = min(size, limits.linear)
    assert run.results == (0, by, size, linear, 0, 0xAB), f"frame {size}, {by} bytes of metadata: {run.results}"
    assert run.size == size + by, f"frame {size}, {by} bytes of metadata: data_size_out is {run.size}"
    assert run.data[0] == 0xAB
    assert not difference(run.data[by:], frame_of(size)), difference(run.data[by:], frame_of(size))


@cases("frame", ["60", "9000"])
def test_ctx_out_tells_the_metadata(machine: Machine, limits: Limits, frame: str):
    """ctx_out's data is the metadata's size and data_end the linear part's end, both from data_meta."""
    size = limits.size(frame)
    run = machine.run(frame_of(size), adjust_meta(-8), split=size)
    assert (run.error, run.meta, run.linear) == ("", 8, 8 + min(size, limits.linear))


@cases("frame", ["60", "9000"])
def test_metadata_sizes_that_are_refused(machine: Machine, limits: Limits, frame: str):
    """Whole words only (-EACCES), inside the headroom (-EINVAL), never behind the data (-EINVAL)."""
    size = limits.size(frame)
    too_far = limits.headroom - limits.frame_header + 4
    run = machine.run(frame_of(size), *(adjust_meta(by) for by in (-1, -6, -31, 1, 4, -too_far)), METADATA, LENGTH)
    refused, outside = -errno.EACCES, -errno.EINVAL
    expected = (refused, refused, refused, outside, outside, outside, 0, size)
    assert run.results == expected, f"frame {size}: adjust_meta by -1, -6, -31, 1, 4, -{too_far}: {run.results}"


@cases("frame", ["60", "9000"])
def test_metadata_has_a_largest_size(machine: Machine, limits: Limits, frame: str):
    """32 bytes, or up to what the headroom holds where the kernel takes more than 32 (since 6.5)."""
    size, room = limits.size(frame), limits.headroom - limits.frame_header
    run = machine.run(frame_of(size), *(adjust_meta(-by) for by in (32, 4, room - 36)), METADATA)
    first, second, third, metadata = run.results
    assert first == 0, f"frame {size}: 32 bytes of metadata: {first}"
    if second == -errno.EACCES:
        assert (third, metadata) == (-errno.EACCES, 32), f"36 bytes are refused, but then {run.results}"
    else:
        assert (second, third, metadata) == (0, 0, room), f"frame {size}: 36, then {room} bytes: {run.results}"


@cases("frame", ["60", "9000", "largest"])
def test_metadata_moves_with_the_head(machine: Machine, limits: Limits, frame: str):
    """adjust_head takes the metadata along, its bytes too."""
    size = limits.size(frame)
    moves = (adjust_meta(-8), poke_meta(0xAB), adjust_head(-20), METADATA, PEEK_META, LENGTH)
    run = machine.run(frame_of(size), *moves, adjust_head(30), METADATA, PEEK_META, LENGTH)
    expected = (0, 0, 0, 8, 0xAB, size + 20, 0, 8, 0xAB, size - 10)
    assert run.results == expected, f"frame {size}: {run.results}"
    assert not difference(run.data[8:], frame_of(size)[10:]), difference(run.data[8:], frame_of(size)[10:])


@cases("frame", ["60", "9000"])
def test_metadata_leaves_less_room_for_the_head(machine: Machine, limits: Limits, frame: str):
    size, room = limits.size(frame), limits.headroom - limits.frame_header
    run = machine.run(frame_of(size), adjust_meta(-16), adjust_head(-room + 15), adjust_head(-room + 16), LENGTH)
    assert run.results == (0, -errno.EINVAL, 0, size + room - 16), f"frame {size}: {run.results}"


@pytest.mark.usefixtures("header_split")
def test_pulling_after_a_header_split(machine: Machine):
    """Only the short linear part can be pulled."""
    run = machine.run(frame_of(9000), adjust_head(51), adjust_head(50), LENGTH, LINEAR, split=64)
    assert run.results == (-errno.EINVAL, 0, 8950, 14), f"split at 64: {run.results}"
    assert not difference(run.data, frame_of(9000)[50:]), difference(run.data, frame_of(9000)[50:])
