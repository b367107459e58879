"""Kconfiglib for the kernels of today: the grammar that came after its last release, rewritten line for line.

Kconfiglib 14.1.0 (2020) does not know `modules` (Linux 5.13), `transitional` (6.18) and `depends on X if Y` (2026).
Each Kconfig file is handed to it with such lines replaced by older ones of the same meaning. Every line keeps its
number, so that what Kconfiglib says about places stays true. See scripts/kconfig/parser.y and menu.c:menu_add_dep.
"""

from __future__ import annotations

import io
import re
from typing import IO, Any, TypeAlias, cast

import kconfiglib  # type: ignore[import-untyped]

__all__ = ["Expression", "KernelKconfig", "Node", "Symbol", "rewrite"]

# Kconfiglib has no type information. An expression is a symbol, a choice or a tuple of an operator and its operands.
Symbol: TypeAlias = Any
Node: TypeAlias = Any
Expression: TypeAlias = Any

_ENTRY = re.compile(r"\s*(?:menu)?config\s+(\w+)")
_MODULES = re.compile(r"(\s+)modules\s*(?:#.*)?$")
_TRANSITIONAL = re.compile(r"\s+transitional\s*(?:#.*)?$")
_DEPENDS = re.compile(r"(\s*depends\s+on\s+)(.*)$", re.DOTALL)
_HELP = re.compile(r"(\s*)(?:---help---|help)\s*$")
_TOKEN = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\$\((?:[^()]|\([^()]*\))*\)|\w+|#.*|\s+|.", re.DOTALL)


def rewrite(text: str) -> tuple[str, frozenset[str]]:
    """A Kconfig file in the older grammar, with as many lines, and the names of its transitional symbols."""
    rewriter = _Rewriter()
    lines = text.split("\n")
    out: list[str] = []
    while len(out) < len(lines):
        logical = _logical_line(lines, len(out))
        new = rewriter.line("".join(part.removesuffix("\\") for part in logical))
        out += logical if new is None else [new] + [""] * (len(logical) - 1)
    return "\n".join(out), frozenset(rewriter.transitional)


def _logical_line(lines: list[str], start: int) -> list[str]:
    """A line with those that its trailing backslashes join to it."""
    end = start
    while lines[end].endswith("\\") and end + 1 < len(lines):
        end += 1
    return lines[start : end + 1]


class _Rewriter:
    """Rewrites lines, keeping track of the entry and the help text they are in (help text is left alone)."""

    def __init__(self) -> None:
        self.transitional: set[str] = set()
        self.entry = ""
        self.help_indent: int | None = None
        self.awaits_help = False

    def line(self, line: str) -> str | None:
        """The line in the older grammar, or None where it stays as it is."""
        if self._in_help(line):
            return None
        if _HELP.match(line):
            self.awaits_help = True
            return None
        if match := _ENTRY.match(line):
            self.entry = match[1]
        if match := _MODULES.match(line):
            return f"{match[1]}option modules"
        if _TRANSITIONAL.match(line):
            self.transitional.add(self.entry)
            return ""
        return _depends(line)

    def _in_help(self, line: str) -> bool:
        """Help text is what is indented at least as far as its first line (scripts/kconfig/lexer.l, HELP)."""
        if not line.strip():
            return True
        indent = len(line.expandtabs()) - len(line.expandtabs().lstrip())
        if self.awaits_help:
            self.awaits_help = False
            self.help_indent = indent or None
        if self.help_indent is not None and indent < self.help_indent:
            self.help_indent = None
        return self.help_indent is not None


def _depends(line: str) -> str | None:
    """`depends on X if Y` as `depends on (X) || Y = n`, which is what menu_add_dep makes of it."""
    match = _DEPENDS.match(line)
    if not match:
        return None
    tokens = [token for token in _TOKEN.findall(match[2]) if not token.startswith("#")]
    if "if" not in tokens:
        return None
    at = tokens.index("if")
    what, condition = "".join(tokens[:at]).strip(), "".join(tokens[at + 1 :]).strip()
    return f"{match[1]}({what}) || {_is_no(condition)}"


def _is_no(condition: str) -> str:
    """An expression for `condition = n`. A compound condition that is m gives m where the kernel has n."""
    if re.fullmatch(r"\w+", condition):
        return f"{condition} = n"
    if re.fullmatch(r"!\s*\w+", condition):
        return f"{condition.lstrip('! ')} = y"
    return f"!({condition})"


class KernelKconfig(kconfiglib.Kconfig):  # type: ignore[misc]
    """A kernel's Kconfig tree. transitional: old names, read from a .config but never written to one."""

    transitional: frozenset[str] = frozenset()
    _parsing = True

    def __init__(self, filename: str = "Kconfig") -> None:
        super().__init__(filename, warn=False)
        self._parsing = False

    def _open(self, filename: str, mode: str) -> IO[str]:
        if mode != "r" or not self._parsing:
            return cast(IO[str], super()._open(filename, mode))
        with open(filename, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            text, transitional = rewrite(file.read())
        self.transitional = self.transitional | transitional
        return io.StringIO(text)
