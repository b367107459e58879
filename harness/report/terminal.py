"""The result on a terminal: the verdict first, then what changed and what it costs, then what it was made of.

Plain text where there is no terminal, no colour under NO_COLOR (Rich sees to both), readable at 80 columns. All text
that comes from a series, a test or a guest goes through harness.report.safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from itertools import groupby

from rich.console import Console
from rich.text import Text

from harness.compare import Change
from harness.errors import ExitCode
from harness.kselftest.proof import Proof, ProofKind, proof_words
from harness.perf.model import FigureChange
from harness.report import changes, safe
from harness.report.decode import Places
from harness.report.environment import carried, host_words
from harness.report.excused import excused_splats, excused_words, list_words
from harness.report.facts import broken_words, kernel_facts, near, side_words
from harness.report.figures import performance_table
from harness.report.layout import Fact, commands, facts, indented, name_lines, put, wrapped
from harness.run_result import RunResult
from harness.verdict import VerdictKind

__all__ = ["Verbosity", "render"]


class Verbosity(IntEnum):
    QUIET = 0  # the verdict and the names of what broke
    NORMAL = 1
    VERBOSE = 2  # everything, uncut


_ROWS = 20
_WARNINGS = 10
_FAILURE_LINES = 40


def render(
    result: RunResult, console: Console, *, verbosity: Verbosity = Verbosity.NORMAL, places: Places | None = None
) -> None:
    """Print the report of a run. places: where in the source frames of call traces are, where that was looked up."""
    whole = verbosity is Verbosity.VERBOSE
    console.print(_verdict(result), soft_wrap=True)  # one line wherever it goes
    if verbosity is Verbosity.QUIET:
        _quiet(result, console)
        return
    put(console)
    if result.failure:
        _failure(result, console)
    if result.comparison:
        changes.lists(result, changes.BAD, console, whole=whole)
        changes.failures(result, result.comparison, console, places or Places(), whole=whole)
        changes.kernel_log(result.comparison, console, places or Places(), whole=whole)
    _culprits(result, console)
    broke = result.comparison is not None and bool(result.comparison.blamed or result.comparison.blamed_log)
    if broke:
        _reproduce(result, console)
    if result.comparison:
        changes.lists(result, changes.OTHER, console, whole=whole)
    _excused(result, console, whole)
    _proofs(result.proofs, console, whole)
    if result.performance:
        console.print(performance_table(result.performance, every=whole))
        put(console)
    if not broke:
        _reproduce(result, console)
    _warnings(result, console, whole)
    folder = result.paths.folder
    logs = [("logs", folder), *((name, near(path, folder)) for name, path in result.paths.logs)]
    facts(console, [*_subject(result), *_configured(result), *(carried(result) if whole else _ran(result))], logs)


def _verdict(result: RunResult) -> Text:
    good = result.verdict.exit_code is ExitCode.NO_REGRESSION
    bad = result.verdict.exit_code is ExitCode.REGRESSION
    return safe.text(result.verdict.line, "bold green" if good else "bold red" if bad else "bold yellow")


def _quiet(result: RunResult, console: Console) -> None:
    """The names of what broke: tests, splats, figures."""
    comparison, performance = result.comparison, result.performance
    names = [test.test for test in (*comparison.blamed, *comparison.of(Change.FAILING))] if comparison else []
    names += [item.splat.key for item in comparison.blamed_log] if comparison else []
    names += [figure.bench for figure in performance.of(FigureChange.WORSE)] if performance else []
    for name in names:
        put(console, "  ", safe.text(name))


def _failure(result: RunResult, console: Console) -> None:
    """The error that stopped the run: what was seen, what to try, where the log is."""
    assert result.failure is not None
    indented(console, safe.block(result.failure.detail, _FAILURE_LINES) if result.failure.detail else ())
    if result.failure.hint:
        wrapped(console, Text.assemble(("try: ", "bold"), safe.text(result.failure.hint)), "", "  ")
    if result.failure.log:
        put(console, Text("log: ", "bold"), safe.text(result.failure.log))
    put(console)


def _culprits(result: RunResult, console: Console) -> None:
    """Which patch broke which tests, where that was looked for."""
    for each in result.broken_by:
        wrapped(console, Text.assemble(("broken by ", "bold"), safe.text(broken_words(each))), "", "  ")
    if result.broken_by:
        put(console)


def _excused(result: RunResult, console: Console, whole: bool) -> None:
    """What the kernel logged and an allow-list lets pass."""
    found = excused_splats(result)
    if not found:
        return
    if not whole:
        wrapped(console, safe.text(excused_words(found), "yellow"), "", "  ")
    for each in found if whole else ():
        wrapped(console, Text.assemble(("allowed in the kernel log: ", "yellow"), safe.text(each.key)), "", "  ")
        seen = (f"seen on {side}: {', '.join(names)}" for side, names in each.seen)
        indented(console, map(safe.line, (f"why: {each.reason}", f"pattern: {each.pattern}", *seen)))
    put(console)


def _reproduce(result: RunResult, console: Console) -> None:
    if result.reproduce:
        put(console, Text("reproduce", "bold"))
        commands(console, result.reproduce)
        put(console)


def _proofs(proofs: Sequence[Proof], console: Console, whole: bool) -> None:
    """What the series' own selftests show, when they are run on the base kernel too."""
    if not proofs:
        return
    head = ("the series' own selftests, on both kernels: ", "bold")
    wrapped(console, Text.assemble(head, safe.text(proof_words(proofs))), "", "  ")
    ordered = sorted(proofs, key=lambda proof: (list(ProofKind).index(proof.kind), _ends(proof), _file(proof)))
    shown = ordered if whole else ordered[:_ROWS]
    for (kind, ends, file), group in groupby(shown, lambda proof: (proof.kind, _ends(proof), _file(proof))):
        style = "green" if kind is ProofKind.PROVEN else "red" if kind is ProofKind.BROKEN else "yellow"
        put(console, "  ", Text(kind, style), f": {ends}", f" in {safe.line(file)}" if file else "")
        for proof in group:
            for line in name_lines(safe.line(proof.test.removeprefix(f"{file}::")), console.width - 4):
                put(console, f"    {line}")
            if proof.reason:
                wrapped(console, Text(f"without: {safe.line(proof.reason)}", "dim"), "      ", "      ")
    if len(shown) < len(proofs):
        put(console, Text(f"... and {len(proofs) - len(shown)} more", "dim"))
    put(console)


