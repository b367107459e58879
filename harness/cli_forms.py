"""Write a run's report in the forms that were asked for: `ktrial report`, and `ktrial run` at its end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer

from harness.errors import UsageError
from harness.record import atomic_write
from harness.report.evidence import Evidence, gather
from harness.report.html import html_page, write_folder
from harness.report.json import encode_result
from harness.report.junit import junit_xml
from harness.report.ktap import ktap_text
from harness.report.markdown import markdown
from harness.run_result import RunResult
from harness.store import RunFolder

__all__ = ["Forms", "Html", "HtmlFolder", "Junit", "Ktap", "Markdown", "write_forms"]

_STDOUT = "-"

Html = Annotated[str | None, typer.Option(help="Write the report as one HTML file, or to - .", metavar="FILE")]
HtmlFolder = Annotated[
    Path | None, typer.Option(help="Write the report as a folder of HTML, with all logs.", metavar="DIR")
]
Junit = Annotated[str | None, typer.Option(help="Write the results as JUnit XML, or to - .", metavar="FILE")]
Ktap = Annotated[str | None, typer.Option(help="Write the results as KTAP, or to - .", metavar="FILE")]
Markdown = Annotated[str | None, typer.Option(help="Write the report as GitHub's Markdown, or to - .", metavar="FILE")]


@dataclass(frozen=True)
class Forms:
    """Where each form goes: a file's name, `-` for standard output, None where it was not asked for.

    Raises UsageError where two go to standard output.
    """

    html: str | None = None
    junit: str | None = None
    ktap: str | None = None
    markdown: str | None = None
    json: str | None = None
    html_folder: Path | None = None

    def __post_init__(self) -> None:
        if self.to_stdout > 1:
            raise UsageError("only one report can go to standard output", hint="name files for the others")

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))

    @property
    def to_stdout(self) -> int:
        """How many of them go to standard output."""
        return sum(getattr(self, field.name) == _STDOUT for field in fields(self))


def write_forms(folder: RunFolder, result: RunResult, forms: Forms) -> None:
    """Write all that were asked for. Raises UsageError where one cannot be written."""
    writer = _Writer(folder, result)
    for target, encode in writer.files(forms):
        _write(target, encode())
    if forms.html_folder is not None:
        _checked(str(forms.html_folder), lambda path: write_folder(path, result, writer.evidence))


@dataclass(frozen=True)
class _Writer:
    folder: RunFolder
    result: RunResult

    @cached_property
    def evidence(self) -> Evidence:
        return gather(self.folder, self.result)

    def files(self, forms: Forms) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """(where, what) of each form that is one file."""
        encoders: tuple[tuple[str | None, Callable[[], bytes]], ...] = (
            (forms.html, lambda: html_page(self.result, self.evidence).encode()),
            (forms.junit, lambda: junit_xml(self.result)),
            (forms.ktap, lambda: ktap_text(self.result).encode()),
            (forms.markdown, lambda: markdown(self.result, self.evidence.places).encode()),
            (forms.json, lambda: encode_result(self.result)),
        )
        return ((target, encode) for target, encode in encoders if target is not None)


def _write(target: str, data: bytes) -> None:
    if target == _STDOUT:
        sys.stdout.buffer.write(data)
    else:
        _checked(target, lambda path: atomic_write(path, data))


def _checked(target: str, write: Callable[[Path], None]) -> None:
    try:
        write(Path(target).expanduser())
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}") from error
