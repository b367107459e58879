"""What is read from good mailboxes, however they are written down."""

from __future__ import annotations

import base64
import gzip
import quopri
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

import pytest
import series_mails as mails

from harness import record
from harness.series import Series, read_series

RINGS = Path(__file__).parent / "data" / "series" / "rings-v2.mbox"


def read(data: bytes, revision: int | None = None) -> Series:
    return read_series("-", stdin=data, revision=revision)


def test_a_mailed_thread_is_read_whole() -> None:
    series = read_series(str(RINGS))
    assert (series.title, series.version, series.tags, series.tree_tag) == (
        "ring: know what is free", 2, ("net-next",), "net-next",
    )  # fmt: skip
    assert series.author == "Björn Ring <bjorn@example.org>"
    assert series.base_commit == "0123456789abcdef0123456789abcdef01234567"
    assert series.prerequisite_patch_ids == ("89abcdef0123456789abcdef0123456789abcdef",)
    assert series.change_id == "20231110-rings-abcdef"
    assert series.message_ids == tuple(f"<20231115-rings-v2-{number}@example.org>" for number in range(3))
    assert series.touched == ("drivers/net/ring.c", "drivers/net/ring.h")
    assert [reply.author for reply in series.replies] == ["Eva Reader <eva@example.org>"]
    assert series.remarks == (
        f"{RINGS}, message 1, line 1 ('[Ring-devel] [PATCH net-next v2 2/2] ring: say how many slots are free'): "
        "there is no charset 'y'; its message was read as UTF-8",
    )


def test_the_patches_of_a_thread_come_in_order_and_decoded() -> None:
    first, second = read_series(str(RINGS)).patches
    assert (first.number, first.total, first.subject) == (1, 2, "ring: count slots")
    assert first.author == "Björn Ring <bjorn@example.org>"
    assert first.message.startswith("Nobody counted slots until now, and so the café was full; this line is long.\n\n")
    assert b"\n-\tring->free = 0;\n+\tring->free = ring->size;\n" in first.mail
    assert (second.subject, second.author) == ("ring: say how many slots are free", "Åsa Slot <asa@example.org>")
    assert "\nFrom the other side it cannot be seen.\n" in second.message
    assert second.trailers == (
        ("Signed-off-by", "Åsa Slot <asa@example.org>"),
        ("Signed-off-by", "Björn Ring <bjorn@example.org>"),
    )
    assert second.where == f"{RINGS}, message 1, line 1"
    assert b"Ring-devel mailing list" not in second.mail


def test_a_series_survives_being_recorded() -> None:
    series = read_series(str(RINGS))
    assert record.decode(record.encode(series), Series) == series


def same_patch(series: Series) -> bool:
    """Whether a series is `mails.patch(1, 1)`."""
    plain = read(mails.patch(1, 1)).patches[0]
    (patch,) = series.patches
    return (patch.mail, patch.message, patch.touched) == (plain.mail, plain.message, plain.touched)


def transfer(encoding: str, text: bytes) -> bytes:
    return mails.mail("[PATCH 1/1] ring: step 1", text, content_transfer_encoding=encoding)


@pytest.mark.parametrize(
    "data",
    [
        mails.mbox(mails.patch(1, 1)),
        mails.patch(1, 1).replace(b"\n", b"\r\n"),
        mails.mbox(mails.patch(1, 1)).replace(b"\n", b"\r\n"),
        b"\n\n" + mails.patch(1, 1),
        b"\xef\xbb\xbf" + mails.patch(1, 1),
        b"From ada@example.org Tue Nov 14 23:13:20 2023 +0100\n" + mails.patch(1, 1),
        b"From " + b"0" * 40 + b" Mon Sep 17 00:00:00 2001\n" + mails.patch(1, 1),
        gzip.compress(mails.mbox(mails.patch(1, 1))),
        transfer("base64", base64.encodebytes(mails.body(1).encode())),
        transfer("base64", base64.encodebytes(mails.body(1).replace("\n", "\r\n").encode())),
        transfer("quoted-printable", quopri.encodestring(mails.body(1).encode())),
        transfer("8BIT", mails.body(1).encode()),
        transfer("nonsense", mails.body(1).encode()),
    ],
    ids=["mbox", "crlf", "crlf-mbox", "blank", "bom", "dated", "git", "gzip", "b64", "b64-crlf", "qp", "8bit", "odd"],
)
def test_one_patch_is_the_same_however_it_is_wrapped(data: bytes) -> None:
    assert same_patch(read(data))


def multipart(kind: str, *parts: MIMEText) -> bytes:
    message = MIMEMultipart(kind)
    for part in parts:
        message.attach(part)
    for name in ("From", "Date", "Subject", "Message-ID"):
        lines = mails.patch(1, 1).decode().splitlines()
        message[name] = next(line.split(": ", 1)[1] for line in lines if line.startswith(f"{name}:"))
    return message.as_bytes()


def attachment(text: str, kind: str = "x-patch", name: str = "0001-ring.patch") -> MIMEText:
    part = MIMEText(text, kind)
    part.add_header("Content-Disposition", "attachment", filename=name)
    return part


def test_an_attached_diff_belongs_to_the_message_above_it() -> None:
    text, below = mails.body(1).split("diff --git", 1)
    assert same_patch(read(multipart("mixed", MIMEText(text), attachment("diff --git" + below))))


def test_of_a_text_and_its_html_twin_the_text_is_read() -> None:
    html = MIMEText("<pre>diff --git a/x b/x</pre>", "html")
    assert same_patch(read(multipart("alternative", MIMEText(mails.body(1)), html)))


