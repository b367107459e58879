"""bpf_xdp_adjust_meta and what the other adjusting helpers do to metadata, byte for byte, over test_run.

Rules: net/core/filter.c:bpf_xdp_adjust_meta, bpf_xdp_adjust_head; include/net/xdp.h:xdp_metalen_invalid.
"""

from __future__ import annotations

import errno

from net.wire import difference, ethernet
from xdp_metadata.lab import Limits
from xdp_metadata.script import (
    LENGTH,
    METADATA,
    READ,
    WRITE,
    Programs,
    adjust_head,
    adjust_meta,
    adjust_tail,
    marks,
)
from xdp_multibuf.cases import cases

FRAMES = [128, 9000]
INT_MAX, INT_MIN = (1 << 31) - 1, -(1 << 31)


@cases("by", [-128, -14, -4, 1, 4, 14])
@cases("size", [4, 32])
@cases("frame", FRAMES)
def test_the_head_takes_metadata_along(programs: Programs, frame: int, size: int, by: int):
    """Also where the old place and the new one overlap; the frame itself loses or wins what was asked, no more."""
    whole = ethernet(frame)
    run = programs.run(whole, adjust_meta(-size), WRITE, adjust_head(by), METADATA, LENGTH, READ, write=marks(size))
    what = f"{size} bytes of metadata, head moved by {by}"
    assert run.results == (0, size, 0, size, frame - by, size), f"{what}: {run.results}"
    assert not difference(run.read[:size], marks(size)), f"{what}: {difference(run.read[:size], marks(size))}"
    got, expected = run.data[size - min(by, 0) :], whole[max(by, 0) :]
    assert not difference(got, expected), f"{what}: the frame: {difference(got, expected)}"


@cases("by", [-16, 4, 30])
@cases("frame", FRAMES)
def test_the_head_takes_the_largest_metadata_along(programs: Programs, limits: Limits, frame: int, by: int):
    size = limits.largest - 16
    steps = (adjust_meta(-size), WRITE, adjust_head(by), READ)
    run = programs.run(ethernet(frame), *steps, write=marks(size))
    assert run.results == (0, size, 0, size), f"{size} bytes of metadata, head moved by {by}: {run.results}"
    assert not difference(run.read[:size], marks(size)), difference(run.read[:size], marks(size))


@cases("frame", FRAMES)
def test_metadata_shrinks_and_grows_at_its_start(programs: Programs, frame: int):
    """Its end is where the frame starts, so its last bytes stay; bytes given up come back as they were."""
    steps = (adjust_meta(-32), WRITE, adjust_meta(12), READ)
    shrunk = programs.run(ethernet(frame), *steps, write=marks(32))
    assert shrunk.results == (0, 32, 0, 20), f"32 bytes of metadata less 12: {shrunk.results}"
    assert not difference(shrunk.read[:20], marks(32)[12:]), difference(shrunk.read[:20], marks(32)[12:])
    grown = programs.run(ethernet(frame), *steps[:3], adjust_meta(-12), READ, write=marks(32))
    assert grown.results == (0, 32, 0, 0, 32), f"32 bytes of metadata less 12 and 12 more: {grown.results}"
    assert not difference(grown.read[:32], marks(32)), difference(grown.read[:32], marks(32))


@cases("frame", FRAMES)
@cases("size", [4, 32])
def test_metadata_given_up(programs: Programs, frame: int, size: int):
    """No metadata is left, and what comes out is the frame alone."""
    steps = (adjust_meta(-size), WRITE, adjust_meta(size), METADATA, READ)
    run = programs.run(ethernet(frame), *steps, write=marks(size))
    assert run.results == (0, size, 0, 0, 0), f"{size} bytes of metadata given up: {run.results}"
    assert run.meta == 0, f"ctx_out says {run.meta} bytes of metadata"
    assert not difference(run.data, ethernet(frame)), difference(run.data, ethernet(frame))


