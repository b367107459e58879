"""What the settings say of posting: `[mail]` and `[patchwork]` of the user's config.toml (harness/settings.py)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.verdict import VerdictKind

__all__ = ["ABOUT_THE_SERIES", "MailSettings", "PatchworkSettings", "Security"]

ABOUT_THE_SERIES = (
    VerdictKind.NO_REGRESSION,
    VerdictKind.IDENTICAL,
    VerdictKind.PASSED,
    VerdictKind.REGRESSION,
    VerdictKind.FAILING,
    VerdictKind.DOES_NOT_APPLY,
    VerdictKind.DOES_NOT_CONFIGURE,
    VerdictKind.DOES_NOT_BUILD,
    VerdictKind.NOT_A_SERIES,
)
"""The verdicts that say something about a series; any other is about the machine, and no author's business."""


class Security(StrEnum):
    """How a connection to a mail server is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"

    @property
    def port(self) -> int:
        """The port of such servers: submission (RFC 6409), submissions (RFC 8314), or a relay's."""
        return {Security.STARTTLS: 587, Security.TLS: 465, Security.NONE: 25}[self]


@dataclass(frozen=True)
class MailSettings:
    """How mail is sent, to whom it may be, and what the settings say in it.

    sender, tester: `Name <address>`. server: host name; port: 0 for the usual one. ca_file: certificates to trust in
    place of the system's. password_file, password_command: where the password of `user` is. timeout: seconds.
    allow: who may be written to: addresses, `@domain`, or `*`. never: who may not, the same way. to: who always is.
    reply_all: write to all that the message was sent to, not to its author alone. verdicts: those that mail is sent on.
    opt_out: a sentence; report_url: with `{run}` for the run's id.
    """

    sender: str = ""
    server: str = ""
    port: int = 0
    security: Security = Security.STARTTLS
    ca_file: str = ""
    user: str = ""
    password_file: str = ""
    password_command: tuple[str, ...] = ()
    timeout: float = 60.0
    allow: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    reply_all: bool = False
    verdicts: tuple[VerdictKind, ...] = ABOUT_THE_SERIES
    tester: str = ""
    opt_out: str = ""
    report_url: str = ""


@dataclass(frozen=True)
class PatchworkSettings:
    """How checks are posted.

    token, token_file, token_command: one of them, or $KTRIAL_PATCHWORK_TOKEN. user: whose checks are ours; "" for those
    of anybody with our contexts. context: the beginning of a check's name. target_url: with `{run}` and `{suite}`.
    ca_file: certificates to trust in place of the system's. timeout: seconds for an answer. patience: seconds of
    waiting for a server that is busy.
    """

    token: str = ""
    token_file: str = ""
    token_command: tuple[str, ...] = ()
    user: str = ""
    context: str = "ktrial"
    target_url: str = ""
    ca_file: str = ""
    timeout: float = 30.0
    patience: float = 120.0
