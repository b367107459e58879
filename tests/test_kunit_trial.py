"""KUnit in whole trials: a series that only moves the lines of a unit test, on kernels really built and booted."""

from __future__ import annotations

import difflib

import pytest

from harness.kselftest.export import file_of
from harness.tree import find_tree

pytestmark = [pytest.mark.kernel, pytest.mark.vm]

TEST = "net/core/net_test.c"
ITEM = "kunit/test_kunit.py::test[boot]"
MAIL = """\
From: A Developer <dev@example.org>
Date: Mon, 2 Jun 2025 10:03:00 +0000
Subject: [PATCH] net: say what the tests are
Message-Id: <kunit@example.org>

A comment, so that every expectation stands one line lower.
---
{patch}--
2.39.5
"""


@pytest.fixture(scope="session")
def unit_tests(ktrial):
    """`--suite kunit` on a comment above all of net_test.c, as the packaged kernel has it."""
    tree = find_tree("debian:6.12", cwd=ktrial.folder, say=lambda _: None)
    text = file_of(tree.repository, "HEAD", TEST)
    assert text is not None
    before = text.splitlines(keepends=True)
    after = [before[0], "/* What is tried here: skb_segment() and its kin. */\n", *before[1:]]
    patch = difflib.unified_diff(before, after, f"a/{TEST}", f"b/{TEST}")
    mail = ktrial.folder / "comment-in-net-test.mbox"
    mail.write_text(MAIL.format(patch="".join(patch)))
    return ktrial.run(str(mail), "--suite", "kunit", "--reruns", "0")


def test_unit_tests_beside_what_a_series_touches_pass_on_both_sides(unit_tests):
    assert unit_tests.status == 0, unit_tests.output + unit_tests.errors
    passed = [
        {each["test"] for each in unit_tests.result[side]["results"] if each["outcome"] == "passed"}
        for side in ("base", "patched")
    ]
    assert passed[0] == passed[1]
    assert ITEM in passed[0]
    cases = {test.removeprefix(f"{ITEM}/").partition("/")[0] for test in passed[0] - {ITEM}}
    assert "net_core" in cases
    assert len(passed[0]) > 5


def test_none_of_them_fails_or_was_lost(unit_tests):
    for side in ("base", "patched"):
        odd = [each for each in unit_tests.result[side]["results"] if each["outcome"] not in ("passed", "skipped")]
        assert not odd
