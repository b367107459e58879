"""Frames of every size: what the program sees, what comes back, where the limits are.

Rules: net/bpf/test_run.c:bpf_prog_test_run_xdp, include/net/xdp.h:xdp_get_buff_len.
"""

from __future__ import annotations

import pytest
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import LENGTH, LINEAR, METADATA, Limits, Machine, difference, frame_of

BOUNDARIES = (
    "60",
    "64",
    "1514",
    "linear-1",
    "linear",
    "linear+1",
    "linear+64",
    "linear+page-1",
    "linear+page",
    "linear+page+1",
    "9000",
    "linear+2page",
    "linear+3page+1",
    "linear+15page",
    "linear+16page-1",
    "linear+16page",
    "linear+16page+1",
    "largest-1",
    "largest",
)


@cases("frame", BOUNDARIES)
def test_length_as_the_program_sees_it(machine: Machine, limits: Limits, frame: str):
    """bpf_xdp_get_buff_len counts every fragment; data_end - data only the linear part."""
    size = limits.size(frame)
    run = machine.run(frame_of(size), LENGTH, LINEAR, METADATA)
    assert not run.error, f"frame of {size} bytes: test_run said {run.error}"
    length, linear, metadata = run.results
    assert length == size, f"frame of {size} bytes: bpf_xdp_get_buff_len said {length}"
    assert linear == min(size, limits.linear), f"frame of {size} bytes: the linear part has {linear} bytes"
    assert metadata == 0, f"frame of {size} bytes: {metadata} bytes of metadata that nobody asked for"


@cases("frame", BOUNDARIES)
def test_untouched_frame_comes_back_whole(machine: Machine, limits: Limits, frame: str):
    """bpf_test_finish copies the linear part and every fragment, and reports the whole size."""
    size = limits.size(frame)
    run = machine.run(frame_of(size))
    assert not run.error, f"frame of {size} bytes: test_run said {run.error}"
    assert run.size == size, f"frame of {size} bytes: data_size_out is {run.size}"
    assert not difference(run.data, frame_of(size)), f"frame of {size} bytes: {difference(run.data, frame_of(size))}"


@cases("fragments", range(1, 18))
def test_length_around_each_page(machine: Machine, limits: Limits, fragments: int):
    """A byte less than so many full fragments, as many, and a byte more."""
    for size in (limits.linear + fragments * limits.page + by for by in (-1, 0, 1)):
        run = machine.run(frame_of(size), LENGTH, LINEAR)
        assert run.error == ("ENOMEM" if size > limits.largest else ""), f"frame of {size} bytes: {run.error}"
        if not run.error:
            assert (*run.results, run.size) == (size, limits.linear, size), f"frame of {size} bytes: {run.results}"
            assert not difference(run.data, frame_of(size)), f"{size} bytes: {difference(run.data, frame_of(size))}"


@cases("frame, error", [("largest+1", "ENOMEM"), ("largest+page", "ENOMEM"), ("largest+4page", "ENOMEM")])
def test_frame_past_the_last_fragment_is_refused(machine: Machine, limits: Limits, frame: str, error: str):
    """More than MAX_SKB_FRAGS fragments are -ENOMEM, and the program never runs."""
    size = limits.size(frame)
    run = machine.run(frame_of(size), LENGTH)
    assert run.error == error, f"frame of {size} bytes: test_run said {run.error or 'success'}, expected {error}"
    assert run.runs == 0, f"frame of {size} bytes: refused, but the program ran"


@cases("frame", [0, 1, 13])
def test_frame_shorter_than_an_ethernet_header_is_refused(machine: Machine, frame: int):
    run = machine.run(frame_of(frame), LENGTH)
    assert run.error == "EINVAL", f"frame of {frame} bytes: test_run said {run.error or 'success'}, expected EINVAL"
    assert run.runs == 0, f"frame of {frame} bytes: refused, but the program ran"


def test_shortest_frame_is_an_ethernet_header(machine: Machine):
    run = machine.run(frame_of(14), LENGTH)
    assert (run.error, run.results, run.size) == ("", (14,), 14)


@cases("frame", ["60", "linear", "9000", "largest"])
@cases("action", [0, 1, 2, 3, 4, 5, 0x7FFFFFFF, 0xFFFFFFFF])
def test_return_code_is_handed_back(machine: Machine, limits: Limits, frame: str, action: int):
    """retval is whatever the program returned, known action or not."""
    run = machine.run(frame_of(limits.size(frame)), LENGTH, action=action)
    assert not run.error, f"program returning {action}: test_run said {run.error}"
    assert run.action == action, f"program returned {action}, retval is {run.action}"


SPLITS = [
    ("60", "14"),
    ("256", "128"),
    ("256", "255"),
    ("1514", "54"),
    ("linear", "64"),
    ("linear+1", "linear"),
    ("9000", "64"),
    ("9000", "page"),
    ("64+page", "64"),
    ("64+page+1", "64"),
    ("64+17page", "64"),
    ("1000+16page", "1000"),
]


@pytest.mark.usefixtures("header_split")
@cases("frame, head", SPLITS)
def test_header_split_at_data_end(machine: Machine, limits: Limits, frame: str, head: str):
    """ctx_in's data_end is the size of the linear part; the rest goes to fragments, up to its usual limit."""
    size, split = limits.size(frame), limits.size(head)
    run = machine.run(frame_of(size), LENGTH, LINEAR, split=split)
    assert not run.error, f"frame of {size} split at {split}: test_run said {run.error}"
    expected = min(split, limits.linear)
    assert run.results == (size, expected), f"frame of {size} split at {split}: length, linear = {run.results}"
    assert run.linear == expected, f"frame of {size} split at {split}: ctx_out's data_end is {run.linear}"
    assert not difference(run.data, frame_of(size)), f"split at {split}: {difference(run.data, frame_of(size))}"


@pytest.mark.usefixtures("header_split")
def test_header_split_keeps_the_fragment_limit(machine: Machine, limits: Limits):
    """A short linear part costs bytes of the whole: 17 fragments are 17 fragments."""
    size = 64 + limits.frags * limits.page
    assert machine.run(frame_of(size), split=64).error == "", f"{size} bytes in {limits.frags} fragments were refused"
    refused = machine.run(frame_of(size + 1), split=64).error
    assert refused == "ENOMEM", f"{size + 1} bytes split at 64: test_run said {refused or 'success'}, expected ENOMEM"


@pytest.mark.usefixtures("header_split")
@cases("meta", [4, 8, 32])
def test_header_split_behind_metadata(machine: Machine, limits: Limits, meta: int):
    """data_end counts from the metadata's start, as ctx_in's data does."""
    size, split = 9000, 200
    run = machine.run(frame_of(size), LENGTH, LINEAR, METADATA, split=split, meta=meta)
    assert not run.error, f"{meta} bytes of metadata and a split: test_run said {run.error}"
    assert run.results == (size - meta, split - meta, meta), f"length, linear, metadata = {run.results}"
    assert (run.meta, run.linear, run.size) == (meta, split, size)
    assert not difference(run.data, frame_of(size)), difference(run.data, frame_of(size))
