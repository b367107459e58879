"""bpf_xdp_pull_data: the first bytes of a frame become linear, and the frame stays what it was.

Rules: net/core/filter.c:bpf_xdp_pull_data. It takes from the tailroom of the linear part first, then moves data and
metadata down into the headroom; struct xdp_frame keeps its start.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

import pytest
from bpf.libbpf import Object, TestRun, find_object, has_function
from pages import pages_lost
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import Limits, Machine, difference, frame_of, xdp_md
from xdp_multibuf.test_repeat import RUNS

_PULL = struct.Struct("<IiIIIIiiI")
NOT_LINEAR = 0xFFFFFFFF


class Puller:
    """The loaded program."""

    def __init__(self) -> None:
        self.object = Object(find_object("xdp_multibuf", "pull"))
        self._pull = self.object.map("pulls").memory()

    def run(self, size: int, asked: int, split: int, meta: int = 0, tail: int = 0) -> tuple[tuple[int, ...], TestRun]:
        """Result, length, linear part, metadata, the last byte asked for; and what came back.

        tail: by which the tail is adjusted after the pull (`tailed` tells what came of that).
        """
        self._pull[: _PULL.size] = _PULL.pack(asked, 1, 0, 0, 0, 0, tail, 1, 0)
        ctx = xdp_md(meta, split + meta)
        room = size + meta + max(tail, 0)
        ran = self.object.program("pull_machine").test_run(frame_of(size + meta), out=room, ctx=ctx)
        return _PULL.unpack(self._pull[: _PULL.size])[1:6], ran

    @property
    def tailed(self) -> tuple[int, int]:
        """What bpf_xdp_adjust_tail returned after the last pull, and the frame's length then."""
        result, length = _PULL.unpack(self._pull[: _PULL.size])[7:]
        return result, length


@pytest.fixture(scope="module")
def puller(machine: Machine) -> Iterator[Puller]:
    """The program; skips where the kernel cannot pull (before 6.18)."""
    if not has_function("bpf_xdp_pull_data"):
        pytest.skip("the kernel has no kfunc bpf_xdp_pull_data")
    loaded = Puller()
    with loaded.object:
        yield loaded


PULLS = [
    ("256", "64", "65"),
    ("256", "64", "256"),
    ("256", "0", "14"),
    ("9000", "64", "1500"),
    ("9000", "64", "linear"),
    ("9000", "linear", "linear+1"),
    ("9000", "linear", "linear+216"),
    ("1000+2page", "1000", "linear"),
    ("64+17page", "64", "linear+216"),
]


@cases("frame, split, asked", PULLS)
@cases("meta", [0, 8])
def test_pull(puller: Puller, limits: Limits, frame: str, split: str, asked: str, meta: int):
    """Exactly what was asked for is linear; length, metadata and every byte are as they were."""
    size, head, count = limits.size(frame), limits.size(split), limits.size(asked)
    count -= meta if count > limits.linear + 200 else 0  # metadata moves too: so much less headroom
    (result, length, linear, metadata, last), ran = puller.run(size, count, head, meta)
    said = f"frame {size} split at {head}, {count} bytes pulled"
    assert (result, length, linear, metadata) == (0, size, count, meta), f"{said}: {result, length, linear, metadata}"
    whole = frame_of(size + meta)
    assert last == whole[meta + count - 1], f"{said}: the last of them is {last:#x}"
    assert not difference(ran.data[: ran.data_size], whole), f"{said}: {difference(ran.data[: ran.data_size], whole)}"


@cases("asked", [1, 64, 100])
def test_pull_of_what_is_linear_changes_nothing(puller: Puller, asked: int):
    (result, length, linear, _, _), ran = puller.run(9000, asked, 100)
    assert (result, length, linear) == (0, 9000, 100), f"{asked} of 100 linear bytes: {result, length, linear}"
    assert not difference(ran.data[: ran.data_size], frame_of(9000))


@cases("frame, asked", [("256", "257"), ("9000", "9001"), ("9000", "linear+217"), ("9000", "9000")])
def test_pull_past_frame_or_room_is_refused(puller: Puller, limits: Limits, frame: str, asked: str):
    """-EINVAL, and the frame is as it was."""
    size, count = limits.size(frame), limits.size(asked)
    (result, length, linear, _, last), ran = puller.run(size, count, 64)
    refused = (-errno.EINVAL, size, 64, NOT_LINEAR)
    assert (result, length, linear, last) == refused, f"{count} of {size}: {result, length, linear, last}"
    assert not difference(ran.data[: ran.data_size], frame_of(size)), difference(ran.data, frame_of(size))


TAILS = [
    ("256", "100", "page-192", 0),
    ("256", "100", "page-191", errno.EINVAL),
    ("256", "256", "linear-256", 0),
    ("256", "256", "linear-255", errno.EINVAL),
    ("9000", "1500", "-7500", 0),
    ("9000", "1500", "-8000", 0),
]


@cases("frame, asked, tail, error", TAILS)
def test_tail_after_a_pull(puller: Puller, limits: Limits, frame: str, asked: str, tail: str, error: int):
    """The first fragment starts later in its page: its tailroom is what the page has behind it."""
    size, by = limits.size(frame), limits.size(tail)
    (result, *_), ran = puller.run(size, limits.size(asked), 64, tail=by)
    left = size + (0 if error else by)
    seen = (result, *puller.tailed)
    assert seen == (0, -error, left), f"{asked} of {frame} pulled, tail {by}: pull, tail, length = {seen}"
    expected = frame_of(min(size, left)) + bytes(max(0, left - size))
    assert not difference(ran.data[: ran.data_size], expected), difference(ran.data[: ran.data_size], expected)


def test_pulled_fragments_lose_no_page(puller: Puller):
    """A fragment that was pulled whole is given back (bpf_xdp_shrink_data)."""
    lost = pages_lost(lambda: puller.run(256, 256, 64), RUNS, at_most=0.5)
    assert lost <= 0.5, f"each pull of a whole fragment keeps {lost:.2f} pages"
