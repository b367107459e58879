"""`ktrial runs export` and `ktrial runs import`: runs from one machine to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from harness.cli_console import new_console
from harness.cli_tables import gigabytes
from harness.errors import UsageError
from harness.memory import remember_run
from harness.report import safe
from harness.report.json import read_result
from harness.store import RunFolder, find_run, list_runs, run_folders
from harness.transfer import Limits, pack, unpack

__all__ = ["export", "import_"]


def _complete(incomplete: str) -> list[str]:
    """Ids for the shell's completion."""
    return [entry.card.id for entry in list_runs() if entry.card.id.startswith(incomplete)]


def export(
    words: Annotated[
        list[str], typer.Argument(metavar="RUN... FILE", help="Runs, and the archive.", autocompletion=_complete)
    ],
    logs: Annotated[bool, typer.Option("--logs/--no-logs", help="With the logs of builds, tests and guests.")] = True,
) -> None:
    """Write finished runs into one archive, for another machine or another person.

    Example: ktrial runs export last ours.tar.gz
    """
    if len(words) < 2:
        raise UsageError("runs and an archive are needed", hint="ktrial runs export last ours.tar.gz")
    runs = {run.path: run for run in map(find_run, words[:-1])}
    out = Path(words[-1]).expanduser()
    size = pack(tuple(runs.values()), out, logs=logs)
    typer.echo(f"{out}: {len(runs)} {'run' if len(runs) == 1 else 'runs'}, {gigabytes(size)}")


def import_(
    archive: Annotated[Path, typer.Argument(help="What `ktrial runs export` wrote, on any machine.")],
    max_size: Annotated[float, typer.Option(min=0.001, help="GB that may come out of it.")] = 4.0,
) -> None:
    """Take in the runs of an archive: they are listed, shown, compared and remembered like those made here.

    Example: ktrial runs import theirs.tar.gz
    """
    arrived = unpack(archive.expanduser(), Limits(size=int(max_size * 10**9)))
    console = new_console(stderr=True)
    folders = run_folders()
    for name in arrived.taken:
        typer.echo(f"{name}, from {arrived.machine}")
        _remember(folders[name], console)
    for name in arrived.known:
        console.print(f"{name} is here already, the same")


def _remember(folder: RunFolder, console: Console) -> None:
    remember_run(read_result(folder.result), lambda text: console.print(escape(safe.line(text)), style="yellow"))
