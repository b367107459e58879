"""Who answers a series finds its headers: the subject, the people, the thread, and whether a machine sent it."""

from __future__ import annotations

import pytest

from harness import record
from harness.series import Series, read_series
from harness.series.model import Envelope

PATCH = b"""\
From: =?utf-8?q?J=C3=BCrgen?= Dev <dev@example.org>
To: netdev@vger.kernel.org, "Maintainer, Some" <some@example.org>
Cc: bpf@vger.kernel.org,
 netdev@vger.kernel.org
Cc: Other <other@example.org>
Date: Mon, 2 Jun 2025 10:07:00 +0000
Subject: [PATCH net-next v2] xdp:
 do more
Message-ID: <v2.1@example.org>
References: <v1.0@example.org>
 <v1.1@example.org>
%s
It does more.
---
 a.c | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

diff --git a/a.c b/a.c
index 1111111..2222222 100644
--- a/a.c
+++ b/a.c
@@ -1 +1 @@
-a
+b
--
2.39
"""


def envelope(*headers: str) -> Envelope | None:
    extra = "".join(f"{header}\n" for header in headers).encode()
    return read_series("-", stdin=PATCH.replace(b"%s", extra)).envelope


def test_a_single_patch_is_answered_with_its_own_headers():
    assert envelope() == Envelope(
        "<v2.1@example.org>",
        subject="[PATCH net-next v2] xdp: do more",
        sender="Jürgen Dev <dev@example.org>",
        to=("netdev@vger.kernel.org", "Maintainer, Some <some@example.org>"),
        cc=("bpf@vger.kernel.org", "netdev@vger.kernel.org", "Other <other@example.org>"),
        references=("<v1.0@example.org>", "<v1.1@example.org>"),
    )


@pytest.mark.parametrize(
    "headers",
    [("Auto-Submitted: auto-generated",), ("Precedence: bulk",), ("Return-Path: <>",), ("X-Loop: some-bot",)],
)
def test_a_machines_message_is_known_by_its_headers(headers):
    found = envelope(*headers)
    assert found is not None
    assert found.automatic


@pytest.mark.parametrize(
    "headers",
    [
        ("Auto-Submitted: no",),
        ("Precedence: bulk", "List-Id: <netdev.vger.kernel.org>"),
        ("Precedence: bulk", "X-Mailing-List: netdev@vger.kernel.org"),
        ("Return-Path: <dev@example.org>",),
    ],
)
def test_what_a_list_adds_makes_no_machine_of_a_person(headers):
    found = envelope(*headers)
    assert found is not None
    assert found.automatic == ""


def test_the_cover_letter_is_answered_where_there_is_one():
    cover = (
        PATCH.split(b"---\n")[0].replace(b"v2] xdp", b"v2 0/1] xdp").replace(b"<v2.1@", b"<v2.0@").replace(b"%s", b"")
    )
    patch = PATCH.replace(b"v2] xdp", b"v2 1/1] xdp").replace(b"%s", b"")
    separator = b"From x Mon Sep 17 00:00:00 2001\n"
    found = read_series("-", stdin=separator + cover + b"\n" + separator + patch).envelope
    assert found is not None
    assert found.message_id == "<v2.0@example.org>"


def test_a_patch_without_a_message_id_has_none():
    assert read_series("-", stdin=PATCH.replace(b"Message-ID", b"X-Id").replace(b"%s", b"")).envelope is None


def test_a_series_that_was_recorded_before_is_read_yet():
    series = read_series("-", stdin=PATCH.replace(b"%s", b""))
    old = record.encode(series).split(b'"envelope"')[0].rstrip(b" \n,") + b"}"
    read = record.decode(old, Series)
    assert read.envelope is None
    assert read.message_ids == ("<v2.1@example.org>",)


@pytest.mark.parametrize(
    "people", ["a@b.c\x00, d@e.f", "x" * 100_000, "<<>>, ,@,", '"' * 999, "=?utf-8?b?!!?= <a@b.c>", "\udcff <a@b.c>"]
)
def test_hostile_people_are_read_without_a_line_break(people):
    headers = f"Reply-To: {people}\n".encode("utf-8", "surrogateescape")
    found = read_series("-", stdin=PATCH.replace(b"%s", headers)).envelope
    assert found is not None
    assert not [person for person in found.reply_to if not person.isprintable() or "@" not in person]
