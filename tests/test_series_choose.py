"""Which of a mailbox's messages are the series: revisions, copies, replies, gaps."""

from __future__ import annotations

import pytest
import series_mails as mails

from harness.errors import SeriesError
from harness.series import Series, read_series


def read(*messages: bytes, revision: int | None = None) -> Series:
    return read_series("-", stdin=mails.mbox(*messages), revision=revision)


def versions(version: int, *numbers: int, total: int = 3) -> list[bytes]:
    """Patches of one revision; no two revisions have the same contents."""
    return [mails.patch(n, total, prefix=f"PATCH v{version}", content=10 * version + n) for n in numbers]


def test_patches_come_in_order_whatever_the_order_of_the_messages() -> None:
    series = read(mails.patch(3, 3), mails.cover(3), mails.patch(1, 3), mails.patch(2, 3))
    assert [patch.subject for patch in series.patches] == ["ring: step 1", "ring: step 2", "ring: step 3"]
    assert series.cover is not None
    assert series.cover.body == "All about rings."


def test_the_newest_complete_revision_is_chosen() -> None:
    series = read(*versions(1, 1, 2, 3), *versions(3, 1, 3), *versions(2, 1, 2, 3))
    assert series.version == 2
    assert series.remarks == ("v3 is there too, but without patch 2 of 3",)
    assert {reply.why for reply in series.replies} == {
        "patch 1/3 of v1", "patch 2/3 of v1", "patch 3/3 of v1", "patch 1/3 of v3", "patch 3/3 of v3",
    }  # fmt: skip


def test_a_revision_can_be_asked_for() -> None:
    messages = [*versions(1, 1, 2, 3), *versions(2, 1, 2, 3)]
    assert read(*messages, revision=1).version == 1
    with pytest.raises(SeriesError, match="there is no revision v7, only v1, v2"):
        read(*messages, revision=7)


def test_an_incomplete_revision_that_is_asked_for_is_not_mended() -> None:
    with pytest.raises(SeriesError, match="v2 lacks patch 3 of 3"):
        read(*versions(2, 1, 2), *versions(1, 3), revision=2)


def test_a_final_series_wins_over_an_rfc_with_a_higher_number() -> None:
    rfc = [mails.patch(n, 2, prefix="RFC PATCH v4", content=40 + n) for n in (1, 2)]
    series = read(*rfc, mails.patch(1, 2), mails.patch(2, 2))
    assert (series.version, series.tags) == (1, ())


def test_a_resent_series_wins_over_its_first_sending() -> None:
    again = [mails.patch(n, 2, prefix="PATCH RESEND", content=50 + n) for n in (1, 2)]
    assert read(*again, mails.patch(1, 2), mails.patch(2, 2)).tags == ("RESEND",)


def test_a_gap_is_filled_by_the_same_number_of_another_revision() -> None:
    series = read(*versions(2, 1), *versions(2, 3), *versions(1, 2))
    assert [patch.touched[0][-4:-2] for patch in series.patches] == ["21", "12", "23"]
    assert series.version == 2
    assert series.remarks == (
        "no revision is complete, so revisions are mixed: patch 2/3 is v1's 2/3 ('ring: step 2'); the others are v2's",
    )


def test_a_gap_is_filled_by_the_message_that_stands_in_its_place() -> None:
    series = read(*versions(2, 1), *versions(3, 4, total=7), *versions(2, 3))
    assert [patch.subject for patch in series.patches] == ["ring: step 1", "ring: step 4", "ring: step 3"]
    assert [(patch.number, patch.total) for patch in series.patches] == [(1, 3), (2, 3), (3, 3)]
    assert "patch 2/3 is v3's 4/7" in series.remarks[0]


def test_a_gap_that_two_could_fill_stays_one() -> None:
    with pytest.raises(SeriesError, match="v3 lacks patch 2 of 3"):
        read(*versions(3, 1, 3), *versions(2, 2), *versions(1, 2))


