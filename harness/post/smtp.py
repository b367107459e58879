"""Hand a mail to an SMTP server (RFC 5321), step by step, so that it is known what had been done when a step failed.

What a server refuses for good (5xx) is for whoever wrote the settings; what it puts off (4xx), and a connection that is
lost, is worth another try.
"""

from __future__ import annotations

import contextlib
import ipaddress
import smtplib
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage

from harness.errors import KtrialError, MachineLost, UsageError
from harness.post.model import MailSettings, Security
from harness.post.secret import read_secret
from harness.report import safe
from harness.report.mail import address_of, as_bytes

__all__ = ["Delivery", "Unsure", "send"]

_PUT_OFF = range(400, 500)


class Unsure(MachineLost):
    """The connection was lost while the server had the text: nobody knows whether it took it."""


@dataclass(frozen=True)
class Delivery:
    """What a server took. refused: address and the server's words."""

    accepted: tuple[str, ...]
    refused: tuple[tuple[str, str], ...] = ()


def send(message: EmailMessage, recipients: Sequence[str], settings: MailSettings) -> Delivery:
    """Send to those recipients that the server accepts. recipients: addresses.

    Raises UsageError, MachineLost where it took nothing; Unsure where that cannot be told.
    """
    password = _password(settings)
    with _connected(settings) as server:
        if settings.user:
            with _step(settings, f"does not accept user {settings.user}"):
                server.login(settings.user, password)
        return _deliver(server, message, recipients, settings)


def _deliver(
    server: smtplib.SMTP, message: EmailMessage, recipients: Sequence[str], settings: MailSettings
) -> Delivery:
    data = _encoded(server, message)
    options = [] if data.isascii() else ["BODY=8BITMIME"]
    sender = address_of(settings.sender)
    with _step(settings, f"does not accept mail from {sender}"):
        _checked(*server.mail(sender, options))
    refused = {}
    for recipient in recipients:
        with _step(settings, f"does not accept mail to {recipient}"):
            code, words = server.rcpt(recipient)
            if code not in (250, 251, 252):
                refused[recipient] = f"{code} {_said(words)}"
    if len(refused) == len(recipients):
        raise _nobody(settings, refused)
    with _step(settings, "does not take the mail", Unsure):
        _checked(*server.data(data))
    accepted = tuple(recipient for recipient in recipients if recipient not in refused)
    return Delivery(accepted, tuple(refused.items()))


def _encoded(server: smtplib.SMTP, message: EmailMessage) -> bytes:
    """The mail's bytes; quoted-printable where they are not ASCII and the server knows no other (RFC 6152)."""
    data = as_bytes(message, "\r\n")
    if data.isascii() or server.has_extn("8bitmime"):
        return data
    message.set_content(message.get_content(), cte="quoted-printable")
    return as_bytes(message, "\r\n")


@contextlib.contextmanager
def _connected(settings: MailSettings) -> Iterator[smtplib.SMTP]:
    """A connection that is protected as the settings ask, and closed however the block is left."""
    with _step(settings, "cannot be reached"):
        server = _connect(settings)
    try:
        with _step(settings, "does not greet as a mail server"):
            server.ehlo_or_helo_if_needed()
        if settings.security is Security.STARTTLS:
            with _step(settings, "gives no protected connection"):
                _checked(*server.starttls(context=_context(settings)))
                server.ehlo()
        yield server
    finally:
        with contextlib.suppress(OSError, smtplib.SMTPException):
            server.quit()
        server.close()


def _connect(settings: MailSettings) -> smtplib.SMTP:
    port = settings.port or settings.security.port
    if settings.security is Security.TLS:
        return smtplib.SMTP_SSL(settings.server, port, timeout=settings.timeout, context=_context(settings))
    return smtplib.SMTP(settings.server, port, timeout=settings.timeout)


def _context(settings: MailSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"mail.ca_file {settings.ca_file} cannot be used: {error}") from None


def _password(settings: MailSettings) -> str:
    """The password of the settings' user. Raises UsageError where there is none, or it would go in the clear."""
    if not settings.user:
        return ""
    if settings.security is Security.NONE and not _is_this_machine(settings.server):
        raise UsageError('mail.user: a password is not sent with mail.security = "none"', hint='security = "starttls"')
    password = read_secret("mail.password", file=settings.password_file, command=settings.password_command)
    if not password:
        raise UsageError("mail.user has no password", hint="set mail.password_file or mail.password_command")
    return password


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextlib.contextmanager
def _step(settings: MailSettings, what: str, lost: type[MachineLost] = MachineLost) -> Iterator[None]:
    """Tell the errors of one step in the exchange. what: what the server does then; lost: where it goes away."""
    name = f"mail server {settings.server}:{settings.port or settings.security.port}"
    try:
        yield
    except KtrialError:
        raise
    except ssl.SSLCertVerificationError as error:
        why = f"its certificate is not trusted ({error.verify_message})"
        raise UsageError(f"{name} {what}: {why}", hint="mail.ca_file names other certificates to trust") from None
    except smtplib.SMTPNotSupportedError as error:
        raise UsageError(f"{name} {what}: {error}", hint="mail.security and mail.user must fit the server") from None
    except smtplib.SMTPResponseException as error:
        raise _answer(f"{name} {what}", error.smtp_code, error.smtp_error) from None
    except (smtplib.SMTPException, OSError) as error:
        raise _lost(f"{name} {what}", error, lost) from None


def _answer(what: str, code: int, words: bytes | str) -> KtrialError:
    kind = MachineLost if code in _PUT_OFF or code < 0 else UsageError
    return kind(f"{what}: {code} {_said(words)}", hint="try again later" if kind is MachineLost else "")


def _lost(what: str, error: Exception, kind: type[MachineLost]) -> MachineLost:
    if kind is Unsure:
        hint = "look whether it arrived before you send it --again"
        return Unsure(f"{what}: the connection was lost, and nobody knows whether the mail went out", hint=hint)
    return MachineLost(f"{what}: {safe.line(str(error)) or type(error).__name__}", hint="try again later")


def _checked(code: int, words: bytes) -> None:
    """Raises what smtplib does for an answer that is no success."""
    if not 200 <= code < 400:
        raise smtplib.SMTPResponseException(code, words)


def _nobody(settings: MailSettings, refused: dict[str, str]) -> KtrialError:
    put_off = any(words.startswith("4") for words in refused.values())
    detail = "\n".join(f"{address}: {words}" for address, words in refused.items())
    return (MachineLost if put_off else UsageError)(
        f"mail server {settings.server} accepts none of the recipients", detail=detail
    )


def _said(words: bytes | str) -> str:
    """A server's answer as one harmless line."""
    return safe.line(words.decode("utf-8", "replace") if isinstance(words, bytes) else words, 300)
