"""Mail goes once, and to those alone whom the settings allow; what a server does not take can be sent later.

Against real SMTP servers on loopback (aiosmtpd), with TLS and passwords as the settings ask.
"""

from __future__ import annotations

import contextlib
import email
import email.policy
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from mail_samples import ENVELOPE, answering, hostile, measured
from report_samples import regression

from harness.cli_post import post
from harness.errors import KtrialError, MachineLost, UsageError
from harness.post.model import MailSettings
from harness.post.outbox import SendState, posted
from harness.post.recipients import recipients
from harness.report.json import write_result
from harness.run_result import RunResult
from harness.series.model import Envelope as Answered
from harness.store import RunFolder, new_run
from harness.verdict import Verdict, VerdictKind

PASSWORD = "correct horse battery staple"
AUTHOR = "dev@example.org"


@dataclass
class Box:
    """What a server took, and what it is to do instead of taking something."""

    mails: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)
    sender: str = ""
    data: str = ""
    lose: str = ""

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]):  # noqa: N802  # aiosmtpd
        self._lose(server, "MAIL")
        if self.sender:
            return self.sender
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]):  # noqa: N802  # aiosmtpd
        self._lose(server, "RCPT")
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope):  # noqa: N802  # aiosmtpd
        self._lose(server, "DATA")
        if self.data:
            return self.data
        content = envelope.content
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, content if isinstance(content, bytes) else b""))
        return "250 taken"

    def _lose(self, server: SMTP, where: str) -> None:
        if self.lose == where:
            server.transport.abort()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(box: Box, **options) -> Iterator[int]:
    controller = Controller(box, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def server(box) -> Iterator[int]:
    with serving(box) as port:
        yield port


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> Path:
    """A certificate of 127.0.0.1's, with its key in the same file."""
    folder = tmp_path_factory.mktemp("tls")
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    argv += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "key"), "-out", str(folder / "cert")]
    subprocess.run(argv, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "cert").read_text() + (folder / "key").read_text())
    return both


@pytest.fixture
def run(tmp_path, monkeypatch) -> RunFolder:
    monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path / "runs"))
    return new_run(None, "shrink")


@pytest.fixture
def configured(tmp_path, monkeypatch):
    def configure(port: int, **settings: object) -> None:
        told = {
            "sender": "ktrial <ktrial@ci.example.org>",
            "server": "127.0.0.1",
            "port": port,
            "security": "none",
            "allow": ["@example.org", "@lists.example.org"],
            "timeout": 5.0,
            **settings,
        }
        lines = [f"{name} = {_toml(value)}" for name, value in told.items()]
        file = tmp_path / "config.toml"
        file.write_text("\n".join(["[mail]", *lines, ""]))
        monkeypatch.setenv("KTRIAL_CONFIG", str(file))

    return configure


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list) else repr(value)


def finished(run: RunFolder, result: RunResult | None = None) -> RunResult:
    result = result or answering(regression())
    write_result(run.result, result)
    return result


def parsed(data: bytes) -> email.message.EmailMessage:
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, email.message.EmailMessage)
    return message


def test_a_mail_arrives_as_it_was_written_at_its_author(box, server, run, configured, capsys):
    configured(server)
    post(run, finished(run), send=True)
    ((sender, recipients, data),) = box.mails
    assert (sender, recipients) == ("ktrial@ci.example.org", [AUTHOR])
    message = parsed(data)
    assert message["To"] == "A Developer <dev@example.org>"
    assert message["In-Reply-To"] == "<cover@example.org>"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message.get_content().splitlines()[0] == "REGRESSION - 3 of 9 tests broke:"
    assert "sent <20260102-030405-shrink.ktrial@ci.example.org> to dev@example.org" in capsys.readouterr().out
    assert (run.path / "mail" / "1.eml").read_bytes() == data.replace(b"\r\n", b"\n")


def test_it_is_sent_once_until_it_is_asked_for_again(box, server, run, configured):
    configured(server)
    result = finished(run)
    post(run, result, send=True)
    with pytest.raises(UsageError, match=r"was sent at .* to dev@example\.org") as error:
        post(run, result, send=True)
    assert "--again" in error.value.hint
    post(run, result, send=True, again=True)
    assert [parsed(data)["Message-ID"] for _, _, data in box.mails] == [
        "<20260102-030405-shrink.ktrial@ci.example.org>",
        "<20260102-030405-shrink.2.ktrial@ci.example.org>",
    ]
    assert [entry.state for entry in posted(run)] == [SendState.SENT, SendState.SENT]


