"""Tables that a person reads in a terminal and a script in a pipe."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

__all__ = ["gigabytes", "plain_table", "table_console"]

_PIPE_COLUMNS = 1000


def table_console(*, stderr: bool = False) -> Console:
    """A console that wraps at a terminal's width, and never in a pipe: one row, one line."""
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=_PIPE_COLUMNS)


def plain_table(*columns: str) -> Table:
    """A table without lines or padding. columns: its headings; none for a table without a header."""
    return Table(*columns, box=None, pad_edge=False, show_header=bool(columns), header_style="bold")


def gigabytes(size: int) -> str:
    """A size in bytes as a person reads it: `1.4 GB`, `312 MB`, `8 kB`."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}" if size < 10 * factor else f"{size // factor} {unit}"
    return f"{-(-size // 1000)} kB"
