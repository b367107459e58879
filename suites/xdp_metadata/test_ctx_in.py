"""Metadata that test_run takes with a frame: which sizes, and every byte of it.

Rules: net/bpf/test_run.c:bpf_prog_test_run_xdp, xdp_convert_md_to_buff; include/net/xdp.h:xdp_metalen_invalid.
"""

from __future__ import annotations

import pytest
from net.wire import difference, ethernet
from xdp_metadata.lab import Limits
from xdp_metadata.script import LENGTH, METADATA, READ, WRITE, Programs, Stage, marks
from xdp_multibuf.cases import cases

SMALL = list(range(4, 36, 4))
LARGE = [36, 64, 100, 128, 216]
REFUSED = [1, 2, 3, 5, 6, 7, 30, 31, 33, 35]


def _seen_whole(programs: Programs, frame: bytes, size: int) -> None:
    """One frame with `size` bytes of metadata: the program and the caller see them all, and nothing is mixed up."""
    given = marks(size)
    run = programs.run(frame, METADATA, LENGTH, READ, metadata=given)
    what = f"a frame of {len(frame)} bytes with {size} bytes of metadata"
    assert not run.error, f"{what}: test_run said {run.error}"
    assert run.results == (size, len(frame), size), f"{what}: metadata, length, bytes read = {run.results}"
    assert not difference(run.read[:size], given), f"{what}: {difference(run.read[:size], given)}"
    assert run.meta == size, f"{what}: ctx_out says {run.meta} bytes"
    assert not difference(run.data, given + frame), f"{what}, data_out: {difference(run.data, given + frame)}"


@cases("frame", [60, 9000])
@cases("size", SMALL)
def test_small_metadata(programs: Programs, size: int, frame: int):
    _seen_whole(programs, ethernet(frame), size)


@cases("frame", [60, 9000])
@cases("size", LARGE)
def test_large_metadata(programs: Programs, limits: Limits, size: int, frame: int):
    """More than 32 bytes, where the kernel's rule is the width of skb_shared_info::meta_len."""
    limits.require(size)
    _seen_whole(programs, ethernet(frame), size)


@cases("size", REFUSED)
def test_metadata_is_whole_words(programs: Programs, size: int):
    run = programs.run(ethernet(256), METADATA, metadata=marks(size))
    assert run.error == "EINVAL", f"{size} bytes of metadata: test_run said {run.error or 'success'}"
    assert programs.runs(Stage.FIRST) == 0, f"{size} bytes of metadata: refused, but the program ran"


@cases("more", [4, 8, 36, 1000])
def test_metadata_has_a_largest_size(programs: Programs, limits: Limits, more: int):
    """The rule's limit, or the headroom less struct xdp_frame where that is less; the largest itself is taken."""
    _seen_whole(programs, ethernet(1400), limits.largest)
    size = limits.largest + more
    run = programs.run(ethernet(1400), METADATA, metadata=marks(size))
    assert run.error == "EINVAL", f"{size} bytes of metadata: test_run said {run.error or 'success'}"
    assert programs.runs(Stage.FIRST) == 0, f"{size} bytes of metadata: refused, but the program ran"


@cases("size", [4, 32])
def test_the_frame_behind_it_has_an_ethernet_header(programs: Programs, size: int):
    """14 bytes behind the metadata are enough, 13 are not."""
    _seen_whole(programs, ethernet(14), size)
    run = programs.run(ethernet(14)[:13], METADATA, metadata=marks(size))
    assert run.error == "EINVAL", f"13 bytes behind {size} bytes of metadata: test_run said {run.error or 'success'}"


@cases("frame", [60, 9000])
def test_the_program_writes_over_what_was_given(programs: Programs, frame: int):
    whole = ethernet(frame)
    run = programs.run(whole, WRITE, READ, metadata=marks(16), write=marks(16, 40))
    assert run.results == (16, 16), f"bytes written and read: {run.results}"
    assert not difference(run.data, marks(16, 40) + whole), difference(run.data, marks(16, 40) + whole)


@cases("head", [14, 64, 1000])
@cases("size", [4, 32])
def test_metadata_before_a_header_split(programs: Programs, size: int, head: int):
    """ctx_in's data_end counts the metadata: it chooses the split, and takes nothing from either side."""
    frame = ethernet(9000)
    run = programs.run(frame, METADATA, LENGTH, READ, metadata=marks(size), split=size + head)
    if run.error == "EINVAL" and programs.run(frame, METADATA, split=head).error == "EINVAL":
        pytest.skip("the kernel's test_run cannot split a frame at ctx.data_end")
    assert not run.error, f"{size} bytes of metadata, split at {head}: test_run said {run.error}"
    assert run.results == (size, 9000, size), f"metadata, length, bytes read = {run.results}"
    assert (run.meta, run.linear) == (size, size + head), f"ctx_out: data {run.meta}, data_end {run.linear}"
    assert not difference(run.data, marks(size) + frame), difference(run.data, marks(size) + frame)