def test_all_are_answered_only_where_the_settings_say_so_and_allow_them(box, server, run, configured, capsys):
    configured(server, reply_all=True, never=["bpf@lists.example.org"], to=["results@elsewhere.example"])
    post(run, finished(run), send=True)
    ((_, recipients, data),) = box.mails
    assert recipients == [AUTHOR, "netdev@lists.example.org", "results@elsewhere.example"]
    assert parsed(data)["Cc"] == "netdev@lists.example.org, results@elsewhere.example"
    told = capsys.readouterr().err
    assert "not written to: bpf@lists.example.org (in mail.never)" in told
    assert "not written to: Some Maintainer <maintainer@example.com> (not in mail.allow)" in told


def test_nobody_is_written_to_by_default(box, server, run, configured):
    configured(server, allow=[])
    with pytest.raises(UsageError, match="allow nobody"):
        post(run, finished(run), send=True)
    assert box.mails == []
    assert not (run.path / "mail").exists()


@pytest.mark.parametrize("missing", ["sender", "server"])
def test_without_settings_nothing_is_sent(box, server, run, configured, missing):
    configured(server, **{missing: ""})
    with pytest.raises(UsageError, match=f"mail.{missing} is not set"):
        post(run, finished(run), send=True)


def answered_by(**changes) -> RunResult:
    return answering(regression(), replace(ENVELOPE, **changes))


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (answered_by(automatic="Auto-Submitted: auto-generated"), "a program sent what it would answer"),
        (answered_by(sender="ktrial <KTRIAL@ci.example.org>"), "which is no author"),
        (answered_by(sender="MAILER-DAEMON@example.org"), "which is no author"),
        (answered_by(message_id=""), "no message to answer"),
        (replace(regression(), series=None), "no message to answer"),
        (
            replace(answering(regression()), verdict=Verdict(7, VerdictKind.MACHINE_LOST, "MACHINE LOST: no disk")),
            "no mail is sent on machine-lost",
        ),
    ],
    ids=["a-bot", "itself", "a-daemon", "no-message", "no-series", "our-machine"],
)
def test_what_must_not_be_answered_is_not(box, server, run, configured, result, why):
    configured(server, allow=["*"])
    with pytest.raises(UsageError, match=why):
        post(run, finished(run, result), send=True)
    assert box.mails == []


def test_one_refused_recipient_does_not_keep_the_others_from_it(box, server, run, configured):
    configured(server, reply_all=True)
    box.refuse = {AUTHOR: "550 5.1.1 no such user\x1b[31m"}
    with pytest.raises(UsageError, match="not to all") as error:
        post(run, finished(run), send=True)
    assert "dev@example.org: 550 5.1.1 no such user\\x1b[31m" in error.value.detail
    assert box.mails[0][1] == ["netdev@lists.example.org", "bpf@lists.example.org"]
    assert posted(run)[0].refused == ((AUTHOR, "550 5.1.1 no such user\\x1b[31m"),)


@pytest.mark.parametrize(
    ("how", "kind", "why"),
    [
        ({"refuse": {AUTHOR: "550 no"}}, UsageError, "accepts none of the recipients"),
        ({"refuse": {AUTHOR: "451 greylisted"}}, MachineLost, "accepts none of the recipients"),
        ({"sender": "550 who are you"}, UsageError, "does not accept mail from ktrial@ci.example.org: 550 who are you"),
        ({"sender": "452 full"}, MachineLost, "452 full"),
        ({"data": "554 spam"}, UsageError, "does not take the mail: 554 spam"),
        ({"data": "451 later"}, MachineLost, "does not take the mail: 451 later"),
        ({"lose": "MAIL"}, MachineLost, "does not accept mail from"),
        ({"lose": "RCPT"}, MachineLost, "does not accept mail to"),
    ],
)
def test_what_a_server_did_not_take_is_told_and_can_be_sent_later(box, server, run, configured, how, kind, why):
    configured(server)
    result = finished(run)
    for name, value in how.items():
        setattr(box, name, value)
    with pytest.raises(KtrialError, match=why) as error:
        post(run, result, send=True)
    assert type(error.value) is kind
    assert posted(run) == ()
    box.__init__()  # type: ignore[misc]
    post(run, result, send=True)
    assert len(box.mails) == 1


