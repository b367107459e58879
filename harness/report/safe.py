"""Make text of strangers harmless to show: the one place where it is done.

A series' subject, a test's output and a kernel's log can hold escape sequences, markup, line breaks and characters that
turn the direction of writing. Nothing is dropped: what does not print is shown as an escape.
"""

from __future__ import annotations

from rich.text import Text

__all__ = ["block", "line", "text"]

_LONGEST_LINE = 2000
_CELLS_OF_TAB = 8


def line(value: str, limit: int = _LONGEST_LINE) -> str:
    """One line without a line break or control character, cut to `limit` characters with `...`."""
    cut = value[: limit + 1]
    flat = cut.replace("\n", " ").replace("\t", " ")
    shown = flat if flat.isprintable() else "".join(map(_shown, flat))
    return shown if len(shown) <= limit else f"{shown[: max(limit - 3, 0)]}..."


def _shown(char: str) -> str:
    return char if char.isprintable() else ascii(char)[1:-1]


def block(value: str, most_lines: int | None = None) -> list[str]:
    """The lines of a text, each harmless. Beyond `most_lines`, a last line counts the rest."""
    lines = value.replace("\r\n", "\n").rstrip("\n").split("\n")
    kept = lines if most_lines is None or len(lines) <= most_lines else lines[:most_lines]
    shown = [line(each.expandtabs(_CELLS_OF_TAB) if len(each) < _LONGEST_LINE else each) for each in kept]
    return shown if len(kept) == len(lines) else [*shown, f"... ({len(lines) - len(kept)} more lines)"]


def text(value: str, style: str = "", limit: int = _LONGEST_LINE) -> Text:
    """One line for Rich, in which nothing is markup, a link or an emoji."""
    return Text(line(value, limit), style=style)
