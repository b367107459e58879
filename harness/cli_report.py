"""`ktrial report`: the report of a run that is there, in any of its forms."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from harness.errors import UsageError
from harness.record import atomic_write
from harness.report.json import encode_result, read_result
from harness.report.terminal import Verbosity, render
from harness.run_result import RunResult
from harness.store import RunFolder, find_run, list_runs

__all__ = ["finished_result", "report"]

_STDOUT = "-"


def _complete(incomplete: str) -> list[str]:
    """Ids for the shell's completion."""
    return [entry.card.id for entry in list_runs() if entry.card.id.startswith(incomplete)]


def report(
    run: Annotated[
        str,
        typer.Argument(
            help="A run's id, the beginning or the end of one, its folder, or `last`.", autocompletion=_complete
        ),
    ] = "last",
    json: Annotated[str | None, typer.Option(help="Write the whole result as JSON to this file, or - .")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Terminal: the verdict, and what broke.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Terminal: everything, uncut.")] = False,
) -> None:
    """Write the report of a run in any of its forms, several at once; on the terminal where none is named.

    Example: ktrial report last --json result.json

    docs/reports.md shows each form.
    """
    folder = find_run(run)
    result = finished_result(folder)
    wanted = {target: encode for target, encode in ((json, encode_result),) if target is not None}
    if not wanted:
        verbosity = Verbosity.VERBOSE if verbose else Verbosity.QUIET if quiet else Verbosity.NORMAL
        render(result, Console(highlight=False), verbosity=verbosity)
    for target, encode in wanted.items():
        _write(target, encode(result))


def finished_result(folder: RunFolder) -> RunResult:
    """A run's result. Raises UsageError where it has none yet, or one that another version wrote."""
    if not folder.result.is_file():
        raise UsageError(f"run {folder.id} is not finished", hint=f"ktrial run --resume {folder.id}")
    try:
        return read_result(folder.result)
    except msgspec.DecodeError as error:
        raise UsageError(
            f"{folder.result} is not a result that this ktrial can read: {error}",
            hint=f"ktrial runs show --json {folder.id} prints it as it is",
        ) from error


def _write(target: str, data: bytes) -> None:
    if target == _STDOUT:
        sys.stdout.buffer.write(data)
        return
    try:
        atomic_write(Path(target).expanduser(), data)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}") from error