def test_the_footer_that_a_list_attaches_is_not_part_of_the_patch() -> None:
    assert same_patch(read(multipart("mixed", MIMEText(mails.body(1)), MIMEText("To unsubscribe ...\n"))))


def test_attached_mails_are_a_series() -> None:
    parts = [attachment(mails.mbox(mails.patch(number, 2)).decode(), "plain") for number in (1, 2)]
    series = read(multipart("mixed", MIMEText("Please try these.\n"), *parts))
    assert [patch.subject for patch in series.patches] == ["ring: step 1", "ring: step 2"]
    assert [reply.why for reply in series.replies] == ["not a patch"]


def test_a_line_that_only_begins_like_a_separator_is_text() -> None:
    message = "Why:\n\nFrom here on it is\nFrom a@example.org Tue Nov 14 23:13:20 2023\nnot a header"
    text = mails.body(1, message=message)
    series = read(mails.mbox(mails.mail("[PATCH 1/2] one", text), mails.patch(2, 2)))
    assert series.patches[0].message == message


def test_quoted_from_lines_lose_one_mark() -> None:
    text = mails.body(1, message="Why:\n\n>From here\n>>From there\n> From afar")
    (patch,) = read(mails.mbox(mails.mail("[PATCH] one", text))).patches
    assert patch.message == "Why:\n\nFrom here\n>From there\n> From afar"


def test_in_body_headers_win_over_the_mails_own() -> None:
    inbody = "From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\nSubject: [PATCH] ring: other\n words\n"
    text = f"{inbody}\nWhy.\n---\n{mails.diff()}"
    (patch,) = read(mails.mail("[PATCH v2] one", text, **{"from": "List via <list@example.org>"})).patches
    assert (patch.author, patch.subject, patch.message) == ("Jürgen <j@example.org>", "ring: other words", "Why.")


@pytest.mark.parametrize(
    ("sent", "author"),
    [
        ("Ada Ring <ada@example.org>", "Ada Ring <ada@example.org>"),
        ('"Ring, Ada (she)" <ada@example.org>', "Ring, Ada (she) <ada@example.org>"),
        ("ada@example.org", "ada@example.org <ada@example.org>"),
        ("=?iso-8859-1?q?=C5sa?= =?utf-8?b?IFJpbmc=?= <a@example.org>", "Åsa Ring <a@example.org>"),
        ("=?y?q?Asa?= <a@example.org>", "Asa <a@example.org>"),
        ("=?utf-8?b?!?= <a@example.org>", "a@example.org <a@example.org>"),
    ],
)
def test_authors_are_read_in_every_spelling(sent: str, author: str) -> None:
    (patch,) = read(mails.mail("[PATCH] one", mails.body(1), **{"from": sent})).patches
    assert patch.author == author


@pytest.mark.parametrize(
    ("charset", "remark"),
    [("utf-8", ""), ("iso-8859-1", ""), ("", "declares no charset"), ("y", "no charset 'y'"), ("zlib", "no charset")],
)
def test_a_message_in_latin_1_is_read_and_guesses_are_told(charset: str, remark: str) -> None:
    encoding = "utf-8" if charset == "utf-8" else "latin-1"
    text = mails.body(1, message="Café.").encode(encoding)
    kind = f"text/plain; charset={charset}" if charset else ""
    series = read(mails.mail("[PATCH] one", text, content_type=kind))
    assert series.patches[0].message == "Café."
    assert [remark in told for told in series.remarks] == ([True] if remark else [])


def test_paths_are_told_for_every_kind_of_change() -> None:
    text = (
        "Why.\n---\n"
        "diff --git a/old.c b/new.c\nsimilarity index 100%\nrename from old.c\nrename to new.c\n"
        "diff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\n"
        'diff --git "a/t\\303\\244b.c" "b/t\\303\\244b.c"\nnew file mode 100644\nindex 0000000..1111111\n'
        '--- /dev/null\n+++ "b/t\\303\\244b.c"\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n'
        "diff --git a/empty b/empty\nnew file mode 100644\nindex 0000000..e69de29\n"
        "diff --git a/gone.c b/gone.c\ndeleted file mode 100644\n--- a/gone.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
        "diff --git a/logo.bin b/logo.bin\nindex 1..2 100644\nGIT binary patch\nliteral 3\nKcmZ>=WB>pF0006100000\n\n"
        "literal 0\nHcmV?d00001\n\n"
        "--- linux.orig/plain.c\t2023-11-14\n+++ linux/plain.c\t2023-11-15\n@@ -1,2 +1,2 @@\n a\n--- b\n+++ b\n"
        "-- \n2.4\n"
    )
    (patch,) = read(mails.mail("[PATCH] all sorts", text)).patches
    assert patch.touched == ("empty", "gone.c", "logo.bin", "new.c", "old.c", "plain.c", "run.sh", "täb.c")


def test_format_flowed_is_remarked_on() -> None:
    series = read(mails.mail("[PATCH] one", mails.body(1), content_type="text/plain; charset=utf-8; format=flowed"))
    assert ["format=flowed" in remark for remark in series.remarks] == [True]


def test_a_missing_date_is_the_same_at_each_reading() -> None:
    data = mails.mail("[PATCH] one", mails.body(1), date="")
    assert b"\nDate: Mon, 17 Sep 2001 00:00:00 +0000\n" in read(data).patches[0].mail
    assert "no date" in read(data).remarks[0]
