"""What a Kconfig fragment and a resolved configuration are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Fragment", "ResolvedConfig", "Setting"]


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
