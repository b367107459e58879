"""What Rich lays out in a report: hanging indents, names that break at brackets, no blanks at the ends of lines.

Text is harmless before it comes here (harness.report.safe).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.text import Text

from harness.report.layout import LEAST, longest_piece, name_lines

__all__ = ["Hanging", "Name", "Trimmed"]


@dataclass(frozen=True)
class Hanging:
    """A text that is wrapped between words, every line but the first behind an indent."""

    text: Text
    indent: int = 4

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(LEAST, options.max_width)
        first = next(iter(self.text.wrap(console, width, overflow="fold")), Text())
        yield first
        told = len(first.plain)
        told += len(self.text.plain[told:]) - len(self.text.plain[told:].lstrip(" "))
        if told < len(self.text.plain):
            for line in self.text[told:].wrap(console, max(LEAST, width - self.indent), overflow="fold"):
                yield Text(" " * self.indent) + line


@dataclass(frozen=True)
class Name:
    """A test's or a bench's name behind an indent, broken before its parameters and between them."""

    name: str
    indent: int = 0

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        least = self.indent + longest_piece(self.name)
        return Measurement(min(least, options.max_width), min(self.indent + cell_len(self.name), options.max_width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in name_lines(self.name, options.max_width - self.indent):
            yield Text(" " * self.indent + line, overflow="fold")


@dataclass(frozen=True)
class Trimmed:
    """Anything, without the blanks that tables and wrapped text leave at the ends of lines."""

    whole: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in console.render_lines(self.whole, options, pad=False):
            yield from reversed([*_trimmed(line)])
            yield Segment.line()


def _trimmed(line: Sequence[Segment]) -> Iterable[Segment]:
    """The segments of a line from its end on, those that are blank there left out."""
    found = False
    for segment in reversed(line):
        text = segment.text if found or segment.control else segment.text.rstrip(" ")
        found = found or bool(text)
        if text or segment.control:
            yield Segment(text, segment.style, segment.control)
