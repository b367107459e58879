"""Sort decoded mails: which is a patch, a cover letter, a reply, or something that claims to be a patch and is none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.series.diffscan import Scan, scan
from harness.series.mime import Mail, Trouble
from harness.series.subject import Prefix, parse_subject

__all__ = ["Kind", "Letter", "read_letter"]


class Kind(StrEnum):
    PATCH = "patch"
    COVER = "cover"
    CLAIM = "claim"
    REPLY = "reply"


@dataclass(frozen=True)
class Letter:
    """A mail and what it is. lines: of its body, without LF. A CLAIM has a patch's subject and no diff."""

    mail: Mail
    prefix: Prefix
    kind: Kind
    lines: tuple[bytes, ...]
    scan: Scan

    def __str__(self) -> str:
        return str(self.mail)

    @property
    def complaint(self) -> str:
        """Why it is no patch, as the end of a sentence."""
        match self.mail.trouble:
            case Trouble.EMPTY:
                return "is empty"
            case Trouble.BINARY:
                return "is binary (it holds NUL bytes)"
            case Trouble.HTML:
                return "is HTML only: it has no text part"
            case Trouble.BROKEN:
                return "cannot be decoded: its base64 is broken"
            case None:
                return "has no diff"


def read_letter(mail: Mail) -> Letter:
    """Sort one mail."""
    lines = _lines(mail.body)
    prefix, found = parse_subject(mail.subject), scan(lines)
    return Letter(mail, prefix, _kind(mail, prefix, found), tuple(lines), found)


def _lines(body: bytes) -> list[bytes]:
    """A body's lines. A CR is the patched file's own, unless the diff's own headers have one too: then it is the
    transport's, and every line loses it."""
    lines = body.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    if any(line.startswith((b"diff --git ", b"--- a/")) and line.endswith(b"\r") for line in lines):
        return [line.removesuffix(b"\r") for line in lines]
    return lines


def _kind(mail: Mail, prefix: Prefix, found: Scan) -> Kind:
    if prefix.reply or mail.carrier:
        return Kind.REPLY
    if prefix.number == 0:
        return Kind.COVER
    if found.found and mail.trouble is not Trouble.BINARY:
        return Kind.PATCH
    claims = prefix.patch and (prefix.number is not None or not mail.in_reply_to)
    return Kind.CLAIM if claims else Kind.REPLY
