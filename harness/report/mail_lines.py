"""Lines of a mail to a list: 72 columns, and nothing in them that a tool which reads lists would obey.

A reply's body is read by programs: b4 and Patchwork collect trailers from it, b4 even indented ones, Patchwork looks
for a diff, pw-bot, regzbot and syzbot for commands, `git am --scissors` for a mark. What strangers wrote is shown
behind a bar, as is any other line that would read as one of these. Pure.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

from harness.report import safe
from harness.report.commands import broken

__all__ = ["WIDTH", "bar", "facts", "guarded", "item", "prose", "sendable", "shell", "wrapped_bar"]

WIDTH = 72
_LONGEST = 400  # characters of a log's line, which is not wrapped
_NARROWER = 13  # columns that a paragraph may lose so that none of its lines needs a bar
_PART = 240  # characters, which are no more than 960 bytes: RFC 5322, 2.1.1 ends a line at 998
_DIRECTIVE = re.compile(
    r"\s*(?:[\w-]+:(?:\s|$)"  # a trailer, a header, a command to a bot
    r"|\w\S*:\s.*(?:\S@\S|://)"  # what b4 takes for one where an address is in it
    r"|-+(?:\s|$)|\+\+\+|@@|>|#|8<"  # a diff, a signature, a quotation, a command to a bot, scissors
    r"|(?:diff|[Ii]ndex|From|rename|copy|new|deleted|similarity|GIT binary) )"
)
_SCISSORS = re.compile(r"(>)(?=[8%])|([8%])(?=<)")


def guarded(line: str) -> str:
    """The line, behind a bar where a tool could take it for a trailer, a diff, a command or a quotation."""
    line = _SCISSORS.sub(lambda match: f"{match[0]} ", line) if "-" in line else line
    if not _DIRECTIVE.match(line):
        return line.rstrip()
    text = line.lstrip()
    return f"{' ' * max(0, len(line) - len(text) - 2)}| {text}".rstrip()


def prose(text: str, indent: str = "", hang: str | None = None) -> list[str]:
    """A paragraph; what is too long for a line (a test's name) has one of its own."""
    hang = indent if hang is None else hang
    return [guarded(line) for line in _wrapped(safe.line(text), indent, hang)]


def _wrapped(text: str, indent: str, hang: str) -> list[str]:
    """The lines of a paragraph, a little narrower where that spares a bar: no line then begins as a trailer does."""
    ways = (
        textwrap.wrap(
            text,
            WIDTH - 2 - less,  # room for a bar
            initial_indent=indent,
            subsequent_indent=hang,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for less in range(_NARROWER)
    )
    wide = next(ways)
    if not any(map(_DIRECTIVE.match, wide[1:])):
        return wide
    return next((lines for lines in ways if not any(map(_DIRECTIVE.match, lines[1:]))), wide)


def bar(text: str, most: int | None = None) -> list[str]:
    """A stranger's lines, as they are, each behind a bar; those beyond `most` are counted."""
    return [_barred(line) for line in safe.block(text, most)]


def wrapped_bar(text: str, most: int | None = None) -> list[str]:
    """The same of a text that may be wrapped, which a log must not be."""
    wrap = textwrap.TextWrapper(WIDTH - 2, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return [_barred(part) for line in safe.block(text, most) for part in wrap.wrap(line) or [""]]


def _barred(line: str) -> str:
    return _SCISSORS.sub(lambda match: f"{match[0]} ", f"| {safe.line(line, _LONGEST)}".rstrip())


def sendable(lines: Iterable[str]) -> list[str]:
    """The lines, those that are too long for a mail in parts."""
    return [f"{'| ' if at else ''}{line[at : at + _PART]}" for line in lines for at in range(0, len(line) or 1, _PART)]


def item(name: str, beside: str, indent: str) -> list[str]:
    """A name and what there is to say of it, at the right: beside it, or below where both do not fit."""
    name = safe.line(name)
    if len(indent) + len(name) + 2 + len(beside) <= WIDTH:
        return [guarded(f"{indent}{name.ljust(WIDTH - len(indent) - 2 - len(beside))}  {beside}")]
    return [guarded(f"{indent}{name}"), beside.rjust(WIDTH)]


def facts(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """`name  value` lines, the values below each other."""
    told = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in told), default=0) + 2
    return [line for name, value in told for line in prose(value, name.ljust(width), " " * width)]


def shell(words: Sequence[str], indent: str = "  ") -> list[str]:
    """A command, broken between its options. words: quoted for a shell."""
    return [guarded(line) for line in broken(words, WIDTH, indent)]
