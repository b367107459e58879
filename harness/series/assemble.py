"""Make the Series of chosen letters: check each patch, and write it as the mail that `git am` is given.

A patch's `mail` is one bare message (RFC 5322): headers in UTF-8, no transfer encoding, no mailbox separator and so no
quoting of `From ` lines. `git am` takes such a file as one message and splits nothing off it (mailsplit.c:split_one).
Lines keep a CR where the patched file has it: `git am --keep-cr` is needed, and harms no other patch.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from harness.errors import SeriesError
from harness.series.choose import Choice
from harness.series.letters import Letter
from harness.series.message import Declared, Text, declared, inbody_author, read_text, trailers
from harness.series.mime import to_text
from harness.series.model import Cover, Patch, Reply, Series
from harness.series.subject import parse_subject, tree_tag

__all__ = ["GIT_AM_OPTIONS", "as_mbox", "assemble"]

GIT_AM_OPTIONS = ("--keep-cr",)
_NO_DATE = "Mon, 17 Sep 2001 00:00:00 +0000"
_NOBODY = "Unknown Author <unknown@localhost>"
_INBODY = re.compile(rb"(?:From|Subject|Date):", re.IGNORECASE)
_FROM_LINE = re.compile(rb"^(>*From )", re.MULTILINE)


@dataclass(frozen=True)
class _Read:
    """A letter with its text taken apart."""

    letter: Letter
    text: Text
    author: str
    subject: str
    date: str


def assemble(choice: Choice, source: str, *, anonymous: bool = False) -> Series:
    """Make the Series of a choice.

    anonymous: a patch without an author gets one that says so (quilt), instead of being an error.
    Raises SeriesError where a chosen patch's diff is truncated or damaged, its charset is wrong, or its author missing.
    """
    reads = [_read(letter, anonymous) for letter in choice.patches]
    total = len(reads)
    fallback = next((read.date for read in reads if _instant(read.date)), _NO_DATE)
    patches = tuple(_patch(read, number, total, fallback) for number, read in enumerate(reads, 1))
    letters = [*([choice.cover] if choice.cover else []), *choice.patches]
    tags = _tags(letters)
    said, odd = _declared(letters)
    cover = _cover(choice.cover) if choice.cover else None
    return Series(
        source=source,
        title=cover.subject if cover else patches[0].subject + (f" (and {total - 1} more)" if total > 1 else ""),
        version=_version(letters),
        tags=tags,
        tree_tag=tree_tag(tags),
        author=cover.author if cover and cover.author else patches[0].author,
        cover=cover,
        patches=patches,
        replies=tuple(_reply(letter, why) for letter, why in choice.others),
        base_commit=said.base_commit,
        prerequisite_patch_ids=said.prerequisite_patch_ids,
        change_id=said.change_id,
        envelope=letters[0].mail.envelope,
        remarks=(*choice.remarks, *odd, *_remarks(reads, anonymous)),
    )


def as_mbox(series: Series) -> bytes:
    """The patches as one mailbox in mboxrd form, for `git am --patch-format=mboxrd --keep-cr`."""
    separator = b"From mboxrd@z Thu Jan  1 00:00:00 1970\n"
    return b"".join(separator + _FROM_LINE.sub(rb">\1", patch.mail) + b"\n" for patch in series.patches)


def _read(letter: Letter, anonymous: bool) -> _Read:
    _check_diff(letter)
    mail = letter.mail
    text = read_text(mail, list(letter.lines))
    author = text.author or mail.author or (_NOBODY if anonymous else "")
    if not author:
        raise SeriesError(
            f"{letter}: it has no author: no From header with an address",
            hint="make patches with git format-patch, which writes one",
        )
    subject = parse_subject(text.subject).title or letter.prefix.title or "(no subject)"
    return _Read(letter, text, author, subject, text.date or mail.date)


def _check_diff(letter: Letter) -> None:
    fault = letter.scan.fault
    if fault is None:
        return
    mail = letter.mail
    flowed = "it was sent as format=flowed, which wraps lines: have it sent again by git send-email"
    raise SeriesError(
        f"{letter}: {mail.at(fault.line)}" + (f", file {fault.path}" if fault.path else "") + f": {fault.what}",
        detail=_excerpt(letter.lines, fault.line),
        hint=flowed if mail.flowed else fault.hint,
    )


def _excerpt(lines: Sequence[bytes], index: int) -> str:
    """The lines about one, the one marked."""
    first = max(0, index - 3)
    near = enumerate(lines[first : index + 4], first)
    return "\n".join(f"{'>' if at == index else ' '} {line.decode('utf-8', 'replace')}" for at, line in near)


def _patch(read: _Read, number: int, total: int, fallback_date: str) -> Patch:
    return Patch(
        number=number,
        total=total,
        subject=read.subject,
        author=read.author,
        date=read.date,
        message_id=read.letter.mail.message_id,
        message=read.text.message,
        trailers=trailers(read.text.message),
        touched=read.letter.scan.touched,
        mail=_mail(read, number, total, fallback_date),
        where=str(read.letter.mail.origin),
    )


def _mail(read: _Read, number: int, total: int, fallback_date: str) -> bytes:
    instant = _instant(read.date) or _instant(fallback_date)
    assert instant is not None
    headers = [
        f"From: {_git_author(read.author)}",
        f"Date: {email.utils.format_datetime(instant)}",
        f"Subject: [PATCH {number}/{total}] {read.subject}",
        *([f"Message-ID: {read.letter.mail.message_id}"] if read.letter.mail.message_id else []),
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=UTF-8",
        "Content-Transfer-Encoding: 8bit",
    ]
    message = read.text.message.encode("utf-8", "replace")
    if _INBODY.match(message.lstrip()):
        message = f"From: {_git_author(read.author)}\n\n".encode("utf-8", "replace") + message
    below = b"\n".join(read.letter.lines[read.text.rest : read.letter.scan.end])
    return "\n".join(headers).encode("utf-8", "replace") + b"\n\n" + message + b"\n" + below + b"\n\n"


def _git_author(author: str) -> str:
    """An author as git's mailinfo.c:handle_from reads it: it takes the first word with an @ for the address, and a
    parenthesis for a comment."""
    name, _, address = author.rpartition(" <")
    plain = name.replace("@", " at ").replace("<", "").replace(">", "") if name + ">" != address else ""
    return f"{plain} <{address}".strip()


def _instant(date: str) -> datetime | None:
    """A mail's date, if git accepts it too (date.c:tm_to_time_t knows the years 1970 to 2099)."""
    try:
        instant = email.utils.parsedate_to_datetime(date)
        instant.utctimetuple()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return instant if 1970 < instant.year < 2099 else None


