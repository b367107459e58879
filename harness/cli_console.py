"""The console that every command writes on."""

from __future__ import annotations

from rich.console import Console

__all__ = ["new_console"]


def new_console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Standard output's, or standard error's: what is printed is coloured by its markup alone, and `:key:` is no emoji.

    width: columns; None for those of the terminal.
    """
    return Console(stderr=stderr, highlight=False, emoji=False, width=width)
