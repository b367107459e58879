"""Read a side's journal and its boots' records, and say what became of each test.

The journal (vm/ktrial_pytest.py, one JSON object a line) knows what the workers reported; boot.json knows how each
guest ended. Only together do they tell a crash from a lost machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import record
from harness.allow_list import Allowed, excuse
from harness.machine.events import NONSENSE, read_event
from harness.machine.model import BootEnd, BootRecord
from harness.results import Boot, Excused, Left, Outcome, SideResults, Splat, TestResult, left_reason
from harness.splats import silent_splat, splat_reason

__all__ = ["collect", "finished_tests", "item_of", "read_boots", "read_journal", "read_on"]

SplatFinder = Callable[[str], tuple[Splat, ...]]
_LAST_LINES = 200
_LONGEST_NAME = 700  # as in vm/ktrial_pytest.py
_BEGIN = "] ktrial: begin "
_SAID = ("] ktrial: end\n", "] ktrial: over\n")  # what the worker prints when it has sent home all that came before

_CRASHES = {
    BootEnd.PANIC: Outcome.CRASHED,
    BootEnd.RESET: Outcome.CRASHED,
    BootEnd.POWERED_OFF: Outcome.CRASHED,
    BootEnd.OUT_OF_MEMORY: Outcome.CRASHED,
    BootEnd.TEST_TIMEOUT: Outcome.TIMED_OUT,
}


@dataclass(frozen=True)
class _Complaints:
    """What the kernel complains of in a log, and what of that an allow-list lets pass."""

    find: SplatFinder
    allowed: Sequence[Allowed] = ()

    def judged(self, log: str, *, fatal: bool = False) -> tuple[tuple[Splat, ...], tuple[Excused, ...]]:
        """Those that count, and those that do not. fatal: the log of a guest that went down, whose last one counts."""
        found = self.find(log)
        last = found[-1:] if fatal else ()
        counting, excused = excuse(found[: len(found) - len(last)], self.allowed)
        return counting + last, excused


@dataclass(frozen=True)
class _Guest:
    record: BootRecord
    console: str

    @property
    def unheard(self) -> str:
        """What the kernel said after all that the worker sent home, and before the test that it may have begun then.

        "" where no test has ended: that is the boot's.
        """
        said = max(self.console.rfind(mark) for mark in _SAID)
        if said < 0:
            return ""
        rest = self.console[said:].partition("\n")[2]
        begun = rest.find(_BEGIN)
        return _without_marks(rest if begun < 0 else rest[: rest.rfind("\n", 0, begun) + 1])


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The events in order, as harness.machine.events has them; a last line that a kill cut short is left out."""
    return read_on(path, 0)[0]