def _ends(proof: Proof) -> str:
    """`failed → passed, new`."""
    return f"{proof.without or '-'} → {proof.with_series or '-'}{', new' if proof.new else ''}"


def _file(proof: Proof) -> str:
    return proof.test.rpartition("::")[0]


def _warnings(result: RunResult, console: Console, whole: bool) -> None:
    warnings = result.new_warnings
    if not warnings:
        return
    put(console, Text(f"new compiler warnings: {len(warnings)}", "bold yellow"))
    most = len(warnings) if whole else _WARNINGS
    shown = [safe.line(f"{each.file}:{each.line}: {each.message} {each.flag}".rstrip()) for each in warnings[:most]]
    indented(console, shown + ([f"... and {len(warnings) - most} more"] if len(warnings) > most else []))
    put(console)


def _subject(result: RunResult) -> list[Fact]:
    """Which series, on which base, and how many tests ended how."""
    told: list[Fact] = []
    if result.series:
        series = result.series
        revision = f" v{series.version}" if series.version > 1 else ""
        tags = f" [{' '.join(series.tags)}]" if series.tags else ""
        count = f"{len(series.patches)} patch{'' if len(series.patches) == 1 else 'es'}"
        told.append(("series", f"{series.title}{revision}{tags}, {count} by {series.author}"))
        told += [("note", remark) for remark in series.remarks]
    if result.tree:
        tree = result.tree
        told.append(("base", f"{tree.base_commit[:12]} ({tree.version}, {tree.label}): {tree.base_why}"))
        told += [("patched", tree.patched_commit[:12])] if tree.patched_commit else []
    told += [("suite", f"{suite.name} ({suite.why})") for suite in result.suites]
    told += [("not compiled", f"{gap.file}: {gap.why}") for gap in result.uncompiled[:_WARNINGS]]
    told += [(f"tests, {side.side}", side_words(side)) for side in (result.base, result.patched) if side]
    return told


def _configured(result: RunResult) -> list[Fact]:
    """How the kernels were configured and built."""
    told: list[Fact] = []
    if result.config:
        config = result.config
        digest = config.patched_digest[:12]
        other = "" if config.base_digest == config.patched_digest else f" (base {config.base_digest[:12]})"
        told.append(("config", f"{digest}{other}: {config.config_base} + {', '.join(config.fragments)}"))
        if config.touched:
            told.append(("turned on", f"{', '.join(config.touched)}: compile what the series touches"))
        told += [("absent", f"{symbol}: {reason}") for symbol, reason in config.absent]
    told += [(f"kernel, {kernel.side}", kernel_facts(kernel)) for kernel in result.kernels]
    told += [("kernel, patched", "did not build")] if result.verdict.kind is VerdictKind.DOES_NOT_BUILD else []
    return told


def _ran(result: RunResult) -> list[Fact]:
    """What built and ran them, in few lines."""
    environment = result.environment
    pahole = f"pahole {environment.pahole}" if environment.pahole else ""
    built = ", ".join(part for part in (environment.compiler, environment.linker, pahole) if part)
    ran = ", ".join(part for part in (environment.qemu, environment.virtme_ng) if part)
    accelerator = environment.accelerator + (f" ({environment.accelerator_why})" if environment.accelerator_why else "")
    told = [
        ("allowed splats", list_words(result.allow_splats)),
        ("compiler", built),
        ("machine", ran),
        ("accelerator", accelerator),
        ("host", host_words(environment)),
    ]
    return [fact for fact in (*told, ("ktrial", environment.ktrial)) if fact[1]]
