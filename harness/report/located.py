"""Call traces in text, with the place in the source beside each frame that is known. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.perf.source_lines import Frame
from harness.report.decode import Places
from harness.results import Splat
from harness.splats import brief

__all__ = ["brief_lines", "located"]


def brief_lines(splat: Splat, places: Places, side: str = "patched") -> str:
    """What a splat tells in short, a line each."""
    return "\n".join(located(line, places, side) for line in brief(splat))


def located(line: str, places: Places, side: str = "patched") -> str:
    """`bpf_xdp_adjust_tail+0x1b/0x40 (net/core/filter.c:4121)`; the line as it is where nothing is known of it."""
    frames = places.of(side, line)
    return f"{line} ({_place(frames)})" if frames else line


def _place(frames: Sequence[Frame]) -> str:
    """Of code that was inlined, with the function that it is of."""
    (function, (file, number)), *outer = frames
    return f"{file}:{number}" + (f", {function}" if outer else "")
