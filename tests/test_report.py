"""Reports say the verdict first, fit their width, and let nothing out of a stranger's text."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import shlex
from dataclasses import replace
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import SAMPLES, bare, no_regression, regression
from report_whole import whole
from rich.console import Console

from harness.build.model import Diagnostic
from harness.compare import compare
from harness.flakiness import KnownFlake
from harness.kselftest.proof import Proof, ProofKind
from harness.report import safe
from harness.report.commands import broken_line
from harness.report.decode import Places
from harness.report.json import encode_result, read_result, schema, schema_text, write_result
from harness.report.layout import name_lines
from harness.report.located import located
from harness.report.terminal import Verbosity, render
from harness.results import Outcome, SideResults, Splat, TestResult
from harness.run_result import Paths, RunResult
from harness.verdict import decide

GOLDEN = Path(__file__).parent / "golden" / "report"
PUBLISHED = Path(__file__).parent.parent / "docs" / "result.schema.json"
SGR = re.compile(r"\x1b\[[0-9;]*m")


def rendered(result: RunResult, width: int = 80, verbosity=Verbosity.NORMAL, **options) -> str:
    out = io.StringIO()
    render(result, Console(file=out, width=width, **options), verbosity=verbosity)
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("name", SAMPLES)
def test_the_report_is_as_it_was(name, width):
    """KTRIAL_UPDATE_GOLDEN=1 writes the files anew: look at them before committing."""
    shown = "".join(f"{line.rstrip()}\n" for line in rendered(SAMPLES[name](), width).splitlines())
    path = GOLDEN / f"{name}-{width}.txt"
    if os.environ.get("KTRIAL_UPDATE_GOLDEN"):
        path.write_text(shown)
    assert shown == path.read_text()


@pytest.mark.parametrize("verbosity", list(Verbosity))
@pytest.mark.parametrize("name", SAMPLES)
def test_the_first_line_is_the_verdict_whole(name, verbosity):
    result = SAMPLES[name]()
    assert rendered(result, 80, verbosity).splitlines()[0] == result.verdict.line


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_but_the_verdict_and_paths_is_wider_than_the_terminal(name):
    lines = rendered(SAMPLES[name](), 80).splitlines()[1:]
    assert [line for line in lines if len(line) > 80 and "::" not in line and SAMPLES[name]().run not in line] == []


@pytest.mark.parametrize("name", SAMPLES)
def test_no_line_ends_in_blanks(name):
    lines = rendered(SAMPLES[name](), 80).splitlines()
    assert [line for line in lines if line != line.rstrip()] == []


def failing(*reasons: str) -> RunResult:
    """A run in which a test broke for each reason."""
    tests = [f"s/t.py::test[{number}]" for number in range(len(reasons))]
    base = SideResults("base", tuple(TestResult(test, Outcome.PASSED) for test in tests), (), 1.0, True)
    bad = tuple(TestResult(test, Outcome.FAILED, reason) for test, reason in zip(tests, reasons, strict=True))
    patched = SideResults("patched", bad, (), 1.0, True)
    comparison = compare(base, patched)
    return replace(bare(), verdict=decide(comparison), base=base, patched=patched, comparison=comparison)


def test_what_fails_alike_is_told_once_and_what_fails_otherwise_too():
    shown = rendered(failing("saw 3 of 5 frames", "saw 4 of 5 frames", "no device", "0x1f is wrong", "0x2e is wrong"))
    assert "saw 3 of 5 frames" in shown
    assert "saw 4 of 5 frames" not in shown
    assert shown.count("and 1 more that fail alike") == 2
    assert "no device" in shown
    verbose = rendered(failing("saw 3 of 5 frames", "saw 4 of 5 frames"), verbosity=Verbosity.VERBOSE)
    assert "saw 4 of 5 frames" in verbose


def test_a_fourth_way_to_fail_is_counted():
    assert "... and 2 that fail otherwise, listed above" in rendered(failing("a", "b", "c", "d", "e"))


def test_a_frame_whose_place_is_known_has_it_beside_it():
    places = Places(
        {"patched": {"bpf_xdp_adjust_tail+0x1d2/0x240": (("bpf_xdp_adjust_tail", ("net/core/filter.c", 4164)),)}}
    )
    out = io.StringIO()
    render(regression(), Console(file=out, width=80), places=places)
    assert "RIP: 0010:bpf_xdp_adjust_tail+0x1d2/0x240 (net/core/filter.c:4164)" in out.getvalue()
    inlined = (("skb_end", ("include/linux/skbuff.h", 1701)), ("f", ("net/core/filter.c", 9)))
    assert located("f+0x1/0x2", Places({"patched": {"f+0x1/0x2-1": inlined}})) == (
        "f+0x1/0x2 (include/linux/skbuff.h:1701, skb_end)"
    )


def test_a_test_that_flaked_before_says_so():
    known = KnownFlake("s/t.py::test[1]", 3, 120, 3)
    shown = rendered(replace(failing("a", "b"), known_flaky=(known,)))
    assert shown.count("flaky in 3 of 120 base runs before") == 1


@pytest.mark.parametrize("room", [30, 40, 60, 76])
def test_a_name_is_broken_at_brackets_and_commas_and_never_within_a_word(room):
    name = "test_shrink_into_a_short_linear_part[head=64,frame=9000,by=linear+page-1]/sub_test_of_a_long_name"
    lines = name_lines(name, room)
    assert "".join(line.strip() for line in lines) == name
    for line, after in itertools.pairwise(lines):
        assert line[-1] in ",/]:" or after.lstrip()[0] in "["


def test_there_is_no_colour_without_a_terminal_or_under_no_color(monkeypatch):
    assert "\x1b" not in rendered(regression())
    assert "\x1b[" in rendered(regression(), force_terminal=True, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[(?:\d+;)?3\d", rendered(regression(), force_terminal=True))


def test_quiet_names_what_broke_and_verbose_tells_everything():
    quiet = rendered(regression(), verbosity=Verbosity.QUIET).splitlines()
    assert len(quiet) < 8
    assert "test_shrink[frame=1500,by=1]" in "".join(quiet)
    verbose = rendered(regression(), 160, Verbosity.VERBOSE)
    assert "RSP: 0018:ffffb0a4402f7b98" in verbose
    assert "RSP: 0018:ffffb0a4402f7b98" not in rendered(regression(), 160)


def test_quiet_names_figures_and_splats_that_are_worse_too():
    names = rendered(whole(), verbosity=Verbosity.QUIET).splitlines()[1:]
    assert names[:1] == ["  xdp_multibuf/test_adjust_tail.py::test_shrink[frame=9000,by=page]"]
    assert names[-2:] == [
        "  lockdep: suspicious RCU usage in xdp_do_redirect < bpf_test_run_xdp_live",
        "  xdp_multibuf/bench_test_run.py::bench_nothing[size=64]",
    ]


def test_a_thousand_regressions_are_cut_short_and_counted():
    tests = [f"s/t.py::test_{number}" for number in range(1000)]
    sides = [
        SideResults(side, tuple(TestResult(test, outcome) for test in tests), (), 1.0, True)
        for side, outcome in (("base", Outcome.PASSED), ("patched", Outcome.FAILED))
    ]
    comparison = compare(*sides)
    result = replace(bare(), verdict=decide(comparison), base=sides[0], patched=sides[1], comparison=comparison)
    shown = rendered(result)
    assert "... and 980 more" in shown
    assert len(shown.splitlines()) < 100


HOSTILE = [
    "\x1b[2J\x1b[31mred",
    "[red]markup[/red] [link=file:///etc/passwd]x[/link] :skull:",
    "line one\nREGRESSION: forged\r\nno regression: forged",
    "right\u202eto left\u2066\u200b",
    "bell\x07 back\x08\x08\x08 null\x00 delete\x7f c1\x9b31m",
    "\udcff lone surrogate \ud800",
    "x" * 100_000,
    "\t" * 500,
    "wide 漢字 é 👩‍💻",
]


def hostile(word: str) -> RunResult:
    """A result with `word` wherever a stranger can put one."""
    splat = Splat(word, word, (word,), word, word)
    base = SideResults(word, (TestResult(word, Outcome.PASSED, word),), (), 1.0, True)
    bad = TestResult(word, Outcome.FAILED, word, f"E   {word}", word, (splat,))
    patched = SideResults(word, (bad, TestResult(f"{word}2", Outcome.PASSED, splats=(splat,))), (), 1.0, True)
    comparison = compare(base, patched)
    series = bare().series
    assert series is not None
    series = replace(series, title=word, author=word, tags=(word,), remarks=(word,), source=word)
    return replace(
        bare(),
        series=series,
        base=base,
        patched=patched,
        comparison=comparison,
        verdict=decide(comparison),
        new_warnings=(Diagnostic("warning", word, word, word, 1, word),),
        paths=Paths(word, ((word, word),)),
        reproduce=word,
    )


@pytest.mark.parametrize("word", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("verbosity", list(Verbosity))
@pytest.mark.parametrize("terminal", [True, False])
def test_no_text_of_a_stranger_reaches_the_terminal_unescaped(word, verbosity, terminal):
    shown = rendered(hostile(word), 80, verbosity, force_terminal=terminal, color_system="standard")
    plain = SGR.sub("", shown).replace("\n", "").replace("\u200d", "")
    assert plain.isprintable()
    assert "\x1b" not in plain
    assert not [line for line in shown.splitlines()[1:] if line.startswith("no regression")]
    assert shown.encode("utf-8")


def test_markup_is_shown_as_it_was_written():
    shown = rendered(hostile("[red]markup[/red] :skull:"), 160)
    assert "[red]markup[/red] :skull:" in shown


@given(st.text(st.characters()))
def test_a_harmless_line_is_printable_and_loses_nothing(value):
    line = safe.line(value, 10_000)
    assert line.isprintable()
    assert all(char in line for char in value if char.isascii() and char.isprintable())


def test_a_block_counts_the_lines_it_leaves_out():
    assert safe.block("a\nb\nc\nd\n", 2) == ["a", "b", "... (2 more lines)"]


def test_the_published_schema_is_the_one_of_the_code():
    assert PUBLISHED.read_text() == schema_text(), "python -m harness.report.json writes it anew"


@pytest.mark.parametrize("name", SAMPLES)
def test_every_result_is_valid_under_the_published_schema(name):
    published = json.loads(PUBLISHED.read_text())
    jsonschema.Draft202012Validator.check_schema(published)
    jsonschema.validate(json.loads(encode_result(SAMPLES[name]())), published)


def test_the_schema_refuses_another_version_and_a_missing_verdict():
    good = json.loads(encode_result(no_regression()))
    for bad in ({**good, "schema_version": "2"}, {key: good[key] for key in good if key != "verdict"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema())


@pytest.mark.parametrize("name", SAMPLES)
def test_a_result_that_was_written_is_read_back_the_same(name, tmp_path):
    result = SAMPLES[name]()
    write_result(tmp_path / "result.json", result)
    assert read_result(tmp_path / "result.json") == result


@pytest.mark.parametrize("word", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_valid_json_under_the_schema(word, tmp_path):
    write_result(tmp_path / "result.json", hostile(word))
    jsonschema.validate(json.loads((tmp_path / "result.json").read_text("utf-8")), schema())
    assert read_result(tmp_path / "result.json").run == hostile(word).run


def test_a_byte_that_is_no_utf8_is_written_as_its_escape():
    title = json.loads(encode_result(hostile("\udcff x")))["series"]["title"]
    assert title == "\\udcff x"


def test_another_versions_result_is_refused(tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(encode_result(no_regression()).replace(b'"schema_version": "1"', b'"schema_version": "9"'))
    with pytest.raises(msgspec.DecodeError):
        read_result(path)


@pytest.mark.parametrize(
    "command",
    [
        "ktrial test ~/.cache/x/bzImage --accel tcg --suite xdp_multibuf --test 's/t.py::test[a --b c]' --more words",
        "ktrial run 'it'\"'\"'s' --tree \"a b\" --base 0123 --test 'x y' --suite abcdefghijklmnopqrstuvwxyz",
        "ktrial run x --test a\\ b --suite s --accel tcg --config-base allnoconfig --config debug --config boot",
    ],
)
def test_a_command_is_broken_where_a_shell_joins_it(command):
    lines = broken_line(command, 60)
    assert len(lines) > 1
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(command)


@pytest.mark.parametrize("command", ["ktrial run 'unbalanced --test x", "a  b   c --d", ""])
def test_what_is_no_plain_command_is_left_as_it_is(command):
    assert broken_line(command, 8) == [f"  {command}"] or not command


def test_of_several_paths_in_a_command_each_has_its_own_line():
    paths = [f"/cache/{letter * 40}/bzImage" for letter in "ab"]
    lines = broken_line(f"ktrial perf {paths[0]} {paths[1]} --suite s", 60)
    assert lines == [f"  ktrial perf {paths[0]} \\", f"      {paths[1]} \\", "      --suite s"]


def test_selftests_of_a_series_stand_under_what_they_show_and_their_file():
    made = [("b", ProofKind.PROVES_NOTHING, Outcome.PASSED, ""), ("a", ProofKind.PROVEN, Outcome.FAILED, "1 != 2")]
    made += [("c", ProofKind.PROVES_NOTHING, Outcome.PASSED, "")]
    proofs = tuple(
        Proof(f"k/t.py::test[{name}]", kind, out, Outcome.PASSED, False, why) for name, kind, out, why in made
    )
    lines = rendered(replace(no_regression(), proofs=proofs)).splitlines()
    at = lines.index("  proven: failed → passed in k/t.py")
    assert lines[at + 1 : at + 6] == [
        "    test[a]",
        "      without: 1 != 2",
        "  proves-nothing: passed → passed in k/t.py",
        "    test[b]",
        "    test[c]",
    ]
