"""Take a mailbox apart into messages: where one ends and the next begins, and the quoting of `From ` lines.

Both dialects are read: mboxrd (`>From ` and `>>From ` each lose one `>`) and mboxo (only `From ` was quoted), as well
as what `git format-patch --stdout` writes, which quotes nothing. A line is a separator only if it has the form of one
(`From `, something, a time and a year: git's builtin/mailsplit.c:is_from_line) and headers follow it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Origin", "Piece", "is_separator", "looks_like_mail", "split"]

_FROM = re.compile(rb"^From \S[^\n]*\n?", re.MULTILINE)
_SEPARATOR = re.compile(rb"From \S.*[ \t]\d{1,2}:\d\d(?::\d\d)?\b.*\b(?:19|20)\d\d\b")
_HEADER = re.compile(rb"[A-Za-z][A-Za-z0-9-]*:(?!//)|>?From ")
_MACHINE = re.compile(rb"From (?:mboxrd@z|[0-9a-f]{40,64}) ")
_MULTIPART = re.compile(rb"^Content-Type:\s*multipart/", re.MULTILINE | re.IGNORECASE)
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)


@dataclass(frozen=True)
class Origin:
    """Where a message stands. source: what the user named, or a file in it. number: of the message, 0 where the file is
    one message. line: the first line of the message, counted from 1; 0 where it has none (a git range)."""

    source: str
    number: int = 0
    line: int = 0

    def __str__(self) -> str:
        message = f", message {self.number}" if self.number else ""
        return f"{self.source}{message}" + (f", line {self.line}" if self.line > 1 or message else "")


@dataclass(frozen=True)
class Piece:
    """The bytes of one message, without the mailbox's quoting, its separator (if it was `separated` by one) and the
    blank line that ends a message in a mailbox: a diff that is cut off could take it for one of its own."""

    origin: Origin
    data: bytes
    separated: bool = False


def is_separator(line: bytes) -> bool:
    """Whether a line has the form of a mailbox's separator."""
    return _SEPARATOR.match(line) is not None


def looks_like_mail(data: bytes) -> bool:
    """Whether bytes begin as a mailbox or a message does: a separator, or headers with From and Subject."""
    first = data.lstrip().split(b"\n", 1)[0]
    if is_separator(first):
        return True
    lines = [line for line in _head(data.lstrip()).split(b"\n") if line[:1] not in (b" ", b"\t")]
    names = {line.split(b":", 1)[0].lower() for line in lines if _HEADER.match(line)}
    return bool(_HEADER.match(first)) and b"from" in names and b"subject" in names


def _head(data: bytes) -> bytes:
    """A message's headers, lines ended by LF."""
    end = re.search(rb"\r?\n\r?\n", data)
    return data[: end.start() if end else len(data)].replace(b"\r\n", b"\n")


def split(data: bytes, source: str) -> list[Piece]:
    """The messages of a mailbox (or of a file that is one message), in order. Whatever stands before the first
    separator is a message of its own, if there is anything; if that has parts, so does what follows belong to them (an
    attached mailbox is not quoted)."""
    top = len(data) - len(data.lstrip())
    starts = [match.span() for match in _FROM.finditer(data) if _begins_message(data, match)]
    if not starts or starts[0][0] > top:
        starts = [(top, top), *([] if _MULTIPART.search(_head(data[top:])) else starts)]
    bounds = [begin for begin, _ in starts[1:]] + [len(data)]
    return list(_pieces(data, source, starts, bounds))


def _pieces(data: bytes, source: str, starts: list[tuple[int, int]], bounds: list[int]) -> Iterator[Piece]:
    line, counted = 1, 0
    for number, ((begin, headers), end) in enumerate(zip(starts, bounds, strict=True), 1):
        line += data.count(b"\n", counted, begin)
        counted = begin
        body = _plain_line_ends(data[headers:end])
        separated = headers > begin
        text = _QUOTED.sub(rb"\1", body.removesuffix(b"\n") if body.endswith(b"\n\n") else body) if separated else body
        yield Piece(Origin(source, number if len(starts) > 1 or separated else 0, line), text, separated)


def _begins_message(data: bytes, match: re.Match[bytes]) -> bool:
    if not is_separator(match[0]):
        return False
    if _HEADER.match(data, match.end()):
        return True
    after_blank = match.start() == 0 or data[max(0, match.start() - 3) : match.start()].endswith((b"\n\n", b"\n\r\n"))
    return after_blank and (match.start() == 0 or _MACHINE.match(match[0]) is not None)


def _plain_line_ends(data: bytes) -> bytes:
    """LF for CRLF where the transport ended every line so; where only a diff's own lines have a CR, they keep it."""
    first = data[: data.find(b"\n") + 1]
    return data.replace(b"\r\n", b"\n") if first.endswith(b"\r\n") else data
