"""Shell commands as a page has them: broken between options, where a reader sees them and a shell joins them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.report import safe

__all__ = ["broken", "broken_line"]

_MORE = "    "
_WORD = re.compile(r"""(?:[^\s'"\\]|'[^']*'|"(?:[^"\\]|\\.)*"|\\.)+""")  # of a shell, with its quotes


def broken(words: Sequence[str], width: int, indent: str = "  ") -> list[str]:
    """A command in lines of at most `width` columns where its options allow. words: quoted for a shell."""
    lines, line = [], indent
    for part in _options(words):
        if line.strip() and len(line) + len(part) > width - 2:
            lines.append(line if line.endswith("| ") else f"{line}\\")
            line = f"{indent}{_MORE}"
        line += f"{part} "
    return [each.rstrip() for each in (*lines, line)]


def broken_line(command: str, width: int, indent: str = "  ") -> list[str]:
    """The same of one line of a script; one that is no plain command is left as it is."""
    shown = safe.line(command)
    words = _WORD.findall(shown)
    return broken(words, width, indent) if " ".join(words) == shown else [f"{indent}{shown}"]


def _options(words: Sequence[str]) -> list[str]:
    """The words joined into what is to stand on one line: an option and its value, a command and its pipe.

    Of several paths each has its own.
    """
    parts: list[list[str]] = [[]]
    for word in words:
        last = parts[-1][-1:]
        second = "/" in word and "/" in "".join(last) and not parts[-1][0].startswith("--")
        if word.startswith("--") or last == ["|"] or second:
            parts.append([])
        parts[-1].append(word)
    return [" ".join(part) for part in parts if part]
