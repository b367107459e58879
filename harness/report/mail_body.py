"""The text of a mail about a run: the verdict in the first line, then what its author asks next, at 72 columns. Pure.

Short: the whole report is elsewhere. All that comes from a series, a test or a guest goes through
harness.report.mail_lines, so that none of it is a trailer, a diff or a command.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import groupby

from harness.compare import Change, Comparison, LogChange, TestChange
from harness.report import safe
from harness.report.decode import Places
from harness.report.environment import host_words
from harness.report.excused import excused_splats, excused_words, list_words
from harness.report.facts import attempt_told, counted
from harness.report.located import brief_lines
from harness.report.mail_again import try_again
from harness.report.mail_figures import cost
from harness.report.mail_lines import bar, facts, guarded, item, prose, sendable, shell, wrapped_bar
from harness.run_result import Environment, RunResult
from harness.verdict import VerdictKind

__all__ = ["Letterhead", "body"]

_TESTS = 10  # of one change
_DETAIL_LINES = 8
_SPLAT_LINES = 16
_FAILURE_LINES = 30
_WARNINGS = 5
_BAD = {
    Change.REGRESSION: "broke",
    Change.NEW_FAILING: "fail, and do not run without the series",
    Change.NOW_SKIPPED: "no longer run",
    Change.FAILING: "fail",
}
_OTHER = {
    Change.VANISHED: "have no result with the series",
    Change.LOST: "were lost by this machine",
    Change.FLAKY: "differ from one attempt to the next",
    Change.FIXED: "are fixed",
}
_GOOD = (VerdictKind.NO_REGRESSION,)


@dataclass(frozen=True)
class Letterhead:
    """What the settings say of whoever sends. sender, tester: `Name <address>`; tester "": no tag is offered.

    opt_out: how not to get such mail. report_url: where the whole report can be read; `{run}` is the run's id.
    """

    sender: str = "ktrial <ktrial@localhost>"
    tester: str = ""
    opt_out: str = ""
    report_url: str = ""


def body(result: RunResult, letterhead: Letterhead, places: Places | None = None) -> str:
    """The whole text, with a final newline. places: where in the source frames of call traces are."""
    sections = [
        _verdict(result),
        _failure(result),
        _culprits(result),
        *(_compared(result, result.comparison, places or Places()) if result.comparison else ()),
        _excused(result),
        cost(result.performance) if result.performance else [],
        _warnings(result),
        _untold(result),
        _offer(result, letterhead),
        _circumstances(result),
        _again(result, letterhead),
        _footer(result, letterhead),
    ]
    return "\n".join("\n".join(sendable(section)) + "\n" for section in sections if section)


def _verdict(result: RunResult) -> list[str]:
    """`REGRESSION - 3 tests broke: ...`: with a colon b4 would take it for a trailer where an address is in it."""
    return prose(result.verdict.line.replace(": ", " - ", 1), "", "  ")


def _failure(result: RunResult) -> list[str]:
    """The error that stopped the run, and what was seen."""
    lines = bar(result.failure.detail, _FAILURE_LINES) if result.failure and result.failure.detail else []
    if result.verdict.kind is VerdictKind.DOES_NOT_APPLY:
        lines += ["", *prose("Where it is for another commit, git format-patch --base=COMMIT tells so in the mail.")]
    return lines


def _culprits(result: RunResult) -> list[str]:
    """The patches that broke tests, where the verdict had no room for them."""
    lines = []
    for each in result.broken_by:
        which = f"patch {each.last}" if each.first == each.last else f"one of patches {each.first} to {each.last}"
        if f"{which} ({safe.line(each.subject)})" not in result.verdict.line:
            lines += prose(f"{len(each.tests)} of them broke by {which} ({each.subject})", "", "  ")
    return lines


def _compared(result: RunResult, comparison: Comparison, places: Places) -> Iterator[list[str]]:
    """What is worse, the first failure at length, what is new in the kernel log; then what else changed."""
    flaky = {known.test for known in result.known_flaky}
    for change, words in _BAD.items():
        yield _tests(comparison.of(change), words, flaky)
    failing = (*comparison.blamed, *comparison.of(Change.FAILING))
    if failing:
        yield _first_failure(result, failing[0], places)
    if comparison.blamed_log:
        yield _in_log(comparison.blamed_log, "New in" if comparison.compared else "In", places)
    for change, words in _OTHER.items():
        yield _tests(comparison.of(change), words, flaky)


def _tests(tests: Sequence[TestChange], words: str, flaky: Set[str]) -> list[str]:
    """`3 tests broke`, and their names under their files. flaky: those that failed now and then before the series."""
    if not tests:
        return []
    lines = [f"{len(tests)} {'test' if len(tests) == 1 else 'tests'} {_number(words, len(tests))}"]
    for file, group in groupby(tests[:_TESTS], lambda test: test.test.rpartition("::")[0]):
        lines += prose(file, "  ") if file else []
        for test in group:
            known = " (flaky before)" if test.test in flaky else ""
            lines += item(test.test.removeprefix(f"{file}::"), _outcomes(test) + known, "    ")
    return [*lines, f"    ... and {len(tests) - _TESTS} more"] if len(tests) > _TESTS else lines


def _number(words: str, count: int) -> str:
    """The verb for one test: `fails`, `is fixed`."""
    if count != 1:
        return words
    verb, space, rest = words.partition(" ")
    rest = rest.replace("and do not run", "and does not run").replace("longer run", "longer runs")
    one = {"are": "is", "have": "has", "were": "was", "fail": "fails", "fail,": "fails,", "differ": "differs"}
    return one.get(verb, verb) + space + rest


def _outcomes(test: TestChange) -> str:
    """`3x passed -> 3x failed`."""
    sides = [counted(test.base_outcomes), counted(test.patched_outcomes)]
    return " -> ".join(side or "-" for side in sides) if test.base_outcomes else sides[1]


def _first_failure(result: RunResult, test: TestChange, places: Places) -> list[str]:
    """Its assertion, and what the kernel said meanwhile."""
    attempt = attempt_told(result.patched, test)
    details = _assertion(attempt.details) if attempt else ""
    lines = [*prose("The first of them:"), *prose(test.test, "  "), ""]
    lines += wrapped_bar(details or test.reason, _DETAIL_LINES) if details or test.reason else []
    if attempt and attempt.splats:
        lines += ["", "  in the kernel log, meanwhile", "", *bar(brief_lines(attempt.splats[0], places), _SPLAT_LINES)]
    if test.base_reason:
        lines += ["", *prose(f"Without the series it says {test.base_reason}", "", "  ")]
    return lines


def _assertion(details: str) -> str:
    """Of pytest's report the lines that say what was wrong: those that it marks with `E`."""
    return "\n".join(line[1:].strip() for line in details.splitlines() if line.startswith("E "))


