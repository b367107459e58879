"""When things happened in a run: its stages, its builds, its guests and the tests that went wrong in them.

Read from the run's folder: events.log has the stages, a session's journal the tests, boot.json how long a guest lived.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.machine.journal import read_boots, read_journal
from harness.run_result import KernelInfo, RunResult

__all__ = ["Span", "SpanKind", "Timeline", "read_timeline"]

_BUILD = "build "
_AT_ONCE = 1.0  # seconds
_MARKS = 200  # tests that went wrong, of one guest
_GOOD = ("passed", "skipped", "xfailed")


class SpanKind(StrEnum):
    STAGE = "stage"
    STOPPED = "stopped"  # a stage that was begun last, and not ended; a build that failed
    BUILD = "build"
    BOOT = "boot"  # until the guest's worker is up
    TESTS = "tests"
    BAD = "bad"  # one test that failed, crashed or timed out


@dataclass(frozen=True)
class Span:
    """Something that took time. lane: the line of the drawing it is in. begin, end: seconds since the run's start."""

    lane: str
    kind: SpanKind
    what: str
    begin: float
    end: float


@dataclass(frozen=True)
class Timeline:
    """spans: lane by lane, in order. seconds: of the whole run, pauses of a run that was resumed included."""

    spans: tuple[Span, ...] = ()
    seconds: float = 0.0


def read_timeline(folder: Path, result: RunResult) -> Timeline:
    """What the run's folder tells; an empty one where it tells nothing."""
    began, ended = _time(result.started), _time(result.finished)
    if began is None or ended is None:
        return Timeline()
    spans = [*_stages(folder, ended), *_builds(folder, result, ended), *_sessions(folder)]
    within = (
        Span(each.lane, each.kind, each.what, max(each.begin - began, 0.0), min(each.end, ended) - began)
        for each in spans
        if began - 1 <= each.end and each.begin <= ended + 1
    )
    return Timeline(tuple(span for span in within if span.end >= span.begin), max(ended - began, 0.0))


def _stages(folder: Path, ended: float) -> Iterator[Span]:
    """From `TIME STAGE: begins` to `TIME STAGE: done`; one that is never done is what stopped the run."""
    for stage, begin, end, how in _noted(folder / "events.log", ended):
        if stage.startswith(_BUILD):
            continue
        if how == "done":
            yield Span("stages", SpanKind.STAGE, stage, begin, end)
        else:
            yield Span("stages", SpanKind.STOPPED, f"{stage}, {how}", begin, end)


def _builds(folder: Path, result: RunResult, ended: float) -> Iterator[Span]:
    """From `TIME build SIDE: begins` to `done` or `failed`; what was done at once was found in the cache."""
    kernels = {f"{_BUILD}{kernel.side}": kernel for kernel in result.kernels}
    noted = [each for each in _noted(folder / "events.log", ended) if each[0].startswith(_BUILD)]
    for build, begin, end, how in noted:
        kernel = kernels.get(build)
        if how != "done":
            yield Span("builds", SpanKind.STOPPED, f"{build}, {how}", begin, end)
        elif end - begin > _AT_ONCE:
            objects = f": {kernel.compiled} objects" if kernel and not kernel.reused else ""
            yield Span("builds", SpanKind.BUILD, f"{build}{objects}", begin, end)
    told = {build for build, *_ in noted}
    yield from _unnoted(folder, [kernel for build, kernel in kernels.items() if build not in told])


def _unnoted(folder: Path, kernels: Iterable[KernelInfo]) -> Iterator[Span]:
    """Builds of a run that did not note them: one ends when its log is put into the run's folder."""
    for kernel in kernels:
        place = folder / "build" / kernel.side
        if kernel.seconds and not kernel.reused and place.is_dir():
            end = place.stat().st_mtime
            what = f"{_BUILD}{kernel.side}: {kernel.compiled} objects"
            yield Span("builds", SpanKind.BUILD, what, end - kernel.seconds, end)


def _noted(log: Path, ended: float) -> Iterator[tuple[str, float, float, str]]:
    """(what, begin, end, how it ended) of all that the log says of having begun: `done`, `failed` or `not done`."""
    begun: dict[str, float] = {}
    for time, text in _events(log):
        what, _, how = text.rpartition(": ")
        if how == "begins":
            begun[what] = time
        elif how in ("done", "failed"):
            yield what, begun.pop(what, time), time, how
    for what, time in begun.items():
        yield what, time, ended, "not done"


def _events(log: Path) -> Iterator[tuple[float, str]]:
    try:
        lines = log.read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        stamp, _, text = line.partition(" ")
        if (time := _time(stamp)) is not None:
            yield time, text


def _sessions(folder: Path) -> Iterator[Span]:
    """The guests of every pass over the tests, of the measurements and of the profiles, as they began."""
    sessions = []
    for room in ("results", "perf", "profile"):
        for journal in sorted((folder / room).glob("*/journal.jsonl")):
            lane = f"{room}/{journal.parent.name}" if room != "results" else journal.parent.name
            sessions.append(list(_guests(lane, journal.parent)))
    for spans in sorted(filter(None, sessions), key=lambda spans: min(span.begin for span in spans)):
        yield from spans


def _guests(lane: str, session: Path) -> Iterator[Span]:
    ready = {boot.name: boot.seconds_to_ready for boot in read_boots(session / "boots")}
    by_boot: dict[str, list[dict[str, Any]]] = {}
    events = read_journal(session / "journal.jsonl")
    for event in events:
        if event.get("event") == "finished" and isinstance(event.get("time"), float | int):
            by_boot.setdefault(str(event.get("boot", "")), []).append(event)
    for number, (boot, finished) in enumerate(by_boot.items()):
        line = lane if len(by_boot) == 1 else f"{lane}, guest {number}"
        begin = finished[0]["time"] - finished[0].get("seconds", 0.0)
        yield Span(line, SpanKind.BOOT, f"boot of guest {boot}", begin - ready.get(boot, 0.0), begin)
        what = f"{len(finished)} {'test' if len(finished) == 1 else 'tests'}"
        yield Span(line, SpanKind.TESTS, what, begin, finished[-1]["time"])
        yield from _bad(line, finished)


def _bad(lane: str, finished: Iterable[dict[str, Any]]) -> Iterator[Span]:
    bad = [event for event in finished if event.get("outcome") not in _GOOD]
    for event in bad[:_MARKS]:
        begin = event["time"] - event.get("seconds", 0.0)
        yield Span(lane, SpanKind.BAD, f"{event.get('outcome')}: {event.get('test')}", begin, event["time"])


def _time(stamp: str) -> float | None:
    """Seconds since the epoch of an ISO 8601 time; None for anything else."""
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return None
