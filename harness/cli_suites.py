"""`ktrial suites`: what can be run."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from harness.cli_console import new_console
from harness.cli_tables import plain_table, show_table
from harness.suites import find_suites, load_suite

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="List the suites, and show what one covers.")


@app.command("list")
def list_() -> None:
    """List the suites."""
    table = plain_table("suite", "what it tests")
    for suite in find_suites():
        table.add_row(escape(suite.name), escape(suite.summary))
    show_table(table)


@app.command()
def show(name: Annotated[str, typer.Argument(help="The suite's name.")]) -> None:
    """Show what a suite covers, needs, and when it is picked."""
    suite = load_suite(name)
    console = new_console()
    console.print(f"[bold]{escape(suite.name)}[/]: {escape(suite.summary)}")
    for title, values in (
        ("covers", suite.covers),
        ("Kconfig fragments", suite.fragments),
        ("devices", suite.devices),
        ("programs of ours", suite.tools),
        ("picked when a series touches", suite.paths),
        ("benches", tuple(sorted(path.name for path in suite.directory.glob("bench_*.py")))),
        ("BPF programs", tuple(path.name for path in suite.bpf_sources)),
    ):
        if values:
            console.print(f"{title}:")
            for value in values:
                console.print(f"  {escape(value)}")
    console.print(f"in {suite.directory}", soft_wrap=True)
