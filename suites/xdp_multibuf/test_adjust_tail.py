"""bpf_xdp_adjust_tail: grow and shrink, in the linear part, inside a fragment and across fragments.

Rules: net/core/filter.c:bpf_xdp_adjust_tail, bpf_xdp_frags_increase_tail, bpf_xdp_frags_shrink_tail.
"""

from __future__ import annotations

import errno

import pytest
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import (
    LENGTH,
    LINEAR,
    Limits,
    Machine,
    adjust_head,
    adjust_tail,
    difference,
    frame_of,
    load,
    store,
)

ETHERNET_HEADER = 14

SHRINKS = [
    ("60", "1"),
    ("1514", "1500"),
    ("linear", "1"),
    ("linear", "linear-14"),
    ("linear+1", "1"),
    ("linear+1", "2"),
    ("linear+100", "99"),
    ("linear+100", "100"),
    ("linear+100", "101"),
    ("linear+page", "1"),
    ("linear+page", "page-1"),
    ("linear+page", "page"),
    ("linear+page", "page+1"),
    ("9000", "10"),
    ("9000", "1384"),
    ("9000", "1385"),
    ("9000", "4096"),
    ("9000", "5479"),
    ("9000", "5480"),
    ("9000", "5481"),
    ("9000", "8986"),
    ("linear+2page", "page"),
    ("linear+2page", "2page-1"),
    ("linear+2page", "2page"),
    ("linear+2page", "2page+100"),
    ("linear+5page+1", "3page"),
    ("linear+5page+1", "3page+1"),
    ("largest", "1"),
    ("largest", "page"),
    ("largest", "16page"),
    ("largest", "16page+1"),
    ("largest", "17page"),
    ("largest", "17page+1"),
    ("largest", "largest-14"),
]


@cases("frame, by", SHRINKS)
def test_shrink(machine: Machine, limits: Limits, frame: str, by: str):
    """Shrinking leaves a prefix of the frame: its length, its linear part, its bytes."""
    size, less = limits.size(frame), limits.size(by)
    run = machine.run(frame_of(size), adjust_tail(-less), LENGTH, LINEAR)
    left = size - less
    assert not run.error, f"frame {size} shrunk by {less}: test_run said {run.error}"
    done, length, linear = run.results
    assert done == 0, f"frame {size}: bpf_xdp_adjust_tail(-{less}) returned {done}"
    assert length == left, f"frame {size} shrunk by {less}: bpf_xdp_get_buff_len said {length}, expected {left}"
    expected = min(left, limits.linear)
    assert linear == expected, f"frame {size} shrunk by {less}: linear part {linear}, expected {expected}"
    assert run.size == left, f"frame {size} shrunk by {less}: data_size_out is {run.size}, expected {left}"
    assert not difference(run.data, frame_of(left)), f"shrunk by {less}: {difference(run.data, frame_of(left))}"


@cases(
    "frame, left", [(frame, left) for frame in ("60", "linear", "linear+1", "9000", "largest") for left in (13, 0, -1)]
)
def test_shrink_below_an_ethernet_header_is_refused(machine: Machine, limits: Limits, frame: str, left: int):
    """14 bytes must stay; the frame is as it was."""
    size = limits.size(frame)
    run = machine.run(frame_of(size), adjust_tail(left - size), LENGTH, LINEAR)
    expected = (-errno.EINVAL, size, min(size, limits.linear))
    assert run.results == expected, f"frame {size} shrunk to {left}: result, length, linear = {run.results}"
    assert not difference(run.data, frame_of(size)), difference(run.data, frame_of(size))


@pytest.mark.usefixtures("header_split")
@cases("head, frame, by", [(64, 9000, 8936), (64, 9000, 8937), (64, 9000, 8986), (14, 9000, 8986), (100, 300, 200)])
def test_shrink_into_a_short_linear_part(machine: Machine, head: int, frame: int, by: int):
    """After a header split the fragments go first, then bytes of the linear part."""
    run = machine.run(frame_of(frame), adjust_tail(-by), LENGTH, LINEAR, split=head)
    left = frame - by
    assert run.results == (0, left, min(head, left)), f"split {head}, shrunk by {by}: {run.results}"
    assert (run.size, run.linear) == (left, min(head, left))
    assert not difference(run.data, frame_of(left)), difference(run.data, frame_of(left))