def test_missing_patches_are_named_with_what_is_there() -> None:
    with pytest.raises(SeriesError, match="standard input: v1 lacks patches 2, 4 of 5") as caught:
        read(mails.cover(5), mails.patch(1, 5), mails.patch(3, 5), mails.patch(5, 5))
    assert "3/5 ring: step 3 (v1, standard input, message 3, line " in caught.value.detail
    assert "lore.kernel.org/all/" in caught.value.hint


def test_copies_are_dropped_with_a_remark() -> None:
    copy = mails.patch(1, 2).replace(b"-- \n2.43.0\n", b"-- \n2.43.0\n\n____\nsome list\n")
    series = read(mails.patch(1, 2), mails.patch(2, 2), copy)
    assert len(series.patches) == 2
    assert ["is a copy of standard input, message 1, line 1" in remark for remark in series.remarks] == [True]


def test_two_different_patches_with_one_number_are_an_error_that_names_both() -> None:
    with pytest.raises(SeriesError, match=r"number 1/2 of v1: .*message 1, line 1 .* and .*message 3, line \d+"):
        read(mails.patch(1, 2), mails.patch(2, 2), mails.patch(1, 2, content=9))


def test_a_conflict_in_an_older_revision_does_no_harm() -> None:
    messages = [mails.patch(1, 1), mails.patch(1, 1, content=9), *versions(2, 1, total=1)]
    assert read(*messages).version == 2


@pytest.mark.parametrize("number", ["4/3", "1/0"])
def test_an_impossible_number_is_an_error(number: str) -> None:
    with pytest.raises(SeriesError, match="there cannot be a patch"):
        read(mails.mail(f"[PATCH {number}] one", mails.body(1)))


def test_patches_that_disagree_on_their_number_are_an_error() -> None:
    with pytest.raises(SeriesError, match=r"v1 has 2 patches by .*message 1.*, but 3 by .*message 2"):
        read(mails.patch(1, 2), mails.patch(2, 3))


def test_replies_are_kept_apart_even_with_a_diff() -> None:
    reply = mails.mail("Re: [PATCH 1/1] ring: step 1", "How about:\n\n" + mails.diff(7))
    review = mails.mail("Re: [PATCH 1/1] ring: step 1", "> diff --git a/x b/x\n\nReviewed-by: A <a@example.org>\n")
    series = read(mails.patch(1, 1), reply, review)
    assert [(reply.why, reply.subject) for reply in series.replies] == [("a reply", "Re: [PATCH 1/1] ring: step 1")] * 2


def test_a_suggestion_in_the_thread_is_not_applied_and_told() -> None:
    thread = mails.patch(1, 2), mails.patch(2, 2)
    answered = "<-PATCH-1-2--ring--step-1@example.org>"
    series = read(*thread, mails.mail("[PATCH v9] better", mails.body(7), in_reply_to=answered))
    assert len(series.patches) == 2
    assert ["holds a diff that is no part of the series" in remark for remark in series.remarks] == [True]


def test_patches_without_numbers_keep_their_order() -> None:
    series = read(*(mails.mail(f"[PATCH] step {n}", mails.body(n)) for n in (2, 1, 3)))
    assert [(p.number, p.subject) for p in series.patches] == [(1, "step 2"), (2, "step 1"), (3, "step 3")]
    assert series.remarks == ("the patches have no numbers and were taken in the order of the mailbox",)
    assert series.title == "step 2 (and 2 more)"


def test_a_cover_that_is_tagged_otherwise_is_still_the_cover() -> None:
    series = read(mails.cover(1, prefix="PATCH RFC"), mails.patch(1, 1))
    assert series.title == "ring: steps"


def test_different_base_commits_are_remarked_on() -> None:
    texts = [mails.body(n, below=f"\nbase-commit: {n}234567\n-- \n2.43.0\n") for n in (1, 2)]
    series = read(*(mails.mail(f"[PATCH {n}/2] step {n}", texts[n - 1]) for n in (1, 2)))
    assert series.base_commit == "1234567"
    assert series.remarks == ("the mails name different base commits (1234567, 2234567); the first is used",)
