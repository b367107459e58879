"""A run's report as a reply to its series' cover letter, as mailing lists want it. Pure: nothing is sent here.

Headers are made of addresses and ids that were checked and of text without line breaks, and are written as they are, so
that nothing of a series can add one. `Auto-Submitted` is RFC 3834's; what has it is not answered by us.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, formataddr, parseaddr
from typing import Any

from harness.report import safe
from harness.report.decode import Places
from harness.report.mail_body import Letterhead, body
from harness.run_result import RunResult, SeriesInfo
from harness.series.model import Envelope

__all__ = ["Letterhead", "address_of", "answered", "as_bytes", "compose", "identifier"]

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_IDENTIFIER = re.compile(r"<[!-;=?-~]{1,250}>")  # printable ASCII
_IDENTIFIERS = ("message-id", "in-reply-to", "references")
_PEOPLE = ("from", "to", "cc")
_OF_THE_BODY = ("content-", "mime-")
_REFERENCES = 20
_SUBJECT = 250
_LINE = 78
_ENCODED = 70  # columns of an encoded word: 75 at most (RFC 2047, 2)
_NAME = 80
_REPLY = re.compile(r"(?:re:\s*)+", re.IGNORECASE)


class _Value(str):
    """A header's value that the library does not read: it would decode a stranger's encoded words (RFC 2047), which
    can have a line break in them, and write that as one.
    """

    __slots__ = ()
    name = ""  # by which the library knows that there is nothing to be parsed


class _Policy(EmailPolicy):
    """Headers of ours are written here, the body's by the library.

    Ids are folded between each other only: encoded or broken, no thread would have them.
    """

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        if name.lower().startswith(_OF_THE_BODY):
            return super().header_store_parse(name, value)
        if not str(value).isprintable():
            raise ValueError(f"{name}: a header is one line")
        return name, _Value(value)

    def fold(self, name: str, value: Any) -> str:
        if not isinstance(value, _Value):
            return str(super().fold(name, value))
        return f"{self.linesep.join(_folded(name, value))}{self.linesep}"

    def fold_binary(self, name: str, value: Any) -> bytes:
        return self.fold(name, value).encode("ascii", "replace")


def _folded(name: str, value: str) -> list[str]:
    """A header in lines of 78 columns where its blanks allow (RFC 5322, 2.1.1); what comes first is beside its name."""
    if name.lower() in _IDENTIFIERS:
        first, *more = value.split(" ")
        return [f"{name}: {first}", *(f" {identifier}" for identifier in more)]
    lines = [f"{name}:"]
    for part in _parts(name, value):
        if len(lines[-1]) + len(part) > _LINE and lines != [f"{name}:"]:
            lines.append("")
        lines[-1] += part
    return lines


def _parts(name: str, value: str) -> list[str]:
    """What stays on one line of a header, each with the blanks before it: a person, or a word."""
    if name.lower() in _PEOPLE:
        *others, last = value.split(", ")
        return [*(f" {person}," for person in others), f" {last}"]
    return re.findall(r" *[^ ]+", f" {_words(value)}")


def _words(text: str) -> str:
    """A text as it stands in a header: as encoded words where it is not ASCII, or would itself be taken for some."""
    if text.isascii() and "=?" not in text:
        return text
    return " ".join(Header(text, "utf-8", maxlinelen=_ENCODED).encode().split())


_POLICY = _Policy(linesep="\r\n", cte_type="8bit")


def compose(
    result: RunResult,
    letterhead: Letterhead,
    *,
    to: Sequence[str] = (),
    cc: Sequence[str] = (),
    date: datetime,
    times: int = 0,
    places: Places | None = None,
) -> EmailMessage:
    """The mail. to, cc: people, `Name <address>`. times: how often one about this run was sent before.

    places: where in the source the frames of its call traces are.
    """
    message = EmailMessage(policy=_POLICY)
    message["From"] = _person(letterhead.sender)
    for name, people in (("To", to), ("Cc", cc)):
        if found := [_person(person) for person in people if address_of(person)]:
            message[name] = ", ".join(found)
    parent = answered(result.series) if result.series else None
    message["Subject"] = _subject(result, parent)
    message["Date"] = format_datetime(date)
    message["Message-ID"] = identifier(result, letterhead, times)
    for name, value in (*_thread(parent), *_marks(result)):
        message[name] = value
    text = body(result, letterhead, places)
    message.set_content(text, cte="7bit" if text.isascii() else "8bit")
    return message


def as_bytes(message: EmailMessage, linesep: str = "\n") -> bytes:
    """The message as it is written to a file, or with CRLF to a server."""
    return message.as_bytes(policy=_POLICY.clone(linesep=linesep))


def answered(series: SeriesInfo) -> Envelope:
    """What is known of the message to answer, the cover letter or the first patch. Its id is "" where it has none.

    A run of an earlier version kept ids alone: its subject is made up as git format-patch does.
    """
    if series.envelope is not None:
        return series.envelope
    number = 0 if len(series.message_ids) > len(series.patches) else 1
    place = f"{number}/{len(series.patches)}" if len(series.patches) > 1 or not number else ""
    version = f"v{series.version}" if series.version > 1 else ""
    prefix = " ".join(filter(None, ("PATCH", *series.tags, version, place)))
    title = series.patches[0].subject if number and series.patches else series.title
    return Envelope(next(iter(series.message_ids), ""), f"[{prefix}] {title}", series.author)


def address_of(person: str) -> str:
    """The address of `Name <address>`, in lower case; "" where it is none that mail can be sent to."""
    address = parseaddr(" ".join(person.split()))[1].lower()
    return address if _ADDRESS.fullmatch(address) and ".." not in address else ""


def identifier(result: RunResult, letterhead: Letterhead, times: int = 0) -> str:
    """The mail's own id, the same whenever it is made: archives keep one copy of what was sent twice by mistake."""
    domain = address_of(letterhead.sender).rpartition("@")[2] or "localhost"
    again = f".{times + 1}" if times else ""
    return f"<{re.sub('[^A-Za-z0-9.-]', '-', result.run)[:120]}{again}.ktrial@{domain}>"


