"""Settings of mail and Patchwork are what the file says, and what it cannot mean is an error that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.post.model import ABOUT_THE_SERIES, MailSettings, PatchworkSettings, Security
from harness.settings import mail_settings, patchwork_settings, perf_policy
from harness.verdict import VerdictKind

DOCUMENTED = Path(__file__).parent.parent / "docs" / "mail.md"


@pytest.fixture
def told(tmp_path):
    file = tmp_path / "config.toml"

    def tell(text: str) -> Path:
        file.write_text(text)
        return file

    return tell


def test_without_a_file_nobody_is_written_to(monkeypatch, tmp_path):
    monkeypatch.delenv("KTRIAL_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert mail_settings() == MailSettings()
    assert MailSettings().allow == ()
    assert not MailSettings().reply_all
    assert patchwork_settings() == PatchworkSettings()


def test_what_is_told_holds(told):
    file = told(
        '[mail]\nsender = "k <k@example.org>"\nsecurity = "tls"\nallow = ["@example.org"]\nverdicts = ["regression"]\n'
        '[patchwork]\nuser = "ktrial"\npatience = 5\n[perf]\nunits = 3\n'
    )
    mail = mail_settings(file)
    assert (mail.sender, mail.security, mail.allow) == ("k <k@example.org>", Security.TLS, ("@example.org",))
    assert mail.verdicts == (VerdictKind.REGRESSION,)
    assert patchwork_settings(file) == PatchworkSettings(user="ktrial", patience=5.0)
    assert perf_policy(file).units == 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[mail]\nservr = 'x'\n", "mail.servr is no setting"),
        ("[mail]\npassword = 'x'\n", "mail.password is no setting"),
        ("[mail]\nport = 'x'\n", "Expected `int`, got `str`: mail.port"),
        ("[mail]\nport = true\n", "mail.port"),
        ("[mail]\nsecurity = 'ssl'\n", "Invalid enum value 'ssl': mail.security"),
        ("[mail]\nallow = 'x'\n", "mail.allow"),
        ("[mail]\nverdicts = ['bad']\n", "mail.verdicts"),
        ("mail = 3\n", "mail is no table"),
        ("[mails]\n", "mails is no setting"),
        ("[patchwork]\nurl = 'x'\n", "patchwork.url is no setting"),
        ("[mail\n", "config.toml: "),
    ],
)
def test_what_cannot_be_is_told(told, text, why):
    file = told(text)
    with pytest.raises(UsageError) as error:
        (patchwork_settings if "patchwork" in text else mail_settings)(file)
    assert why in error.value.summary
    assert str(file) in error.value.summary


def test_a_verdict_on_our_own_machine_is_no_mail_to_an_author():
    for kind in (VerdictKind.MACHINE_LOST, VerdictKind.TREE_UNUSABLE, VerdictKind.INTERNAL, VerdictKind.INTERRUPTED):
        assert kind not in ABOUT_THE_SERIES


def test_every_setting_is_in_the_manual():
    manual = DOCUMENTED.read_text()
    for settings in (MailSettings, PatchworkSettings):
        assert [name for name in settings.__dataclass_fields__ if f"`{name}`" not in manual] == []


def test_the_manual_s_example_can_be_read(told):
    example = DOCUMENTED.read_text().split("```toml\n")[1].split("```")[0]
    assert mail_settings(told(example)).allow
    assert patchwork_settings(told(example)).token_file
