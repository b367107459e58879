"""The page: one file, nothing loaded, readable without its script, small, and usable by all."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from importlib import resources
from itertools import pairwise

import html5lib
import pytest
from chromium import CHROMIUM
from report_golden import is_as_it_was
from report_samples import SAMPLES, no_regression, regression
from report_whole import evidence, performance, whole

from harness.compare import Change, TestChange, compare
from harness.report.decode import Places
from harness.report.evidence import Evidence
from harness.report.html import html_page, write_folder
from harness.report.html.plots import Curve, curve_plot
from harness.report.html.tree import tree_of
from harness.results import Outcome, SideResults, TestResult
from harness.run_result import RunResult
from harness.verdict import decide

EVERY = {**SAMPLES, "whole": whole}
STYLE = resources.files("harness.report.html").joinpath("style.css").read_text()


def parsed(page: str):
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)


def text_of(element) -> str:
    return " ".join("".join(element.itertext()).split())


def big(count: int, log: str = "") -> RunResult:
    """A run of so many tests, one of which broke."""
    names = [f"s/t_{number % 20}.py::test_{number % 100}[case={number}]" for number in range(count)]
    base = tuple(TestResult(name, Outcome.PASSED, log=log, seconds=0.1) for name in names)
    patched = (replace(base[0], outcome=Outcome.FAILED, reason="no"), *base[1:])
    sides = (SideResults("base", base, (), 1.0, True), SideResults("patched", patched, (), 1.0, True))
    comparison = compare(*sides)
    return replace(no_regression(), base=sides[0], patched=sides[1], comparison=comparison, verdict=decide(comparison))


@pytest.mark.parametrize("name", EVERY)
def test_the_page_is_as_it_was(name):
    """Without its style and script, which are files of their own."""
    page = html_page(EVERY[name](), evidence() if name == "whole" else None)
    page = re.sub(r"<style>.*?</style>", "<style></style>", page, flags=re.DOTALL)
    page = re.sub(r"<script>.*?</script>", "<script></script>", page, flags=re.DOTALL)
    is_as_it_was(f"{name}.html", re.sub(r"sha256-[^']*", "sha256-", page))


@pytest.mark.parametrize("name", EVERY)
def test_it_is_html_by_the_book_and_loads_nothing(name):
    page = html_page(EVERY[name](), evidence())
    tree = parsed(page)
    policy = next(each for each in tree.iter("meta") if each.get("http-equiv") == "Content-Security-Policy")
    assert policy.get("content", "").startswith("default-src 'none'")
    for each in tree.iter():
        for attribute in ("src", "srcset", "data", "action", "poster", "background"):
            assert each.get(attribute) is None
        assert each.get("href", "#").startswith(("#", "data:,"))
    assert not re.search(r"url\(|@import|https?:", STYLE)


@pytest.mark.parametrize("name", EVERY)
def test_every_link_in_it_leads_somewhere_and_no_two_places_have_one_name(name):
    tree = parsed(html_page(EVERY[name](), evidence()))
    places = [each.get("id") for each in tree.iter() if each.get("id")]
    assert len(places) == len(set(places))
    links = {each.get("href", "")[1:] for each in tree.iter("a")}
    assert links <= set(places)


@pytest.mark.parametrize("name", EVERY)
def test_all_can_find_their_way(name):
    """Landmarks, labels, captions and headings in their order (WCAG 1.3.1, 2.4.1, 2.4.6)."""
    tree = parsed(html_page(EVERY[name](), evidence()))
    assert tree.get("lang") == "en"
    for landmark in ("header", "nav", "main", "footer"):
        assert len([*tree.iter(landmark)]) == 1
    assert all(table.find("caption") is not None for table in tree.iter("table"))
    assert all(header.get("scope") for header in tree.iter("th"))
    places = {each.get("id") for each in tree.iter() if each.get("id")}
    assert all(section.get("aria-labelledby") in places for section in tree.iter("section"))
    drawings = [each for each in tree.iter() if str(each.tag).endswith("svg")]
    assert all(each.get("role") == "img" and each.get("aria-label") for each in drawings)
    for each in tree.iter("pre"):
        assert each.get("tabindex") == "0", "what scrolls can be reached with the keyboard"
        assert each.get("aria-label")
    for each in tree.iter("div"):
        if each.get("class") == "scroll":
            assert each.get("tabindex") == "0"
            assert each.get("aria-label")
    assert all(any(cell.tag == "th" for cell in row) for row in tree.iter("tr")), (
        "every row is named by one of its cells"
    )
    levels = [int(each.tag[1]) for each in tree.iter() if re.fullmatch(r"h[1-6]", str(each.tag))]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    labelled = {each.get("for") for each in tree.iter("label")}
    inputs = [each for each in tree.iter("input") if each.get("type") != "checkbox"]
    assert all(each.get("id") in labelled for each in inputs)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_of_aa(scheme):
    """4.5:1 of every colour of text on every background that it stands on (WCAG 1.4.3)."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[0 if scheme == "light" else 1]))
    pairs = [(front, back) for front in ("text", "soft", "link", "bad", "good", "odd") for back in ("page", "panel")]
    pairs += [(front, f"{tone}-page") for tone in ("bad", "good", "odd") for front in (tone, "text", "soft")]
    pairs += [("link", "bad-page"), ("page", "base"), ("page", "patched"), ("page", "odd"), ("page", "boot")]
    assert "::placeholder { color: var(--soft); opacity: 1; }" in STYLE, "a browser's own is paler"
    too_low = {pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in pairs}
    assert {pair: ratio for pair, ratio in too_low.items() if ratio < 4.5} == {}


