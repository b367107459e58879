"""Decode a message: headers to text, transfer encodings undone, the body that can hold a patch found among its parts.

Python's email package reads the MIME structure (RFC 2045 to 2047); what is here decides which parts count. The bytes of
a body are kept as they are: a diff has no charset, only a commit message has.
"""

from __future__ import annotations

import email
import email.errors
import email.header
import email.message
import email.policy
import email.utils
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from textwrap import shorten

from harness.errors import SeriesError
from harness.series import mailbox
from harness.series.diffscan import holds_diff
from harness.series.mailbox import Origin, Piece
from harness.series.model import Envelope

__all__ = ["Mail", "Trouble", "clean_author", "decode_header", "decode_piece", "to_text"]

_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, email.errors.MessageError)
_PATCH_FILE = re.compile(r"\.(?:patch|diff|txt|eml|mbox)\Z", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")
_LONGEST_HEADER = 20_000
_IDENTIFIER = re.compile(r"<[^<>\s]+>")
_REFERENCES = 50  # the last of them: a thread is found by any
_PEOPLE = 200
_MACHINES = ("auto-submitted", "precedence", "list-id", "x-mailing-list", "x-loop")
_IDENTITY = frozenset({"", "7bit", "8bit", "binary"})


class Trouble(StrEnum):
    """Why a message has no body to read."""

    EMPTY = "empty"
    BINARY = "binary"
    HTML = "HTML only"
    BROKEN = "broken base64"


@dataclass(frozen=True)
class Mail:
    """A message, decoded.

    author: `Name <address>`, or "" where there is none. date: as sent.
    body: the text part or parts that count, lines ended by LF. body_line: the source's line of the body's first line, 0
    where lines cannot be counted (a transfer encoding, several parts). charset: as declared, lower case, "" for none.
    flowed: sent as format=flowed (RFC 3676), which may wrap and stuff a diff's lines. carrier: only the envelope of
    attached messages, which are messages of their own. envelope: its headers for who answers it; None without an id.
    """

    origin: Origin
    subject: str
    author: str
    date: str
    message_id: str
    in_reply_to: str
    change_id: str
    body: bytes
    body_line: int = 0
    charset: str = ""
    flowed: bool = False
    trouble: Trouble | None = None
    carrier: bool = False
    envelope: Envelope | None = None

    def __str__(self) -> str:
        return (
            f"{self.origin} ({shorten(self.subject, 120, placeholder=' ...')!r})" if self.subject else str(self.origin)
        )

    def at(self, index: int) -> str:
        """Name a line of the body, counted from 0."""
        if self.body_line:
            return f"{self.origin.source}, line {self.body_line + index}"
        return f"line {index + 1} of its decoded text"


@dataclass
class _Parts:
    """What walking a message's parts has found."""

    inline: list[tuple[bytes, email.message.Message]]
    attached: list[bytes]
    messages: list[email.message.Message]
    html: bool = False
    broken: bool = False


def decode_piece(piece: Piece) -> list[Mail]:
    """The message of a piece, followed by messages attached to it. Raises SeriesError where it nests without end."""
    try:
        parsed = email.message_from_bytes(piece.data, policy=email.policy.compat32)
        return _decode(parsed, piece.origin, _body_line(piece))
    except RecursionError as error:
        raise SeriesError(f"{piece.origin}: its parts are nested too deep to be read") from error


def decode_header(raw: str) -> str:
    """A header's value as one line of text: RFC 2047 words decoded, raw bytes read as UTF-8 or else Latin-1."""
    text = to_text(raw[:_LONGEST_HEADER].encode("utf-8", "surrogateescape"), "")
    try:
        words = email.header.decode_header(text)
        text = "".join(word if isinstance(word, str) else to_text(word, charset or "") for word, charset in words)
    except _MALFORMED:
        pass
    return " ".join(_CONTROL.sub(" ", text).split())


def clean_author(raw: str) -> str:
    """`Name <address>` of a From header's value; the address stands for a missing name; "" without an address."""
    try:
        name, address = email.utils.parseaddr(" ".join(raw.split()))
    except _MALFORMED:
        name, address = "", ""
    if "@" not in address:
        match = re.fullmatch(r"\s*(.*?)\s*<([^<>\s]+@[^<>\s]+)>.*", " ".join(raw.split()))
        if not match:
            return ""
        name, address = match[1], match[2]
    name, address = decode_header(name).strip("\"' <>"), decode_header(address)
    return f"{name or address} <{address}>"


def _decode(message: email.message.Message, origin: Origin, body_line: int) -> list[Mail]:
    parts = _Parts([], [], [])
    _walk(message, parts)
    body = b"".join(_ended(data) for data, _ in parts.inline)
    nested = [mail for inner in parts.messages for mail in _decode(inner, origin, 0)]
    if not holds_diff(body):
        for data in parts.attached:
            if mailbox.looks_like_mail(data):
                nested += [mail for inner in mailbox.split(data, origin.source) for mail in _attached(inner, origin)]
            elif holds_diff(data):
                body += _ended(data)
    if message.is_multipart() or str(message.get("Content-Transfer-Encoding", "")).strip().lower() not in _IDENTITY:
        body_line = 0
    mail = _mail(message, parts, origin, body)
    return [replace(mail, body_line=body_line, carrier=bool(nested) and not holds_diff(body)), *nested]


def _attached(piece: Piece, origin: Origin) -> list[Mail]:
    return decode_piece(replace(piece, origin=origin))


def _mail(message: email.message.Message, parts: _Parts, origin: Origin, body: bytes) -> Mail:
    text = parts.inline[0][1] if parts.inline else message
    return Mail(
        origin=origin,
        subject=decode_header(_header(message, "subject")),
        author=clean_author(_header(message, "from")),
        date=decode_header(_header(message, "date")),
        message_id=_identifier(_header(message, "message-id")),
        in_reply_to=_identifier(_header(message, "in-reply-to")),
        change_id=decode_header(_header(message, "x-change-id")),
        body=body,
        charset=_charset(text),
        flowed=str(_parameter(text, "format")).lower() == "flowed",
        trouble=_trouble(parts, body),
        envelope=_envelope(message),
    )


def _envelope(message: email.message.Message) -> Envelope | None:
    identifier = _identifier(_header(message, "message-id"))
    if not identifier:
        return None
    answered = _header(message, "references") or _header(message, "in-reply-to")
    references = _IDENTIFIER.findall(_CONTROL.sub(" ", answered))
    return Envelope(
        identifier,
        subject=decode_header(_header(message, "subject")),
        sender=clean_author(_header(message, "from")),
        reply_to=_people(message, "reply-to"),
        to=_people(message, "to"),
        cc=_people(message, "cc"),
        references=tuple(references[-_REFERENCES:]),
        automatic=_automatic(message),
    )


def _people(message: email.message.Message, name: str) -> tuple[str, ...]:
    """The people in every header of a name, each once."""
    values = [" ".join(str(value).split()) for key, value in message.raw_items() if key.lower() == name]
    try:
        found = email.utils.getaddresses(values)
    except _MALFORMED:
        return ()
    people = (clean_author(f"{name} <{address}>") if name else decode_header(address) for name, address in found)
    return tuple(dict.fromkeys(person for person in people if "@" in person))[:_PEOPLE]


def _automatic(message: email.message.Message) -> str:
    """The header by which a machine's message can be told (RFC 3834, 5), or "". A list marks all its mail as bulk."""
    told = {name: decode_header(_header(message, name)).lower() for name in _MACHINES}
    if told["auto-submitted"] not in ("", "no"):
        return f"Auto-Submitted: {told['auto-submitted'][:80]}"
    if told["precedence"] in ("bulk", "junk", "auto_reply") and not (told["list-id"] or told["x-mailing-list"]):
        return f"Precedence: {told['precedence']}"
    if _header(message, "return-path").strip() == "<>":
        return "Return-Path: <>"
    return f"X-Loop: {told['x-loop'][:80]}" if told["x-loop"] else ""


def _trouble(parts: _Parts, body: bytes) -> Trouble | None:
    if b"\0" in body:
        return Trouble.BINARY
    if parts.broken:
        return Trouble.BROKEN
    if not body.strip():
        return Trouble.HTML if parts.html else Trouble.EMPTY
    return None


def _walk(part: email.message.Message, parts: _Parts) -> None:
    """Sort a message's leaves. Of a multipart/alternative, the HTML twin of a text is not looked at."""
    kind = part.get_content_type()
    if kind == "message/rfc822" and part.is_multipart():
        parts.messages += _children(part)
    elif part.is_multipart():
        for child in _children(part):
            _walk(child, parts)
    elif kind == "text/html":
        parts.html = True
    else:
        _leaf(part, kind, parts)


def _children(part: email.message.Message) -> list[email.message.Message]:
    payload = part.get_payload()
    return [child for child in payload if isinstance(child, email.message.Message)] if isinstance(payload, list) else []


def _leaf(part: email.message.Message, kind: str, parts: _Parts) -> None:
    name = _parameter(part, "filename", "content-disposition") or _parameter(part, "name")
    shown = kind == "text/plain" or kind.startswith("multipart/")
    if not (shown or kind.startswith("text/") or "patch" in kind or "diff" in kind or _PATCH_FILE.search(name)):
        return
    data = _payload(part)
    parts.broken = parts.broken or any(
        isinstance(defect, email.errors.InvalidBase64LengthDefect | email.errors.InvalidBase64CharactersDefect)
        for defect in part.defects
    )
    attached = str(part.get("Content-Disposition", "")).strip().lower().startswith("attachment")
    if shown and not attached:
        parts.inline.append((data, part))
    else:
        parts.attached.append(data)


def _payload(part: email.message.Message) -> bytes:
    """A leaf's bytes, decoded. Where all its lines end with CRLF, as on a wire, they become LF; UTF-16 is recoded."""
    try:
        payload = part.get_payload(decode=True)
    except _MALFORMED:
        payload = b""
    data = payload if isinstance(payload, bytes) else b""
    if _charset(part).replace("-", "").replace("_", "").startswith(("utf16", "utf32")):
        data = to_text(data, _charset(part)).encode("utf-8", "replace")
    return data.replace(b"\r\n", b"\n") if data.count(b"\n") == data.count(b"\r\n") else data


def to_text(data: bytes, charset: str) -> str:
    """Text in a charset that may be "" or no charset at all; else in UTF-8; else in Latin-1, which fits all bytes."""
    for name in (charset, "utf-8"):
        try:
            return data.decode(name) if name else data.decode("ascii")
        except (LookupError, ValueError):
            continue
    return data.decode("latin-1")


def _header(message: email.message.Message, name: str) -> str:
    """The first header of that name as it was sent, bytes beyond ASCII as surrogates; "" for none."""
    return next((str(value) for key, value in message.raw_items() if key.lower() == name), "")


def _identifier(raw: str) -> str:
    match = re.search(r"<([^<>\s]+)>", _CONTROL.sub("", raw))
    return f"<{match[1]}>" if match else ""


def _parameter(part: email.message.Message, name: str, header: str = "content-type") -> str:
    try:
        value = part.get_param(name, "", header)
        return email.utils.collapse_rfc2231_value(value) if value else ""
    except _MALFORMED:
        return ""


def _charset(part: email.message.Message) -> str:
    return _CONTROL.sub("", _parameter(part, "charset")).strip("\"' ").lower()


def _ended(data: bytes) -> bytes:
    return data if not data or data.endswith(b"\n") else data + b"\n"


def _body_line(piece: Piece) -> int:
    """The source's line at which a message's body begins: below the separator, the headers and a blank line."""
    if not piece.origin.line:
        return 0
    headers = piece.data.find(b"\n\n")
    above = piece.data.count(b"\n", 0, headers + 2) if headers >= 0 else 0
    return piece.origin.line + above + (1 if piece.separated else 0)
