"""Logs and pytest's reports as marked-up text: splats stand out, and frames say where in the source they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from harness.perf.source_lines import Frame
from harness.report import safe
from harness.report.decode import Places
from harness.report.logs import LineKind, LogLine

__all__ = ["Block", "Budget", "marked"]

_HEAD = 60  # lines kept from the beginning of a text that is too long; the others from its end
_LINES = 300


@dataclass(frozen=True)
class Block:
    """A text. side: whose kernel's frames are in it. whole: where it is uncut, "" where nothing was left out."""

    title: str
    lines: tuple[LogLine, ...]
    side: str
    whole: str = ""


class Budget:
    """How many characters of logs a page may still hold, and lines of each, so that it stays one that opens at once."""

    def __init__(self, characters: int, lines: int = _LINES) -> None:
        self.left = characters
        self.lines = lines

    def block(self, title: str, lines: Sequence[LogLine], side: str, whole: str) -> Block | None:
        """The text, without its middle where it is long; None where there is none, or no room for it."""
        if not lines or self.left <= 0:
            return None
        left_out = max(len(lines) - self.lines, 0)
        kept = tuple(lines)
        if left_out:
            gap = LogLine(f"... {left_out} lines are left out here ...")
            kept = (*lines[:_HEAD], gap, *lines[_HEAD + left_out :])
        self.left -= sum(min(len(line.text), 2000) + 1 for line in kept)
        return Block(title, kept, side, whole if left_out else "")


def marked(block: Block, places: Places) -> Markup:
    """The text of a <pre>: each line harmless, with an element around it where it is remarkable."""
    return Markup("\n").join(_line(line, places.of(block.side, line.text)) for line in block.lines)


def _line(line: LogLine, frames: Sequence[Frame]) -> Markup:
    text = escape(safe.line(line.text.expandtabs(8) if len(line.text) < 2000 else line.text))
    if frames:
        text += Markup('  <span class="at">{}</span>').format(safe.line(_places(frames)))
    if line.kind is LineKind.PLAIN:
        return text
    return Markup('<span class="{}">{}</span>').format(str(line.kind), text)


def _places(frames: Sequence[Frame]) -> str:
    """`net/core/filter.c:4121`; of what was inlined there, `include/linux/skbuff.h:1701 (skb_end) in ...` before it."""
    (function, (file, number)), *outer = frames
    own = f"{file}:{number}" + (f" ({function})" if outer else "")
    return " in ".join((own, *(f"{path}:{at}" for _, (path, at) in outer[-1:])))
