"""Read what a kernel test printed as KTAP or TAP: one outcome for each test that has no tests below it.

The format is the kernel's Documentation/dev-tools/ktap.rst; what is found in the wild and read too:
* tests below tests, by indentation (KUnit) and by a `# ` before each line (selftests/kselftest/runner.sh);
* results without numbers, names or plans, a plan at the end, a directive before the name (`ok 1 # SKIP why`);
* any line between them: a program's own words, and the kernel's log on the same terminal.

Standard library only, and nothing else of ours: guests read it too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

__all__ = ["Case", "Report", "exit_outcome", "numbered", "parse_ktap", "without_stamps"]

_RESULT = re.compile(r"(?P<not>not )?ok\b(?:[ \t]+(?P<number>\d+)\b)?(?:[ \t]+-(?=[ \t]|$))?(?P<rest>.*)")
_PLAN = re.compile(r"1\.\.(?P<count>\d+)(?:[ \t]*#[ \t]*(?P<comment>.*))?$")
_VERSION = re.compile(r"K?TAP version\b", re.IGNORECASE)
_SUBTEST = re.compile(r"Subtest:[ \t]*(?P<name>.*)$")
_DIRECTIVE = re.compile(
    r"(?:^|[ \t])#[ \t]*(?P<kind>SKIP|XFAIL|XPASS|TODO|TIMEOUT|ERROR)\w*\b[ \t:]*(?P<rest>.*)$", re.IGNORECASE
)
_TIME = re.compile(r"[ \t]*#[ \t]*time=(?P<amount>[\d.]+)[ \t]*(?P<unit>ms|s|us)?\b")
_EXIT = re.compile(r"[ \t]*#[ \t]*exit=(?P<status>\d+)[ \t]*$")
_COUNTS = re.compile(r"[ \t]*#[ \t]*pass:\d+ fail:\d+ skip:\d+ total:\d+[ \t]*$")  # KUnit's and kselftest's totals
_BAIL = re.compile(r"Bail out![ \t]*(?P<why>.*)$")
_PREFIX = re.compile(r"(?:# |[ \t])*")
_EXCEPTION = re.compile(r"^[# ]*Exception\| ((?:\w+\.)*[A-Z]\w*[a-z]\w*: .*)$")
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_STAMP = re.compile(r"(?:<\d+>)?\[[ \t]*\d+\.\d+\](?:\[[ \t]*[TC]\d+\])? ?")
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, None: 1e-3}
_OUTCOME_WORD = re.compile(r"^(?:PASS|FAIL|SKIP|XFAIL):\s+(?=\S)")
_LONGEST_NAME = 160
_DETAIL_LINES = 60

# kselftest.h: KSFT_PASS, KSFT_SKIP; runner.sh: timeout_rc. To runner.sh 3 (KSFT_XPASS) is a failure, and so was 2
# (KSFT_XFAIL) before it knew it; shells and others end so where they cannot read a script.
_EXIT_OUTCOMES = {0: "passed", 4: "skipped"}
_TIMEOUT_STATUS = 124


@dataclass(frozen=True)
class Case:
    """One result. name: with those of the tests above it, joined by `/`.

    outcome: `passed`, `failed`, `skipped` or `xfailed`, the words of harness.results.Outcome. reason: one line.
    details: what was printed before a result that is not well. seconds: as the test itself measured, 0.0 where not.
    """

    name: str
    outcome: str
    reason: str = ""
    details: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """All that a program told. problems: what makes its word incomplete: results lost, a stop half way.

    miscounted: those of the problems that are no more than another number of results than the plan's.
    skipped: why nothing was run (`1..0 # SKIP why`), or "". told: whether there was any result or plan at all.
    """

    cases: tuple[Case, ...] = ()
    problems: tuple[str, ...] = ()
    skipped: str = ""
    told: bool = False
    miscounted: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if case.outcome == "failed")


@dataclass
class _Level:
    """One list of results. prefix: what its lines begin with. below: results of the tests below the next result."""

    prefix: str
    name: str = ""
    plan: int | None = None
    told: int = 0
    skipped: str = ""
    cases: list[Case] = field(default_factory=list)
    below: list[Case] = field(default_factory=list)


def parse_ktap(text: str) -> Report:
    """Read a program's output. Lines of the kernel's log (`[   12.345678] ...`) in it are left out."""
    reader = _Reader()
    for line in _COLOUR.sub("", text).splitlines():
        if not _STAMP.match(line):
            reader.take(line.rstrip())
    return reader.finish()


def without_stamps(log: str) -> str:
    """A kernel log without its time stamps, as KUnit's results are printed there."""
    return "\n".join(_STAMP.sub("", line, count=1) for line in log.splitlines())


