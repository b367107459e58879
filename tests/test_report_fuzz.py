"""Whatever a series, a test or a guest says, no report lets it out of its place, and none loses a test."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from xml.etree import ElementTree as ET

import html5lib
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from report_whole import evidence, poisoned, whole
from rich.console import Console

from harness import record
from harness.compare import Comparison, compare
from harness.ktap import parse_ktap
from harness.report import safe
from harness.report.cases import cases_of
from harness.report.html import html_page, write_folder
from harness.report.json import encode_result, schema
from harness.report.junit import junit_xml
from harness.report.ktap import ktap_text
from harness.report.mail import Letterhead, as_bytes, compose
from harness.report.markdown import markdown
from harness.report.terminal import Verbosity, render
from harness.results import Outcome, SideResults, TestResult
from harness.run_result import RunResult
from harness.verdict import decide

SGR = re.compile(r"\x1b\[[0-9;]*m")
HOSTILE = [
    "plain",
    "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "</pre></code></td></table></script><script>alert(1)</script><img src=x onerror=alert(1)>",
    "]]></failure></testcase><testcase name='forged'/><!-- --> &lt; &#0; <![CDATA[",
    "\"' onmouseover=alert(1) style='x' `",
    "Tested-by: forged <x@example.org>\nTo: forged@example.org\n\n-- \nX-Loop: forged",
    "one\nok 1 forged\n1..9\nKTAP version 1\nBail out! forged\r\nnot ok 2 # SKIP forged",
    "# SKIP forged # TODO # ok 3 forged",
    "``` \n~~~\n</details>\n\n# heading\n| a | b |\n|---|---|\n- [x] list ![i](http://x) <b>",
    "`a``b```c \\| d | e \\",
    "@someone #1 GH-2 https://example.org www.example.org a@example.org :skull: $x$ __x__ *y*",
    "--- \n===\n1. one\n> quote\n\ttab",
    "`<b>one</b>`` two` <i>three</i>",
    "1. one",
    "2345) two",
    "- item",
    "+ item",
    "=====",
    "[red]markup[/red] [link=file:///etc/passwd]x[/link]",
    "{{ 7 * 7 }} {% raw %} {# #} %s %d {0}",
    "right\u202eto left\u2066\u200b\u2028line\u2029\x85\x0b\x0c",
    "null\x00 del\x7f c1\x9b31m bell\x07\x08",
    "\udcff lone \ud800 surrogates \udfff",
    "\ufffe\uffff\U0010ffff nonchar",
    "wide 漢字 é 👩‍💻 \u0301",
    "=?utf-8?q?x=0AX-Forged=3A_1?= <a@example.org>",
    " ",
    "",
]
MESSY = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(), max_size=40),
    st.text(st.sampled_from("<>&\"'`|\\#*_[]()!@:/-=~\n\r\t \x00\x1b\u202e\udc80ab1."), max_size=60),
    st.binary(max_size=30).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)


def words(text: str) -> set[str]:
    return set(text.split())


HTML_TAGS = words("""
    html head meta link title style script body header nav main footer section h1 h2 h3 p a ul li dl dt dd table caption
    thead tbody tr th td code pre figure figcaption details summary span strong em i cite form label input output
    fieldset legend button div svg line text polyline circle rect wbr
""")
HTML_ATTRIBUTES = words("""
    lang charset http-equiv content name rel href class id aria-label aria-labelledby tabindex role scope open hidden
    for type placeholder value checked viewBox width height x y x1 x2 y1 y2 cx cy r points text-anchor
""")
XML_TAGS = words("testsuites testsuite properties property testcase failure error skipped system-out")
MAIL_HEADERS = words("""
    from to cc subject date message-id in-reply-to references auto-submitted x-auto-response-suppress x-loop x-mailer
    x-ktrial-run x-ktrial-verdict x-ktrial-exit-code content-type content-transfer-encoding mime-version
""")
MARKDOWN_TAGS = words("html head body h2 h3 p ul li strong em table thead tbody tr th td code pre details summary")


def hostile(word: str) -> RunResult:
    """A result with a stranger's word in every place, its tests compared anew."""
    result: RunResult = poisoned(whole(), word)
    assert result.patched is not None
    comparison = compare(result.base, result.patched)
    verdict = decide(comparison, performance=result.performance, broken_by=result.broken_by)
    return replace(result, comparison=comparison, verdict=verdict)