def read_on(path: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """The events that stand in the journal from a byte on, and the byte to read on from."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            whole = file.read().rpartition(b"\n")
    except FileNotFoundError:
        return [], offset
    events = [read_event(line) for line in whole[0].split(b"\n") if line]
    return events, offset + len(whole[0]) + len(whole[1])


def finished_tests(events: Iterable[dict[str, Any]]) -> set[str]:
    """The tests whose fate the journal already tells, so that a resumed run need not repeat them."""
    return {event["test"] for event in events if event["event"] == "finished"}


def read_boots(folder: Path) -> tuple[BootRecord, ...]:
    """Every boot that has come to its end, in order of its start."""
    return tuple(boot for boot in _known_boots(folder) if boot.end is not BootEnd.RUNNING)


def _known_boots(folder: Path) -> list[BootRecord]:
    """The same, and those that were up when whoever watched them was killed."""
    found = (record.load_if(path / "boot.json", BootRecord) for path in sorted(folder.glob("[0-9]*")))
    return [boot for boot in found if boot is not None]


def _guests(folder: Path) -> list[_Guest]:
    """Every boot with its console; one that was cut off is lost."""
    return [_Guest(_ended(boot), _console(folder / boot.name)) for boot in _known_boots(folder)]


def _ended(boot: BootRecord) -> BootRecord:
    if boot.end is not BootEnd.RUNNING:
        return boot
    return replace(boot, end=BootEnd.LOST, why="its session was ended first")


def collect(
    side: str,
    events: Sequence[dict[str, Any]],
    boots: Path,
    splats: SplatFinder,
    *,
    attempt: int,
    seconds: float,
    allowed: Sequence[Allowed] = (),
) -> SideResults:
    """All that one pytest session on one side came to.

    splats: finds the kernel's complaints in a log. allowed: those that fail no test; one that ended a guest does.
    """
    complaints = _Complaints(splats, allowed)
    guests = _guests(boots)
    results: list[TestResult] = []
    for event in events:
        if event["event"] == "finished":
            _add_late(results, event.get("before", ""), event.get("boot", ""), complaints)
            results += _subtests(event, attempt)
            results.append(_finished(event, complaints, attempt))
        elif event["event"] == "gone":
            guest = next((each for each in guests if each.record.running == _shortened(event["test"])), None)
            if guest is not None:
                _add_unheard(results, guest, complaints)
            results.append(_gone(event["test"], guest, complaints, attempt))
        elif event["event"] == "node-down":
            _add_late(results, event.get("after", ""), event.get("boot", ""), complaints)
            _add_health(results, event, complaints)
            _add_nonsense(results, event)
    for guest in guests:
        if not guest.record.running and not _blame_last(results, guest, complaints):
            _add_unheard(results, guest, complaints)
    return SideResults(
        side=side,
        results=tuple(results),
        boots=tuple(_boot(guest, boots, _leaked_early(events, guest.record.name), complaints) for guest in guests),
        seconds=seconds,
        booted=any(guest.record.seconds_to_ready > 0 for guest in guests),
    )


def item_of(test: str) -> str:
    """The pytest item that a result is of: a subtest is called as its item, `/`, and its own name."""
    head, bracket, _ = test.partition("]/")
    return f"{head}]" if bracket else test


def _subtests(event: dict[str, Any], attempt: int) -> list[TestResult]:
    """What a test told of tests of its own (suites/kselftest), each a result beside its own."""
    return [
        TestResult(
            test=f"{event['test']}/{case['name']}",
            outcome=Outcome(case["outcome"]),
            reason=case["reason"],
            details=case["details"],
            seconds=case["seconds"],
            attempt=attempt,
            boot=event["boot"],
        )
        for case in event.get("subtests", ())
    ]


def _finished(event: dict[str, Any], complaints: _Complaints, attempt: int) -> TestResult:
    result = TestResult(
        test=event["test"],
        outcome=Outcome(event["outcome"]),
        reason=event["reason"],
        details=event["details"],
        log=event["log"],
        seconds=event["seconds"],
        attempt=attempt,
        boot=event["boot"],
    )
    return _with_splats(result, complaints)


def _with_splats(result: TestResult, complaints: _Complaints) -> TestResult:
    """A complaint in a test's log fails it, even when its assertions held, unless an allow-list has it."""
    found, excused = complaints.judged(result.log)
    result = replace(result, excused=excused)
    if not found:
        return result
    reason = splat_reason(found)
    if result.outcome.good:
        return replace(result, outcome=Outcome.FAILED, reason=reason, splats=found)
    return replace(result, splats=found, reason=result.reason or reason)


def _add_late(results: list[TestResult], late: str, boot: str, complaints: _Complaints) -> None:
    """What the kernel logged between two tests belongs to the one before: a timer, a work item, a grace period late."""
    index = _last_in(results, boot)
    if late and index is not None:
        results[index] = _with_log(results[index], late, complaints)


def _add_unheard(results: list[TestResult], guest: _Guest, complaints: _Complaints) -> None:
    """The same of what the console alone has, where it complains: else it is but how a guest is put away."""
    unheard = guest.unheard
    if complaints.find(unheard):
        _add_late(results, unheard, guest.record.name, complaints)


def _last_in(results: Sequence[TestResult], boot: str) -> int | None:
    """The place of the test that ended last in a boot."""
    return next((at for at in range(len(results) - 1, -1, -1) if results[at].boot == boot), None)


def _with_log(result: TestResult, more: str, complaints: _Complaints) -> TestResult:
    """With more of the kernel's log, and judged by all of it."""
    return _with_splats(replace(result, log=f"{result.log}\n{more}".strip("\n")), complaints)


def _add_health(results: list[TestResult], event: dict[str, Any], complaints: _Complaints) -> None:
    """What was found when a guest's session was over: what each test left behind, and kmemleak's reports."""
    left: dict[str, list[Left]] = {}
    for test, kind, name in event.get("left", ()):
        left.setdefault(test, []).append(Left(kind, name))
    reports = event.get("kmemleak", {})
    for index, result in enumerate(results):
        if result.boot != event.get("boot"):
            continue
        if text := reports.get(result.test):
            results[index] = result = _with_log(result, text, complaints)
        if result.test in left:
            results[index] = _with_left(result, tuple(left[result.test]))


def _add_nonsense(results: list[TestResult], event: dict[str, Any]) -> None:
    """What a guest's last words hide by making no sense is laid at the door of the test that ended last in it."""
    problem, index = event.get(NONSENSE, ""), _last_in(results, event.get("boot", ""))
    if not problem or index is None:
        return
    result = results[index]
    if result.outcome.good:
        results[index] = replace(result, outcome=Outcome.FAILED, reason=f"right after the test: {problem}")
    else:
        results[index] = replace(result, details=f"{result.details}\n{problem}".strip("\n"))


def _with_left(result: TestResult, left: tuple[Left, ...]) -> TestResult:
    """What a test leaves behind fails it, even when its assertions held."""
    if result.outcome.good:
        return replace(result, outcome=Outcome.FAILED, reason=left_reason(left), left=left)
    return replace(result, left=left)


def _gone(test: str, guest: _Guest | None, complaints: _Complaints, attempt: int) -> TestResult:
    """A test whose worker went away: its guest's end says why. A test that began in no guest was merely next."""
    if guest is None or guest.record.end not in _CRASHES:
        why = guest.record.why if guest else "its guest went away before the test began"
        return TestResult(test, Outcome.LOST, reason=why, attempt=attempt, boot=guest.record.name if guest else "")
    log = _slice(guest.console, test)
    outcome = _CRASHES[guest.record.end]
    splats, excused = complaints.judged(log, fatal=outcome is Outcome.CRASHED)
    return TestResult(
        test=test,
        outcome=outcome,
        reason=guest.record.why,
        details=_end_of(log),
        log=_end_of(log),
        splats=splats,
        attempt=attempt,
        boot=guest.record.name,
        excused=excused,
    )


def _blame_last(results: list[TestResult], guest: _Guest, complaints: _Complaints) -> bool:
    """A guest that went down, or stood still, between two tests is the doing of the one that ended last."""
    boot = guest.record
    if boot.end not in _CRASHES or not boot.last:
        return False
    for index, result in enumerate(results):
        if result.boot == boot.name and _shortened(result.test) == boot.last:
            log = _slice(guest.console, result.test)
            outcome = _CRASHES[boot.end]
            splats, excused = complaints.judged(log, fatal=outcome is Outcome.CRASHED)
            why = f"right after the test: {boot.why}"
            blamed = replace(result, outcome=outcome, reason=why, log=_end_of(log), splats=splats, excused=excused)
            results[index] = blamed
            return True
    return False


def _shortened(test: str) -> str:
    """A test's name as the console shows it (vm/ktrial_pytest.py cuts marks to fit a kernel log record)."""
    return test.encode()[:_LONGEST_NAME].decode("utf-8", "ignore")


def _console(folder: Path) -> str:
    try:
        return (folder / "console.log").read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
    except OSError:
        return ""


def _slice(console: str, test: str) -> str:
    """The console from the test's begin mark on, without our own marks."""
    start = console.rfind(f" {_shortened(test)}\n")
    begun = console[console.rfind("ktrial: begin", 0, start + 1) :] if start >= 0 else console
    return _without_marks(begun.partition("\n")[2])


def _without_marks(console: str) -> str:
    return "\n".join(line for line in console.split("\n") if "] ktrial: " not in line).strip("\n")


def _end_of(log: str) -> str:
    """What of a console is shown."""
    return "\n".join(log.split("\n")[-_LAST_LINES:])


def _leaked_early(events: Sequence[dict[str, Any]], boot: str) -> str:
    """kmemleak's reports of what was allocated before the first test of a boot."""
    downs = (event for event in events if event["event"] == "node-down" and event.get("boot") == boot)
    return "\n".join(event.get("kmemleak", {}).get("", "") for event in downs)


def _boot(guest: _Guest, boots: Path, leaked: str, complaints: _Complaints) -> Boot:
    """A boot for the report, with the complaints that fell outside every test: until the first began."""
    boot = guest.record
    before_tests, began, _ = guest.console.partition(_BEGIN)
    fatal = _CRASHES.get(boot.end) is Outcome.CRASHED and not began
    splats, excused = complaints.judged(f"{before_tests}\n{leaked}", fatal=fatal)
    if not splats and boot.seconds_to_ready <= 0 and (silent := silent_splat(boot.end, _end_of(before_tests))):
        splats = (silent,)
    return Boot(
        name=boot.name,
        end=boot.end,
        console=str(boots / boot.name / "console.log"),
        seconds_to_ready=boot.seconds_to_ready,
        accelerator=boot.accelerator,
        splats=splats,
        excused=excused,
    )
