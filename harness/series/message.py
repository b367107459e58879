"""The text of a patch's mail: in-body headers, the commit message with its trailers, what follows it, the diff.

The borders are those of git's mailinfo.c (check_inbody_header, patchbreak), so that what is told here is what `git am`
will commit.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from harness.errors import SeriesError
from harness.series.mime import Mail, clean_author, decode_header

__all__ = ["Declared", "Text", "declared", "essence", "inbody_author", "read_text", "trailers"]

_INBODY = re.compile(rb"(From|Subject|Date):[ \t]*(.*)", re.IGNORECASE)
_BREAK = re.compile(rb"diff -|Index: |---(?: \S|\s*\Z)")
_TRAILER = re.compile(r"([A-Za-z][A-Za-z0-9-]*):[ \t]+(\S.*)")
_KNOWN_TRAILER = re.compile(r"(?:[A-Za-z-]+-by|Fixes|Cc|Link|Closes|Change-Id):", re.IGNORECASE)
_DECLARED = {
    name: re.compile(rb"^" + name.encode() + rb":[ \t]*([0-9a-f]{7,64})\b", re.MULTILINE)
    for name in ("base-commit", "prerequisite-patch-id")
}
_CHANGE_ID = re.compile(rb"^change-id:[ \t]*(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Text:
    """A mail's text, taken apart.

    message: the commit message below the subject. author, subject, date: of the in-body headers, "" for none.
    rest: index of the first line after the message (the `---` or the diff). remarks: on how the message was read.
    """

    message: str
    author: str
    subject: str
    date: str
    rest: int
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Declared:
    """What `git format-patch --base` and b4 write into a mail about the series as a whole."""

    base_commit: str = ""
    prerequisite_patch_ids: tuple[str, ...] = ()
    change_id: str = ""


def read_text(mail: Mail, lines: list[bytes]) -> Text:
    """Take a mail's text apart. Raises SeriesError where the message is not in the charset that the mail declares."""
    rest = next((index for index, line in enumerate(lines) if _BREAK.match(line)), len(lines))
    headers, begin = _inbody_headers(lines[:rest])
    text, remarks = _decoded(mail, lines[:rest], begin)
    return Text(
        message=text.strip("\n"),
        author=clean_author(headers.get("from", "")),
        subject=decode_header(headers.get("subject", "")),
        date=decode_header(headers.get("date", "")),
        rest=rest,
        remarks=remarks,
    )


def essence(lines: tuple[bytes, ...], diff_end: int) -> tuple[bytes, ...]:
    """What makes a patch the patch it is: its message and all below, to the diff's end; no header, no list's footer."""
    return lines[_inbody_headers(list(lines[:diff_end]))[1] : diff_end]


def inbody_author(lines: tuple[bytes, ...]) -> str:
    """The author that a From line at the top of a text names, or ""."""
    return clean_author(_inbody_headers(list(lines))[0].get("from", ""))


def trailers(message: str) -> tuple[tuple[str, str], ...]:
    """The `Key: value` lines of the last paragraph, if it is one of trailers (all of them are, or a known one is)."""
    paragraph = re.split(r"\n[ \t]*\n", message.rstrip())[-1].splitlines() if message.strip() else []
    found = [match for match in map(_TRAILER.fullmatch, map(str.rstrip, paragraph)) if match]
    if len(found) < len(paragraph) and not any(_KNOWN_TRAILER.match(match[0]) for match in found):
        return ()
    return tuple((match[1], match[2]) for match in found)


def declared(mail: Mail) -> Declared:
    """The base-commit, prerequisite-patch-id and change-id lines of a mail, wherever they stand in it."""
    base = _DECLARED["base-commit"].search(mail.body)
    change = _CHANGE_ID.search(mail.body)
    return Declared(
        base_commit=base[1].decode() if base else "",
        prerequisite_patch_ids=tuple(match.decode() for match in _DECLARED["prerequisite-patch-id"].findall(mail.body)),
        change_id=change[1].decode("ascii", "replace") if change else mail.change_id,
    )


def _inbody_headers(lines: list[bytes]) -> tuple[dict[str, str], int]:
    """The From, Subject and Date at the top of a message, and the index of the first line below them."""
    index = next((at for at, line in enumerate(lines) if line.strip()), len(lines))
    headers: dict[str, str] = {}
    name, first = "", index
    while index < len(lines) and lines[index].strip():
        match = _INBODY.match(lines[index])
        if match:
            name = match[1].decode().lower()
            headers.setdefault(name, "")
            headers[name] += match[2].decode("utf-8", "surrogateescape")
        elif name and lines[index][:1] in b" \t":
            headers[name] += " " + lines[index].strip().decode("utf-8", "surrogateescape")
        else:
            break
        index += 1
    if "from" in headers and not clean_author(headers["from"]):
        return {}, first
    return headers, index


def _decoded(mail: Mail, lines: list[bytes], begin: int) -> tuple[str, tuple[str, ...]]:
    """A message's text and a remark where it was not read as declared.

    An unknown charset (`charset=y` has been mailed) is read as UTF-8 or else Latin-1, as is one that is not declared.
    """
    data = b"\n".join(lines[begin:])
    charset = mail.charset
    if charset and not _known(charset):
        text, used = _guessed(data)
        return text, (f"{mail}: there is no charset {charset!r}; its message was read as {used}",)
    if not charset or codecs.lookup(charset).name == "ascii":
        text, used = _guessed(data)
        undeclared = f"{mail}: declares no charset for bytes beyond ASCII; its message was read as {used}"
        return text, () if used == "UTF-8" else (undeclared,)
    if codecs.lookup(charset).name.startswith(("utf-16", "utf-32")):
        return _guessed(data)[0], ()
    try:
        return data.decode(charset), ()
    except ValueError as error:
        text, used = _guessed(data)
        if used == "UTF-8":
            return text, (f"{mail}: its message is not {charset} as declared; read as UTF-8",)
        raise _undecodable(mail, lines, begin) from error


def _known(charset: str) -> bool:
    """Whether Python can decode text of this name (which rot13, zlib or idna are no names for)."""
    try:
        return codecs.lookup(charset).name not in ("idna", "punycode", "undefined") and "x".encode(charset) != b""
    except (LookupError, ValueError, TypeError):
        return False


def _guessed(data: bytes) -> tuple[str, str]:
    try:
        return data.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "Latin-1"


def _undecodable(mail: Mail, lines: list[bytes], begin: int) -> SeriesError:
    wrong = next((at for at in range(begin, len(lines)) if not _decodes(lines[at], mail.charset)), begin)
    return SeriesError(
        f"{mail}: its message is not in the charset it declares, {mail.charset} ({mail.at(wrong)})",
        detail=lines[wrong].decode("ascii", "backslashreplace"),
        hint="send it again with git send-email, or correct the charset in its Content-Type header",
    )


def _decodes(line: bytes, charset: str) -> bool:
    try:
        line.decode(charset)
    except ValueError:
        return False
    return True