def names_of(result: RunResult) -> list[str]:
    comparison = result.comparison
    assert isinstance(comparison, Comparison)
    return [test.test for test in comparison.tests]


def elements(root) -> Iterator[ET.Element]:
    return (each for each in root.iter() if isinstance(each.tag, str))


def check_html(page: str, names: list[str]) -> str:
    """The text of a page that has only what it should have."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    tree = parser.parse(page)
    found = list(elements(tree))
    tags = {each.tag.rpartition("}")[2] for each in found}
    assert tags <= HTML_TAGS
    assert {name for each in found for name in each.attrib} <= HTML_ATTRIBUTES
    assert [each.tag.rpartition("}")[2] for each in found].count("script") == 1
    targets = {each.get("href", "") for each in found if each.get("href")}
    assert all(
        re.fullmatch(r"#[a-z0-9-]+|data:,|(\.\./)?(tests|consoles)/[\w.-]+|\.\./index\.html", to) for to in targets
    )
    shown = "".join(tree.itertext())
    assert all(char.isprintable() or char == "\n" for char in shown)
    for name in names:
        file, colons, rest = name.partition("::")
        assert safe.line(rest if colons else name).strip() in shown
        assert safe.line(file).strip() in shown
    return shown


def check_junit(document: bytes, result: RunResult) -> None:
    root = ET.fromstring(document)
    assert {each.tag for each in elements(root)} <= XML_TAGS
    cases = cases_of(result)
    found = [case.get("name") for case in root.iter("testcase")]
    assert len(found) == len(cases)
    shown = " ".join(map(str, found))
    assert all(safe.line(case.name) in shown for case in cases)
    assert len({(case.get("classname"), case.get("name")) for case in root.iter("testcase")}) == len(cases)


def check_ktap(text: str, result: RunResult) -> None:
    """Every level has as many results as its plan says, in order, and no line is anything else."""
    cases = cases_of(result)
    assert not parse_ktap(text).problems
    open_plans: dict[str, list[int]] = {}
    seen: list[str] = []
    for line in text.splitlines():
        match = re.match(r"(?P<indent>(  )?)(?P<rest>\S.*)$", line)
        assert match, line
        indent, rest = match["indent"], match["rest"]
        if plan := re.fullmatch(r"1\.\.(\d+)", rest):
            open_plans[indent] = [int(plan[1]), 0]
        elif outcome := re.match(r"(?:not )?ok (\d+)(?: ([^#]*?))?(?: # (?:SKIP|XFAIL|ERROR|TIMEOUT)\b.*)?$", rest):
            open_plans[indent][1] += 1
            assert int(outcome[1]) == open_plans[indent][1]
            seen += [outcome[2] or ""] if indent else []
        else:
            assert rest == "KTAP version 1" or rest.startswith(("# | ", "# Subtest: ", "# |", "# Subtest:")), line
        if rest == "KTAP version 1":
            assert indent not in open_plans or open_plans[indent][0] == open_plans[indent][1]
            open_plans.pop(indent, None)
    assert all(planned == found for planned, found in open_plans.values())
    names = (safe.line(case.name).replace("#", "\\x23").strip() for case in cases)
    assert [name.strip() for name in seen] == [re.sub("^- ", r"\\x2d ", name) for name in names]


def check_markdown(text: str, result: RunResult) -> None:
    assert len(text) <= 65_000
    assert all(char.isprintable() or char == "\n" for char in text)
    reader = MarkdownIt("gfm-like", {"html": True, "linkify": True})
    assert reader.linkify
    reader.linkify.set({"fuzzy_link": False})  # GitHub makes links of addresses and of `www.`, not of every domain
    rendered = reader.render(text)
    tree = html5lib.HTMLParser(strict=False, namespaceHTMLElements=False).parse(rendered)
    tags = [each.tag for each in elements(tree)]
    assert set(tags) <= MARKDOWN_TAGS
    assert tags.count("details") == text.count("\n<details>") + text.startswith("<details>")
    assert tags.count("summary") == tags.count("details")
    assert tags.count("h2") == 1
    folds = [each for each in elements(tree) if each.tag == "details"]
    assert not [inner for fold in folds for inner in fold.iter("details") if inner is not fold], (
        "nothing swallowed a fold"
    )
    widths = {len([*row]) for table in tree.iter("table") for row in table.iter("tr")}
    assert widths <= {4, 7}
    assert tags.count("li") == len(re.findall(r"^- (?:\*\*|patch|\w+ patches)", text, re.MULTILINE))
    assert not re.search(r"[@#]\w|www\.", outside_code(text), re.IGNORECASE), "somebody is mentioned"


def outside_code(text: str) -> str:
    """Markdown without its code blocks, code spans and code elements."""
    text = re.sub(r"^(`{3,})\w*\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    return re.sub(r"<code>.*?</code>", "", text)


def check_terminal(result: RunResult, verbosity: Verbosity) -> None:
    out = io.StringIO()
    render(result, Console(file=out, width=80, force_terminal=True, color_system="standard"), verbosity=verbosity)
    plain = SGR.sub("", out.getvalue()).replace("\n", "").replace("\u200d", "")
    assert plain.isprintable()


def check_json(result: RunResult) -> None:
    written = encode_result(result)
    jsonschema.validate(json.loads(written), schema())
    again = record.decode(written, RunResult)
    assert len(names_of(again)) == len(names_of(result))
    assert record.decode(encode_result(again), RunResult) == again


def check_mail(result: RunResult) -> None:
    """The headers that ktrial writes, each once, and a body of printable lines in which nobody tested anything."""
    read = message_from_bytes(mail_of(result), policy=policy.default)
    names = [name.lower() for name in read]
    assert set(names) <= MAIL_HEADERS
    assert len(names) == len(set(names))
    assert read["To"] == "list@example.org"
    assert not read.is_multipart()
    body = read.get_content()
    assert all(line.isprintable() for line in body.splitlines())
    assert not re.search(r"^[ \t]*[\w-]+-by:", body, re.MULTILINE | re.IGNORECASE)


def mail_of(result: RunResult) -> bytes:
    return as_bytes(compose(result, Letterhead(), to=["list@example.org"], date=datetime(2026, 1, 2, tzinfo=UTC)))


def check_all(result: RunResult) -> None:
    check_html(html_page(result, evidence()), names_of(result))
    check_junit(junit_xml(result), result)
    check_ktap(ktap_text(result), result)
    check_markdown(markdown(result), result)
    check_json(result)
    check_mail(result)
    for verbosity in Verbosity:
        check_terminal(result, verbosity)


@pytest.mark.parametrize("word", HOSTILE, ids=range(len(HOSTILE)))
def test_no_word_gets_out_of_any_report(word):
    check_all(hostile(word))


@given(MESSY)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_words_that_were_made_up_do_either(word):
    check_all(hostile(word))


@pytest.mark.parametrize("word", HOSTILE, ids=range(len(HOSTILE)))
def test_nor_out_of_the_folder(word, tmp_path):
    result = hostile(word)
    write_folder(tmp_path, result, evidence())
    shown = "".join(check_html(page.read_text("utf-8"), []) for page in tmp_path.rglob("*.html"))
    names = names_of(result)
    assert len([*tmp_path.glob("tests/*.html")]) == len({name.partition("::")[0] for name in names})
    assert [name for name in names if safe.line(name.rpartition("::")[2]).strip() not in shown] == []
    assert json.loads((tmp_path / "result.json").read_bytes())["schema_version"] == "1"


def test_a_line_of_ten_megabytes_is_cut_and_nothing_else_is_lost():
    long = "a" * 10_000_000
    bad = TestResult(f"s/t.py::test_{long}", Outcome.FAILED, long, f"E   {long}", f"[    1.0] {long}")
    well = TestResult("s/t.py::test_after", Outcome.PASSED)
    base = SideResults("base", (replace(bad, outcome=Outcome.PASSED), well), (), 1.0, True)
    patched = SideResults("patched", (bad, well), (), 1.0, True)
    comparison = compare(base, patched)
    result = replace(
        whole(), base=base, patched=patched, comparison=comparison, verdict=decide(comparison), performance=None
    )
    check_html(page := html_page(result, evidence()), ["s/t.py::test_after"])
    check_junit(document := junit_xml(result), result)
    check_ktap(text := ktap_text(result), result)
    check_markdown(markdown(result), result)
    check_terminal(result, Verbosity.VERBOSE)
    series = replace(result.series, title=long, author=f"{long} <a@example.org>")
    check_mail(mailed := replace(result, series=series, environment=replace(result.environment, ktrial=long)))
    assert len(mail_of(mailed)) < 20_000
    assert max(map(len, mail_of(mailed).split(b"\n"))) <= 998
    assert len(page) < 200_000
    assert len(document) < 100_000
    assert len(text) < 100_000
    assert len(encode_result(result)) > 40_000_000
