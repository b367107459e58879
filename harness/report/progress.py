"""What a run is doing, as lines of a terminal: what is known so far, and for how long it will go on. Pure.

Nothing wraps and no line comes or goes between two moments of one pass, so that what is painted over stands still.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from harness.build.model import BuildProgress, Phase
from harness.report import safe
from harness.report.numbers import clock

__all__ = ["BuildState", "GuestState", "SideState", "build_lines", "known_lines", "left", "side_lines"]

_BARS = (14, 30)  # cells, on a narrow terminal and on a wide one
_WIDE = 100
_NAMES = 14
_GUESTS = 4  # of one side, with a line each
_ENOUGH = 5  # tests or objects before an estimate is worth saying
_MOMENT = 2.0  # seconds
_GOOD = ("passed", "skipped", "xfailed")


@dataclass
class GuestState:
    """One guest's place. worker: pytest-xdist's name for it, "" while it boots. test: the one that runs, or "".

    since: when that began, or the boot, or the waiting. last: the test before it waited. Times are seconds of a clock
    that only goes forward.
    """

    worker: str = ""
    test: str = ""
    since: float = 0.0
    last: str = ""

    def shown(self, now: float) -> str:
        """What its line says. Between two tests it waits for a moment: too short to be told of without a flicker."""
        moment = self.last if self.worker and now - self.since < _MOMENT else ""
        return _short(self.test or moment) or ("waiting" if self.worker else "booting")


@dataclass
class SideState:
    """One side's tests under way. total: 0 while nobody knows. ready: when the first guest was up, else None.

    ended: when all was over. counts: of outcomes, `gone` for a test whose guest went away. bad: those not well.
    """

    name: str
    began: float
    guests: list[GuestState] = field(default_factory=list)
    total: int = 0
    ready: float | None = None
    ended: float | None = None
    counts: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[str, str]] = field(default_factory=list)

    @property
    def done(self) -> int:
        return self.counts.total()

    def heard(self, event: str, test: str, outcome: str, worker: str, now: float) -> None:
        """Take in a journal event (vm/ktrial_pytest.py)."""
        if event == "collected":
            self.total = self.total or int(outcome)
            self.ready = now if self.ready is None else self.ready
            self._guest(worker, now)
        elif event == "started":
            guest = self._guest(worker, now)
            guest.test, guest.since = test, now
        elif event in ("finished", "gone"):
            self._finished(test, outcome or "gone", worker, now)
        elif event == "node-down":
            self._down(worker, now)
        elif event == "over":
            self.ended = now

    def _finished(self, test: str, outcome: str, worker: str, now: float) -> None:
        self.counts[outcome] += 1
        if outcome not in _GOOD:
            self.bad.append((test, outcome))
        guest = next((each for each in self.guests if each.test == test), None) or self._guest(worker, now)
        guest.test, guest.since, guest.last = "", now, test
        if outcome == "gone":
            guest.worker = ""

    def _down(self, worker: str, now: float) -> None:
        for guest in self.guests:
            if worker and guest.worker == worker:
                guest.worker, guest.test, guest.since = "", "", now

    def _guest(self, worker: str, now: float) -> GuestState:
        """The worker's own place, else one that waits for a worker, else a new one. A worker "" is any that is idle."""
        known = next((each for each in self.guests if each.worker == worker and (worker or not each.test)), None)
        free = next((each for each in self.guests if not (each.worker and worker) and not each.test), None)
        guest = known or free
        if guest is None:
            guest = GuestState(since=now)
            self.guests.append(guest)
        guest.worker = worker or guest.worker
        return guest


@dataclass
class BuildState:
    """One build under way."""

    name: str
    began: float
    progress: BuildProgress
    compiling: float | None = None  # since when

    def heard(self, progress: BuildProgress, now: float) -> None:
        if progress.phase is Phase.COMPILING and self.compiling is None:
            self.compiling = now
        self.progress = progress


def left(done: int, total: int, seconds: float) -> str:
    """How long the rest will take if it goes on as it went: `~2 min left`; "" where too little is known."""
    if done < min(_ENOUGH, total) or not 0 < done < total or seconds <= 0:
        return ""
    return f"~{_coarse(seconds / done * (total - done))} left"


