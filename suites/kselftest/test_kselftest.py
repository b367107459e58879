"""One kselftest program is one test; what it tells of its own tests travels along as results of their own.

The programs are built on the host before the guest boots (harness/kselftest), each side's from its own tree. A failing
subtest is a result by itself, so the program fails only for what no subtest tells (selftest_output.judge).
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from kselftest.card import plugged
from kselftest.plan import Program, programs, scale, tree_root
from kselftest.run import Ended, run_program, writable_tree

# The guest's own deadline is only for a kernel that hangs; a program that runs too long is ended by us before.
_MARGIN = 60.0
_SHOWN = 60_000  # characters of output kept with the result
_TIME_OUT = 124  # timeout(1), kselftest/runner.sh
_LEAVES = "leaves nothing behind"  # harness/kselftest/proof.py knows it by this name
_NAMED = 6  # of what it left, in one line
# The words of a shell, of `ip netns exec`, and of test_progs on status 127 (system(3)).
_MISSING = re.compile(
    r": (?:line )?\d+: ([\w.+-]+): (?:command )?not found$"
    r"|^exec of \"([\w.+-]+)\" failed: No such file"
    r"|:FAIL:(?:ip netns exec \S+ )?([\w.+-]+) .*error: 32512\b",
    re.MULTILINE,
)
# What ethtool and iproute2 say of options that came later than they did.
_OLDER = re.compile(r'\b(ethtool): bad command line argument|is unknown, try "(ip|tc|bridge|devlink)\b')


def _cases() -> list[object]:
    """The plan's programs; where there is no plan, one case that says so."""
    return [
        pytest.param(program, id=program.id, marks=pytest.mark.deadline(program.timeout + _MARGIN))
        for program in programs()
    ] or [pytest.param(None, id="none")]


@pytest.fixture(scope="session")
def tree() -> Path:
    return writable_tree(tree_root())


@pytest.mark.parametrize("program", _cases())
def test(program: Program | None, request: pytest.FixtureRequest) -> None:
    """What the program says: by its exit status, and by KTAP or whatever dialect it speaks."""
    if program is None:
        pytest.skip("no selftests were built: ktrial run --suite kselftest:NAME does it")
    if program.skip:
        pytest.skip(program.skip)
    tree = request.getfixturevalue("tree")
    with plugged(program.card) if program.card else contextlib.nullcontext() as card:
        ended = run_program(tree, program, program.timeout * scale(), card)
    print(ended.output[-_SHOWN:])
    outcome, reason, cases = _read(program, ended)
    for remark in _remarks(ended):
        print(remark)
    request.node.user_properties.append(("ktrial-subtests", cases + _left_behind(ended)))
    if outcome == "skipped":
        pytest.skip(reason)
    if outcome == "xfailed":
        pytest.xfail(reason)
    if outcome == "failed":
        pytest.fail(reason, pytrace=False)


def _read(program: Program, ended: Ended) -> tuple[str, str, list[dict[str, object]]]:
    """(outcome, reason, subtests) of a program that ended."""
    sys.path.insert(0, os.environ["KTRIAL_KSELFTEST_READER"])
    try:
        output = importlib.import_module("harness.selftest_output")
    finally:
        sys.path.pop(0)
    runner, _, own = program.name.partition("/")
    report = output.parse_output(runner if own else program.name, ended.output)
    report = replace(report, cases=tuple(_excused(case) for case in report.cases))
    if ended.cut and report.told:
        lost = f"the first {ended.cut} bytes of its output were too many to keep: results may be lost"
        report = replace(report, problems=(*report.problems, lost))
    outcome, reason = output.judge(report, ended.status, ended.output)
    if ended.status == _TIME_OUT:
        outcome, reason = "failed", f"timed out after {ended.seconds:.0f} s"
    needed = _needed(ended.output)
    if outcome == "failed" and needed and not report.failed and not report.problems and _ended_by_itself(ended):
        outcome, reason = "skipped", needed
    # test_progs calls a test's own result by the test's name, which is the program's.
    cases = [asdict(case) for case in report.cases if case.name != own]
    alone = [case for case in report.cases if case.name == own]
    if alone and outcome == "passed" and alone[0].outcome != "passed":
        outcome, reason = alone[0].outcome, alone[0].reason or reason
    named = [{**case, "name": str(case["name"]).removeprefix(f"{own}/")} for case in cases]
    return outcome, reason, _without_denied(named, program.denied)


def _ended_by_itself(ended: Ended) -> bool:
    """Neither a signal, which a shell tells of its children as 128 and more, nor the time that ran out."""
    return 0 <= ended.status < 128 and ended.status != _TIME_OUT


def _without_denied(cases: list[dict[str, object]], denied: tuple[tuple[str, str], ...]) -> list[dict[str, object]]:
    """The results of subtests, those on the deny-list as skipped, whether they were run or not."""
    found = []
    for case in cases:
        why = next((why for pattern, why in denied if fnmatchcase(str(case["name"]), pattern)), "")
        found.append({**case, "outcome": "skipped", "reason": f"on the deny-list: {why}"} if why else case)
    told = [str(case["name"]) for case in cases]
    missing = [(name, why) for name, why in denied if not any(fnmatchcase(each, name) for each in told)]
    return found + [_case(name, "skipped", f"on the deny-list: {why}") for name, why in missing]


def _left_behind(ended: Ended) -> list[dict[str, object]]:
    """One result that tells what a program left that ended by itself: no failure, for it is no fault of the kernel."""
    if not ended.left or not _ended_by_itself(ended):
        return []
    more = len(ended.left) - _NAMED
    named = ", ".join(ended.left[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    return [_case(_LEAVES, "xfailed", f"left behind, removed: {named}")]


def _remarks(ended: Ended) -> list[str]:
    """What we have to say below a program's own output."""
    cut = [f"# ktrial: the first {ended.cut} bytes of its output were too many to keep"] if ended.cut else []
    return cut + ([f"# ktrial: left behind, removed: {', '.join(ended.left)}"] if ended.left else [])


def _case(name: str, outcome: str, reason: str) -> dict[str, object]:
    """A result of a subtest (harness.ktap.Case)."""
    return {"name": name, "outcome": outcome, "reason": reason, "details": "", "seconds": 0.0}


def _excused(case: Any) -> Any:
    """A test that failed for want of a command says nothing of the kernel."""
    needed = _needed(f"{case.reason}\n{case.details}") if case.outcome == "failed" else ""
    return replace(case, outcome="skipped", reason=needed) if needed else case


def _needed(text: str) -> str:
    """`needs ping, not installed here`, `needs a newer ethtool than the one here`, or ""."""
    missing = {name for names in _MISSING.findall(text) for name in names if name}
    older = {name for names in _OLDER.findall(text) for name in names if name}
    if missing:
        return f"needs {', '.join(sorted(missing))}, not installed here"
    return f"needs a newer {', '.join(sorted(older))} than the one here" if older else ""
