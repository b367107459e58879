"""Tables that a person reads in a terminal and a script in a pipe."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from harness.cli_console import new_console

__all__ = ["gigabytes", "plain_table", "show_table", "table_console"]

_PIPE_COLUMNS = 1000


def table_console(*, stderr: bool = False) -> Console:
    """A console that wraps at a terminal's width, and never in a pipe: one row, one line."""
    console = new_console(stderr=stderr)
    return console if console.is_terminal else new_console(stderr=stderr, width=_PIPE_COLUMNS)


def plain_table(*columns: str) -> Table:
    """A table without lines or padding. columns: its headings; none for a table without a header."""
    return Table(*columns, box=None, pad_edge=False, show_header=bool(columns), header_style="bold")


def show_table(table: Table) -> None:
    """Print a table on standard output; in a pipe no line ends in blanks, as wide as its last column may be."""
    console = table_console()
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    lines = "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())
    console.print(lines, end="", markup=False, soft_wrap=True)


def gigabytes(size: int) -> str:
    """A size in bytes as a person reads it: `1.4 GB`, `312 MB`, `8 kB`."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}" if size < 10 * factor else f"{size // factor} {unit}"
    return f"{-(-size // 1000)} kB"