def _in_log(log: Sequence[LogChange], what: str, places: Places) -> list[str]:
    first = log[0]
    more = f", and {len(log) - 1} more" if len(log) > 1 else ""
    where = f" (seen in {', '.join(first.where[:2])}{' ...' if len(first.where) > 2 else ''}){more}"
    lines = prose(f"{what} the kernel log, {first.splat.key}{where}", "", "  ")
    return [*lines, "", *bar(brief_lines(first.splat, places), _SPLAT_LINES)]


def _excused(result: RunResult) -> list[str]:
    """What the kernel logged and an allow-list lets pass."""
    words = excused_words(excused_splats(result))
    return prose(f"In the kernel log {words}".replace(": ", " - ", 1), "", "  ") if words else []


def _warnings(result: RunResult) -> list[str]:
    found = result.new_warnings
    if not found:
        return []
    shown = [safe.line(f"{each.file}:{each.line}: {each.message} {each.flag}") for each in found[:_WARNINGS]]
    more = f"\n... and {len(found) - _WARNINGS} more" if len(found) > _WARNINGS else ""
    head = f"{len(found)} new compiler warning{'' if len(found) == 1 else 's'}"
    return [head, "", *bar("\n".join(shown) + more)]


def _untold(result: RunResult) -> list[str]:
    """What the configuration leaves out, so that the verdict does not cover it."""
    lines = [line for gap in result.uncompiled[:_WARNINGS] for line in prose(f"{gap.file} ({gap.why})", "  ", "    ")]
    more = len(result.uncompiled) - _WARNINGS
    rest = [f"  ... and {more} more"] if more > 0 else []
    return ["Not compiled here, so that nothing is known about it", *lines, *rest] if lines else []


