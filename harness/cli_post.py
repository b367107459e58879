"""`ktrial report --mail`, `--send` and `--patchwork`: a run's report where the authors and maintainers look."""

from __future__ import annotations

import functools
import sys
from datetime import UTC, datetime

import typer

from harness.cli_console import new_console
from harness.errors import UsageError
from harness.post.checks import checks_of
from harness.post.model import MailSettings
from harness.post.outbox import check_unsent, post_once, posted
from harness.post.patchwork import Step, api_root, post_checks
from harness.post.recipients import Recipients, check_sending, recipients
from harness.post.rest import Rest, Retry
from harness.post.secret import read_secret
from harness.post.smtp import send as send_by_smtp
from harness.report import safe
from harness.report.decode import places_of
from harness.report.mail import Letterhead, answered, as_bytes, compose
from harness.run_result import RunResult
from harness.settings import mail_settings, patchwork_settings
from harness.store import RunFolder

__all__ = ["post"]

_TOKEN = "KTRIAL_PATCHWORK_TOKEN"


def post(
    folder: RunFolder,
    result: RunResult,
    *,
    mail: bool = False,
    send: bool = False,
    again: bool = False,
    patchwork: str | None = None,
    series: int | None = None,
) -> None:
    """Print the mail, send it, post the checks: whatever was asked for. Raises UsageError where that makes no sense."""
    if again and not send:
        raise UsageError("--again is for --send")
    if (patchwork is None) != (series is None):
        raise UsageError("--patchwork URL and --series ID belong together")
    if mail:
        _print_mail(folder, result)
    if send:
        _send_mail(folder, result, again=again)
    if patchwork is not None and series is not None:
        _post_checks(folder, result, patchwork, series)


def _print_mail(folder: RunFolder, result: RunResult) -> None:
    """Write the mail to standard output as it would be sent; to the author alone where the settings allow nobody."""
    settings = mail_settings()
    people = _recipients(result, settings)
    author = answered(result.series).sender if result.series else ""
    to = people.to if settings.allow or settings.to else (author,)
    message = compose(
        result,
        _letterhead(settings),
        to=to,
        cc=people.cc,
        date=datetime.now(UTC),
        times=len(posted(folder)),
        places=places_of(result),
    )
    sys.stdout.buffer.write(as_bytes(message))


def _send_mail(folder: RunFolder, result: RunResult, *, again: bool) -> None:
    """Send the mail, once. Raises UsageError where it must not be sent, was sent already, or somebody is refused."""
    settings = mail_settings()
    check_sending(result, answered(result.series) if result.series else None, settings)
    people = _recipients(result, settings)
    console = new_console(stderr=True)
    for person, why in people.left_out:
        console.print(f"not written to: {safe.line(person)} ({why})", markup=False, soft_wrap=True)
    if not people.addresses:
        raise UsageError(
            "the settings allow nobody to be written to", hint='for example allow = ["@lists.example.org"] in [mail]'
        )
    with folder.active():
        if not again:
            check_unsent(folder)
        message = compose(
            result,
            _letterhead(settings),
            to=people.to,
            cc=people.cc,
            date=datetime.now(UTC),
            times=len(posted(folder)),
            places=places_of(result),
        )
        deliver = functools.partial(send_by_smtp, message, people.addresses, settings)
        done = post_once(folder, message, people.addresses, settings.server, deliver)
    typer.echo(f"sent {done.message_id} to {', '.join(done.recipients)}")
    if done.refused:
        detail = "\n".join(f"{address}: {words}" for address, words in done.refused)
        raise UsageError("the mail was sent, but not to all: the server refuses some recipients", detail=detail)


def _post_checks(folder: RunFolder, result: RunResult, url: str, series: int) -> None:
    """Post a check for the whole and for each suite to every patch, and say what became of each."""
    settings = patchwork_settings()
    token = settings.token or read_secret(
        "patchwork.token", file=settings.token_file, command=settings.token_command, variable=_TOKEN
    )
    if not token:
        raise UsageError("there is no token for Patchwork", hint=f"set patchwork.token_file, or ${_TOKEN}")
    server = Rest(
        api_root(url), token, settings.ca_file, timeout=settings.timeout, retry=Retry(patience=settings.patience)
    )
    checks = checks_of(result, settings)
    steps = post_checks(server, series, result.series, checks, user=settings.user, tell=_tell)
    folder.note(f"patchwork: {len(checks)} checks on {len({step.patch for step in steps})} patches of series {series}")


def _tell(step: Step) -> None:
    typer.echo(f"patch {step.patch}: {step.context}: {step.stands} ({step.action})")


def _recipients(result: RunResult, settings: MailSettings) -> Recipients:
    return recipients(answered(result.series), settings) if result.series else Recipients()


def _letterhead(settings: MailSettings) -> Letterhead:
    usual = Letterhead()
    return Letterhead(settings.sender or usual.sender, settings.tester, settings.opt_out, settings.report_url)
