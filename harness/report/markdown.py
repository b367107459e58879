"""The result as a comment on a pull request, in GitHub's Markdown.

A comment may have 65,536 characters. Long things are folded (`<details>`); sections that do not fit are left out and
counted. Strangers' text is in code spans and code blocks whose fence is longer than any in it, or has every sign that
means something to Markdown escaped, `@` and `#` too: a test's name mentions nobody and links nothing.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, takewhile

from harness.compare import Change, TestChange
from harness.errors import ExitCode
from harness.flakiness import flake_remarks
from harness.perf.model import CHANGED, Attribution, Figure, FigureChange, Performance
from harness.report import facts, safe
from harness.report.benches import short_name
from harness.report.cases import shown_attempts
from harness.report.decode import Places
from harness.report.excused import excused_splats, excused_words
from harness.report.located import brief_lines
from harness.report.logs import LineKind, detail_lines
from harness.report.mail_again import try_again
from harness.report.numbers import certainty, difference, reading
from harness.report.steps import step_lines
from harness.report.tables import lines_of, tables_of
from harness.results import TestResult
from harness.run_result import RunResult

__all__ = ["markdown"]

_MOST = 64_000  # characters
_ROWS = 20  # of one change
_SHOWN = 3  # failures told at length
_LINES = 30
_FIGURES = 30
_TABLE = 20_000  # characters of one table
_WIDE = 400  # characters of one line
_UNREMARKABLE = (Change.SAME, Change.NOT_COMPARED)
_SIGNS = re.compile(
    r"[\\`*\[\]<>#|~&$@]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//|[\w+-]+:)|(?<=www)\.", re.ASCII | re.IGNORECASE
)
_OPENING = re.compile(r"^(?:(?=[-+=])|(\d{1,9})(?=[.)]))")  # what begins a list or a heading
_MARKS = {ExitCode.NO_REGRESSION: "✅", ExitCode.REGRESSION: "❌"}


def markdown(result: RunResult, places: Places | None = None) -> str:
    """The report, at most 65,000 characters, the most important first. places: where frames of call traces are."""
    parts = [_head(result), *filter(None, _sections(result, places or Places()))]
    kept: list[str] = []
    room = _MOST
    for part in parts:
        if len(part) + 2 <= room:
            kept.append(part)
            room -= len(part) + 2
    if left_out := len(parts) - len(kept):
        kept.append(f"*What does not fit here is in the report as HTML or JSON: {left_out} sections.*")
    return "\n\n".join(kept) + "\n"


def _head(result: RunResult) -> str:
    mark = _MARKS.get(result.verdict.exit_code, "⚠️")
    title = f"## {mark} ktrial: {_text(str(result.verdict.kind).replace('-', ' '))}"
    return f"{title}\n\n{_line(result.verdict.line)}"


def _sections(result: RunResult, places: Places) -> Iterator[str]:
    """Each a part that stands alone, in the order in which a reader wants them."""
    yield _failure(result)
    yield _subject(result)
    yield _changes(result)
    yield from _failures(result, places)
    yield _kernel_log(result, places)
    yield _line(excused_words(excused_splats(result)))
    yield _proofs(result)
    if result.performance:
        yield _performance(result.performance)
        yield _where(result.performance)
        yield _letters(result.performance)
    yield _warnings(result)
    yield _reproduce(result)
    yield _fold(
        "Environment",
        _facts((("run", result.run), *_kernels(result), *facts.config_notes(result), *facts.environment_facts(result))),
    )


def _failure(result: RunResult) -> str:
    """What stopped the run."""
    if result.failure is None:
        return ""
    detail = _block(result.failure.detail, most=60) if result.failure.detail else ""
    hint = f"Try: {_code(result.failure.hint)}" if result.failure.hint else ""
    return "\n\n".join(filter(None, (detail, hint)))


def _subject(result: RunResult) -> str:
    series, tree = result.series, result.tree
    told: list[tuple[str, str]] = []
    if series:
        version = f" v{series.version}" if series.version > 1 else ""
        told.append(("series", f"{series.title}{version} ({len(series.patches)} patches by {series.author})"))
    if tree:
        told.append(("base", f"{tree.base_commit[:12]} ({tree.version}, {tree.label}): {tree.base_why}"))
        told.append(("patched", tree.patched_commit[:12]))
    told += [("suite", f"{suite.name} ({suite.why})") for suite in result.suites]
    told += [("not compiled", f"{gap.file}: {gap.why}") for gap in result.uncompiled[:_ROWS]]
    told += [(f"tests on {side.side}", facts.side_words(side)) for side in (result.base, result.patched) if side]
    told += [("broken by", facts.broken_words(each)) for each in result.broken_by]
    return _facts([fact for fact in told if fact[1]])


def _changes(result: RunResult) -> str:
    comparison = result.comparison
    differing = [test for test in comparison.tests if test.change not in _UNREMARKABLE] if comparison else []
    if comparison is None or not differing:
        return ""
    rows = []
    flakes = flake_remarks(result.known_flaky)
    for change in Change:
        tests = [test for test in differing if test.change is change]
        rows += [_row(test, flakes.get(test.test, "")) for test in tests[:_ROWS]]
        if len(tests) > _ROWS:
            rows.append((str(change), f"... and {len(tests) - _ROWS} more", "", ""))
    shown = _table(("Change", "Test", "Base", "Patched"), rows)
    total = ", ".join(f"{count} {change}" for change, count in facts.change_counts(comparison))
    return f"### Tests: {total}\n\n{shown}"


def _row(test: TestChange, beside: str) -> tuple[str, str, str, str]:
    base, patched = (facts.outcome_words(test, side) for side in ("base", "patched"))
    return str(test.change), _cell(test.test) + beside, base, patched


def _failures(result: RunResult, places: Places) -> Iterator[str]:
    """The first failures at length, each folded."""
    comparison = result.comparison
    failing = (*comparison.blamed, *comparison.of(Change.FAILING)) if comparison else ()
    attempts = shown_attempts(result.patched)
    for test in failing[:_SHOWN]:
        said = _said(attempts.get(test.test), places)
        told = _block(said, most=2 * _LINES) if said else ""
        reason = _line(test.reason) if test.reason else ""
        yield _fold(_html(test.test), "\n\n".join(filter(None, (reason, told))))


def _said(attempt: TestResult | None, places: Places) -> str:
    """What was asserted, and what the kernel complained of."""
    if attempt is None:
        return ""
    marked = [line.text for line in detail_lines(attempt.details) if line.kind is not LineKind.PLAIN]
    splats = [line for splat in attempt.splats[:2] for line in brief_lines(splat, places).split("\n")]
    return "\n".join((*marked[:_LINES], *splats[:_LINES]))


def _kernel_log(result: RunResult, places: Places) -> str:
    found = result.comparison.kernel_log if result.comparison else ()
    parts = []
    for item in found[:_SHOWN]:
        blame = "" if item.blamed else " (not blamed: a slow host can cause it)"
        seen = f"seen in {_code(', '.join(item.where[:4]))}{blame}"
        told = _block(brief_lines(item.splat, places), most=_LINES)
        parts.append(_fold(f"In the kernel log: {_html(item.splat.key)}", f"{seen}\n\n{told}"))
    if len(found) > _SHOWN:
        parts.append(f"... and {len(found) - _SHOWN} more in the kernel log")
    return "\n\n".join(parts)


def _proofs(result: RunResult) -> str:
    rows = [
        (str(proof.kind), _cell(proof.test), str(proof.without or "-"), str(proof.with_series or "-"))
        for proof in result.proofs[:_ROWS]
    ]
    more = f"\n\n... and {len(result.proofs) - _ROWS} more" if len(result.proofs) > _ROWS else ""
    shown = _table(("Shows", "Test", "Without", "With the series"), rows)
    return f"### The series' own selftests\n\n{shown}{more}" if rows else ""


def _performance(performance: Performance) -> str:
    changed = performance.of(*CHANGED)
    same = len(performance.of(FigureChange.SAME))
    unknown = len(performance.of(FigureChange.UNKNOWN))
    counts = [f"{len(changed)} changed", f"{same} same", *([f"{unknown} cannot be told"] if unknown else [])]
    rows = [_figure(figure) for figure in changed[:_FIGURES]]
    parts = [f"### Figures: {', '.join(counts)}", _line(f"{performance.instrument}: {performance.how}")]
    if rows:
        parts.append(_table(("Bench", "Base", "Patched", "Change", "", "Noise", "Unit"), rows, numbers=range(1, 6)))
    if len(changed) > _FIGURES:
        parts.append(f"... and {len(changed) - _FIGURES} more")
    parts += [f"- {_text(line)}" for line in step_lines(performance.steps)]
    return "\n\n".join(parts)


def _figure(figure: Figure) -> tuple[str, ...]:
    base, patched, noise = (reading(value) for value in (figure.base, figure.patched, figure.noise))
    noise += f" ({certainty(figure)})" if figure.interval else ""
    changed = (difference(figure.delta), f"{figure.share:+.1%}")
    return _cell(short_name(figure.bench)), base, patched, *changed, noise, _text(figure.unit)


def _where(performance: Performance) -> str:
    """The functions that the largest differences went to."""
    told = sorted((each for each in performance.attributions if each.functions), key=lambda each: -abs(each.delta))
    lines = [f"{each.delta:+.4g} {short_name(each.bench)}: {_functions(each)}" for each in told]
    return _fold("Where it went, insns/packet", _block("\n".join(lines), most=_FIGURES)) if lines else ""


def _functions(attribution: Attribution) -> str:
    return ", ".join(f"{change.name} {change.delta:+.4g}" for change in attribution.functions[:4])


def _letters(performance: Performance) -> str:
    """The tables of cover letters, as they stand in a mail."""
    tables = [line for table in tables_of(performance, every=False) for line in (*lines_of(table), "")]
    return _fold("As cover letters have it", _block("\n".join(tables), most=100)) if tables else ""


def _warnings(result: RunResult) -> str:
    lines = [f"{each.file}:{each.line}: {each.message} {each.flag}".rstrip() for each in result.new_warnings]
    told = _block("\n".join(map(safe.line, lines)), most=_LINES)
    return _fold(f"New compiler warnings: {len(lines)}", told) if lines else ""


def _reproduce(result: RunResult) -> str:
    """The commands where it was run, below the one for the reader's own machine."""
    if not result.reproduce:
        return ""
    again = " ".join(try_again(result))
    elsewhere = f"# on any machine\n{again}\n# where it was run\n" if again else ""
    return _fold("Reproduce", _block(f"{elsewhere}{result.reproduce}", "sh"))