def _person(person: str) -> str:
    """`Name <address>` for a header."""
    address = address_of(person) or "ktrial@localhost"
    name = safe.line(parseaddr(" ".join(person.split()))[0], _NAME)
    encoded = _words(name)
    return formataddr((name, address)) if encoded == name else f"{encoded} <{address}>"


def _subject(result: RunResult, parent: Envelope | None) -> str:
    about = _REPLY.sub("", parent.subject, count=1) if parent else ""
    return f"Re: {safe.line(about.strip(), _SUBJECT)}" if about.strip() else f"ktrial: run {safe.line(result.run, 80)}"


def _thread(parent: Envelope | None) -> list[tuple[str, str]]:
    """In-Reply-To and References by RFC 5322, 3.6.4: the parent's references and then the parent."""
    if parent is None or not _IDENTIFIER.fullmatch(parent.message_id):
        return []
    known = [each for each in parent.references if _IDENTIFIER.fullmatch(each) and each != parent.message_id]
    kept = known if len(known) <= _REFERENCES else [known[0], *known[1 - _REFERENCES :]]
    return [("In-Reply-To", parent.message_id), ("References", " ".join((*kept, parent.message_id)))]


def _marks(result: RunResult) -> list[tuple[str, str]]:
    """That a machine sent it, for machines (RFC 3834, 5; Exchange has a header of its own), and what it found."""
    return [
        ("Auto-Submitted", "auto-replied"),
        ("X-Auto-Response-Suppress", "All"),
        ("X-Loop", "ktrial"),
        ("X-Mailer", f"ktrial {safe.line(result.environment.ktrial, 40)}"),
        ("X-Ktrial-Run", safe.line(result.run, 120)),
        ("X-Ktrial-Verdict", result.verdict.kind),
        ("X-Ktrial-Exit-Code", str(int(result.verdict.exit_code))),
    ]