def exit_outcome(status: int) -> tuple[str, str]:
    """What a kselftest program's exit status says by itself: (outcome, reason). A negative one is a signal's number."""
    if status == _TIMEOUT_STATUS:
        return "failed", "exit status 124: it ran out of time"
    if status < 0:
        return "failed", f"killed by signal {-status}"
    return _EXIT_OUTCOMES.get(status, "failed"), f"exit status {status}" if status else ""


def numbered(cases: Iterable[Case]) -> tuple[Case, ...]:
    """The same cases with names of their own: the second `a` becomes `a (2)`."""
    seen: dict[str, int] = {}
    found = []
    for case in cases:
        seen[case.name] = count = seen.get(case.name, 0) + 1
        found.append(case if count == 1 else replace(case, name=f"{case.name} ({count})"))
    return tuple(found)


class _Reader:
    """Goes through the lines, with a stack of the lists that are open, outermost first."""

    def __init__(self) -> None:
        self.levels = [_Level("")]
        self.problems: list[str] = []
        self.miscounted: list[str] = []
        self.words: list[str] = []
        self.told = False
        self.bailed = False

    def take(self, line: str) -> None:
        prefix = _matched(_PREFIX, line)
        rest = line[len(prefix) :]
        if match := _BAIL.match(rest):
            self.bailed = True
            self.problems.append(f"Bail out! {match['why']}".strip())
        elif match := _PLAN.match(rest):
            self._plan(prefix, int(match["count"]), match["comment"] or "")
        elif _VERSION.match(rest):
            self._begin(prefix)
        elif prefix.endswith("# ") and (match := _SUBTEST.match(rest)):
            self._begin(prefix.removesuffix("# ")).name = match["name"].strip()
        elif (match := _RESULT.match(rest)) and self._is_result(prefix, match):
            self._result(prefix, match)
        elif rest:
            self.words.append(line)

    def finish(self) -> Report:
        """Close every list that is open; results of a list whose parent never came are told as they are."""
        while len(self.levels) > 1:
            self._close()
        root = self.levels[0]
        self._check(root)
        return Report(
            cases=numbered((*root.cases, *root.below)),
            problems=tuple(self.problems),
            skipped="" if root.cases or root.below else root.skipped,
            told=self.told,
            miscounted=tuple(self.miscounted),
        )

    def _is_result(self, prefix: str, match: re.Match[str]) -> bool:
        """`ok then` is somebody's remark: a result has a number, or stands in a list that has begun."""
        if match["number"] is not None:
            return True
        named = not match["rest"] or match["rest"][0] in " \t"
        return named and self.told and any(level.prefix == prefix for level in self.levels)

    def _begin(self, prefix: str) -> _Level:
        """A version line or a subtest's name: a list begins, or has just begun."""
        self.told = True
        level = self._at(prefix)
        if level.told:
            # Another program's output at the same depth: its numbers begin again.
            self._check(level)
            level.told, level.plan = 0, None
        return level

    def _plan(self, prefix: str, count: int, comment: str) -> None:
        self.told = True
        level = self._at(prefix)
        level.plan = count
        if not count:
            level.skipped = _SKIP_WORD.sub("", comment).strip(" :-") or "nothing to run"

    def _at(self, prefix: str) -> _Level:
        """The list whose lines begin so; those inside it are over, and it is opened if it was not."""
        while len(self.levels) > 1 and not prefix.startswith(self.levels[-1].prefix):
            self._close()
        if self.levels[-1].prefix != prefix:
            self.levels.append(_Level(prefix))
        return self.levels[-1]

    def _close(self) -> None:
        """The innermost list is over: its results wait for the result that names them."""
        level = self.levels.pop()
        self._check(level)
        self.levels[-1].below += [*level.cases, *level.below]

    def _check(self, level: _Level) -> None:
        if level.plan is None or level.told == level.plan or (self.bailed and level.told < level.plan):
            return
        where = f"{level.name}: " if level.name else ""
        if level.told < level.plan:
            lost = level.plan - level.told
            said = f"{where}{level.told} of {level.plan} planned results: {lost} lost"
        else:
            said = f"{where}{level.told} results, but only {level.plan} planned"
        self.problems.append(said)
        self.miscounted.append(said)

    def _result(self, prefix: str, match: re.Match[str]) -> None:
        self.told = True
        level = self._at(prefix)
        level.told += 1
        case = _case(match, level.told, self.words)
        below = [replace(each, name=f"{case.name}/{each.name}") for each in level.below]
        self.words, level.below = [], []
        # What stands above others is told by them, unless it fails and none of them does.
        unexplained = case.outcome == "failed" and not any(each.outcome == "failed" for each in below)
        level.cases += below if below and not unexplained else [*below, case]