def side_lines(state: SideState, width: int, now: float) -> list[Text]:
    """A line for the side, and one for each guest's test."""
    ended = state.ended if state.ended is not None else now
    since_ready = ended - state.ready if state.ready is not None else 0.0
    rest = left(state.done, state.total, since_ready) if state.ended is None else "done"
    count = f"{state.done}/{state.total}" if state.total else "booting"
    bad = _counted(state.counts)
    head = _line(f"test {state.name}", state.done, state.total, (count, _clock(ended - state.began), rest), bad, width)
    return [head, *_guest_lines(state, width, now)]


def build_lines(state: BuildState, width: int, now: float) -> list[Text]:
    progress = state.progress
    total = progress.total or 0
    seconds = now - state.compiling if state.compiling is not None else 0.0
    rest = left(progress.compiled, total, seconds) if progress.phase is Phase.COMPILING else ""
    count = f"{progress.compiled}/{total}" if total else str(progress.compiled)
    head = _line(
        f"build {state.name}", progress.compiled, total, (count, _clock(now - state.began), rest), Text(), width
    )
    return [head, _fitting(f"    {progress.phase} ", progress.current, "", width)]


def known_lines(sides: Iterable[SideState]) -> list[str]:
    """What is known of every side so far, for a run that is interrupted."""
    lines = []
    for state in (state for state in sides if state.total):
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(state.counts.items()))
        lines.append(f"{state.name}: {state.done} of {state.total} tests: {told or 'none is done'}")
        lines += [f"  {outcome}: {test}" for test, outcome in state.bad[:_GUESTS]]
        lines += [f"  ... and {len(state.bad) - _GUESTS} more"] if len(state.bad) > _GUESTS else []
    return lines


def _line(name: str, done: int, total: int, told: Sequence[str], bad: Text, width: int) -> Text:
    share = done / total if total else 0.0
    count, clock, rest = told
    text = Text.assemble(
        (f"{set_cell_size(safe.line(name), _NAMES)} ", "bold"), _bar(share, width), f" {count:>9} {clock:>7}"
    )
    text.append(f" {rest:<12}", "dim" if rest != "done" else "green").append_text(bad)
    text.truncate(width, overflow="ellipsis")
    return text


def _bar(share: float, width: int) -> Text:
    cells = _BARS[width >= _WIDE]
    full = min(cells, int(share * cells))
    return Text.assemble(("━" * full, "green" if full == cells else "cyan"), ("─" * (cells - full), "dim"))


def _counted(counts: Counter[str]) -> Text:
    """What did not pass: bad in red, skipped dim."""
    parts = [Text(f"{counts[each]} {each}", "red") for each in sorted(counts) if each not in _GOOD]
    parts += [Text(f"{counts['skipped']} skipped", "dim")] if counts["skipped"] else []
    return Text(" ") + Text(", ").join(parts) if parts else Text()


def _guest_lines(state: SideState, width: int, now: float) -> list[Text]:
    lines = []
    for number, guest in enumerate(state.guests[:_GUESTS], 1):
        head = f"    guest {number}  " if len(state.guests) > 1 else "    "
        seconds = _clock(now - guest.since)
        if state.ended is not None:
            lines.append(Text(head.rstrip(), "dim"))
        else:
            lines.append(_fitting(head, guest.shown(now), seconds, width))
    more = len(state.guests) - _GUESTS
    return [*lines, Text(f"    and {more} more guests", "dim")] if more > 0 else lines


def _short(test: str) -> str:
    """`test_adjust_tail.py::test_shrink[9000]`: the suite is known to who waits."""
    file, colons, name = test.partition("::")
    return f"{file.rpartition('/')[2]}{colons}{name}"


def _fitting(head: str, text: str, end: str, width: int) -> Text:
    """One line: of a text that is too long the end is shown, where parameters are."""
    room = max(10, width - cell_len(head) - cell_len(end) - 2)
    shown = safe.line(text)
    while cell_len(shown) > room:
        shown = f"…{shown[2 + max(0, cell_len(shown) - room - 2) :]}" if not shown.startswith("…") else f"…{shown[2:]}"
    line = Text.assemble((head, "dim"), shown, (f"  {end}" if end else "", "dim"))
    line.truncate(width)
    return line


def _clock(seconds: float) -> str:
    return clock(max(0, int(seconds)))


def _coarse(seconds: float) -> str:
    """Rounded, so that it does not flicker: to 10 s below a minute and a half, to minutes above."""
    if seconds < 90:
        return f"{max(10, round(seconds / 10) * 10)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"