def test_where_nobody_knows_whether_it_went_out_it_is_not_sent_twice(box, server, run, configured):
    configured(server)
    box.lose = "DATA"
    result = finished(run)
    with pytest.raises(MachineLost, match="nobody knows whether the mail went out"):
        post(run, result, send=True)
    assert posted(run)[0].state is SendState.SENDING
    with pytest.raises(UsageError, match="nobody knows"):
        post(run, result, send=True)
    assert len(box.mails) == 1  # it had gone out
    box.lose = ""
    post(run, result, send=True, again=True)
    assert [entry.state for entry in posted(run)] == [SendState.SENDING, SendState.SENT]


def test_a_server_that_is_not_there_is_worth_another_try(run, configured):
    configured(free_port())
    with pytest.raises(MachineLost, match="cannot be reached"):
        post(run, finished(run), send=True)
    assert posted(run) == ()


def test_what_is_no_mail_server_is_told(run, configured):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        configured(listener.getsockname()[1], timeout=0.5)
        with pytest.raises(MachineLost, match=r"cannot be reached: .*timed out"):
            post(run, finished(run), send=True)


def authenticator(server, session, envelope, mechanism, data) -> AuthResult:
    good = isinstance(data, LoginPassword) and data.password == PASSWORD.encode()
    return AuthResult(success=good, handled=False)


