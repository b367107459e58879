"""The command line: `ktrial`. The only place that prints and exits."""

from __future__ import annotations

import errno
import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer
from rich.markup import escape

from harness import __version__
from harness.cli_cache import app as cache
from harness.cli_config import app as config
from harness.cli_console import new_console
from harness.cli_doctor import doctor
from harness.cli_guest import boot, shell, test
from harness.cli_history import history
from harness.cli_perf import perf
from harness.cli_report import report
from harness.cli_run import run
from harness.cli_runs import app as runs
from harness.cli_suites import app as suites
from harness.errors import ExitCode, KtrialError, MachineLost
from harness.report import safe

__all__ = ["app", "main"]

app = typer.Typer(
    name="ktrial",
    help="Put a Linux kernel patch series on trial: build, boot and test it against its base.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ktrial {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """Put a Linux kernel patch series on trial: build, boot and test it against its base."""


app.command()(run)
app.command()(test)
app.command()(boot)
app.command()(shell)
app.command()(perf)
app.command()(history)
app.command()(report)
app.add_typer(config, name="config")
app.add_typer(suites, name="suites")
app.add_typer(runs, name="runs")
app.add_typer(cache, name="cache")
app.command()(doctor)


def main() -> None:
    """Run `ktrial`; errors of the user's become a few lines and the exit status of docs/exit-codes.md."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    signal.signal(signal.SIGHUP, _as_interrupt)
    try:
        app()
    except KtrialError as error:
        _show(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(ExitCode.NO_REGRESSION)
    except Exception as error:
        if os.environ.get("KTRIAL_DEBUG"):
            raise
        sys.exit(_unforeseen(error))


def _unforeseen(error: Exception) -> ExitCode:
    """Show what nobody raised on purpose: a full disk is this machine's fault, anything else is ours."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        _show(MachineLost(f"the disk is full: {error}", hint="ktrial cache prune --max-size 5G, then --resume the run"))
        return ExitCode.MACHINE_LOST
    _show_bug()
    return ExitCode.INTERNAL


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    """End as on Ctrl-C: everything that was started is ended, and the run can be resumed."""
    raise KeyboardInterrupt


def _show(error: KtrialError) -> None:
    console = new_console(stderr=True)
    console.print(f"[bold red]ktrial:[/] {escape(safe.line(error.summary))}", soft_wrap=True)
    for line in safe.block(error.detail) if error.detail else ():
        console.print(f"  {escape(line)}", soft_wrap=True)
    if error.hint:
        console.print(f"[bold]try:[/] {escape(safe.line(error.hint))}", soft_wrap=True)
    if error.log:
        console.print(f"[bold]log:[/] {escape(str(error.log))}", soft_wrap=True)


def _show_bug() -> None:
    console = new_console(stderr=True)
    console.print_exception(max_frames=6, width=100)
    console.print("[bold red]ktrial:[/] this is a bug in ktrial; the run, if one was begun, can be resumed")


if __name__ == "__main__":
    main()
