"""The lines of one Kbuild Makefile, each with the settings under which make takes it: read and never run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

__all__ = ["NOT", "Condition", "Line", "parsed", "plain"]

NOT = "!"
_MOST = 16  # ways in which one line can be taken

Condition = frozenset[str]
"""Symbols that must be y or m; with `!` before it, one that must be neither."""
_Ways = tuple[Condition, ...]

# What asks for nothing, and what is not understood: an `if` about a compiler, say.
_ALWAYS: _Ways = (frozenset(),)
_ASSIGNED = re.compile(r"(?P<name>[\w./-]+?)-(?P<when>[ym]|objs|\$\([^=]*\))\s*[:+?]*=(?P<items>.*)")
_VARIABLE = re.compile(r"(?P<name>\w[\w-]*)\s*[:+?]*=(?P<items>.*)")
_SYMBOL = re.compile(r"\$\(CONFIG_(\w+)\)")
_IFDEF = re.compile(r"if(?P<no>n?)def\s+CONFIG_(?P<symbol>\w+)$")
_IFEQ = re.compile(r"if(?P<no>n?)eq\s*\((?P<left>.*?)\s*,\s*(?P<right>[ym]*)\s*\)$")
_SYMBOLS = re.compile(r"(?:\$\((?P<how>or|and|filter) ?(?:y,|m,|y m,)?)?(?:\s*,?\s*\$\(CONFIG_\w+\))+\s*\)?$")
_BRACES = re.compile(r"\$\{(\w+)\}")
_MACHINE = {"$(BITS)": "64", "$(SRCARCH)": "x86"}  # of the kernels that are built here
_ADDED = re.compile(r"\$\(CONFIG_(\w+):m=y\)")
_HERE = re.compile(r"\$\((?:obj|src)\)/")
_PREFIXED = re.compile(r"\$\(addprefix ([\w./-]+),([^()]*)\)")
_RENAMED = re.compile(r"\$\((\w+):([^=()]*)=([^=()]*)\)")


@dataclass(frozen=True)
class Line:
    """`target-$(CONFIG_X) += items` with the conditions around it.

    target: `obj`, `lib`, a composite's name, or a whole variable, `$(files)`.
    """

    target: str
    needs: Condition
    items: tuple[str, ...]


def plain(text: str) -> str:
    """A Makefile's text without comments, each continued line in one, and each symbol as `$(CONFIG_X)`."""
    lines = (line.partition("#")[0].strip() for line in text.replace("\\\n", " ").splitlines())
    whole = _BRACES.sub(r"$(\1)", "\n".join(filter(None, lines)))
    for variable, value in _MACHINE.items():
        whole = whole.replace(variable, value)
    return _ADDED.sub(r"$(CONFIG_\1)", whole)


def parsed(text: str) -> Iterator[Line]:
    """What the text (as `plain` gives it) assigns to targets and to variables."""
    variables = _variables(text)
    around: list[tuple[_Ways, _Ways]] = []  # of each open `if`: what this branch needs, and what the next ones do
    for line in text.splitlines():
        if line.startswith("if"):
            asked = _asked(line)
            around.append((asked, _denied(asked)))
        elif line.startswith("else") and around:
            around[-1] = _next_branch(around[-1][1], line.removeprefix("else").strip())
        elif line.startswith("endif") and around:
            around.pop()
        else:
            yield from _assigned(line, _both(here for here, _ in around), variables)


def _variables(text: str) -> dict[str, list[str]]:
    """Each plain variable's words, whatever the conditions are under which it gets them."""
    found: dict[str, list[str]] = {}
    for match in filter(None, map(_VARIABLE.match, text.splitlines())):
        found.setdefault(match["name"], []).extend(match["items"].split())
    return found


def _assigned(line: str, around: _Ways, variables: Mapping[str, list[str]]) -> Iterator[Line]:
    if match := _ASSIGNED.match(line):
        target, ways = match["name"], _both((around, _when(match["when"])))
    elif match := _VARIABLE.match(line):
        target, ways = f"$({match['name']})", around
    else:
        return
    items = _items(match["items"], variables)
    yield from (Line(target, needs, items) for needs in ways)


def _items(text: str, variables: Mapping[str, list[str]]) -> tuple[str, ...]:
    """The words of a list, with prefixes and patterns put in."""

    def renamed(match: re.Match[str]) -> str:
        return " ".join(_renamed(variables.get(match[1], ()), match[2], match[3]))

    text = _RENAMED.sub(renamed, _HERE.sub("", text))
    text = _PREFIXED.sub(lambda match: " ".join(match[1] + word for word in match[2].split()), text)
    return tuple(item.removeprefix("./") for item in text.split())


def _renamed(words: Iterable[str], old: str, new: str) -> Iterator[str]:
    """make's `$(words:%.c=x-%.o)`, or `$(words:.c=.o)`: those that fit the old pattern."""
    old, new = (pattern if "%" in pattern else f"%{pattern}" for pattern in (old, new))
    (before, _, after), (first, _, last) = old.partition("%"), new.partition("%")
    for word in words:
        if word.startswith(before) and word.endswith(after):
            yield first + word[len(before) : len(word) - len(after)] + last


def _when(text: str) -> _Ways:
    """What the `$(CONFIG_X)` in a target's name asks for; of two side by side, one is enough.

    $(subst y,$(CONFIG_A),$(CONFIG_B)): B, and A where B is built in (net/l2tp/Makefile).
    """
    symbols = _SYMBOL.findall(text)
    if not symbols:
        return _ALWAYS
    return (frozenset(symbols),) if text.startswith("$(subst y,") else _any_of(symbols)


def _asked(line: str) -> _Ways:
    """What `ifdef CONFIG_X`, `ifeq ($(CONFIG_X),y)`, their like and their opposites ask for."""
    if match := _IFDEF.match(line):
        ways = _any_of([match["symbol"]])
        return _denied(ways) if match["no"] else ways
    match = _IFEQ.match(line)
    if match is None or (shape := _SYMBOLS.match(match["left"])) is None:
        return _ALWAYS
    symbols = _SYMBOL.findall(match["left"])
    every = shape["how"] == "and" or len(match["right"]) > 1
    ways = (frozenset(symbols),) if every else _any_of(symbols)
    return ways if bool(match["right"]) is not bool(match["no"]) else _denied(ways)


def _next_branch(left: _Ways, condition: str) -> tuple[_Ways, _Ways]:
    """`else`, or `else ifeq ...`: what the branch needs and what those after it do, where none before was taken."""
    if not condition:
        return left, left
    asked = _asked(condition)
    return _both((left, asked)), _both((left, _denied(asked)))


def _any_of(symbols: Iterable[str]) -> _Ways:
    return tuple(frozenset((symbol,)) for symbol in symbols)


def _both(ways: Iterable[_Ways]) -> _Ways:
    """All at once: every combination of one way of each."""
    return tuple(dict.fromkeys(frozenset().union(*each) for each in product(*ways)))[:_MOST]


def _denied(ways: _Ways) -> _Ways:
    if ways == _ALWAYS:
        return _ALWAYS
    return _both(_any_of(map(_opposite, sorted(needs))) for needs in ways)


def _opposite(symbol: str) -> str:
    return symbol.removeprefix(NOT) if symbol.startswith(NOT) else NOT + symbol
