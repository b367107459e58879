"""Read what a kernel selftest printed, in whichever of their dialects: KTAP, or one of those older than it.

* bpf/test_progs: `#12/3 name/subtest:OK`, and `Summary: 1/3 PASSED, 0 SKIPPED, 0 FAILED` (test_progs.c).
* bpf/test_verifier: `#12/p description OK` (test_verifier.c).
* the shell tests of net and drivers/net: `TEST: what is tried   [ OK ]` (net/lib.sh, net/forwarding/lib.sh).

Standard library and harness.ktap only: guests read it too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.ktap import Case, Report, exit_outcome, numbered, parse_ktap

__all__ = ["judge", "parse_output", "parse_shell_tests", "parse_test_progs", "parse_test_verifier"]

_PROGS = re.compile(r"#(\d+)(?:/(\d+))?[ \t]+(.+?):(OK|FAIL|SKIP)(?: \(SKIP: \d+/\d+\))?$")
_SUMMARY = re.compile(r"Summary: \d+(?:/\d+)? PASSED, \d+ SKIPPED, \d+ FAILED$")
_VERIFIER = re.compile(r"#\d+/([up]) (.*)$")
_VERIFIER_END = re.compile(r"(?:^|.*\s)(OK|FAIL|SKIP)\b.*$")
_SHELL = re.compile(r"[ \t]*(?:TEST|TESTCASE): (.+?)[ \t]*\[[ \t]*(OK|PASS|FAIL|SKIP|XFAIL|ok|pass|fail|skip)[ \t]*\]")
_OUTCOMES = {"OK": "passed", "PASS": "passed", "FAIL": "failed", "SKIP": "skipped", "XFAIL": "xfailed"}
_DETAIL_LINES = 60
_XPASSED = re.compile(r"^[# \t]*ok\b.*#[ \t]*XPASS\b", re.MULTILINE)
_SKIPPED = re.compile(r"^ok\b.*#[ \t]*SKIP\w*[ \t:]*(?=\S)")  # before the words of ksft_exit_skip
_XFAIL_STATUS, _XPASS_STATUS, _SKIP_STATUS = 2, 3, 4  # kselftest.h: KSFT_*
_CRASH = re.compile(r"Caught signal #(\d+)")


def parse_output(program: str, text: str) -> Report:
    """The results in `text`, which the program of that name printed. Where it follows no dialect: none."""
    if program.startswith("test_progs"):
        return parse_test_progs(text)
    if program == "test_verifier":
        return parse_test_verifier(text)
    report = parse_ktap(text)
    return report if report.told else parse_shell_tests(text)


def parse_test_progs(text: str) -> Report:
    """Subtests as `test/subtest`, and each test that has none, or fails though none of them does.

    A failing test's lines are printed again under `All error logs:`; the first time counts. Without the summary the
    program died, and what it had not told is lost.
    """
    told: dict[tuple[str, str], Case] = {}
    words: list[str] = []
    ended = False
    for line in text.splitlines():
        ended = ended or _SUMMARY.match(line) is not None
        match = _PROGS.match(line)
        if match is None:
            words.append(line)
            continue
        key = (match[1], match[2] or "")
        told.setdefault(key, _of_progs(match[3].strip(), _OUTCOMES[match[4]], words))
        words = []
    crash = next((match[0] for match in map(_CRASH.search, text.splitlines()) if match), "")
    problems = () if ended else (f"test_progs ended without its summary{f' ({crash})' if crash else ''}",)
    return Report(numbered(_leaves(told)), problems, told=bool(told) or ended)


def _of_progs(name: str, outcome: str, words: Sequence[str]) -> Case:
    failed = outcome == "failed"
    return Case(name, outcome, _failure(words) if failed else "", _tail(words) if failed else "")


def _leaves(told: dict[tuple[str, str], Case]) -> list[Case]:
    """Every subtest; a test above them only where they do not explain it."""
    found = []
    for (test, subtest), case in told.items():
        below = [each for (number, sub), each in told.items() if number == test and sub]
        explained = case.outcome != "failed" or any(each.outcome == "failed" for each in below)
        if subtest or not below or not explained:
            found.append(case)
    return found


def _failure(words: Sequence[str]) -> str:
    """test_progs' own words on a failed check: `test_x:FAIL:what actual 1 != expected 2`, else the last line."""
    checks = [line for line in words if ":FAIL:" in line]
    said = checks or [line for line in words if line.strip()]
    return said[0 if checks else -1].strip()[:300] if said else "FAIL"


def parse_test_verifier(text: str) -> Report:
    """One case for each program and way of loading it: `description/p` privileged, `description/u` not.

    The number is no part of the name: it shifts whenever a test is added.
    """
    cases: list[Case] = []
    name = ""
    words: list[str] = []
    ended = False
    for line in text.splitlines():
        ended = ended or _SUMMARY.match(line) is not None
        match = _VERIFIER.match(line)
        if match:
            name, words, rest = match[2], [], match[2]
        else:
            rest = line
        end = _VERIFIER_END.match(rest) if name else None
        if end is None:
            words.append(line)
            continue
        which = _VERIFIER.match(line)
        if which:
            name = rest[: end.start(1)].rstrip()
            kind = which[1]
            cases.append(_of_verifier(f"{_described(name)}/{kind}", end[1], line, words))
        name = ""
    problems = () if ended else ("test_verifier ended without its summary",)
    return Report(numbered(_explained(cases, text)), problems, told=bool(cases) or ended)


