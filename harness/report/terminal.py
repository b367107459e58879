"""The result on a terminal: the verdict first, then what a maintainer asks next.

Plain text where there is no terminal, no colour under NO_COLOR (Rich sees to both), readable at 80 columns. All text
that comes from a series, a test or a guest goes through harness.report.safe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from itertools import groupby

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.compare import Change, Comparison, LogChange, TestChange
from harness.errors import ExitCode
from harness.kselftest.proof import Proof, ProofKind, proof_words
from harness.report import safe
from harness.report.figures import performance_table
from harness.results import LEFT_REASON, Outcome, SideResults, Splat, TestResult, left_reason
from harness.run_result import KernelInfo, RunResult
from harness.splats import brief

__all__ = ["Verbosity", "render"]


class Verbosity(IntEnum):
    QUIET = 0  # the verdict and the names of what broke
    NORMAL = 1
    VERBOSE = 2  # everything, uncut


_STYLES = {
    Change.REGRESSION: "bold red",
    Change.NEW_FAILING: "red",
    Change.NOW_SKIPPED: "red",
    Change.FAILING: "red",
    Change.VANISHED: "yellow",
    Change.LOST: "yellow",
    Change.FLAKY: "yellow",
    Change.KNOWN_SPLAT: "yellow",
    Change.STILL_FAILING: "dim",
    Change.FIXED: "green",
    Change.NEW_PASSING: "green",
}
_UNREMARKABLE = (Change.SAME, Change.NOT_COMPARED)
_ROWS = 20  # of one change, in the table
_SHOWN = 3  # failures told at length
_DETAIL_LINES = 12
_SPLAT_LINES = 14
_WARNINGS = 10
_NAMES = 14  # cells of the names beside facts


def render(result: RunResult, console: Console, *, verbosity: Verbosity = Verbosity.NORMAL) -> None:
    """Print the report of a run."""
    console.print(_verdict(result), soft_wrap=True)  # one line wherever it goes
    if verbosity is Verbosity.QUIET:
        _quiet(result, console)
        return
    console.print()
    if result.failure:
        _failure(result, console)
    _subject(result, console)
    if result.comparison:
        _changes(result.comparison, console, verbosity)
        _failures(result, result.comparison, console, verbosity)
        _kernel_log(result.comparison, console, verbosity)
    _culprits(result, console)
    _proofs(result.proofs, console, verbosity)
    if result.performance:
        console.print(performance_table(result.performance, every=verbosity is Verbosity.VERBOSE))
        console.print()
    _warnings(result, console, verbosity)
    _counts(result, console)
    _environment(result, console)
    _places(result, console)


def _verdict(result: RunResult) -> Text:
    good = result.verdict.exit_code is ExitCode.NO_REGRESSION
    bad = result.verdict.exit_code is ExitCode.REGRESSION
    return safe.text(result.verdict.line, "bold green" if good else "bold red" if bad else "bold yellow")


def _culprits(result: RunResult, console: Console) -> None:
    """Which patch broke which tests, where that was looked for."""
    for each in result.broken_by:
        which = f"patch {each.last}" if each.first == each.last else f"one of patches {each.first} to {each.last}"
        told = f"{which} ({each.subject}): {len(each.tests)} tests, {each.tests[0]}"
        more = f" and {len(each.tests) - 1} more" if len(each.tests) > 1 else ""
        console.print(Text("broken by  ", "bold") + safe.text(told + more))
    if result.broken_by:
        console.print()


def _quiet(result: RunResult, console: Console) -> None:
    comparison = result.comparison
    for test in (*comparison.blamed, *comparison.of(Change.FAILING)) if comparison else ():
        console.print(Text("  ") + safe.text(test.test))


def _failure(result: RunResult, console: Console) -> None:
    """The error that stopped the run: what was seen, what to try, where the log is."""
    assert result.failure is not None
    _lines(console, safe.block(result.failure.detail, 40) if result.failure.detail else ())
    if result.failure.hint:
        console.print(Text("try: ", "bold") + safe.text(result.failure.hint))
    if result.failure.log:
        console.print(Text("log: ", "bold") + safe.text(result.failure.log))
    console.print()


def _subject(result: RunResult, console: Console) -> None:
    """Which series, on which base."""
    facts: list[tuple[str, str]] = []
    if result.series:
        series = result.series
        revision = f" v{series.version}" if series.version > 1 else ""
        tags = f" [{' '.join(series.tags)}]" if series.tags else ""
        count = f"{len(series.patches)} patch{'' if len(series.patches) == 1 else 'es'}"
        facts.append(("series", f"{series.title}{revision}{tags}, {count} by {series.author}"))
        facts += [("note", remark) for remark in series.remarks]
    if result.tree:
        tree = result.tree
        facts.append(("base", f"{tree.base_commit[:12]} ({tree.version}, {tree.label}): {tree.base_why}"))
    facts += [("suite", f"{suite.name} ({suite.why})") for suite in result.suites]
    facts += [("not compiled", f"{gap.file}: {gap.why}") for gap in result.uncompiled[:_WARNINGS]]
    _facts(console, facts)


def _changes(comparison: Comparison, console: Console, verbosity: Verbosity) -> None:
    """The table of what differs."""
    differing = [change for change in Change if change not in _UNREMARKABLE and comparison.of(change)]
    if not differing:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False, padding=(0, 1))
    table.add_column("change", no_wrap=True)
    table.add_column("test", overflow="fold", ratio=1)
    if comparison.compared:
        table.add_column("base", no_wrap=True)
    table.add_column("patched" if comparison.compared else "outcome", no_wrap=True)
    for change in differing:
        for cells in _rows(comparison, change, verbosity):
            table.add_row(*(cells if comparison.compared else (*cells[:2], *cells[3:])))
    console.print(table)


def _rows(comparison: Comparison, change: Change, verbosity: Verbosity) -> Iterator[tuple[Text, Text, Text, Text]]:
    """The tests of one change under their files: a name less its file fits a narrow terminal."""
    tests = comparison.of(change)
    most = len(tests) if verbosity is Verbosity.VERBOSE else _ROWS
    word = Text(str(change), _STYLES.get(change, ""))
    for file, group in groupby(tests[:most], lambda test: test.test.rpartition("::")[0]):
        if file:
            yield word, safe.text(file), Text(), Text()
            word = Text()
        for test in group:
            name = Text("  " if file else "") + safe.text(test.test.removeprefix(f"{file}::")) + _qualified(test)
            yield word, name, _outcomes(test.base_outcomes), _outcomes(test.patched_outcomes)
            word = Text()
    if len(tests) > most:
        yield word, Text(f"... and {len(tests) - most} more", "dim"), Text(), Text()


def _qualified(test: TestChange) -> Text:
    return Text(" (worse)" if test.worse else " (differs)" if test.differs else "", "bold")


def _outcomes(outcomes: Sequence[Outcome]) -> Text:
    """`failed`, `3x failed`, `2x passed, failed`."""
    if not outcomes:
        return Text("-", "dim")
    counts = Counter(outcomes)
    return Text("\n".join(f"{count}x {outcome}" if count > 1 else str(outcome) for outcome, count in counts.items()))


def _failures(result: RunResult, comparison: Comparison, console: Console, verbosity: Verbosity) -> None:
    """The first failures at length: the assertion, and what the kernel said."""
    failing = (*comparison.blamed, *comparison.of(Change.FAILING))
    most = len(failing) if verbosity is Verbosity.VERBOSE else _SHOWN
    for test in failing[:most]:
        console.print(safe.text(test.test, "bold"))
        _lines(console, _why(result, test, verbosity))
        console.print()
    if len(failing) > most:
        console.print(Text(f"... and {len(failing) - most} more, listed above\n", "dim"))


def _why(result: RunResult, test: TestChange, verbosity: Verbosity) -> list[str]:
    whole = verbosity is Verbosity.VERBOSE
    lines = [safe.line(test.reason)] if test.reason else []
    attempt = _worst(result.patched, test)
    if attempt and attempt.details:
        lines += safe.block(attempt.details) if whole else _assertion(attempt.details)
    for splat in (attempt.splats if attempt else ())[: None if whole else 1]:
        lines += _splat_lines(splat, whole)
    if attempt and attempt.left and not test.reason.startswith(LEFT_REASON):
        lines.append(safe.line(left_reason(attempt.left)))
    if test.base_reason and test.change in (Change.REGRESSION, Change.NOW_SKIPPED):
        lines.append(f"on base: {safe.line(test.base_reason)}")
    return lines


def _worst(side: SideResults | None, test: TestChange) -> TestResult | None:
    """The attempt that `test.patched` tells of."""
    results = side.results if side else ()
    return next((each for each in results if each.test == test.test and each.outcome is test.patched), None)


def _assertion(details: str) -> list[str]:
    """Of pytest's report the lines that say what was wrong: those it marks with `E`, and the statement above them."""
    lines = details.splitlines()
    marked = [at for at, each in enumerate(lines) if each.startswith(("E ", ">"))]
    return safe.block("\n".join(lines[at] for at in marked), _DETAIL_LINES) if marked else []


