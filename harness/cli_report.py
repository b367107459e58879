"""`ktrial report`: the report of a run that is there, in any of its forms."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from harness.cli_console import new_console
from harness.cli_forms import Forms, Html, HtmlFolder, Junit, Ktap, Markdown, write_forms
from harness.cli_post import post
from harness.errors import UsageError
from harness.report.decode import places_of
from harness.report.json import read_result
from harness.report.terminal import Verbosity, render
from harness.run_result import RunResult
from harness.store import RunFolder, find_run, list_runs

__all__ = ["finished_result", "report"]


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
    html: Html = None,
    html_folder: HtmlFolder = None,
    junit: Junit = None,
    ktap: Ktap = None,
    markdown: Markdown = None,
    json: Annotated[str | None, typer.Option(help="Write the whole result as JSON, or to - .", metavar="FILE")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Terminal: the verdict, and what broke.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Terminal: everything, uncut.")] = False,
    mail: Annotated[bool, typer.Option("--mail", help="Print the mail that answers the cover letter.")] = False,
    send: Annotated[bool, typer.Option("--send", help="Send that mail, once; docs/mail.md has the settings.")] = False,
    again: Annotated[bool, typer.Option("--again", help="--send, even if it was sent already.")] = False,
    patchwork: Annotated[str | None, typer.Option(help="Post checks to this Patchwork.", metavar="URL")] = None,
    series: Annotated[int | None, typer.Option(help="The series there.", metavar="ID")] = None,
) -> None:
    """Write the report of a run in any of its forms, several at once; on the terminal where none is named.

    Example: ktrial report last --html report.html --junit junit.xml

    docs/reports.md shows each form.
    """
    folder = find_run(run)
    result = finished_result(folder)
    forms = Forms(html, junit, ktap, markdown, json, html_folder)
    posting = mail or send or again or patchwork is not None or series is not None
    if not forms and not posting:
        verbosity = Verbosity.VERBOSE if verbose else Verbosity.QUIET if quiet else Verbosity.NORMAL
        render(result, new_console(), verbosity=verbosity, places=places_of(result))
    write_forms(folder, result, forms)
    if posting:
        post(folder, result, mail=mail, send=send, again=again, patchwork=patchwork, series=series)


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
