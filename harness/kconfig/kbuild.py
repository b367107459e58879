"""Which settings compile a file: what the tree's Kbuild Makefiles say, read and never run.

A file `dir/x.c` is compiled where a Makefile of `dir` (or above it) lists `x.o` under `obj-$(CONFIG_X)`, by itself or
as a part of a composite object, and every folder above is entered (Documentation/kbuild/makefiles.rst).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path, PurePosixPath

__all__ = ["Makefiles", "compiled"]

_ASSIGNED = re.compile(r"(?P<name>[\w./-]+?)-(?P<when>[ym]|objs|\$\(CONFIG_\w+\))\s*[:+]?=(?P<items>.*)")
_IFDEF = re.compile(r"if(?P<no>n?)def\s+CONFIG_(?P<symbol>\w+)")
_IFEQ = re.compile(r"if(?P<no>n?)eq\s*\(\s*\$\(CONFIG_(?P<symbol>\w+)\)\s*,\s*(?P<value>[ym]?)\s*\)")
_BUILT_IN = re.compile(r"\$\(subst m,y,(\$\(CONFIG_\w+\))\)")
_NOT = "!"
_ENDS_IN_KERNEL = ("obj", "lib")
_MOST = 16  # ways in which one file can be compiled
_DEEPEST = 8  # composite objects within composite objects

Condition = frozenset[str]
"""Symbols that must be y or m; with `!` before it, one that must be neither."""


@dataclass(frozen=True)
class _Line:
    """`target-$(CONFIG_X) += items` with the conditions around it. target: `obj`, `lib`, or a composite's name."""

    target: str
    needs: Condition
    items: tuple[str, ...]


class Makefiles:
    """The Kbuild files of one tree, each read once."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self._read: dict[str, tuple[_Line, ...] | None] = {}

    def conditions(self, path: str) -> tuple[Condition, ...]:
        """Sets of symbols, each of which compiles the file `path` (from the tree's root); () where nothing was found.

        An empty set is a file that is always compiled. What an architecture's own Makefile decides is not looked at.
        """
        file = PurePosixPath(path)
        found: dict[Condition, None] = {}
        for folder in (file.parent, *file.parent.parents):
            name = str(file.relative_to(folder).with_suffix(".o"))
            for needs in self._listed(str(folder), name, 0):
                found.update(dict.fromkeys(needs | above for above in self._entered(folder)))
        return tuple(sorted(found, key=lambda needs: (len(needs), sorted(needs))))[:_MOST]

    def _listed(self, folder: str, item: str, depth: int) -> Iterator[Condition]:
        """What an object or a folder needs to be built by the Makefile of `folder`."""
        for line in self._lines(folder) or ():
            if item not in line.items:
                continue
            if line.target in _ENDS_IN_KERNEL:
                yield line.needs
            elif depth < _DEEPEST:
                wholes = {f"{line.target}.o", f"$({line.target}-y)", f"$({line.target}-objs)"} - {item}
                found = (more for whole in sorted(wholes) for more in self._listed(folder, whole, depth + 1))
                yield from (line.needs | more for more in found)

    def _entered(self, folder: PurePosixPath) -> list[Condition]:
        """What it needs for make to go down to a folder. The tree's topmost folders are taken to be always entered."""
        if len(folder.parts) < 2 or folder.parts[0] == "arch":
            return [frozenset()]
        ways: dict[Condition, None] = {}
        for above in folder.parents:
            name = f"{folder.relative_to(above)}/"
            pairs = product(self._listed(str(above), name, 0), self._entered(above))
            ways.update(dict.fromkeys(one | other for one, other in pairs))
        return list(ways)[:_MOST]

    def _lines(self, folder: str) -> tuple[_Line, ...] | None:
        if folder not in self._read:
            files = [self.source / folder / name for name in ("Kbuild", "Makefile")]
            text = next((_text(file) for file in files if file.is_file()), None)
            self._read[folder] = None if text is None else tuple(_parsed(text))
        return self._read[folder]


def compiled(ways: tuple[Condition, ...], config: Mapping[str, str]) -> bool:
    """Whether a configuration (symbol to value, as in .config) compiles a file with these conditions."""
    return any(all(_holds(symbol, config) for symbol in needs) for needs in ways)


def _holds(symbol: str, config: Mapping[str, str]) -> bool:
    on = config.get(symbol.removeprefix(_NOT), "n") in ("y", "m")
    return on is not symbol.startswith(_NOT)


def _text(file: Path) -> str:
    """A Makefile's text, each continued line in one."""
    return _BUILT_IN.sub(r"\1", file.read_text("utf-8", "replace").replace("\\\n", " "))


def _parsed(text: str) -> Iterator[_Line]:
    around: list[str] = []  # what each open `if` asks for, "" for one that is not understood
    for line in (line.partition("#")[0].strip() for line in text.splitlines()):
        if line.startswith("if"):
            around.append(_asked(line))
        elif line.startswith("else") and around:
            around[-1] = _opposite(around[-1])
        elif line.startswith("endif") and around:
            around.pop()
        elif match := _ASSIGNED.match(line):
            symbol = match["when"].removeprefix("$(CONFIG_").rstrip(")") if "$" in match["when"] else ""
            items = tuple(item.removeprefix("./") for item in match["items"].split())
            yield _Line(match["name"], frozenset(filter(None, (*around, symbol))), items)


def _asked(line: str) -> str:
    """What `ifdef CONFIG_X`, `ifeq ($(CONFIG_X),y)` and their opposites ask for."""
    if match := _IFDEF.match(line):
        return match["symbol"] if not match["no"] else _opposite(match["symbol"])
    if match := _IFEQ.match(line):
        wants = bool(match["value"]) is not bool(match["no"])
        return match["symbol"] if wants else _opposite(match["symbol"])
    return ""


def _opposite(symbol: str) -> str:
    if not symbol:
        return ""
    return symbol.removeprefix(_NOT) if symbol.startswith(_NOT) else _NOT + symbol
