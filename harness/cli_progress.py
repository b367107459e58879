"""Show a trial while it runs: live lines on a terminal, plain ones in a log. Everything goes to standard error."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from harness.build.model import BuildProgress, Phase
from harness.plan import Observer, Silent
from harness.report import safe

__all__ = ["LiveObserver", "PlainObserver", "observing"]

_EVERY = 15.0


@contextlib.contextmanager
def observing(console: Console, *, quiet: bool = False) -> Iterator[Observer]:
    """What fits the place: live lines on a terminal, plain ones elsewhere, none where quiet was asked for."""
    if quiet:
        yield Silent()
    elif console.is_terminal:
        with LiveObserver(console) as observer:
            yield observer
    else:
        yield PlainObserver(console)


class PlainObserver:
    """One line for each thing that happens, with the seconds since the start; builds and tests every so often."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.began = time.monotonic()
        self.spoke = 0.0
        self.phases: set[tuple[str, Phase]] = set()
        self.counts: dict[str, Counter[str]] = {}

    def _say(self, text: str) -> None:
        self.spoke = time.monotonic()
        self.console.print(f"[{self.spoke - self.began:6.1f} s] {safe.line(text)}", markup=False, soft_wrap=True)

    def stage(self, name: str, text: str) -> None:
        self._say(f"{name}: {text}")

    def building(self, side: str, progress: BuildProgress) -> None:
        news = (side, progress.phase) not in self.phases
        self.phases.add((side, progress.phase))
        if news or time.monotonic() - self.spoke > _EVERY:
            of = f"/{progress.total}" if progress.total else ""
            self._say(f"build: {side}: {progress.phase} {progress.compiled}{of} objects, {progress.current}")

    def testing(self, side: str, event: str, test: str, outcome: str) -> None:
        counts = self.counts.setdefault(side, Counter())
        if event == "collected" and not counts["total"]:
            counts["total"] = int(outcome)
            self._say(f"test: {side}: {outcome} tests")
        elif event in ("finished", "gone"):
            counts["done"] += 1
            if outcome not in ("passed", "skipped", "xfailed"):
                self._say(f"test: {side}: {outcome or 'guest went away'}: {test}")
            elif time.monotonic() - self.spoke > _EVERY:
                self._say(f"test: {side}: {counts['done']}/{counts['total']}")


class LiveObserver:
    """A line with a bar for each build and each side under test; finished stages stay above."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[now]}", markup=False),
            console=console,
            transient=True,
            refresh_per_second=8,
        )
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> LiveObserver:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def _task(self, name: str) -> TaskID:
        if name not in self.tasks:
            self.tasks[name] = self.progress.add_task(name, total=None, now="")
        return self.tasks[name]

    def stage(self, name: str, text: str) -> None:
        self.progress.console.print(f"[cyan]{escape(name):>8}[/] {escape(safe.line(text))}", highlight=False)

    def building(self, side: str, progress: BuildProgress) -> None:
        task = self._task(f"build {side}")
        now = self._short(f"{progress.phase} {progress.current}")
        self.progress.update(task, completed=progress.compiled, total=progress.total, now=now)
        if progress.phase is Phase.READY:
            self.stage("build", f"{side}: {progress.current}")
            self.progress.update(task, visible=False)

    def testing(self, side: str, event: str, test: str, outcome: str) -> None:
        task = self._task(f"test {side}")
        if event == "collected":
            self.progress.update(task, total=int(outcome))
        elif event == "started":
            self.progress.update(task, now=self._short(test))
        elif event in ("finished", "gone"):
            self.progress.advance(task)
            if outcome not in ("passed", "skipped", "xfailed"):
                self.stage(side, f"{outcome or 'guest went away'}: {test}")

    def _short(self, text: str) -> str:
        room = max(10, self.console.width - 76)
        text = safe.line(text)
        return text if len(text) <= room else f"…{text[-room + 1 :]}"
