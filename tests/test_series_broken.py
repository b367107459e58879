"""What is said about input that is no complete, readable series: each fault its own error, with message and line."""

from __future__ import annotations

import base64
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

import pytest
import series_mails as mails

from harness.errors import KtrialError, SeriesError, UsageError
from harness.series import read_series


def complaint(*messages: bytes) -> KtrialError:
    return complaint_of(mails.mbox(*messages))


def complaint_of(data: bytes) -> KtrialError:
    with pytest.raises(KtrialError) as caught:
        read_series("-", stdin=data)
    return caught.value


def test_a_cover_alone_is_told_with_the_number_of_its_patches() -> None:
    error = complaint(mails.cover(14, prefix="PATCH v9 bpf-next"))
    assert isinstance(error, SeriesError)
    assert error.summary.endswith("ring: steps'): a cover letter alone: none of its 14 patches is there")
    assert "standard input, message 1, line 1" in error.summary
    assert "/-PATCH-v9-bpf-next-0-14--ring--steps@example.org/t.mbox.gz" in error.hint


def test_an_empty_mail_is_told() -> None:
    assert "message 2, line 28 ('[PATCH 2/2] ring: step 2'): it has a patch's subject but is empty" in (
        complaint(mails.patch(1, 2), mails.mail("[PATCH 2/2] ring: step 2")).summary
    )
    assert "the mail is empty" in complaint(mails.mail("hello")).summary


def test_a_separator_alone_is_an_empty_mail() -> None:
    assert complaint_of(mails.LORE).summary == "standard input, message 1, line 1: the mail is empty, so it is no patch"


def test_a_binary_mail_is_told() -> None:
    text = b"\0\1" + mails.body().encode()
    assert "is binary (it holds NUL bytes)" in complaint(mails.mail("[PATCH] one", text)).summary
    assert complaint_of(b"\x7fELF\0\0\0").summary == "standard input: a binary file, not a mailbox"


def test_a_mail_in_html_only_is_told() -> None:
    text = "<pre>" + mails.body() + "</pre>"
    assert "is HTML only" in complaint(mails.mail("[PATCH] one", text, content_type="text/html; charset=utf-8")).summary
    twins = MIMEMultipart("alternative")
    twins["From"], twins["Subject"] = mails.AUTHOR, "[PATCH 1/1] one"
    twins.attach(MIMEText(text, "html"))
    assert "is HTML only" in complaint_of(twins.as_bytes()).summary


def test_a_patch_mail_without_a_diff_is_told() -> None:
    quoted = "> " + mails.diff().replace("\n", "\n> ")
    assert "has a patch's subject but has no diff" in complaint(mails.mail("[PATCH 1/1] one", quoted)).summary


@pytest.mark.parametrize("kept", [101, 202, 402])
def test_base64_that_breaks_off_is_told(kept: int) -> None:
    text = base64.b64encode(mails.body().encode())[:kept]
    summary = complaint(mails.mail("[PATCH] one", text, content_transfer_encoding="base64")).summary
    assert "base64 is broken" in summary or "is truncated" in summary


def cut(lines: int) -> str:
    return "".join(mails.body(2, below="").splitlines(keepends=True)[:-lines])


@pytest.mark.parametrize(
    ("lost", "signature"), [(1, ""), (3, ""), (1, "-- \n2.43.0\n"), (3, "-- \n2.43.0\n"), (3, "\n\n")]
)
def test_a_truncated_diff_is_told_with_message_file_hunk_and_line(lost: int, signature: str) -> None:
    text = cut(lost) + signature
    data = mails.mbox(mails.patch(1, 2), mails.mail("[PATCH 2/2] two", text))
    error = complaint_of(data)
    assert "message 2, line 28 ('[PATCH 2/2] two'): standard input, line " in error.summary
    assert "file drivers/net/ring2.c: the diff is truncated: hunk @@ -10,4 +10,5 @@" in error.summary
    line = int(error.summary.split("standard input, line ")[1].split(",")[0])
    assert data.split(b"\n")[line - 1].startswith(b"@@ -10,4 +10,5 @@ static int ring_2")
    assert "> @@ -10,4 +10,5 @@" in error.detail


def test_a_signature_is_not_taken_for_the_lost_last_line() -> None:
    text = mails.body(1, below="").replace("-10,4 +10,5", "-10,5 +10,5") + "-- \n2.43.0\n"
    assert "the diff is truncated" in complaint(mails.mail("[PATCH] one", text)).summary


def test_a_wrapped_line_is_told_with_the_mailer_that_wrapped_it() -> None:
    text = mails.body(1).replace("\tint slots", "\tint\nslots")
    error = complaint(mails.mail("[PATCH] one", text, content_type="text/plain; format=flowed"))
    assert "this line cannot belong to hunk @@ -10,4 +10,5 @@" in error.summary
    assert "> slots = 1;" in error.detail
    assert "format=flowed" in error.hint


