"""The result as KTAP, version 1 (Documentation/dev-tools/ktap.rst): one test for each file, its tests below it.

A `#` ends a description there and nothing can quote it, so that in a name it is written as its escape, `\\x23`.
Diagnostic lines begin with `# | `: readers that take `# ok 1` for a result of a nested test (kselftest's runner nests
so) find none in what a test or a kernel printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.report import safe
from harness.report.cases import Case, Standing, cases_of
from harness.report.facts import config_notes, environment_facts
from harness.run_result import RunResult

__all__ = ["ktap_text"]

_VERSION = "KTAP version 1"
_INDENT = "  "
_LINES = 60  # of a failure's details, and of its log


def ktap_text(result: RunResult) -> str:
    """The whole output, with a plan at every level."""
    by_file: dict[str, list[Case]] = {}
    for case in cases_of(result):
        by_file.setdefault(case.file, []).append(case)
    lines = [_VERSION, f"1..{len(by_file)}", *(f"# {line}" for line in _head(result))]
    for number, (file, cases) in enumerate(by_file.items(), 1):
        lines += [f"{_INDENT}{line}" for line in _below(file, cases)]
        lines.append(_result(number, file, _together(cases), _count(cases)))
    return "\n".join((*lines, ""))


def _head(result: RunResult) -> Iterator[str]:
    yield f"| {safe.line(result.verdict.line)}"
    series = (("series", result.series.title),) if result.series else ()
    for name, value in (("run", result.run), *series, *config_notes(result), *environment_facts(result)):
        yield f"| {safe.line(name)}: {safe.line(value)}"


def _below(file: str, cases: Sequence[Case]) -> Iterator[str]:
    yield _VERSION
    yield f"# Subtest: {_name(file)}"
    yield f"1..{len(cases)}"
    for number, case in enumerate(cases, 1):
        if case.standing in (Standing.FAILED, Standing.ERROR):
            yield from _diagnostics(case)
        yield _result(number, case.name, case.standing, case.message, timed_out=case.timed_out)


def _diagnostics(case: Case) -> Iterator[str]:
    yield f"# | {safe.line(case.message)}"
    for text in (case.details, case.log):
        lines = text.splitlines()
        left_out = max(len(lines) - _LINES, 0)
        if left_out:
            yield f"# | ... ({left_out} lines before)"
        for each in lines[left_out:]:
            yield from (f"# | {line}" for line in safe.block(each))


def _result(number: int, name: str, standing: Standing, why: str, *, timed_out: bool = False) -> str:
    """`ok 3 name # SKIP why`. Why it failed is in the lines above: behind a `#` it could read as a directive."""
    bad = standing in (Standing.FAILED, Standing.ERROR)
    line = f"{'not ok' if bad else 'ok'} {number} {_name(name)}"
    directive = {Standing.ERROR: "ERROR", Standing.SKIPPED: "SKIP", Standing.EXPECTED: "XFAIL"}.get(standing, "")
    if timed_out and standing is Standing.FAILED:
        directive = "TIMEOUT"
    return f"{line} # {directive} {_name(why)}".rstrip() if directive else line


def _together(cases: Sequence[Case]) -> Standing:
    """A test fails where one below it does, and is skipped where all are (ktap.rst, Nested tests)."""
    standings = {case.standing for case in cases}
    if standings & {Standing.FAILED, Standing.ERROR}:
        return Standing.FAILED
    return Standing.SKIPPED if standings == {Standing.SKIPPED} else Standing.PASSED


def _count(cases: Sequence[Case]) -> str:
    return f"all {len(cases)}" if len(cases) > 1 else cases[0].message


def _name(name: str) -> str:
    shown = safe.line(name).replace("#", "\\x23").strip()
    return f"\\x2d{shown[1:]}" if shown.startswith("- ") else shown  # which readers take for what is before a name
