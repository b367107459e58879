"""What the bracketed prefix of a subject says."""

from __future__ import annotations

import pytest

from harness.series.subject import parse_subject, tree_tag


@pytest.mark.parametrize(
    ("subject", "version", "place", "tags", "title"),
    [
        ("[PATCH] a: b", 1, "", (), "a: b"),
        ("[PATCH 3/14] a: b", 1, "3/14", (), "a: b"),
        ("[Intel-wired-lan] [PATCH net-next v3 02/14] a: b", 3, "2/14", ("net-next",), "a: b"),
        ("[PATCH RESEND v2] a: b", 2, "", ("RESEND",), "a: b"),
        ("[RFC PATCH bpf-next v4 0/3] a: b", 4, "0/3", ("RFC", "bpf-next"), "a: b"),
        ("[PATCHv2 1/2] a: b", 2, "1/2", (), "a: b"),
        ("[RFCv3 1/2] a: b", 3, "1/2", ("RFC",), "a: b"),
        ("[bpf-next,v3,1/2] a: b", 3, "1/2", ("bpf-next",), "a: b"),
        ("[PATCH/RFC 1/2] a: b", 1, "1/2", ("RFC",), "a: b"),
        ("[RFC] [PATCH 1/2] [net] a: b", 1, "1/2", ("RFC", "net"), "a: b"),
        ("[PATCH 2 of 5 V3] a: b", 3, "2/5", (), "a: b"),
        ("[patch v1.5.2 1/1] a: b", 1, "1/1", (), "a: b"),
        ("[PATCH 6.1.y 2/3] a: b", 1, "2/3", ("6.1.y",), "a: b"),
        ("[PATCH] [media] a: b [c]", 1, "", (), "a: b [c]"),
        ("a: b", 1, "", (), "a: b"),
        ("[PATCH 1/2]", 1, "1/2", (), ""),
    ],
)
def test_a_prefix_says_version_number_and_tags(
    subject: str, version: int, place: str, tags: tuple[str, ...], title: str
) -> None:
    prefix = parse_subject(subject)
    assert (prefix.version, prefix.place, prefix.tags, prefix.title) == (version, place, tags, title)
    assert not prefix.reply


@pytest.mark.parametrize("word", ["Re: ", "RE:", "re: Re: ", "[list] Re: ", "AW: ", "Fwd: ", "Re[2]: "])
def test_an_answer_is_known_by_its_first_word(word: str) -> None:
    prefix = parse_subject(f"{word}[PATCH v2 1/2] a: b")
    assert prefix.reply
    assert (prefix.version, prefix.place, prefix.title) == (2, "1/2", "a: b")


@pytest.mark.parametrize("subject", ["a: b", "[media] a: b", "[v4l-utils] a: b", "[ANNOUNCE] net 1/2"])
def test_a_subject_without_a_patch_prefix_is_no_patch(subject: str) -> None:
    assert not parse_subject(subject).patch


@pytest.mark.parametrize(
    ("tags", "tree"),
    [
        (("RFC", "bpf-next"), "bpf-next"),
        (("net",), "net"),
        (("RESEND", "iwl-next"), "iwl-next"),
        (("foo-next",), "foo-next"),
        (("6.12.y",), "6.12.y"),
        (("RFC",), ""),
        ((), ""),
    ],
)
def test_a_tree_is_told_from_other_tags(tags: tuple[str, ...], tree: str) -> None:
    assert tree_tag(tags) == tree