def _splat_lines(splat: Splat, whole: bool) -> list[str]:
    return safe.block(splat.text) if whole else safe.block("\n".join(brief(splat)), _SPLAT_LINES)


def _kernel_log(comparison: Comparison, console: Console, verbosity: Verbosity) -> None:
    """Splats that no test explains, and those that only base has."""
    for item in comparison.kernel_log:
        _log_item(item, comparison.compared, console, verbosity)
    for splat in comparison.gone if comparison.compared else ():
        console.print(Text("gone from the kernel log: ", "green") + safe.text(splat.key))


def _log_item(item: LogChange, compared: bool, console: Console, verbosity: Verbosity) -> None:
    what = "new in the kernel log: " if compared else "in the kernel log: "
    console.print(Text(what, "bold red" if item.blamed else "yellow") + safe.text(item.splat.key))
    blame = "" if item.blamed else "; not blamed: a slow host can cause it, and not every guest had it"
    lines = [safe.line(f"seen in {', '.join(item.where[:4])}{' ...' if len(item.where) > 4 else ''}{blame}")]
    _lines(console, [*lines, *_splat_lines(item.splat, verbosity is Verbosity.VERBOSE)])
    console.print()


def _proofs(proofs: Sequence[Proof], console: Console, verbosity: Verbosity) -> None:
    """What the series' own selftests show, when they are run on the base kernel too."""
    if not proofs:
        return
    console.print(Text("the series' own selftests, on both kernels: ", "bold") + safe.text(proof_words(proofs)))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False, padding=(0, 1))
    for title in ("shows", "test", "base", "patched"):
        table.add_column(title, overflow="fold")
    ordered = sorted(proofs, key=lambda proof: list(ProofKind).index(proof.kind))
    shown = ordered if verbosity is Verbosity.VERBOSE else ordered[:_ROWS]
    for proof in shown:
        style = "green" if proof.kind is ProofKind.PROVEN else "red" if proof.kind is ProofKind.BROKEN else "yellow"
        name = safe.text(proof.test) + Text(" (new)" if proof.new else "", "dim")
        table.add_row(Text(proof.kind, style), name, str(proof.without or "-"), str(proof.with_series or "-"))
    console.print(table)
    if len(shown) < len(proofs):
        console.print(Text(f"... and {len(proofs) - len(shown)} more\n", "dim"))


