"""Logs as reports show them: which lines are a complaint of the kernel's, and which say what an assertion saw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from harness.results import SideResults, Splat

__all__ = ["LineKind", "LogLine", "detail_lines", "log_lines", "said", "shown_texts"]

_WORKER = ("[gw", "] linux -- Python ")


class LineKind(StrEnum):
    """What a line is to a reader."""

    PLAIN = "plain"
    HEADLINE = "headline"  # the first line of a splat
    SPLAT = "splat"
    ERROR = "error"  # what pytest marks with `E`
    STATEMENT = "statement"  # what pytest marks with `>`


@dataclass(frozen=True)
class LogLine:
    """A line. text: as it came, for a renderer to make harmless."""

    text: str
    kind: LineKind = LineKind.PLAIN


def shown_texts(side: SideResults) -> Iterator[str]:
    """Every text of a side in which a report shows call traces."""
    for result in side.results:
        if not result.outcome.good:
            yield from (result.details, result.log)
        yield from (splat.text for splat in result.splats)
    for boot in side.boots:
        yield from (splat.text for splat in boot.splats)


def log_lines(text: str, splats: Iterable[Splat] = ()) -> tuple[LogLine, ...]:
    """The lines of a kernel log, those of the splats in it marked."""
    found = list(splats)
    heads = {_headline(splat) for splat in found}
    inside = {line for splat in found for line in splat.text.split("\n") if line.strip()}
    return tuple(LogLine(line, _kind(line, heads, inside)) for line in _split(text))


def detail_lines(text: str) -> tuple[LogLine, ...]:
    """The lines of pytest's report of a failure."""
    return tuple(LogLine(line, _mark(line)) for line in _split(said(text)))


def said(details: str) -> str:
    """pytest's report without the first line that xdist puts above it, which names its worker's Python."""
    first, _, rest = details.partition("\n")
    return rest.lstrip("\n") if first.startswith(_WORKER[0]) and _WORKER[1] in first else details


def _split(text: str) -> list[str]:
    return text.replace("\r\n", "\n").strip("\n").split("\n") if text.strip() else []


def _headline(splat: Splat) -> str:
    """The line that names it: the first that is no rule of dashes."""
    lines = splat.text.split("\n")
    return next((line for line in lines if any(char.isalpha() for char in line) and "cut here" not in line), lines[0])


def _kind(line: str, heads: set[str], inside: set[str]) -> LineKind:
    if line in heads:
        return LineKind.HEADLINE
    return LineKind.SPLAT if line in inside else LineKind.PLAIN


def _mark(line: str) -> LineKind:
    if line == "E" or line.startswith("E "):
        return LineKind.ERROR
    return LineKind.STATEMENT if line.startswith(">") else LineKind.PLAIN