_REMARK = re.compile(r"\s*(?:Did not run the program \([^)]*\)|NOTE: .*)$")


def _described(name: str) -> str:
    return _REMARK.sub("", name).strip() or "unnamed"


def _of_verifier(name: str, word: str, line: str, words: Sequence[str]) -> Case:
    outcome = _OUTCOMES[word]
    return Case(name, outcome, line.strip()[:300] if outcome == "failed" else "", _tail(words))


def _explained(cases: Sequence[Case], text: str) -> list[Case]:
    """A failure's own words follow its line: `FAIL` alone tells nothing."""
    if not any(case.outcome == "failed" for case in cases):
        return list(cases)
    after: dict[str, list[str]] = {}
    current = ""
    for line in text.splitlines():
        if _VERIFIER.match(line):
            current = line.strip()[:300]
            after[current] = []
        elif current and not _SUMMARY.match(line):
            after[current].append(line)
    return [_with_words(case, after.get(case.reason, [])) if case.outcome == "failed" else case for case in cases]


def _with_words(case: Case, words: Sequence[str]) -> Case:
    said = next((line.strip() for line in words if line.strip()), "")
    return Case(case.name, case.outcome, (said or case.reason)[:300], _tail(words))


def parse_shell_tests(text: str) -> Report:
    """The lines `TEST: name   [ OK ]` of the network tests' shell library.

    What was wrong is on the line below, after a tab (net/lib.sh: log_test_result).
    """
    cases: list[Case] = []
    words: list[str] = []
    lines = text.splitlines()
    for line, above, below in zip(lines, ["", *lines], [*lines[1:], ""], strict=False):
        match = _SHELL.match(line)
        if match:
            said = [below] if _explains(below) else []
            cases.append(_of_shell(match, [*words, *said], "".join(said).strip()))
            words = []
        elif not (_explains(line) and _SHELL.match(above)):
            words.append(line)
    return Report(numbered(cases), told=bool(cases))


def _explains(line: str) -> bool:
    return line.startswith("\t") and not _SHELL.match(line)


def _of_shell(match: re.Match[str], words: Sequence[str], said: str) -> Case:
    outcome = _OUTCOMES[match[2].upper()]
    reason = said[:300] if outcome != "passed" else ""
    return Case(" ".join(match[1].split())[:160], outcome, reason, _tail(words) if outcome == "failed" else "")


def judge(report: Report, status: int, text: str) -> tuple[str, str]:
    """A program's own (outcome, reason), beside those of its tests, from what it told and its exit status.

    A test that fails speaks for itself; the program fails where something went wrong that none of them tells: results
    lost, a stop half way, a signal, a bad exit status for no reason given. A skip outweighs the results that it leaves
    out of the plan (kselftest.h: ksft_exit_skip).
    """
    outcome, reason = _ended(report, status, text)
    left_out = status == _SKIP_STATUS and not report.failed and set(report.problems) <= set(report.miscounted)
    if report.problems and not left_out:
        return "failed", "; ".join((*report.problems, reason) if outcome == "failed" else report.problems)
    if status < 0 or (outcome == "failed" and not report.failed):
        said = _last_words(text)
        return "failed", f"{reason}: {said}" if said else reason
    if outcome in ("skipped", "xfailed"):
        return outcome, _why(report, text) or reason
    if report.skipped:
        return "skipped", report.skipped
    if report.cases and all(case.outcome == "skipped" for case in report.cases):
        return "skipped", _why(report, text)
    return "passed", f"{len(report.failed)} of {len(report.cases)} subtests failed" if report.failed else ""


def _ended(report: Report, status: int, text: str) -> tuple[str, str]:
    """What the exit status says: a failure that was expected, or did not come, only where the output tells of one.

    bpf/xskxceiver.c ends with KSFT_XFAIL after any error, and a shell with 2 where it cannot read a script.
    """
    outcome, reason = exit_outcome(status)
    if status == _XFAIL_STATUS and not report.failed and any(case.outcome == "xfailed" for case in report.cases):
        return "xfailed", reason
    if status == _XPASS_STATUS and report.told and _XPASSED.search(text):
        return "passed", ""
    return outcome, reason


def _why(report: Report, text: str) -> str:
    """Why a program was skipped: its plan says so, its tests do, or its last words."""
    skipped = next((case.reason for case in report.cases if case.reason), "")
    marked = [line.strip(" #\t") for line in text.splitlines() if "skip" in line.lower()]
    return report.skipped or skipped or (_SKIPPED.sub("", marked[-1])[:300] if marked else _last_words(text))


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def _tail(words: Sequence[str]) -> str:
    return "\n".join(words[-_DETAIL_LINES:]).strip("\n")
