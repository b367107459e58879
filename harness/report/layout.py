"""How lines stand on a terminal: names beside values, text that wraps between words, test names that break at brackets.

No line ends in blanks, so that a report in a file or a pipe is as it looks. Text is harmless before it comes here
(harness.report.safe).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from harness.report import safe
from harness.report.commands import broken_line

__all__ = ["LEAST", "Fact", "commands", "facts", "indented", "longest_piece", "name_lines", "put", "wrapped"]

Fact = tuple[str, str]

_NAMES = 14  # cells of the names beside facts
LEAST = 20  # cells for a text, however narrow the terminal is


def put(console: Console, *parts: Text | str) -> None:
    """A line as it is, which a terminal wraps where it must, and nothing in a pipe does."""
    line = Text.assemble(*parts)
    line.rstrip()
    console.print(line, soft_wrap=True)


def wrapped(console: Console, text: Text, first: str | Text = "", rest: str = "") -> None:
    """A text behind its indents, wrapped between words."""
    room = max(LEAST, console.width - max(cell_len(str(first)), cell_len(rest)))
    for number, line in enumerate(text.wrap(console, room, overflow="fold") or [Text()]):
        put(console, rest if number else first, line)


def indented(console: Console, lines: Iterable[str], by: int = 2, style: str = "") -> None:
    """Lines of a stranger's, wrapped where they are too long, each part under the other."""
    for each in lines:
        wrapped(console, Text(each, style), " " * by, " " * by)


def facts(console: Console, pairs: Sequence[Fact], places: Sequence[Fact] = ()) -> None:
    """`name  value` lines, the values below each other. places: paths, which are not broken: they are to be copied."""
    told, unbroken = ([(safe.line(name), safe.line(value)) for name, value in some] for some in (pairs, places))
    width = max((_NAMES, *(cell_len(name) for name, _ in (*told, *unbroken)))) + 2
    for name, value in told:
        room = max(LEAST, console.width - width)
        for number, line in enumerate(Text(value).wrap(console, room, overflow="fold") or [Text()]):
            put(console, " " * width if number else _beside(name, width), line)
    for name, value in unbroken:
        put(console, _beside(name, width), value)


def _beside(name: str, width: int) -> Text:
    return Text(name, "bold") + Text(" " * (width - cell_len(name)))


def commands(console: Console, text: str) -> None:
    """Commands, a line each, broken between options where they are too long."""
    for line in safe.block(text):
        for part in broken_line(line, console.width):
            put(console, part)


def name_lines(name: str, room: int) -> list[str]:
    """A test's name in lines of at most `room` cells: broken before brackets, then after commas and the like.

    What is too long even so stands on a line that is too long, and not in pieces.
    """
    if cell_len(name) <= room:
        return [name]
    head, bracket, rest = name.partition("[")
    lines = [
        *_filled(_pieces(head, "/:"), room),
        *(f"  {line}" for line in _filled(_pieces(bracket + rest, ",/]"), room - 2)),
    ]
    return [line for line in lines if line.strip()] or [name]


def longest_piece(name: str) -> int:
    """The cells of what `name_lines` does not break."""
    head, bracket, rest = name.partition("[")
    pieces = [*_pieces(head, "/:"), *(f"  {piece}" for piece in _pieces(bracket + rest, ",/]"))]
    return max(map(cell_len, pieces), default=0)


def _pieces(text: str, after: str) -> list[str]:
    """A text cut after some characters."""
    pieces, piece = [], ""
    for char in text:
        piece += char
        if char in after:
            pieces.append(piece)
            piece = ""
    return [*pieces, piece] if piece else pieces


def _filled(pieces: Iterable[str], room: int) -> list[str]:
    """The pieces joined into lines of at most `room` cells each, where each piece has so few."""
    lines = [""]
    for piece in pieces:
        if lines[-1] and cell_len(lines[-1]) + cell_len(piece) > room:
            lines.append("")
        lines[-1] += piece
    return lines