@cases("by", [-60, 100])
@cases("frame", FRAMES)
def test_the_tail_leaves_metadata_alone(programs: Programs, frame: int, by: int):
    steps = (adjust_meta(-32), WRITE, adjust_tail(by), METADATA, LENGTH, READ)
    run = programs.run(ethernet(frame), *steps, write=marks(32))
    assert run.results == (0, 32, 0, 32, frame + by, 32), f"tail moved by {by}: {run.results}"
    assert not difference(run.read[:32], marks(32)), difference(run.read[:32], marks(32))


def test_every_size_that_is_taken(programs: Programs, limits: Limits):
    """Each whole number of words up to the largest, in one step; nothing between."""
    for size in range(1, limits.largest + 1):
        run = programs.run(ethernet(128), adjust_meta(-size), METADATA)
        expected = (-errno.EACCES, 0) if size % 4 else (0, size)
        assert run.results == expected, f"{size} bytes of metadata: result, size = {run.results}"


@cases("frame", FRAMES)
def test_the_size_limit_holds_where_there_is_more_headroom(programs: Programs, limits: Limits, frame: int):
    """Pulling the head makes room for more than the rule allows: the width of skb_shared_info::meta_len, or 32."""
    steps = (adjust_head(100), adjust_meta(-limits.rule - 4), adjust_meta(-limits.rule), adjust_meta(-4), METADATA)
    run = programs.run(ethernet(frame), *steps)
    expected = (0, -errno.EACCES, 0, -errno.EACCES, limits.rule)
    assert run.results == expected, f"head +100, then {limits.rule + 4}, {limits.rule}, 4 more bytes: {run.results}"


@cases("frame", FRAMES)
@cases("size", [4, 16, 32])
def test_metadata_and_head_share_the_headroom(programs: Programs, limits: Limits, frame: int, size: int):
    """The head ends where struct xdp_frame and the metadata need their place, to the byte."""
    rest = limits.room - size
    moves = (adjust_head(-rest - 1), adjust_head(-rest), METADATA, LENGTH, READ)
    run = programs.run(ethernet(frame), adjust_meta(-size), WRITE, *moves, write=marks(size))
    expected = (0, size, -errno.EINVAL, 0, size, frame + rest, size)
    assert run.results == expected, f"{size} bytes of metadata, head -{rest + 1}, head -{rest}: {run.results}"
    assert not difference(run.read[:size], marks(size)), difference(run.read[:size], marks(size))


@cases("frame", FRAMES)
def test_metadata_ends_before_the_frame_header(programs: Programs, limits: Limits, frame: int):
    """After a pushed head, only what is left of the headroom can be metadata."""
    steps = (adjust_head(-limits.room + 8), adjust_meta(-12), adjust_meta(-8), adjust_meta(-4), METADATA)
    run = programs.run(ethernet(frame), *steps)
    expected = (0, -errno.EINVAL, 0, -errno.EINVAL, 8)
    assert run.results == expected, f"8 bytes of headroom left, 12, 8, 4 more bytes asked: {run.results}"


@cases("by", [1, 4, 4096, INT_MAX, INT_MIN])
def test_metadata_is_never_behind_the_frame_or_far_before_it(programs: Programs, by: int):
    run = programs.run(ethernet(128), adjust_meta(by), METADATA, adjust_meta(-4), METADATA)
    assert run.results == (-errno.EINVAL, 0, 0, 4), f"metadata moved by {by}, then by -4: {run.results}"


@cases("frame", FRAMES)
def test_a_refused_move_changes_nothing(programs: Programs, limits: Limits, frame: int):
    steps = (adjust_meta(-16), WRITE, adjust_meta(17), adjust_head(-limits.room), adjust_meta(-3), METADATA, READ)
    run = programs.run(ethernet(frame), *steps, write=marks(16))
    refused = (-errno.EINVAL, -errno.EINVAL, -errno.EACCES)
    assert run.results == (0, 16, *refused, 16, 16), f"three moves that are refused: {run.results}"
    assert not difference(run.data, marks(16) + ethernet(frame)), difference(run.data, marks(16) + ethernet(frame))