def test_a_hunk_that_is_longer_than_it_says_is_told() -> None:
    text = mails.body(1).replace("-10,4 +10,5", "-10,3 +10,4")
    assert "goes on after the lines that it promises" in complaint(mails.mail("[PATCH] one", text)).summary


@pytest.mark.parametrize(
    ("diff", "what"),
    [
        ("diff --git a/x b/x\nBinary files a/x and b/x differ\n", "its data is not there"),
        ("diff --git a/x b/x\nGIT binary patch\nliteral 3\nKcmZ>=WB>pF0006100000", "data is truncated"),
        ("diff --git x x\n--- x\n+++ x\n@@ -1 +1 @@\n-a\n+b\n", "without a/ and b/"),
        ("diff --git a/x b/x\n", "truncated"),
        ("diff --git a/x b/x\nnew file mode 100644\nindex 0000000..1111111\n", "truncated"),
        ("diff --git a/x b/y\nrename from x\nrename to y\nindex 1..2\ndiff --git a/z b/z\n", "truncated"),
        ("diff --git a/x b/x\n--- a/x\n+++ b/x\n", "where a hunk should begin"),
        ("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n\n@@ -9 +9 @@\n-a\n+b\n", "without the name"),
    ],
)
def test_other_damage_to_a_diff_is_told(diff: str, what: str) -> None:
    assert what in complaint(mails.mail("[PATCH] one", f"Why.\n---\n{diff}")).summary


def test_a_damaged_patch_of_an_older_revision_does_no_harm() -> None:
    old = mails.mail("[PATCH 1/1] one", cut(2))
    assert read_series("-", stdin=mails.mbox(old, mails.patch(1, 1, prefix="PATCH v2"))).version == 2


def test_a_message_in_another_charset_than_declared_is_told_with_its_line() -> None:
    text = mails.body(1, message="Fine so far.\nCafé.").encode("latin-1")
    error = complaint(mails.mail("[PATCH] one", text, content_type="text/plain; charset=utf-8"))
    assert "its message is not in the charset it declares, utf-8 (standard input, line 9)" in error.summary
    assert error.detail == "Caf\\xe9."


def test_a_patch_without_an_author_is_told() -> None:
    assert "it has no author" in complaint(mails.mail("[PATCH] one", mails.body(1), **{"from": "Ada"})).summary


def test_a_bare_diff_is_told_and_how_to_mail_it() -> None:
    error = complaint_of(mails.diff().encode())
    assert error.summary.startswith("standard input: a bare diff: it lacks the mail headers")
    assert "git format-patch" in error.hint


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("<!DOCTYPE html><html><body>[PATCH 1/2] one</body></html>\n", "a web page"),
        ("mbox series\n\n[v9,bpf-next,00/14] ring: steps\n\nMessage ID x\n", "not a mailbox"),
        ("From: Ada Ring <ada@example.org> This series brings rings. It is long.", "not a mailbox"),
        ("Ada Ring writes:\n> From: x\n", "not a mailbox"),
        ("commit 1234\nAuthor: A <a@example.org>\n\n    one\n\n" + mails.diff(), "a bare diff"),
        ("https://lore.example.org/all/x/\n", "not a mailbox"),
    ],
)
def test_a_text_that_is_no_mailbox_is_told_with_its_first_line(text: str, what: str) -> None:
    error = complaint_of(text.encode())
    assert isinstance(error, SeriesError)
    assert what in error.summary
    assert error.detail == f"line 1: {text.splitlines()[0]}"
    assert error.hint


@pytest.mark.parametrize("data", [b"", b"\n \n", b"\xef\xbb\xbf\n"])
def test_nothing_at_all_is_bad_usage(data: bytes) -> None:
    assert isinstance(complaint_of(data), UsageError)


@pytest.mark.parametrize("data", [b"\x1f\x8bnot gzip", b"\x1f\x8b"])
def test_a_damaged_gzip_file_is_told(data: bytes) -> None:
    assert "gzip file" in complaint_of(data).summary


def test_a_message_nested_without_end_is_told() -> None:
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (level, level) for level in range(3000))
    error = complaint_of(b"From: a@example.org\nSubject: [PATCH] x\n" + deep)
    assert isinstance(error, SeriesError)


def test_a_mailbox_of_talk_is_told() -> None:
    error = complaint(mails.mail("hello", "Hi\n"), mails.mail("Re: hello", "Hi\n"))
    assert error.summary == "standard input: none of its 2 messages is a patch"


def test_a_missing_file_and_an_absent_standard_input_are_bad_usage(tmp_path: Path) -> None:
    for source in (str(tmp_path / "none.mbox"), "-", "a" * 5000, "nul\0"):
        with pytest.raises(UsageError):
            read_series(source)
