"""Every report tells of the splats that an allow-list let pass: how many, which, where, and why."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import PurePosixPath

import pytest
from memory_samples import finished
from report_samples import no_regression
from report_whole import whole
from rich.console import Console
from test_allow_list import PLANTED, SPLAT
from test_report_mail import text_of

from harness.allow_list import Allowed, AllowList, kept_lists
from harness.memory.write import _boot_less
from harness.report.environment import carried
from harness.report.excused import excused_in, excused_splats, excused_words
from harness.report.html.page import html_page
from harness.report.json import encode_result
from harness.report.mail_again import try_again
from harness.report.markdown import markdown
from harness.report.terminal import Verbosity, render
from harness.results import Boot, Excused, Outcome, SideResults, TestResult
from harness.run_result import RunResult
from harness.transfer.elsewhere import of_another_machine
from harness.transfer.model import is_wanted
from harness.why import Likelihood, explain_difference

REASON = "planted by a test module"
EXCUSED = Excused(SPLAT, PLANTED.pattern, REASON)
LIST = AllowList("/home/me/quirks.toml", "0123456789abcdef" * 4, (PLANTED,))


def side(name: str, *tests: str, boots: int = 0) -> SideResults:
    results = tuple(TestResult(test, Outcome.PASSED, excused=(EXCUSED,)) for test in tests)
    up = tuple(Boot(f"{name}-{at}", "clean", "c", 1.0, "tcg", excused=(EXCUSED,)) for at in range(boots))
    return SideResults(name, results, up, 1.0, True)


def sample() -> RunResult:
    base, patched = side("base", "s/t.py::a"), side("patched", "s/t.py::a", "s/t.py::b", boots=1)
    return replace(no_regression(), base=base, patched=patched, allow_splats=(LIST,))


def shown(verbosity: Verbosity) -> str:
    out = io.StringIO()
    render(sample(), Console(file=out, width=200), verbosity=verbosity)
    return out.getvalue()


def test_a_splat_is_told_once_with_all_that_had_it():
    (each,) = excused_splats(sample())
    assert (each.what, each.reason) == ("WARNING in xdp_planted", REASON)
    assert each.seen == (("base", ("s/t.py::a",)), ("patched", ("s/t.py::a", "s/t.py::b", "boot patched-0")))
    assert excused_words([each]) == f"1 splat is allowed: WARNING in xdp_planted ({REASON}; 1 on base, 3 on patched)"


def test_repetitions_of_a_test_are_one():
    again = replace(side("base", "t"), results=side("base", "t").results * 3)
    assert excused_in([again])[0].seen == (("base", ("t",)),)


def test_many_are_counted_and_long_ones_cut():
    splats = [replace(SPLAT, key=f"WARNING in f{at} < g") for at in range(5)]
    results = tuple(TestResult("t", Outcome.PASSED, excused=(Excused(splat, "x", "r" * 999),)) for splat in splats)
    words = excused_words(excused_in([replace(side("base"), results=results)]))
    assert words.startswith("5 splats are allowed: WARNING in f0 (rrr")
    assert words.endswith("; and 2 more")
    assert len(words) < 1000


def test_the_terminal_has_a_line_and_all_of_it_when_asked():
    (line,) = [line for line in shown(Verbosity.NORMAL).splitlines() if "splat is allowed" in line]
    assert REASON in line
    verbose = shown(Verbosity.VERBOSE)
    for words in ("WARNING in xdp_planted < xdp_outer", f"why: {REASON}", "pattern: ^WARNING", "boot patched-0"):
        assert words in verbose
    for text in (shown(Verbosity.NORMAL), verbose):
        assert "quirks.toml 0123456789ab (1 entry)" in text


def test_without_any_nothing_is_said():
    out = io.StringIO()
    render(no_regression(), Console(file=out, width=200), verbosity=Verbosity.VERBOSE)
    told = (out.getvalue(), markdown(no_regression()), html_page(no_regression()), text_of(no_regression()))
    assert [text for text in told if "allowed" in text.lower()] == []


@pytest.mark.parametrize("form", [markdown, html_page, lambda result: encode_result(result).decode()])
def test_the_other_forms_have_it(form):
    text = form(sample())
    for words in ("WARNING in xdp", REASON, "quirks.toml"):
        assert words in text.replace("\\_", "_")


def test_json_has_the_list_and_what_each_test_had():
    told = json.loads(encode_result(sample()))
    assert told["schema_version"] == "1"
    assert told["allow_splats"][0]["entries"] == [{"pattern": PLANTED.pattern, "reason": REASON}]
    assert told["base"]["results"][0]["excused"][0]["splat"]["key"] == SPLAT.key


def test_a_mail_has_a_line():
    text = " ".join(text_of(sample()).split())
    assert f"In the kernel log 1 splat is allowed - WARNING in xdp_planted ({REASON}; 1 on base, 3 on patched)" in text
    assert "quirks.toml 0123456789ab (1 entry)" in text


def test_a_reader_elsewhere_is_given_no_file_of_this_machines():
    line = "ktrial run /r/series.mbox --tree t --base c --allow-splats /r/allow-splats-1.toml --suite s --test x"
    words = try_again(replace(whole(), reproduce=line))
    assert "--allow-splats" not in words
    assert "--test" in words


def test_what_every_report_carries_names_the_list_once():
    result = replace(sample(), asked=(("allow_splats", str(LIST)), ("keyword", "x")))
    rows = dict(carried(result))
    assert (rows["options"], rows["allowed splats"]) == ("-k x", "quirks.toml 0123456789ab (1 entry)")


def runs(*lists, excused=()):
    """Two runs, of which the second fails the test that the first had a splat excused in."""
    one, other = (
        finished(f"20260102-0304-run-000{name}", base={"t": "p"}, patched={"t": end}) for name, end in ("ap", "bf")
    )
    results = tuple(replace(each, excused=excused) for each in one.patched.results)
    one = replace(one, patched=replace(one.patched, results=results))
    return [replace(run, allow_splats=of_run) for run, of_run in zip((one, other), lists, strict=True)]


@pytest.mark.parametrize(("excused", "likely"), [((EXCUSED,), Likelihood.LIKELY), ((), Likelihood.UNLIKELY)])
def test_another_list_is_why_where_it_excused_what_differs(excused, likely):
    told = explain_difference(*runs((LIST,), (), excused=excused)).differences
    (each,) = [each for each in told if each.what == "allowed splats"]
    assert (each.a, each.b, each.likelihood) == ("quirks.toml 0123456789ab", "none", likely)


def test_the_same_list_elsewhere_is_no_difference():
    other = replace(LIST, file="/srv/quirks-of-ours.toml")
    told = explain_difference(*runs((LIST,), (other,))).differences
    assert "allowed splats" not in [each.what for each in told]


def test_the_memory_keeps_no_text_of_them():
    (boot,) = side("base", boots=1).boots
    assert [(each.splat.key, each.splat.text) for each in _boot_less(boot).excused] == [(SPLAT.key, "")]


def test_a_run_that_moves_takes_its_lists_along_and_they_are_of_the_machine_it_came_from(tmp_path):
    moved = of_another_machine(sample(), "ours", tmp_path, tmp_path)
    assert [(each.file, str(each)) for each in moved.allow_splats] == [
        ("ours:/home/me/quirks.toml", "quirks.toml 0123456789ab")
    ]
    kept = kept_lists(tmp_path, moved.allow_splats)
    assert [is_wanted(PurePosixPath(path.name)) for path in kept] == [True]
    assert not is_wanted(PurePosixPath("quirks.toml"))


def test_entries_are_counted():
    more = replace(LIST, entries=(PLANTED, Allowed("x", "y")))
    assert "(2 entries)" in dict(carried(replace(sample(), allow_splats=(more,))))["allowed splats"]