def test_a_dark_window_is_printed_in_the_colours_of_paper():
    assert "@media screen and (prefers-color-scheme: dark)" in STYLE
    assert STYLE.count("prefers-color-scheme") == 1


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """WCAG's relative luminance of #rrggbb."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_test_is_there_folded_by_file_and_function():
    tree = parsed(html_page(big(200)))
    results = next(each for each in tree.iter("section") if each.get("id") == "results")
    assert len([*results.iter("tr")]) - len([*results.iter("thead")]) == 200
    files = [each for each in results.iter("details") if each.get("class") == "file"]
    assert len(files) == 20
    assert all(each.get("open") is None for each in files)
    assert "s/t_0.py" in text_of(files[0].find("summary"))
    assert text_of(files[0].find("summary")).endswith("1 regression 9 same")


def test_subtests_are_under_their_test():
    names = ["k/t.py::test[net:x]", "k/t.py::test[net:x]/one", "k/t.py::test[net:x]/two::three", "k/t.py::test[net:y]"]
    changes = [TestChange(name, Change.SAME, Outcome.PASSED, Outcome.PASSED) for name in names]
    (file,) = tree_of(changes, {}, {})
    assert file.name == "k/t.py"
    assert {group.name: [row.name for row in group.rows] for group in file.groups} == {
        "test": ["test[net:x]", "test[net:y]"],
        "test[net:x]": ["test[net:x]/one", "test[net:x]/two::three"],
    }


def test_twenty_thousand_tests_are_two_megabytes_and_an_ordinary_run_far_less():
    assert len(html_page(big(20_000)).encode()) < 2_500_000
    assert len(html_page(big(500, log="[    1.000000] a line of the log\n" * 300)).encode()) < 200_000


def test_logs_of_many_failures_do_not_make_the_page_too_large_and_the_rest_is_said_to_be_elsewhere():
    result = big(500)
    assert result.patched is not None
    log = "".join(f"[{at:5}.000000] a line of the kernel's log, {at} in all\n" for at in range(1000))
    failed = tuple(replace(each, outcome=Outcome.FAILED, log=log, boot="000") for each in result.patched.results)
    patched = replace(result.patched, results=failed)
    comparison = compare(result.base, patched)
    page = html_page(replace(result, patched=patched, comparison=comparison))
    assert len(page.encode()) < 2_000_000
    assert "... 700 lines are left out here ..." in page
    assert "results/patched-1/boots/000/console.log" in page


def test_what_attempts_said_alike_but_for_times_and_addresses_is_shown_once():
    result = big(1)
    assert result.patched is not None
    said = "[   10.{0}] veth0 at 0x{0}: XDP request 2 queues but max is 1\n"
    attempts = tuple(
        replace(each, attempt=number, log=said.format(number), details="no")
        for number in (111, 222, 333)
        for each in result.patched.results
    )
    patched = replace(result.patched, results=attempts)
    page = html_page(replace(result, patched=patched, comparison=compare(result.base, patched)))
    assert page.count("XDP request 2 queues") == 1
    assert page.count("<figcaption>") == 1, "and what only repeats the reason is not shown at all"


def test_the_reason_of_a_test_that_broke_is_in_its_row_where_the_search_finds_it():
    results = next(each for each in parsed(html_page(big(20))).iter("section") if each.get("id") == "results")
    row = next(row for row in results.iter("tr") if row.get("class") == "regression")
    assert text_of(row.find("th")) == "test_0[case=0] no"


def test_names_break_before_their_parameters_and_stay_whole_when_copied():
    page = html_page(big(2))
    assert "test_1<wbr>[case=1]" in page
    assert "test_1[case=1]" in text_of(parsed(page))


def test_splats_stand_out_and_their_frames_have_a_place_in_the_source():
    frame = "bpf_xdp_adjust_tail+0x1d2/0x240"
    places = Places({"patched": {frame: (("bpf_xdp_adjust_tail", ("net/core/filter.c", 4164)),)}})
    tree = parsed(html_page(regression(), Evidence(places=places)))
    heads = [text_of(each) for each in tree.iter("span") if each.get("class") == "headline"]
    assert any("WARNING: CPU: 1 PID: 214" in head for head in heads)
    at = [text_of(each) for each in tree.iter("span") if each.get("class") == "at"]
    assert set(at) == {"net/core/filter.c:4164"}


def test_without_the_kernel_nothing_is_said_of_places():
    assert 'class="at"' not in html_page(regression())


def test_drawings_have_a_curve_for_each_kernel_and_dots_where_boots_differ():
    page = html_page(replace(no_regression(), performance=performance()))
    assert page.count('class="curve s0"') == page.count('class="curve s1"') == 1
    assert "How far boots differ" in page
    exact = replace(performance(), figures=tuple(replace(each, noise=0.0) for each in performance().figures))
    assert "How far boots differ" not in html_page(replace(no_regression(), performance=exact))


def test_the_folder_holds_every_log_whole_and_the_consoles(tmp_path):
    console = tmp_path / "run" / "results" / "patched-1" / "boots" / "000" / "console.log"
    console.parent.mkdir(parents=True)
    console.write_bytes(b"[    0.000000] Linux version\n")
    result = big(40, log="".join(f"line {at}\n" for at in range(900)))
    assert result.patched is not None
    (tmp_path / "secret" / "console.log").parent.mkdir()
    (tmp_path / "secret" / "console.log").write_text("no part of the run")
    named = (f"/elsewhere/{console.relative_to(tmp_path / 'run')}", str(tmp_path / "secret" / "console.log"))
    named += ("results/../../boots/secret/console.log", "results/x/boots/../console.log")
    boots = tuple(replace(regression().patched.boots[0], console=each) for each in named)
    result = replace(result, patched=replace(result.patched, boots=boots))
    write_folder(tmp_path / "out", result, Evidence(folder=tmp_path / "run"))
    assert len([*(tmp_path / "out" / "consoles").iterdir()]) == 1
    assert (tmp_path / "out" / "consoles" / "patched-1-000.txt").read_bytes() == console.read_bytes()
    pages = sorted((tmp_path / "out" / "tests").iterdir())
    assert len(pages) == 20
    assert "line 450\n" in pages[0].read_text()
    for page in (tmp_path / "out" / "index.html", *pages):
        for link in parsed(page.read_text()).iter("a"):
            target = link.get("href", "")
            assert target.startswith("#") or (page.parent / target).is_file()


def test_the_index_of_a_folder_leads_to_every_page(tmp_path):
    write_folder(tmp_path, whole(), evidence())
    links = {link.get("href", "") for link in parsed((tmp_path / "index.html").read_text()).iter("a")}
    assert {f"tests/{page.name}" for page in (tmp_path / "tests").iterdir()} <= links


def test_of_very_many_tests_the_index_lists_the_files_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.report.html.page._TESTS", 100)
    write_folder(tmp_path, big(200))
    index = (tmp_path / "index.html").read_text()
    assert '<details class="file"' not in index
    assert index.count('<p class="file"><a href="tests/') == 20


@pytest.mark.skipif(CHROMIUM is None, reason="NOT TESTED: chromium not installed, so the page's script is not run")
def test_the_policy_lets_the_pages_own_script_run(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(html_page(whole(), evidence()))
    argv = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    shown = subprocess.run([*argv, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=60).stdout
    form = re.search(r'<form id="filter"[^>]*>', shown)
    assert form
    assert "hidden" not in form[0]


def test_sizes_under_a_curve_are_told_where_they_have_room():
    sizes = ("64", "512", "1024", "1500", "linear+1", "9000", "linear+14page")
    drawn = str(curve_plot("x", sizes, [Curve("base", (1.0,) * 7)], "insns"))
    found = re.findall(r'<text class="label" x="([\d.]+)" y="(176|188)\.0" text-anchor="middle">([^<]*)<', drawn)
    assert [name for _, _, name in found] == [*sizes]
    for row in ("176", "188"):
        ends = [(float(at) - 3.3 * len(name), float(at) + 3.3 * len(name)) for at, on, name in found if on == row]
        assert all(end < begin for (_, end), (begin, _) in pairwise(ends))
        assert ends[-1][1] <= 360