_SKIP_WORD = re.compile(r"^SKIP\w*\b", re.IGNORECASE)


def _case(match: re.Match[str], count: int, words: Sequence[str]) -> Case:
    rest, seconds = _taken_time(match["rest"])
    rest = _COUNTS.sub("", rest)
    name, kind, why = _directive(rest)
    failed = match["not"] is not None
    if status := _EXIT.search(name):
        name, why = name[: status.start()], f"exit status {status['status']}"
    outcome = _outcome(failed, kind)
    reason = why if outcome != "passed" or kind else ""
    if outcome == "failed":
        reason = {"TIMEOUT": f"timed out: {why}".rstrip(": "), "ERROR": why}.get(kind, why) or _last(words)
    if outcome == "skipped" and not reason and "skip" in _last(words).lower():
        reason = _last(words)
    details = "\n".join(words[-_DETAIL_LINES:]) if outcome == "failed" else ""
    return Case(_cleaned(name) or str(match["number"] or count), outcome, reason, details, seconds)


def _taken_time(rest: str) -> tuple[str, float]:
    match = _TIME.search(rest)
    if match is None:
        return rest, 0.0
    try:
        seconds = float(match["amount"]) * _UNITS[match["unit"]]
    except ValueError:  # 1.2.3
        seconds = 0.0
    return rest[: match.start()] + rest[match.end() :], seconds


def _directive(rest: str) -> tuple[str, str, str]:
    """(name, directive, reason). `# SKIP why` after a name; before it, the words after it are the name."""
    match = _DIRECTIVE.search(rest)
    if match is None:
        return rest, "", ""
    name, kind, after = rest[: match.start()], match["kind"].upper(), match["rest"].strip()
    if not name.strip(" -\t"):
        # kselftest.h: ksft_test_result_skip() prints `ok 1 # SKIP name`.
        return after, kind, ""
    return name, kind, after


def _outcome(failed: bool, kind: str) -> str:
    if kind == "SKIP":
        return "skipped"
    if kind in ("XFAIL", "TODO"):
        return "xfailed" if failed or kind == "XFAIL" else "passed"
    return "failed" if failed or kind in ("TIMEOUT", "ERROR") else "passed"


def _cleaned(name: str) -> str:
    """One line that can stand in a test's name, without the outcome, which some repeat there (xskxceiver.c)."""
    shown = "".join(char if char.isprintable() else " " for char in name)
    return _OUTCOME_WORD.sub("", " ".join(shown.split()).strip("- "))[:_LONGEST_NAME].strip()


def _last(words: Sequence[str]) -> str:
    """The exception that the kernel's Python tests print (net/lib/py/ksft.py), or the last thing said with letters."""
    raised = [match[1] for line in words if (match := _EXCEPTION.search(line))]
    if raised:
        return raised[-1][:300]
    said: Iterator[str] = (line.strip(" #\t") for line in reversed(words))
    return next((line for line in said if any(char.isalpha() for char in line)), "not ok")[:300]


def _matched(pattern: re.Pattern[str], line: str) -> str:
    match = pattern.match(line)
    return match[0] if match else ""
