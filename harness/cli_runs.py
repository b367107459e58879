"""`ktrial runs`: the runs that were made, what they found, and removing them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from harness import record
from harness.cli_between import compare, why
from harness.cli_console import new_console
from harness.cli_moving import export, import_
from harness.cli_tables import gigabytes, plain_table, show_table, table_console
from harness.errors import UsageError
from harness.memory import opened
from harness.memory.file import writing
from harness.memory.recall import known_runs
from harness.memory.write import forget as forget_run
from harness.report import safe
from harness.report.decode import places_of
from harness.report.json import read_result
from harness.report.layout import put, wrapped
from harness.report.terminal import Verbosity, render
from harness.store import RunFolder, RunState, RunSummary, find_run, list_runs, remove_run, run_folders, summary
from harness.transfer.model import ARRIVAL, Arrival
from harness.verdict import Verdict

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="List, show, compare and move runs.")

_LAST_EVENTS = 5
_VERDICT = 80  # characters in a pipe, where nothing is wrapped
_LONGEST = 1000


@dataclass(frozen=True)
class _Head:
    """The part of a result that a list needs."""

    verdict: Verdict


@dataclass(frozen=True)
class _Row:
    """A run, as `--json` lists it. exit_code: None where the run is not finished. size: bytes.

    machine: where it came from, with `ktrial runs import`; "" for one that was made here.
    """

    id: str
    created: str
    label: str
    state: RunState
    stage: str
    exit_code: int | None
    verdict: str
    folder: str
    size: int
    machine: str


def _complete(incomplete: str) -> list[str]:
    """Ids for the shell's completion."""
    return [entry.card.id for entry in list_runs() if entry.card.id.startswith(incomplete)]


_Run = Annotated[
    str,
    typer.Argument(
        help="A run's id, the beginning or the end of one, its folder, or `last`.", autocompletion=_complete
    ),
]


@app.command("list")
def list_(
    json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Verdicts uncut.")] = False,
) -> None:
    """List the runs, the newest first, with the beginnings of their verdicts. In a pipe a run is one line."""
    rows = tuple(_row(entry) for entry in list_runs())
    if json:
        sys.stdout.write(record.encode(rows).decode())
        return
    if not rows:
        typer.echo("No runs yet: ktrial run SERIES makes one.")
        return
    console = table_console()
    if console.is_terminal:
        _show_list(rows, console, whole=verbose)
        return
    table = plain_table("run", "state", "size", "verdict")
    for row in rows:
        verdict = _ended(row) if verbose else safe.line(_ended(row), _VERDICT)
        table.add_row(row.id, escape(_state(row)), gigabytes(row.size), escape(verdict))
    show_table(table)


def _show_list(rows: Sequence[_Row], console: Console, *, whole: bool) -> None:
    """Each run with its verdict below it: an id is never cut, for it is to be copied. whole: the verdict neither."""
    width = max(len(row.id) for row in rows)
    for row in rows:
        put(console, Text(f"{row.id:{width}}", "bold"), safe.text(f"  {_state(row):10}  {gigabytes(row.size)}"))
        if ended := _ended(row):
            wrapped(console, safe.text(ended, limit=_LONGEST if whole else console.width - 2), "  ", "  ")


@app.command()
def show(
    run: _Run = "last",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="The verdict and the names of what broke.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Everything, uncut.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the whole result as JSON.")] = False,
    path: Annotated[bool, typer.Option("--path", help="Print the run's folder alone.")] = False,
) -> None:
    """Show the report of a run again, or how far it came."""
    folder = find_run(run)
    if path:
        typer.echo(folder.path)
    elif not folder.result.is_file():
        _show_unfinished(summary(folder), table_console())
    elif json:
        sys.stdout.write(folder.result.read_text(encoding="utf-8"))
    else:
        _show_result(folder, Verbosity.VERBOSE if verbose else Verbosity.QUIET if quiet else Verbosity.NORMAL)


@app.command()
def rm(
    runs: Annotated[list[str] | None, typer.Argument(help="Runs, as for show.", autocompletion=_complete)] = None,
    keep: Annotated[int | None, typer.Option("--keep", min=0, help="Remove all but the newest N.")] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Out of the memory as well: no history has them.")] = False,
) -> None:
    """Remove runs: their folders, with all that is in them. Built kernels stay in the cache, results in the memory."""
    gone = _only_remembered(runs or ()) if forget else ()
    doomed = [find_run(run) for run in runs or () if run not in gone]
    if keep is not None:
        doomed += [entry.run for entry in list_runs()[keep:] if entry.state is not RunState.RUNNING]
    if not doomed and not gone and keep is None:
        raise UsageError("no run is named", hint="ktrial runs rm RUN…, or ktrial runs rm --keep 10")
    for run in dict.fromkeys(doomed):
        identity = run.id
        remove_run(run)
        typer.echo(f"removed {identity}")
        _forget(identity) if forget else None
    for identity in gone:
        _forget(identity)
        typer.echo(f"forgot {identity}")


app.command()(compare)
app.command()(why)
app.command()(export)
app.command("import")(import_)


def _only_remembered(names: Sequence[str]) -> tuple[str, ...]:
    """Whole ids of runs that are in the memory alone."""
    with opened() as connection:
        return tuple(name for name in names if name in known_runs(connection) and name not in run_folders())


def _forget(identity: str) -> None:
    with opened() as connection, writing(connection):
        forget_run(connection, identity)


def _row(entry: RunSummary) -> _Row:
    head = record.load_if(entry.run.result, _Head)
    arrival = record.load_if(entry.run.path / ARRIVAL, Arrival)
    verdict = head.verdict if head else None
    return _Row(
        id=entry.card.id,
        created=entry.card.created,
        label=entry.card.label,
        state=entry.state,
        stage=entry.stage,
        exit_code=int(verdict.exit_code) if verdict else None,
        verdict=safe.line(verdict.line) if verdict else "",
        folder=str(entry.run.path),
        size=entry.size,
        machine=arrival.machine if arrival else "",
    )


def _ended(row: _Row) -> str:
    """A run's verdict, or how far it came."""
    return row.verdict or _reached(row.stage)


def _state(row: _Row) -> str:
    return f"from {row.machine}" if row.machine else str(row.state)


def _reached(stage: str) -> str:
    return f"(done: {stage})" if stage else ""


def _show_result(folder: RunFolder, verbosity: Verbosity) -> None:
    try:
        result = read_result(folder.result)
    except msgspec.DecodeError as error:
        raise UsageError(
            f"{folder.result} is not a result that this ktrial can read: {error}",
            hint=f"ktrial runs show --json {folder.id} prints it as it is",
        ) from error
    render(result, new_console(), verbosity=verbosity, places=places_of(result))


def _show_unfinished(entry: RunSummary, console: Console) -> None:
    """Tell how far a run came, and how to go on."""
    console.print(f"{entry.card.id}: {entry.state}, {_reached(entry.stage) or 'no stage is done yet'}")
    if entry.run.events.is_file():
        lines = entry.run.events.read_text(encoding="utf-8").splitlines()[-_LAST_EVENTS:]
        console.print("\n".join(f"  {escape(safe.line(line))}" for line in lines))
    console.print(f"in {entry.run.path}")
    if entry.state is not RunState.RUNNING:
        console.print(f"ktrial run --resume {entry.card.id}")