def _declared(letters: Sequence[Letter]) -> tuple[Declared, list[str]]:
    """What the cover, else the first patch that says it, declares; a remark where they differ."""
    said = [declared(letter.mail) for letter in letters]
    bases = list(dict.fromkeys(one.base_commit for one in said if one.base_commit))
    odd = [f"the mails name different base commits ({', '.join(bases)}); the first is used"] if len(bases) > 1 else []
    ids = dict.fromkeys(patch_id for one in said for patch_id in one.prerequisite_patch_ids)
    change_id = next((one.change_id for one in said if one.change_id), "")
    return Declared(bases[0] if bases else "", tuple(ids), change_id), odd


def _version(letters: Sequence[Letter]) -> int:
    """The revision that most of the letters are of (all, unless the mailbox mixes revisions)."""
    versions = [letter.prefix.version for letter in letters]
    return max(versions, key=lambda version: (versions.count(version), version))


def _tags(letters: Sequence[Letter]) -> tuple[str, ...]:
    """The tags of the revision that counts, or of the others where it has none."""
    version = _version(letters)
    first = sorted(letters, key=lambda letter: letter.prefix.version != version)
    own = [letter for letter in first if letter.prefix.version == version]
    tagged = own if any(letter.prefix.tags for letter in own) else first
    return tuple(dict.fromkeys(tag for letter in tagged for tag in letter.prefix.tags))


def _cover(letter: Letter) -> Cover:
    mail = letter.mail
    body = to_text(mail.body, mail.charset).split("\n-- \n")[0]
    author = inbody_author(letter.lines) or mail.author
    return Cover(letter.prefix.title, author, mail.date, mail.message_id, body.strip("\n"))


def _reply(letter: Letter, why: str) -> Reply:
    mail = letter.mail
    return Reply(subject=mail.subject, author=mail.author, message_id=mail.message_id, why=why)


def _remarks(reads: Sequence[_Read], anonymous: bool) -> Iterator[str]:
    for read in reads:
        yield from read.text.remarks
        if read.author == _NOBODY:
            yield f"{read.letter}: names no author; {_NOBODY} stands for it"
        if not _instant(read.date) and not anonymous:
            yield f"{read.letter}: has no date that git accepts; another patch's or a fixed one is used"
        if read.letter.mail.flowed:
            yield f"{read.letter}: was sent as format=flowed, which can damage blanks in a diff"