@cases("frame", ["linear+1", "9000", "largest"])
def test_shrink_byte_by_byte_over_a_boundary(machine: Machine, limits: Limits, frame: str):
    """Ten shrinks of a few bytes, the sixth and later ones past the last fragment's start."""
    size = limits.size(frame)
    last = limits.layout(size)[-1]
    steps = [max(1, last // 5)] * 10
    operations = [op for step in steps for op in (adjust_tail(-step), LENGTH)]
    run = machine.run(frame_of(size), *operations)
    expected = tuple(value for index in range(10) for value in (0, size - sum(steps[: index + 1])))
    assert run.results == expected, f"frame {size}, steps of {steps[0]}: {run.results}"
    assert not difference(run.data, frame_of(size - sum(steps))), difference(run.data, frame_of(size - sum(steps)))


GROWTHS = [
    ("60", "1"),
    ("60", "linear-60"),
    ("1514", "linear-1514"),
    ("linear-1", "1"),
    ("linear+1", "1"),
    ("linear+1", "page-1"),
    ("linear+100", "page-100"),
    ("linear+page-1", "1"),
    ("9000", "1"),
    ("9000", "2615"),
    ("9000", "2712"),
    ("linear+16page+1", "page-1"),
    ("largest-1", "1"),
    ("largest-100", "100"),
]


@cases("frame, by", GROWTHS)
def test_grow(machine: Machine, limits: Limits, frame: str, by: str):
    """The last buffer grows into its tailroom; the new bytes are zero and counted."""
    size, more = limits.size(frame), limits.size(by)
    run = machine.run(frame_of(size), adjust_tail(more), LENGTH, LINEAR)
    assert not run.error, f"frame {size} grown by {more}: test_run said {run.error}"
    linear = size + more if size <= limits.linear else limits.linear
    assert run.results == (0, size + more, linear), f"frame {size} grown by {more}: {run.results}"
    expected = frame_of(size) + bytes(more)
    assert not difference(run.data, expected), f"frame {size} grown by {more}: {difference(run.data, expected)}"


REFUSED_GROWTHS = [
    ("60", "linear-59"),
    ("linear", "1"),
    ("linear", "page"),
    ("linear+1", "page"),
    ("linear+page", "1"),
    ("9000", "2713"),
    ("9000", "page"),
    ("largest", "1"),
    ("largest-1", "2"),
]


@cases("frame, by", REFUSED_GROWTHS)
def test_grow_beyond_the_tailroom_is_refused(machine: Machine, limits: Limits, frame: str, by: str):
    """-EINVAL, and the frame is as it was. No new fragment is ever added."""
    size, more = limits.size(frame), limits.size(by)
    run = machine.run(frame_of(size), adjust_tail(more), LENGTH, LINEAR)
    expected = (-errno.EINVAL, size, min(size, limits.linear))
    assert run.results == expected, f"frame {size} grown by {more}: result, length, linear = {run.results}"
    assert not difference(run.data, frame_of(size)), difference(run.data, frame_of(size))


@cases("frame", ["60", "linear", "linear+1", "9000", "largest"])
def test_adjusting_by_nothing_changes_nothing(machine: Machine, limits: Limits, frame: str):
    size = limits.size(frame)
    run = machine.run(frame_of(size), adjust_tail(0), LENGTH)
    assert run.results == (0, size), f"frame {size}: adjust_tail(0), length = {run.results}"
    assert not difference(run.data, frame_of(size)), difference(run.data, frame_of(size))


@cases(
    "frame, by",
    [("1514", 100), ("linear", 64), ("linear+200", 100), ("9000", 1000), ("linear+page", 4000), ("linear+3page", 1)],
)
def test_grown_bytes_are_zero_where_data_was(machine: Machine, limits: Limits, frame: str, by: int):
    """Shrink and grow again: what was there must not come back (bpf_xdp_frags_increase_tail clears it)."""
    size = limits.size(frame)
    run = machine.run(frame_of(size), adjust_tail(-by), adjust_tail(by), LENGTH, load(size - by, by))
    assert run.results == (0, 0, size, 0), f"frame {size}, {by} less and more: {run.results}"
    assert not any(run.loaded[3]), f"frame {size}: old bytes came back: {difference(run.loaded[3], bytes(by))}"
    expected = frame_of(size - by) + bytes(by)
    assert not difference(run.data, expected), difference(run.data, expected)


@cases("frame, by", [("linear+page+1", "1"), ("linear+2page", "page"), ("largest", "page")])
def test_growing_after_a_whole_fragment_went(machine: Machine, limits: Limits, frame: str, by: str):
    """The fragment before is full: no tailroom, the released page is not used again."""
    size, less = limits.size(frame), limits.size(by)
    run = machine.run(frame_of(size), adjust_tail(-less), adjust_tail(1), LENGTH)
    assert run.results == (0, -errno.EINVAL, size - less), f"frame {size}: {run.results}"
    assert not difference(run.data, frame_of(size - less)), difference(run.data, frame_of(size - less))


@cases("frame", ["linear+1", "9000", "largest"])
def test_back_to_linear_is_linear_again(machine: Machine, limits: Limits, frame: str):
    """With its last fragment gone a frame follows the linear rules: it grows in the linear tailroom, and only there."""
    size = limits.size(frame)
    less = size - limits.linear + 200
    run = machine.run(
        frame_of(size),
        adjust_tail(-less),
        LENGTH,
        LINEAR,
        adjust_tail(201),
        adjust_tail(200),
        LENGTH,
        LINEAR,
        adjust_tail(1),
    )
    left, full = limits.linear - 200, limits.linear
    expected = (0, left, left, -errno.EINVAL, 0, full, full, -errno.EINVAL)
    assert run.results == expected, f"frame {size} shrunk to {left} and grown: {run.results}"
    assert not difference(run.data, frame_of(left) + bytes(200)), difference(run.data, frame_of(left) + bytes(200))


@cases("frame", ["linear+1", "linear+page", "9000", "largest"])
def test_back_to_a_full_linear_part(machine: Machine, limits: Limits, frame: str):
    """The last fragment goes and nothing else: no room to grow, but the linear part can still shrink and grow again."""
    size, full = limits.size(frame), limits.linear
    tail = adjust_tail(full - size)
    run = machine.run(frame_of(size), tail, LENGTH, LINEAR, adjust_tail(1), adjust_tail(-10), adjust_tail(10), LENGTH)
    assert run.results == (0, full, full, -errno.EINVAL, 0, 0, full), f"frame {size} shrunk to {full}: {run.results}"
    expected = frame_of(full - 10) + bytes(10)
    assert not difference(run.data, expected), difference(run.data, expected)


@pytest.mark.usefixtures("header_split")
def test_growing_a_frame_of_short_fragment(machine: Machine, limits: Limits):
    """After a header split the fragment has the tailroom of its page, the linear part none of its own."""
    run = machine.run(frame_of(256), adjust_tail(limits.page - 192), adjust_tail(1), LENGTH, LINEAR, split=64)
    assert run.results == (0, -errno.EINVAL, 64 + limits.page, 64), f"256 split at 64, grown: {run.results}"
    expected = frame_of(256) + bytes(limits.page - 192)
    assert not difference(run.data, expected), difference(run.data, expected)


@cases("frame", ["9000", "linear+3page-200"])
def test_grown_bytes_can_be_written_and_read(machine: Machine, limits: Limits, frame: str):
    size = limits.size(frame)
    run = machine.run(frame_of(size), adjust_tail(50), store(size - 20, b"\xab" * 70), load(size - 30, 80))
    assert run.results == (0, 0, 0), f"frame {size}: grow, store, load = {run.results}"
    assert run.loaded[2] == frame_of(size)[-30:-20] + b"\xab" * 70
    expected = frame_of(size - 20) + b"\xab" * 70
    assert not difference(run.data, expected), difference(run.data, expected)


@cases("frame", ["60", "linear", "linear+1", "9000", "largest"])
def test_moves_of_two_gigabytes_are_refused(machine: Machine, limits: Limits, frame: str):
    """Whatever they are added to, they do not wrap round."""
    size, most = limits.size(frame), (1 << 31) - 1
    moves = (adjust_tail(most), adjust_tail(-most), adjust_head(most), adjust_head(-most - 1))
    run = machine.run(frame_of(size), *moves, LENGTH)
    assert run.results == (*(-errno.EINVAL,) * 4, size), f"frame {size}: {run.results}"
    assert not difference(run.data, frame_of(size)), difference(run.data, frame_of(size))
