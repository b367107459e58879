"""Whatever bytes come in, a Series or one of our errors comes out; and the order of messages does not matter."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace
from pathlib import Path

import series_mails as mails
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import KtrialError
from harness.series import Series, read_series

RINGS = (Path(__file__).parent / "data" / "series" / "rings-v2.mbox").read_bytes()
GOOD = [RINGS, mails.mbox(mails.cover(3), *(mails.patch(n, 3) for n in (1, 2, 3)))]
TOKENS = [
    b"\n\n", b"\r\n", b"\0", b"\xff\xfe", b"From ", mails.LORE, b"@@ -1,9 +1,9 @@\n", b"diff --git ",
    b"--- a/x\n+++ b/x\n",
    b"Content-Type: multipart/mixed; boundary=x\n", b"--x\n", b"Content-Transfer-Encoding: base64\n", b"=?utf-8?b?",
    b"Subject: [PATCH 9/2]", b"[PATCH v2 0/2]", b"GIT binary patch\nliteral 9\n", b"Content-Type: text/html\n",
    b"charset=utf-16", b"charset=idna", b"charset*0*=x''%ff", b'"', b"rename to \"a\\777\"\n", b"\x1f\x8b", b"-- \n",
    b"<@>",
]  # fmt: skip
_SETTINGS = settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


def survives(data: bytes) -> None:
    with contextlib.suppress(KtrialError):
        assert isinstance(read_series("-", stdin=data), Series)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good mailbox with a few cuts, flips and insertions."""
    data = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["cut", "head", "flip", "insert", "drop"]))
        if kind == "cut":
            data = data[:at]
        elif kind == "head":
            data = data[at:] if at < len(data) // 4 else data
        elif kind == "flip":
            data = data[:at] + draw(st.binary(min_size=1, max_size=3)) + data[at + 1 :]
        elif kind == "insert":
            data = data[:at] + draw(st.sampled_from(TOKENS)) + data[at:]
        else:
            data = data[:at] + data[at + draw(st.integers(1, 80)) :]
    return data


@_SETTINGS
@given(damaged())
def test_a_damaged_mailbox_is_read_or_refused(data: bytes) -> None:
    survives(data)


@_SETTINGS
@given(st.lists(st.sampled_from(TOKENS) | st.binary(max_size=20), max_size=12))
def test_noise_in_a_mail_is_read_or_refused(parts: list[bytes]) -> None:
    survives(mails.LORE + b"From: a@example.org\nSubject: [PATCH] x\n" + b"".join(parts))
    survives(b"".join(parts))


@_SETTINGS
@given(st.randoms(use_true_random=False), st.integers(0, 2))
def test_the_order_of_messages_and_copies_of_them_change_nothing(shuffle: random.Random, copies: int) -> None:
    messages = [mails.LORE + part for part in RINGS.split(mails.LORE)[1:]]
    several = messages + shuffle.sample(messages, copies)
    shuffle.shuffle(several)
    told = read_series("-", stdin=b"".join(several))
    plain = read_series("-", stdin=RINGS)
    assert essence(told) == essence(plain)


def essence(series: Series) -> Series:
    """A series without what depends on where its messages stand."""
    patches = tuple(replace(patch, where="") for patch in series.patches)
    return replace(series, patches=patches, replies=(), remarks=())
