"""The page in a browser: it fits its window, can be heard, and can be gone through with a keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest
from chromium import CHROMIUM, Page, chromium
from report_samples import SAMPLES
from report_whole import evidence, whole
from test_report_html import big

from harness.report.html import html_page, write_folder

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NOT TESTED: chromium not installed, so the page is in no browser"
)

NAMED = (
    "link",
    "button",
    "searchbox",
    "checkbox",
    "table",
    "region",
    "navigation",
    "image",
    "columnheader",
    "rowheader",
)
EVERY = {**SAMPLES, "whole": whole}
UNFOLD = "for (const each of document.querySelectorAll('details')) each.open = true"
SCROLLS = "(at => at.scrollWidth > at.clientWidth || at.scrollHeight > at.clientHeight)"
PAINTED = "new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place: Path = tmp_path_factory.mktemp("pages")
    for name, result in EVERY.items():
        (place / f"{name}.html").write_text(html_page(result(), evidence()))
    (place / "big.html").write_text(html_page(big(300)))
    write_folder(place / "folder", whole(), evidence())
    return place


@pytest.mark.parametrize("width", [320, 390, 768, 1400])
def test_no_page_is_wider_than_its_window(page, folder, width):
    """Of what is too wide each part scrolls in its own place (WCAG 1.4.10)."""
    pages = [*folder.glob("*.html"), *folder.glob("folder/**/*.html")]
    assert len(pages) > 6
    for each in pages:
        page.open(each.as_uri(), width=width)
        page.value(UNFOLD)
        assert page.value("document.documentElement.scrollWidth") <= width, each.name


@pytest.mark.parametrize("name", ["whole.html", "without_base.html", "big.html", "folder/index.html"])
def test_all_that_is_heard_has_a_name(page, folder, name):
    page.open((folder / name).as_uri())
    page.value(UNFOLD)
    heard = page.heard()
    assert [role for role, told in heard if role in NAMED and not told] == []
    roles = [role for role, _ in heard]
    for landmark in ("banner", "navigation", "main", "contentinfo", "search"):
        assert roles.count(landmark) == 1
    assert "rowheader" in roles
    assert "LayoutTable" not in roles


AXE = """axe.run(document, {resultTypes: ["violations"]}).then(found =>
    found.violations.map(each => [each.id, each.nodes.map(node => node.html.slice(0, 200))]))"""


def violations(page: Page) -> list[list[object]]:
    axe = pytest.importorskip("axe_core_python", reason="axe-core-python is not installed: pip install -e .[dev]")
    script = resources.files(axe).joinpath("axe.min.js").read_text("utf-8")
    page.value(f"{script}\n;1")
    found: list[list[object]] = page.value(AXE)
    return found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_axe_finds_nothing_that_keeps_anybody_out(page, folder, width, dark):
    """Its rules are WCAG's, contrast of AA among them, on what is on the screen."""
    for name in ("whole.html", "without_base.html", "does_not_apply.html", "folder/index.html"):
        page.open((folder / name).as_uri(), width=width, dark=dark)
        page.value(UNFOLD)
        assert violations(page) == [], name


def test_axe_finds_what_does(page, folder):
    page.open((folder / "whole.html").as_uri())
    page.value("""const style = document.createElement("style"); style.textContent = "dt { color: #aaaaaa }";
        document.head.append(style); document.documentElement.removeAttribute("lang")""")
    assert {rule for rule, _ in violations(page)} >= {"color-contrast", "html-has-lang"}


def test_the_keyboard_reaches_everything_in_the_order_of_the_page(page, folder):
    page.open((folder / "whole.html").as_uri())
    page.value(PAINTED)
    places = []
    for _ in range(200):
        page.press("Tab", 9)
        at = page.value("[...document.querySelectorAll('*')].indexOf(document.activeElement)")
        if places and at <= places[0]:
            break
        places.append(at)
    assert all(before < after for before, after in pairwise(places))
    shown = "[...document.querySelectorAll('a[href], summary, input, button')].filter(at => at.checkVisibility())"
    assert set(page.value(f"{shown}.map(at => [...document.querySelectorAll('*')].indexOf(at))")) <= set(places)


@pytest.mark.parametrize("width", [390, 1400])
def test_what_scrolls_is_a_stop_of_the_keyboard_and_nothing_else_is(page, folder, width):
    page.open((folder / "whole.html").as_uri(), width=width)
    page.value(UNFOLD)
    page.value(PAINTED)
    wrong = page.value(
        f"[...document.querySelectorAll('pre, .scroll')].filter(at => {SCROLLS}(at) !== (at.tabIndex === 0))"
        ".map(at => at.getAttribute('aria-label'))"
    )
    assert wrong == []


SEARCH = """(async words => {
    const search = document.getElementById("search");
    search.value = words;
    document.getElementById("filter").requestSubmit();
    return [document.getElementById("found").textContent,
        [...document.querySelectorAll("#results tbody tr")].filter(at => at.checkVisibility()).length];
})"""


@pytest.mark.parametrize(
    ("words", "found"),
    [("case=7]", 1), ("t_3.py", 15), ("test_ CASE=12]", 1), ("no", 1), ("FAILED case=0]", 1), ("nothing like it", 0)],
)
def test_the_search_finds_files_names_and_reasons(page, folder, words, found):
    page.open((folder / "big.html").as_uri())
    assert page.value(f"{SEARCH}({words!r})") == [f"{found} of 300 tests", found]


def test_a_link_to_a_test_unfolds_it(page, folder):
    page.open((folder / "big.html").as_uri())
    page.value("document.querySelector('#changes details').open = false; location.hash = '#t1'")
    page.value(PAINTED)
    assert page.value("document.getElementById('t1').open") is True


def test_without_its_script_the_page_has_no_search_and_all_can_be_unfolded(page, folder):
    page.open((folder / "whole.html").as_uri(), script=False)
    heard = page.heard()
    assert "searchbox" not in [role for role, _ in heard]
    assert [role for role, _ in heard].count("DisclosureTriangle") > 5