def _offer(result: RunResult, letterhead: Letterhead) -> list[str]:
    """A tag that may be taken, where tests passed and nothing is against it. Behind a bar no tool takes it."""
    if not letterhead.tester or result.verdict.kind not in _GOOD or result.uncompiled:
        return []
    return [
        *prose("If you find this useful, you may add:"),
        "",
        guarded(f"  | Tested-by: {safe.line(letterhead.tester)}"),
    ]


def _circumstances(result: RunResult) -> list[str]:
    """Which series, on which commit, how configured, by what compiled and run: what two reports can differ in."""
    environment = result.environment
    pahole = f"pahole {environment.pahole}" if environment.pahole else ""
    compiler = ", ".join(filter(None, (environment.compiler, environment.linker, pahole)))
    return facts(
        (
            ("series", _series(result)),
            ("base", _base(result)),
            ("patched", result.tree.patched_commit if result.tree else ""),
            ("config", _config(result)),
            ("allowed", list_words(result.allow_splats)),
            ("suites", ", ".join(suite.name for suite in result.suites)),
            ("compiler", compiler),
            ("machine", _machine(environment)),
        )
    )


def _series(result: RunResult) -> str:
    series = result.series
    if series is None:
        return ""
    count = f"{len(series.patches)} patch{'' if len(series.patches) == 1 else 'es'}"
    return f"{series.title} ({f'v{series.version}, ' if series.version > 1 else ''}{count})"


def _base(result: RunResult) -> str:
    tree = result.tree
    if tree is None:
        return ""
    packaged = f", {tree.label}" if tree.label != tree.origin and "/" not in tree.label else ""
    return f"{tree.base_commit} ({tree.version}{packaged})"


def _config(result: RunResult) -> str:
    config = result.config
    if config is None:
        return ""
    names = [name.rpartition("/")[2] for name in (config.config_base, *config.fragments)]
    touched = f"; for this series also {', '.join(config.touched)}" if config.touched else ""
    other = f", base {config.base_digest[:12]}" if config.base_digest != config.patched_digest else ""
    return f"{' + '.join(names)} (digest {config.patched_digest[:12]}{other}){touched}"


def _machine(environment: Environment) -> str:
    """`QEMU emulator version 7.2.22, virtme-ng 1.40, tcg, 2 processors, load 0.5 to 2.1, seed 4711`."""
    qemu = environment.qemu.partition(" (")[0]
    told = (qemu, environment.virtme_ng, environment.accelerator, host_words(environment))
    return ", ".join(filter(None, told))


def _again(result: RunResult, letterhead: Letterhead) -> list[str]:
    """The command to try it again, and where the whole report is."""
    words = [safe.line(word) for word in try_again(result)]
    lines = ["To try it again", "", *shell(words)] if words else []
    if letterhead.report_url:
        lines += ["", *prose(f"The whole report is at {letterhead.report_url.replace('{run}', result.run)}")]
    return lines


def _footer(result: RunResult, letterhead: Letterhead) -> list[str]:
    """The signature: below its mark tools read nothing. Who this is, and how not to hear of it again."""
    who = f"A program sent this: ktrial {result.environment.ktrial}"
    what = "which builds a kernel without and with a series, boots both, and runs the same tests on both."
    how = letterhead.opt_out or "To get no more such mail, reply and say so."
    return ["-- ", *prose(f"{who}, {what}"), *prose(how), *prose(f"run {result.run}")]