def _warnings(result: RunResult, console: Console, verbosity: Verbosity) -> None:
    warnings = result.new_warnings
    if not warnings:
        return
    console.print(Text(f"new compiler warnings: {len(warnings)}", "bold yellow"))
    most = len(warnings) if verbosity is Verbosity.VERBOSE else _WARNINGS
    shown = [safe.line(f"{each.file}:{each.line}: {each.message} {each.flag}".rstrip()) for each in warnings[:most]]
    _lines(console, shown + ([f"... and {len(warnings) - most} more"] if len(warnings) > most else []))
    console.print()


def _counts(result: RunResult, console: Console) -> None:
    """How many of each outcome, on each side."""
    sides = [side for side in (result.base, result.patched) if side]
    facts = [(safe.line(side.side), _count_line(side)) for side in sides]
    _facts(console, facts)


def _count_line(side: SideResults) -> str:
    last = {each.test: each.outcome for each in side.results}
    counts = Counter(last.values())
    told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome])
    ends = Counter(boot.end for boot in side.boots if boot.end != "clean")
    boots = f"{len(side.boots)} boot{'' if len(side.boots) == 1 else 's'}"
    odd = "".join(f", {count} {end}" for end, count in sorted(ends.items()))
    return f"{told or 'no results'}; {boots}{odd}; {_duration(side.seconds)}"


def _environment(result: RunResult, console: Console) -> None:
    environment = result.environment
    facts: list[tuple[str, str]] = []
    if result.config:
        config = result.config
        digest = config.patched_digest[:12]
        other = "" if config.base_digest == config.patched_digest else f" (base {config.base_digest[:12]})"
        facts.append(("config", f"{digest}{other}: {config.config_base} + {', '.join(config.fragments)}"))
        if config.touched:
            facts.append(("turned on", f"{', '.join(config.touched)}: compile what the series touches"))
        facts += [("absent", f"{symbol}: {reason}") for symbol, reason in config.absent]
    facts += [(f"kernel {kernel.side}", _kernel_line(kernel)) for kernel in result.kernels]
    pahole = f"pahole {environment.pahole}" if environment.pahole else ""
    built = ", ".join(part for part in (environment.compiler, environment.linker, pahole) if part)
    ran = ", ".join(part for part in (environment.qemu, environment.virtme_ng) if part)
    accelerator = environment.accelerator + (f" ({environment.accelerator_why})" if environment.accelerator_why else "")
    facts += [("compiler", built), ("machine", ran), ("accelerator", accelerator), ("ktrial", environment.ktrial)]
    _facts(console, [fact for fact in facts if fact[1]])


def _kernel_line(kernel: KernelInfo) -> str:
    if kernel.reused:
        return f"{kernel.version}, found ready in the cache"
    return f"{kernel.version}, {kernel.compiled} objects compiled in {_duration(kernel.seconds)}"


def _places(result: RunResult, console: Console) -> None:
    _facts(console, [("logs", result.paths.folder), *result.paths.logs])
    if not result.reproduce:
        return
    console.print(Text("reproduce", "bold"))
    for each in safe.block(result.reproduce):
        console.print(Text(f"  {each}"), soft_wrap=True)


def _facts(console: Console, facts: Iterable[tuple[str, str]]) -> None:
    """`name  value` lines, the values aligned and wrapped within their column."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold", min_width=_NAMES)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(safe.text(name), safe.text(value))
    if table.row_count:
        console.print(table)
        console.print()


def _lines(console: Console, lines: Iterable[str]) -> None:
    for each in lines:
        console.print(Padding(Text(each or " ", overflow="fold"), (0, 0, 0, 2), expand=False))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
