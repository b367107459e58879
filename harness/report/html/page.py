"""The page: what it shows of a result, and the templates that it is written with.

Every value that a template writes is made harmless (harness.report.safe) and escaped, both in one place each: `_shown`
and Jinja's autoescape. A policy in the page lets a browser load nothing, and run the page's own script alone.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.errors import ExitCode
from harness.perf.model import FigureChange, Performance
from harness.report import facts, safe
from harness.report.commands import broken_line
from harness.report.evidence import Evidence
from harness.report.excused import excused_splats, seen_words
from harness.report.html.blocks import Budget, marked
from harness.report.html.changes import changes_of, kernel_log_of, seconds_on
from harness.report.html.performance import curves_of, groups_of, spreads_of, where_of
from harness.report.html.plots import timeline_plot
from harness.report.html.tree import tree_of
from harness.report.steps import step_lines
from harness.report.tables import tables_of
from harness.run_result import RunResult

__all__ = ["html_page", "render", "tone_of"]

_LOGS = 900_000  # characters of logs in one file; what is beyond is in the run's folder
_TESTS = 50_000  # listed in the index of a folder
_COMMAND = 100  # columns of a line of commands
_PACKAGE = "harness.report.html"


def html_page(result: RunResult, evidence: Evidence | None = None, *, pages: dict[str, str] | None = None) -> str:
    """The report as HTML, one file. evidence: what the run's folder told, where there is one.

    pages: files of tests that have a page of their own, and its address. Of very many tests, only those are listed.
    """
    found = evidence or Evidence()
    budget = Budget(_LOGS)
    comparison = result.comparison
    changes = changes_of(result, budget)
    anchors = {view.test.test: view.anchor for group in changes for view in group.tests}
    return render(
        "page.html",
        result=result,
        evidence=found,
        pages=pages or {},
        too_many=bool(pages) and len(comparison.tests if comparison else ()) > _TESTS,
        tone=tone_of(result),
        changes=changes,
        excused=excused_splats(result),
        kernel_log=kernel_log_of(comparison, budget) if comparison else (),
        files=tree_of(comparison.tests, anchors, seconds_on(result.patched)) if comparison else (),
        counts=facts.change_counts(comparison) if comparison else (),
        measured=_measured(result.performance) if result.performance else None,
        drawn=timeline_plot("when each stage, build and guest was at work", found.timeline),
        compared=bool(comparison and comparison.compared),
    )


def render(template: str, **values: Any) -> str:
    """A template of this package with values."""
    style, script = _shipped("style.css"), _shipped("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = _environment().get_template(template)
    return page.render(style=Markup(style), script=Markup(script), script_hash=Markup(digest), **values)


def tone_of(result: RunResult) -> str:
    """How the verdict is coloured."""
    tones = {ExitCode.NO_REGRESSION: "good", ExitCode.REGRESSION: "bad"}
    return tones.get(result.verdict.exit_code, "odd")


def _measured(performance: Performance) -> dict[str, Any]:
    """All that the section on figures shows."""
    changed = performance.of(FigureChange.WORSE, FigureChange.BETTER, FigureChange.UNKNOWN)
    same, curves = performance.of(FigureChange.SAME), curves_of(performance)
    counts = ((len(performance.of(change)), change) for change in FigureChange)
    return {
        "head": ", ".join(f"{count} {change}" for count, change in counts if count) or "no figure",
        "changed": groups_of(changed),
        "same": groups_of(same),
        "unchanged": len(same),
        "curves": curves,
        "level": [view for view in curves if not view.changed],
        "spreads": spreads_of(performance),
        "where": where_of(performance),
        "unknown": tuple(each for each in performance.attributions if each.failure),
        "steps": step_lines(performance.steps),
        "applied": sorted({count for each in performance.steps for count, _ in each.values}),
        "letters": tables_of(performance),
    }


def _shown(value: object) -> object:
    """What a template may write: text that is harmless and on one line; drawings and logs are so already."""
    return safe.line(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _breakable(name: str) -> Markup:
    """A test's name with places to break it at: before its parameters, and between them."""
    return escape(safe.line(name)).replace("[", Markup("<wbr>[")).replace(",", Markup(",<wbr>"))


def _commands(text: str) -> list[str]:
    """Commands of a shell, a line each, as lines that a page has room for."""
    return [line for each in text.split("\n") for line in broken_line(each, _COMMAND, "")]


@cache
def _shipped(name: str) -> str:
    return resources.files(_PACKAGE).joinpath(name).read_text("utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    environment.globals |= {
        "facts": facts,
        "seen_words": seen_words,
        "outcome": facts.outcome_words,
        "marked": marked,
        "block_lines": safe.block,
        "commands": _commands,
    }
    return environment
