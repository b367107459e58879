"""Show a trial while it runs: live lines on a terminal, plain ones in a log. Everything goes to standard error."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from harness.build.model import BuildProgress, Phase
from harness.plan import Observer, Silent
from harness.report import safe
from harness.report.layout import name_lines, put, wrapped
from harness.report.progress import (
    BuildState,
    GuestState,
    SideState,
    build_lines,
    known_lines,
    left,
    side_lines,
)

__all__ = ["LiveObserver", "PlainObserver", "observing", "tell_what_is_known"]

_EVERY = 15.0
_INDENT = 9
_PASSES = 6  # the last, told of when a run is interrupted
_GOOD = ("passed", "skipped", "xfailed")
Clock = Callable[[], float]


@contextlib.contextmanager
def observing(console: Console, *, quiet: bool = False) -> Iterator[Observer]:
    """What fits the place: live lines on a terminal, plain ones elsewhere, none where quiet was asked for."""
    if quiet:
        yield Silent()
    elif console.is_terminal and not console.is_dumb_terminal:
        with LiveObserver(console) as observer:
            yield observer
    else:
        yield PlainObserver(console)


def tell_what_is_known(observer: Observer, console: Console) -> None:
    """Print how far the tests of a run came that is interrupted."""
    if isinstance(observer, _Watching):
        for line in observer.known():
            console.print(safe.line(line), markup=False, soft_wrap=True)


class _Watching:
    """Keeps what is known of every side's tests."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.began = clock()
        self.sides: dict[str, SideState] = {}
        self.passes: list[SideState] = []

    def known(self) -> list[str]:
        return known_lines(self.passes[-_PASSES:])

    def hear(self, side: str, event: str, test: str, outcome: str, worker: str) -> SideState:
        """Take in an event. A pass over a side's tests that begins takes the place of the one before."""
        now = self.clock()
        state = self.sides.get(side)
        if state is None or event == "begun" or (event == "collected" and state.ended is not None):
            guests = int(outcome) if event == "begun" else 0
            state = SideState(side, now, [GuestState(since=now) for _ in range(guests)])
            self.sides[side] = state
            self.passes.append(state)
        state.heard(event, test, outcome, worker, now)
        return state


class PlainObserver(_Watching):
    """One line for each thing that happens, with the seconds since the start; builds and tests every so often."""

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self.console = console
        self.spoke = 0.0
        self.phases: set[tuple[str, Phase]] = set()

    def _say(self, text: str) -> None:
        self.spoke = self.clock()
        self.console.print(f"[{self.spoke - self.began:6.1f} s] {safe.line(text)}", markup=False, soft_wrap=True)

    def stage(self, name: str, text: str) -> None:
        self._say(f"{name}: {text}")

    def building(self, side: str, progress: BuildProgress) -> None:
        news = (side, progress.phase) not in self.phases
        self.phases.add((side, progress.phase))
        if news or self.clock() - self.spoke > _EVERY:
            of = f"/{progress.total}" if progress.total else ""
            self._say(f"build: {side}: {progress.phase} {progress.compiled}{of} objects, {progress.current}")

    def testing(self, side: str, event: str, test: str, outcome: str, worker: str = "") -> None:
        known = self.sides.get(side)
        total = known.total if known else 0
        state = self.hear(side, event, test, outcome, worker)
        if event == "collected" and (not total or state is not known):
            self._say(f"test: {side}: {outcome} tests")
        elif event in ("finished", "gone") and outcome not in _GOOD:
            self._say(f"test: {side}: {outcome or 'guest went away'}: {test}")
        elif event == "finished" and self.clock() - self.spoke > _EVERY:
            self._say(f"test: {side}: {self._standing(state)}")

    def _standing(self, state: SideState) -> str:
        """`41/704, 1 failed, ~3 min left`."""
        told = [f"{state.done}/{state.total}"]
        told += [f"{count} {outcome}" for outcome, count in sorted(state.counts.items()) if outcome not in _GOOD]
        told.append(left(state.done, state.total, self.clock() - (state.ready or self.began)))
        return ", ".join(filter(None, told))


class LiveObserver(_Watching):
    """Lines at the bottom of the terminal for each build and each side under test; what happened stays above."""

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self.console = console
        self.builds: dict[str, BuildState] = {}
        self.lock = threading.Lock()
        self.live = Live(
            console=console, get_renderable=self.shown, refresh_per_second=4, transient=True, redirect_stdout=False
        )

    def __enter__(self) -> LiveObserver:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def shown(self) -> RenderableType:
        """The live lines, as of now."""
        now, width = self.clock(), self.console.width
        with self.lock:
            lines = [line for build in self.builds.values() for line in build_lines(build, width, now)]
            lines += [line for side in self.sides.values() for line in side_lines(side, width, now)]
        most = max(2, self.console.height - 2)
        return Group(*lines[:most])

    def stage(self, name: str, text: str) -> None:
        if name != "again":
            self._forget_ended()
        with self.console:  # written at once: the live lines below are painted again for each line
            wrapped(self.console, safe.text(text), Text(f"{safe.line(name):>8} ", "cyan"), " " * _INDENT)

    def _forget_ended(self) -> None:
        """A new stage: what its predecessor's tests came to has been told."""
        with self.lock:
            if self.sides and all(side.ended is not None for side in self.sides.values()):
                self.sides.clear()

    def building(self, side: str, progress: BuildProgress) -> None:
        now = self.clock()
        with self.lock:
            state = self.builds.setdefault(side, BuildState(side, now, progress))
            state.heard(progress, now)
            if progress.phase is Phase.READY:
                del self.builds[side]
        if progress.phase is Phase.READY:
            self.stage("build", f"{side}: {progress.current}")

    def testing(self, side: str, event: str, test: str, outcome: str, worker: str = "") -> None:
        with self.lock:
            self.hear(side, event, test, outcome, worker)
        if event in ("finished", "gone") and outcome not in _GOOD:
            self._tell(side, outcome or "guest went away", safe.line(test))

    def _tell(self, side: str, outcome: str, test: str) -> None:
        """What went wrong, above the live lines: on one line where there is room, else the name below."""
        head = Text.assemble((f"{safe.line(side):>8} ", "red"), f"{safe.line(outcome)}: ")
        if head.cell_len + cell_len(test) <= self.console.width:
            put(self.console, head, test)
            return
        with self.console:
            put(self.console, head)
            for line in name_lines(test, self.console.width - _INDENT):
                put(self.console, " " * _INDENT, line)
