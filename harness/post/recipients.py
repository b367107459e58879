"""Who is written to: the policy. Nobody, unless the settings allow it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import UsageError
from harness.post.model import MailSettings
from harness.report.mail import address_of
from harness.run_result import RunResult
from harness.series.model import Envelope

__all__ = ["Recipients", "check_sending", "recipients"]

_EVERYBODY = "*"
_MACHINES = ("mailer-daemon", "postmaster", "majordomo", "mailman")


@dataclass(frozen=True)
class Recipients:
    """People, `Name <address>`. left_out: who would have been written to, and why they are not."""

    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(address_of(person) for person in (*self.to, *self.cc))


def recipients(envelope: Envelope, settings: MailSettings) -> Recipients:
    """Whom a reply to a message goes to: its author (Reply-To, if given); with `reply_all` whom the author wrote to."""
    author = envelope.reply_to or ((envelope.sender,) if envelope.sender else ())
    others = (envelope.sender, *envelope.to, *envelope.cc) if settings.reply_all else ()
    left_out: dict[str, str] = {}
    seen = {address_of(settings.sender)}
    to = _allowed(author, settings, seen, left_out)
    cc = [*_allowed(others, settings, seen, left_out), *_wanted(settings, seen)]
    if not to:
        to, cc = cc, []
    return Recipients(tuple(to), tuple(cc), tuple(left_out.items()))


def check_sending(result: RunResult, envelope: Envelope | None, settings: MailSettings) -> None:
    """Raises UsageError where a mail about this run must not be sent, or cannot with these settings."""
    if not address_of(settings.sender) or not settings.server:
        missing = "mail.server" if address_of(settings.sender) else "mail.sender"
        raise UsageError(f"{missing} is not set, so no mail is sent", hint="docs/mail.md has the settings it takes")
    if result.verdict.kind not in settings.verdicts:
        raise UsageError(
            f"no mail is sent on {result.verdict.kind}: it is not in mail.verdicts", hint="--mail prints it"
        )
    if envelope is None or not envelope.message_id:
        raise UsageError("the series has no message to answer: it did not come by mail", hint="--mail prints the text")
    if envelope.automatic:
        raise UsageError(f"no mail is sent: a program sent what it would answer ({envelope.automatic})")
    sender = address_of(envelope.sender)
    if sender == address_of(settings.sender) or sender.partition("@")[0] in _MACHINES:
        raise UsageError(f"no mail is sent: it would answer {sender}, which is no author")


def _allowed(people: Iterable[str], settings: MailSettings, seen: set[str], left_out: dict[str, str]) -> list[str]:
    kept = []
    for person in people:
        address = address_of(person)
        if address in seen:
            continue
        seen.add(address)
        why = _objection(address, settings)
        if why:
            left_out[person] = why
        else:
            kept.append(person)
    return kept


def _wanted(settings: MailSettings, seen: set[str]) -> list[str]:
    """Those that the settings name themselves."""
    kept = {address_of(person): person for person in settings.to if address_of(person) not in seen}
    return [person for address, person in kept.items() if address and not _matches(address, settings.never)]


def _objection(address: str, settings: MailSettings) -> str:
    """Why an address is not written to, or ""."""
    if not address:
        return "no address"
    if _matches(address, settings.never):
        return "in mail.never"
    return "" if _matches(address, settings.allow) else "not in mail.allow"


def _matches(address: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns is the address, `@` and its domain, or `*`."""
    domain = f"@{address.rpartition('@')[2]}"
    return any(pattern.lower() in (_EVERYBODY, address, domain) for pattern in patterns)