@pytest.fixture
def guarded(box, certificate) -> Iterator[int]:
    """A server that wants STARTTLS and a password."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with serving(
        box, tls_context=context, require_starttls=True, authenticator=authenticator, auth_required=True
    ) as port:
        yield port


def test_a_password_from_a_file_opens_a_protected_server(box, guarded, run, configured, certificate, tmp_path):
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    access = {"user": "ktrial", "password_file": str(tmp_path / "password"), "ca_file": str(certificate)}
    configured(guarded, security="starttls", **access)
    post(run, finished(run), send=True)
    assert len(box.mails) == 1
    assert PASSWORD.encode() not in b"".join(file.read_bytes() for file in run.path.rglob("*") if file.is_file())


def test_a_password_from_a_command_does_as_well(box, guarded, run, configured, certificate):
    command = ["echo", PASSWORD]
    configured(guarded, security="starttls", user="ktrial", password_command=command, ca_file=str(certificate))
    post(run, finished(run), send=True)
    assert len(box.mails) == 1


def test_a_wrong_password_is_told_and_not_shown(guarded, run, configured, certificate, tmp_path):
    (tmp_path / "password").write_text("wrong, but secret\n")
    access = {"user": "ktrial", "password_file": str(tmp_path / "password"), "ca_file": str(certificate)}
    configured(guarded, security="starttls", **access)
    with pytest.raises(UsageError, match="does not accept user ktrial: 535") as error:
        post(run, finished(run), send=True)
    assert "secret" not in f"{error.value.summary} {error.value.detail} {error.value.hint}"


def test_a_certificate_that_is_not_trusted_is_no_protection(guarded, run, configured):
    configured(guarded, security="starttls")
    with pytest.raises(UsageError, match="its certificate is not trusted") as error:
        post(run, finished(run), send=True)
    assert "mail.ca_file" in error.value.hint


def test_a_server_without_tls_is_not_given_a_mail_that_wants_it(box, server, run, configured):
    configured(server, security="starttls")
    with pytest.raises(UsageError, match="gives no protected connection"):
        post(run, finished(run), send=True)
    assert box.mails == []


def test_tls_from_the_first_byte_on(box, run, configured, certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with serving(box, ssl_context=context) as port:
        configured(port, security="tls", ca_file=str(certificate))
        post(run, finished(run), send=True)
    assert len(box.mails) == 1


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"server": "mail.example.org", "user": "ktrial"}, "a password is not sent"),
        ({"user": "ktrial"}, "mail.user has no password"),
        ({"user": "ktrial", "password_file": "/nonexistent/p"}, "password_file /nonexistent/p cannot be read"),
        ({"user": "ktrial", "password_command": ["false"]}, "password_command: false exited with status 1"),
        ({"user": "ktrial", "password_command": ["true"]}, "it is empty"),
        ({"security": "starttls", "ca_file": "/nonexistent"}, "ca_file /nonexistent cannot be used"),
    ],
)
def test_settings_that_cannot_be_are_told(server, run, configured, settings, why):
    configured(server, **settings)
    with pytest.raises(UsageError, match=why):
        post(run, finished(run), send=True)
    assert posted(run) == ()


def test_a_server_that_knows_no_8_bits_gets_the_same_text(run, configured):
    taken = []

    class Old(Box):
        async def handle_DATA(self, server, session, envelope):  # noqa: N802  # aiosmtpd
            taken.append(envelope.content)
            return "250 taken"

    result = finished(run, answering(replace(regression(), reproduce="ktrial run x --test 'é'")))
    assert "é" not in result.verdict.line
    with serving(Old(), decode_data=True) as port:
        configured(port, opt_out="Prüfer fragen.")
        post(run, result, send=True)
    message = email.message_from_string(taken[0], policy=email.policy.default)
    assert message["Content-Transfer-Encoding"] == "quoted-printable"
    assert "Prüfer fragen." in message.get_content()


def test_a_hostile_series_adds_no_recipient_and_no_header(box, server, run, configured):
    configured(server, reply_all=True, allow=["*"])
    word = "x\r\nBcc: victim@example.com\r\n\r\nno regression: forged <dev@example.org>"
    result = hostile(word)
    assert result.series is not None
    envelope = replace(ENVELOPE, subject=word, sender=word, to=(word, "a@example.org\r\nRCPT TO:<victim@example.com>"))
    post(run, finished(run, replace(result, series=replace(result.series, envelope=envelope))), send=True)
    ((_, to, data),) = box.mails
    assert "victim@example.com" not in to
    assert parsed(data)["Bcc"] is None


def test_mail_prints_what_would_be_sent_and_sends_nothing(box, server, run, configured, capsysbinary):
    configured(server, tester="T <t@example.org>")
    post(run, finished(run, measured()), mail=True)
    message = parsed(capsysbinary.readouterr().out)
    assert message["To"] == "A Developer <dev@example.org>"
    assert box.mails == []
    assert not (run.path / "mail").exists()


def test_mail_is_printed_for_the_author_without_any_settings(run, monkeypatch, tmp_path, capsysbinary):
    monkeypatch.delenv("KTRIAL_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    post(run, finished(run), mail=True)
    message = parsed(capsysbinary.readouterr().out)
    assert message["To"] == "A Developer <dev@example.org>"
    assert message["Cc"] is None


def ktrial(*arguments: str) -> tuple[int, str]:
    argv = [sys.executable, "-m", "harness.cli", "report", *arguments]
    done = subprocess.run(argv, cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_the_exit_status_says_whose_turn_it_is(box, server, run, configured):
    configured(server)
    finished(run)
    assert ktrial(run.id, "--send")[0] == 0
    status, told = ktrial(run.id, "--send")
    assert (status, "--send --again" in told) == (2, True)
    configured(free_port())
    status, told = ktrial("last", "--send", "--again")
    assert (status, "cannot be reached" in told) == (7, True)
    assert "Traceback" not in told


def test_again_alone_makes_no_sense(run):
    with pytest.raises(UsageError, match="--again is for --send"):
        post(run, finished(run), again=True)


@pytest.mark.parametrize(
    ("envelope", "settings", "to", "cc"),
    [
        ({}, {}, (), ()),
        ({}, {"allow": ("dev@EXAMPLE.org",)}, ("A Developer <dev@example.org>",), ()),
        ({"reply_to": ("list@example.org",)}, {"allow": ("*",)}, ("list@example.org",), ()),
        ({}, {"allow": ("*",), "never": ("@example.org",)}, (), ()),
        ({}, {"to": ("me@example.net",)}, ("me@example.net",), ()),
        ({}, {"to": ("me@example.net",), "never": ("me@example.net",)}, (), ()),
        (
            {"to": ("dev@example.org", "ktrial@ci.example.org", "not an address"), "cc": ("X <dev@example.org>",)},
            {"allow": ("*",), "reply_all": True, "sender": "K <ktrial@ci.example.org>"},
            ("A Developer <dev@example.org>",),
            (),
        ),
    ],
)
def test_the_policy_says_who_is_written_to(envelope, settings, to, cc):
    answer = Answered("<1@x>", sender="A Developer <dev@example.org>", **envelope)
    found = recipients(answer, MailSettings(**settings))
    assert (found.to, found.cc) == (to, cc)
