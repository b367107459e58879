"""What was sent about a run, in its folder: a mail goes out once, whatever happens to the process that sends it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from enum import StrEnum

import msgspec

from harness import record
from harness.errors import KtrialError, UsageError
from harness.post.smtp import Delivery, Unsure
from harness.report.mail import as_bytes
from harness.store import RunFolder

__all__ = ["Posted", "SendState", "check_unsent", "post_once", "posted"]

_FOLDER = "mail"


class SendState(StrEnum):
    SENDING = "sending"  # begun; where no process is at it, nobody knows how it ended
    SENT = "sent"


@dataclass(frozen=True)
class Posted:
    """A mail that was sent. number: from 1. when: UTC, ISO 8601. refused: address and the server's words."""

    number: int
    state: SendState
    when: str
    message_id: str
    server: str
    recipients: tuple[str, ...]
    refused: tuple[tuple[str, str], ...] = ()


def posted(run: RunFolder) -> tuple[Posted, ...]:
    """All that was sent about a run, the first one first. Raises UsageError where a record cannot be read."""
    files = sorted(run.path.joinpath(_FOLDER).glob("[0-9]*.json"), key=lambda file: int(file.stem))
    try:
        return tuple(record.load(file, Posted) for file in files)
    except msgspec.DecodeError as error:
        raise UsageError(f"{run.path / _FOLDER}: a record of what was sent cannot be read: {error}") from None


def check_unsent(run: RunFolder) -> None:
    """Raises UsageError where a mail about the run was sent, or may have been."""
    known = posted(run)
    if not known:
        return
    last = known[-1]
    if last.state is SendState.SENT:
        raise UsageError(
            f"a mail about run {run.id} was sent at {last.when} to {', '.join(last.recipients)}",
            hint="--send --again sends another",
        )
    raise UsageError(
        f"sending a mail about run {run.id} began at {last.when}, and nobody knows whether it went out",
        hint=f"look for {last.message_id} in the list's archive; --send --again sends another",
    )


def post_once(
    run: RunFolder, message: EmailMessage, recipients: tuple[str, ...], server: str, send: Callable[[], Delivery]
) -> Posted:
    """Send, with a record in the run's folder from before the first byte on.

    A record of what certainly was not sent is taken away again. Raises what `send` raises.
    """
    number = len(posted(run)) + 1
    folder = run.path / _FOLDER
    begun = Posted(number, SendState.SENDING, _now(), str(message["Message-ID"]), server, recipients)
    record.atomic_write(folder / f"{number}.eml", as_bytes(message))
    record.save(folder / f"{number}.json", begun)
    try:
        delivery = send()
    except Unsure:
        raise
    except KtrialError:
        for suffix in ("json", "eml"):
            folder.joinpath(f"{number}.{suffix}").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise
    done = replace(begun, state=SendState.SENT, when=_now(), recipients=delivery.accepted, refused=delivery.refused)
    record.save(folder / f"{number}.json", done)
    run.note(f"mail: sent {done.message_id} to {', '.join(done.recipients)}")
    return done


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
