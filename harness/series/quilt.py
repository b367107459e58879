"""Read a quilt series: a `series` file that lists patches in order, and the patch files beside it.

A patch file is free text and a diff; its author and subject are given, if at all, as a mail's headers, as DEP-3 headers
(Author, Description) or not. git must have both, so the file's name and an unknown author stand in for them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from harness.errors import SeriesError, UsageError
from harness.links import outside
from harness.series.letters import Kind, Letter, read_letter
from harness.series.mailbox import Origin, looks_like_mail
from harness.series.mime import Mail, clean_author, decode_header
from harness.series.sources import letters_of_bytes, read_bytes

__all__ = ["letters_of_quilt", "series_file"]

_FIELD = re.compile(rb"([A-Za-z][A-Za-z0-9-]*):[ \t]*(.*)")
_TEXT = re.compile(rb"(?:diff -|Index: |--- )")


def series_file(path: Path) -> Path | None:
    """The `series` file that a path means: itself, or the one in a directory or in its `patches`; None for none."""
    if path.is_file():
        return path if path.name == "series" else None
    return next((file for file in (path / "series", path / "patches" / "series") if file.is_file()), None)


def letters_of_quilt(series: Path) -> list[Letter]:
    """The patches that a series file lists, in its order, which holds whatever their subjects say.

    Raises UsageError where it lists none, SeriesError where one is missing, outside, or to be applied otherwise than
    with -p1.
    """
    entries = _entries(series)
    if not entries:
        raise UsageError(f"{series}: lists no patches")
    return [_letter(series, number, name, options) for number, name, options in entries]


def _entries(series: Path) -> list[tuple[int, str, list[str]]]:
    """Line number, name and options of each patch; a # begins a comment."""
    lines = read_bytes(series).decode("utf-8", "replace").splitlines()
    words = [(number, re.sub(r"(?:^|\s)#.*", "", line).split()) for number, line in enumerate(lines, 1)]
    return [(number, found[0], found[1:]) for number, found in words if found]


def _letter(series: Path, number: int, name: str, options: list[str]) -> Letter:
    unusual = [option for option in options if option not in ("-p1", "-pab")]
    if unusual:
        raise SeriesError(
            f"{series}, line {number}: {name} is to be applied with {' '.join(unusual)}; git am knows only -p1",
            hint="quilt refresh -p1 writes the patch anew",
        )
    file = series.parent / name
    if outside(series.parent, file):
        raise SeriesError(f"{series}, line {number}: {name} is outside the directory of the series")
    if not file.is_file():
        raise SeriesError(f"{series}, line {number}: there is no {name}", hint="restore the file, or take out the line")
    letter = _read(file, name)
    if letter.kind is not Kind.PATCH:
        raise SeriesError(f"{file}: it {letter.complaint}", hint="quilt refresh, or take it out of the series file")
    return letter


def _read(file: Path, name: str) -> Letter:
    """One patch file's letter; always a patch where it holds a diff, whatever number its subject has."""
    data = read_bytes(file).removeprefix(b"\xef\xbb\xbf")
    if data.strip() and looks_like_mail(data):
        letters = letters_of_bytes(data, str(file))
        if len(letters) > 1:
            raise SeriesError(f"{file}: it holds {len(letters)} mails; a quilt patch is one")
        letter = letters[0]
    else:
        letter = read_letter(_mail(file, name, data))
    return replace(letter, kind=Kind.PATCH) if letter.scan.found and not letter.mail.trouble else letter


def _mail(file: Path, name: str, data: bytes) -> Mail:
    """The mail that a patch file without a mail's headers amounts to."""
    if data.split(b"\n", 1)[0].endswith(b"\r"):
        data = data.replace(b"\r\n", b"\n")
    fields, above = _fields(data)
    title, _, more = fields.get("subject", fields.get("description", b"")).partition(b"\n")
    return Mail(
        origin=Origin(str(file), 0, 1),
        subject=decode_header(title.decode("utf-8", "surrogateescape")) or re.sub(r"\.(?:patch|diff)\Z", "", name),
        author=clean_author(fields.get("from", fields.get("author", b"")).decode("utf-8", "surrogateescape")),
        date=decode_header(fields.get("date", b"").decode("utf-8", "surrogateescape")),
        message_id="",
        in_reply_to="",
        change_id="",
        body=(more + b"\n\n" if more else b"") + data[above:],
        body_line=0 if more else 1 + data.count(b"\n", 0, above),
    )


def _fields(data: bytes) -> tuple[dict[str, bytes], int]:
    """The header fields at the top of a patch file, lower case, lines that continue them unfolded one by one; and where
    the text below begins."""
    fields: dict[str, bytes] = {}
    name, at = "", 0
    for line in data.splitlines(keepends=True):
        match = _FIELD.match(line.rstrip(b"\r\n"))
        if _TEXT.match(line):
            break
        if match:
            name = match[1].decode().lower()
            fields.setdefault(name, match[2])
        elif name and line[:1] in b" \t" and line.strip():
            text = line.strip()
            fields[name] += b"\n" + (b"" if text == b"." else text)
        else:
            break
        at += len(line)
    known = {"from", "author", "subject", "description", "date"} & fields.keys()
    return (fields, at) if known else ({}, 0)
