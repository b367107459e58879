"""`ktrial doctor`: what this machine lacks, and what to do about it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from harness.cli_tables import plain_table, table_console
from harness.doctor import Check, State, System, examine, install, missing_packages, this_system
from harness.doctor.apt import install_line
from harness.errors import ExitCode
from harness.record import encode

__all__ = ["doctor"]

_MARKS = {
    State.OK: "[green]ok[/]",
    State.MISSING: "[red]missing[/]",
    State.BROKEN: "[red]broken[/]",
    State.OPTIONAL_MISSING: "[yellow]without[/]",
}


@dataclass(frozen=True)
class _Report:
    """What `--json` prints. install: the packages that would bring what is missing."""

    format: int
    system: str
    ready: bool
    install: tuple[str, ...]
    checks: tuple[Check, ...]


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Install what is missing (Debian and Ubuntu).")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
    boot: Annotated[bool, typer.Option(help="Try KVM by booting a kernel, once, where one is built.")] = True,
) -> None:
    """Check everything that ktrial needs of this machine, and say what to do about what is missing.

    Exits with 0 when a trial can run here, and with 6 when something that it needs is missing.
    """
    console = table_console(stderr=json)
    checks = examine(boot=boot)
    if fix and (packages := missing_packages(checks)):
        install(packages, say=lambda line: console.print(escape(line), style="dim"))
        checks = examine(boot=boot)
    ready = not any(check.state.stops for check in checks)
    if json:
        report = _Report(1, this_system().name, ready, missing_packages(checks), checks)
        sys.stdout.write(encode(report).decode())
    else:
        _show(console, checks, this_system())
    if not ready:
        raise typer.Exit(ExitCode.TREE_UNUSABLE)


def _show(console: Console, checks: tuple[Check, ...], system: System) -> None:
    """Print the table, then one line for each thing to do."""
    table = plain_table()
    for check in checks:
        table.add_row(check.name, _MARKS[check.state], escape(check.found))
    console.print(table)
    console.print()
    for check in checks:
        if check.state is not State.OK and (check.advice or not system.debian):
            console.print(f"{check.name}: {escape(check.advice or f'install it: ktrial needs it, as it {check.why}')}")
    if packages := missing_packages(checks):
        console.print(f"[bold]ktrial doctor --fix[/] installs the packages, or: {install_line(packages)}")
    if any(check.state.stops for check in checks):
        console.print(f"[red]A trial cannot run on this machine yet[/] ({escape(system.name)}).")
    else:
        console.print(f"[green]A trial can run on this machine[/] ({escape(system.name)}).")
