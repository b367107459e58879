"""Markdown: a comment that GitHub takes, whatever the size of the run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_golden import is_as_it_was
from report_samples import SAMPLES, bare
from report_whole import whole

from harness.compare import compare
from harness.report.decode import Places
from harness.report.markdown import markdown
from harness.results import Outcome, SideResults, TestResult
from harness.verdict import decide

EVERY = {**SAMPLES, "whole": whole}


def many(count: int, length: int):
    """A run in which that many tests broke, with names of that length."""
    names = [f"s/t.py::test_{number}_{'x' * length}" for number in range(count)]
    base = SideResults("base", tuple(TestResult(name, Outcome.PASSED) for name in names), (), 1.0, True)
    failed = (TestResult(name, Outcome.FAILED, "y" * length, f"E   {'z' * length}\n" * 90) for name in names)
    patched = SideResults("patched", tuple(failed), (), 1.0, True)
    comparison = compare(base, patched)
    return replace(
        bare(), base=base, patched=patched, comparison=comparison, verdict=decide(comparison), reproduce="ktrial run x"
    )


@pytest.mark.parametrize("name", EVERY)
def test_the_comment_is_as_it_was(name):
    is_as_it_was(f"{name}.md", markdown(EVERY[name]()))


@pytest.mark.parametrize("name", EVERY)
def test_the_verdict_comes_first(name):
    result = EVERY[name]()
    first, _, second = markdown(result).splitlines()[:3]
    assert str(result.verdict.kind).replace("-", " ") in first
    assert second.replace("\\", "").startswith(result.verdict.line[:40])


@pytest.mark.parametrize("length", [10, 300, 5000])
@pytest.mark.parametrize("count", [1, 1000])
def test_it_fits_a_comment_and_counts_what_it_leaves_out(count, length):
    text = markdown(many(count, length))
    assert len(text) <= 65_000
    assert "ktrial run x" in text, "how to reproduce is not what is left out"
    if count > 20:
        assert "... and 980 more" in text


def test_commands_are_not_cut():
    command = f"ktrial test --test '{'x' * 900}'"
    assert command in markdown(replace(bare(), reproduce=command))


def test_a_frame_of_a_call_trace_has_its_place_in_the_source_beside_it():
    frame = "bpf_xdp_adjust_tail+0x1d2/0x240"
    places = Places({"patched": {frame: (("bpf_xdp_adjust_tail", ("net/core/filter.c", 4164)),)}})
    assert f"RIP: 0010:{frame} (net/core/filter.c:4164)\n" in markdown(whole(), places)


def test_a_fence_in_a_log_does_not_end_the_block():
    failed = replace(many(1, 10), reproduce="```\n````\n# heading")
    assert "\n`````sh\n# on any machine\nb4 am " in markdown(failed)
    assert "\n# where it was run\n```\n````\n# heading\n`````\n" in markdown(failed)