def _kernels(result: RunResult) -> tuple[facts.Fact, ...]:
    return tuple((f"kernel {kernel.side}", facts.kernel_facts(kernel)) for kernel in result.kernels)


def _facts(found: Iterable[facts.Fact]) -> str:
    return "\n".join(f"- **{_text(name)}**: {_text(value)}" for name, value in found)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """Cells are Markdown already. Rows for which there is no room are left out, and the last says so."""
    right = set(numbers)
    rule = ["--:" if at in right else "---" for at in range(len(head))]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]
    kept = len(list(takewhile(lambda size: size <= _TABLE, accumulate(len(line) + 1 for line in lines))))
    more = [f"| ... | {len(lines) - kept} more{' |' * (len(head) - 1)}"] if kept < len(lines) else []
    return "\n".join((*lines[:kept], *more))


def _fold(title: str, body: str) -> str:
    """Something long under a title, which is HTML. Below the blank line everything is Markdown again."""
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def _block(text: str, language: str = "", most: int | None = None) -> str:
    """A code block: its fence is longer than any in it. Commands are not cut."""
    width = _WIDE if most else len(text)
    lines = "\n".join(safe.line(line, max(width, 1)) for line in safe.block(text, most))
    fence = "`" * max(3, 1 + _longest_fence(lines))
    return f"{fence}{language}\n{lines}\n{fence}"


def _code(text: str) -> str:
    """A code span, in which nothing means anything."""
    shown = safe.line(text, _WIDE)
    if not shown.strip():
        return "(blank)"
    fence = "`" * (1 + _longest_fence(shown))
    pad = " " if "`" in shown else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _cell(text: str) -> str:
    """A code span in a table, where a bar ends a cell even in code. Readers differ on a backslash before a bar."""
    shown = safe.line(text, _WIDE)
    return _code(shown.replace("|", "\\x7c")) if "\\|" in shown else _code(shown).replace("|", "\\|")


def _line(text: str) -> str:
    """Plain words that begin a line."""
    return _OPENING.sub(lambda start: f"{start[1] or ''}\\", _text(text))


def _text(text: str) -> str:
    """Plain words: no sign in them means anything, and nobody is mentioned."""
    escaped = _SIGNS.sub(lambda sign: f"\\{sign[0]}", safe.line(text, _WIDE).strip())
    return escaped.replace("\\@", "@<!-- -->").replace("\\#", "#<!-- -->")


def _html(text: str) -> str:
    """Words inside an HTML block, where Markdown's own escapes do not hold."""
    return f"<code>{html.escape(safe.line(text, _WIDE))}</code>"


def _longest_fence(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
