"""What a Kconfig fragment, a resolved configuration and a reason for a lost setting are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = [
    "Addition",
    "Definition",
    "Difference",
    "Explanation",
    "Fragment",
    "Loss",
    "Member",
    "Reason",
    "ResolvedConfig",
    "Setting",
    "Source",
    "Term",
]


@dataclass(frozen=True)
class Setting:
    """One line of a fragment. symbol: without CONFIG_. value: as in .config (`y`, `n`, `m`, `"text"`, `0x10`).

    optional: the line's mark says it may be absent (`# ?`). reason: the comment above it. line: 1-based.
    """

    symbol: str
    value: str
    line: int
    optional: bool
    reason: str


@dataclass(frozen=True)
class Fragment:
    """A Kconfig fragment. name: `boot`, `xdp`, or a file's path."""

    name: str
    path: Path
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class ResolvedConfig:
    """A kernel's whole configuration, resolved by its own `olddefconfig` and checked.

    text: the .config. digest: SHA-256 of its set symbols, hex (comments and order left out).
    absent: optional symbols that did not take, each with its reason.
    """

    text: str
    digest: str
    fragments: tuple[Fragment, ...]
    absent: tuple[tuple[str, str], ...] = ()


class Reason(StrEnum):
    """Why a requested setting is not in the kernel's .config."""

    NO_SUCH_SYMBOL = "no such symbol"
    UNMET_DEPENDENCY = "unmet dependency"
    HIDDEN_PROMPT = "prompt not shown"
    NO_PROMPT = "no prompt"
    CHOICE_LOST = "choice lost"
    TRISTATE_CLASH = "tristate clash"
    FORCED = "selected by another symbol"
    OUT_OF_RANGE = "out of range"
    WRONG_TYPE = "wrong type"
    CONFLICT = "fragments in conflict"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Term:
    """One operand of a dependency's top-level `&&`. value: `n`, `m` or `y`, as the kernel's .config has it.

    symbols: each symbol in it with its value. places: `file:line` where those that are not `y` are defined.
    """

    text: str
    value: str
    symbols: tuple[tuple[str, str], ...] = ()
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loss:
    """A setting that did not take. wanted, actual: values as in .config; a symbol that is not there is `n`.

    text: the reason in one or two sentences. places: `file:line` of the symbol's definitions, from the tree's root.
    terms: dependencies that hold it back. others: symbols that select it, won the choice, or have a similar name.
    """

    symbol: str
    wanted: str
    actual: str
    reason: Reason
    text: str
    places: tuple[str, ...] = ()
    terms: tuple[Term, ...] = ()
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Addition:
    """A line to add to a fragment. place: `file:line` where the symbol is defined."""

    symbol: str
    value: str
    place: str = ""

    def __str__(self) -> str:
        return f"CONFIG_{self.symbol}={self.value}"


@dataclass(frozen=True)
class Definition:
    """One `config` entry of a symbol. prompt: its text, or "". condition: when it can be set, or ""; shown: it can."""

    place: str
    prompt: str
    condition: str
    shown: bool


@dataclass(frozen=True)
class Source:
    """What can give a symbol a value: a symbol that selects or implies it, or a default (`symbol` is then the value).

    condition: the `if` after it, or "". active: it holds now. place: `file:line`, where there is one.
    """

    symbol: str
    condition: str
    active: bool
    place: str = ""


@dataclass(frozen=True)
class Member:
    """A member of a choice. chosen: the one that holds."""

    symbol: str
    prompt: str
    chosen: bool


@dataclass(frozen=True)
class Explanation:
    """All about one symbol under one configuration.

    type: `bool`, `tristate`, `int`, `hex` or `string`. value: in the kernel's .config (`n` where absent).
    to_enable: the shortest set of lines found that turns it on, none where it is on or nothing was found.
    verified: the kernel's own olddefconfig agreed.
    """

    symbol: str
    type: str
    value: str
    definitions: tuple[Definition, ...]
    depends: tuple[Term, ...]
    selected_by: tuple[Source, ...]
    implied_by: tuple[Source, ...]
    defaults: tuple[Source, ...]
    ranges: tuple[str, ...]
    choice: tuple[Member, ...]
    help: str
    loss: Loss | None
    to_enable: tuple[Addition, ...] = ()
    verified: bool = False


@dataclass(frozen=True)
class Difference:
    """A symbol whose value differs between two configurations. None: not mentioned there at all (invisible)."""

    symbol: str
    before: str | None
    after: str | None
