"""Boots that measure: which kernel in which role, the session that runs benches in it, and what it said."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from harness.machine.journal import read_boots, read_journal
from harness.machine.model import BootEnd, GuestSpec
from harness.machine.session import Session, run_sessions
from harness.passes import Bench
from harness.perf.icount import counting
from harness.perf.model import Instrument, Reading
from harness.perf.timed import timing
from harness.plan import Observer, listening
from harness.splats import find_splats

__all__ = ["Measured", "at_once", "readings", "run_boots", "session_of"]


@dataclass(frozen=True)
class Measured:
    """One boot to come: a kernel, in a role, with a seed. label: what the role is called where it is told."""

    role: str
    seed: int
    image: Path
    label: str = ""

    @property
    def name(self) -> str:
        return f"{self.label or self.role}-{self.seed}"


def at_once(boots: Iterable[Measured]) -> Iterator[tuple[Measured, ...]]:
    """As many as the host has processors: their load changes how long an emulator takes, and nothing that it counts."""
    waiting = iter(boots)
    while some := tuple(islice(waiting, max(1, os.cpu_count() or 1))):
        yield some


def session_of(
    bench: Bench,
    boot: Measured,
    folder: Path,
    *,
    instrument: Instrument = Instrument.ICOUNT,
    only: tuple[str, ...] | None = None,
    also: Callable[[GuestSpec], GuestSpec] = lambda guest: guest,
) -> Session:
    """The benches of a run, or `only` some, in one boot, in their fixed order. also: what else to make of the guest."""
    counts = instrument is Instrument.ICOUNT
    guest = counting(bench.guest, boot.seed) if counts else timing(bench.guest, instrument)
    guest = replace(guest, image=boot.image, boots=folder / "boots")
    return Session(
        side=boot.name,
        guest=also(guest),
        root=bench.root,
        suites=bench.suites,
        folder=folder,
        keyword=bench.keyword,
        mark=bench.mark,
        only=only,
        benches=True,
    )


def run_boots(sessions: Sequence[Session], observer: Observer) -> list[Session]:
    """Run them at the same time, telling what goes on; gives those whose readings count.

    A session whose guest our machine lost is run once more, from its beginning: benches that come after others read
    what they do behind them.
    """

    listen = listening(observer)
    run_sessions(sessions, find_splats, listen)
    again = {each.side: replace(each, folder=each.folder / "again") for each in sessions if _was_lost(each)}
    if again:
        observer.stage("perf", f"once more, for our machine lost their guests: {', '.join(again)}")
        run_sessions(list(again.values()), find_splats, listen)
    return [again.get(each.side, each) for each in sessions]


def _was_lost(session: Session) -> bool:
    boots = read_boots(session.boots)
    return not boots or any(boot.end in (BootEnd.LOST, BootEnd.BOOT_TIMEOUT) for boot in boots)


def readings(session: Session) -> tuple[Reading, ...]:
    """What the journal of a session tells of every bench, in the order in which they ran."""
    readings: dict[str, Reading] = {}
    for event in read_journal(session.journal):
        if event["event"] == "collected":
            readings |= {test: Reading(test, failure=_end(session)) for test in event["tests"] if test not in readings}
        elif event["event"] == "finished":
            readings[event["test"]] = _reading(event)
    return tuple(readings.values())


def _reading(event: dict[str, Any]) -> Reading:
    figure = event.get("figure")
    if event["outcome"] != "passed" or not figure:
        return Reading(event["test"], failure=event["reason"] or event["outcome"])
    clock = figure.get("profile", {}).get("clock", "")
    return Reading(event["test"], figure["unit"], tuple(figure["values"]), scope=figure.get("scope", ""), clock=clock)


def _end(session: Session) -> str:
    """Why a bench has no result: how its guest ended."""
    boots = read_boots(session.boots)
    return f"the guest ended: {boots[-1].why or boots[-1].end}" if boots else "no guest came up"
