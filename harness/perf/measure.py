"""Run the benches of suites on both kernels, and on base once more."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.bpf_objects import compile_objects
from harness.errors import UsageError
from harness.machine.journal import read_boots, read_journal
from harness.machine.model import Accelerator
from harness.machine.session import Session, run_sessions
from harness.passes import Bench
from harness.perf.figures import figures_of
from harness.perf.icount import NAME, counting
from harness.perf.model import Boot, Performance, Policy, Reading
from harness.plan import Invocation, Observer
from harness.splats import find_splats
from harness.store import RunFolder, inputs_digest
from harness.suites import Suite

__all__ = ["BATCHES", "has_benches", "measure"]

BATCHES = 15  # as in suites/meter.py
_BOOTS = 2  # of each role


@dataclass(frozen=True)
class _Measured:
    """One boot to come: a kernel, in a role, with a seed."""

    role: str
    seed: int
    image: Path

    @property
    def name(self) -> str:
        return f"{self.role}-{self.seed}"


def has_benches(suite: Suite) -> bool:
    """Whether a suite measures anything."""
    return any(suite.directory.glob("bench_*.py"))


def measure(
    asked: Invocation,
    suites: Sequence[Suite],
    images: Mapping[str, Path],
    run: RunFolder,
    observer: Observer,
    policy: Policy = Policy(),  # noqa: B008  # frozen
) -> Performance:
    """The figures of two kernels. images: by side, `base` and `patched`. Raises UsageError where nothing is measured.

    The benches run in one order in every boot: what came before shifts a figure by an instruction or two.
    """
    chosen = tuple(suite for suite in suites if has_benches(suite))
    if not chosen:
        names = ", ".join(suite.name for suite in suites)
        raise UsageError(f"no bench in {names}", hint="ktrial suites show NAME lists a suite's benches")
    objects = compile_objects(chosen, run.path / "bpf", log=run.path / "bpf" / "compile.log")
    bench = Bench.of(asked, Accelerator.TCG, chosen, objects)
    waiting = list(_boots(images))
    at_once = max(1, os.cpu_count() or 1)
    boots: list[Boot] = []
    while waiting:
        now, waiting = waiting[:at_once], waiting[at_once:]
        observer.stage("perf", f"{NAME}: {', '.join(each.name for each in now)}, logs in {run.path / 'perf'}")
        boots += _measured(bench, now, run, observer)
    how = (
        f"instructions by the guest's own clock under QEMU's TCG; medians of {BATCHES} batches in each of {_BOOTS}"
        f" boots a kernel; the noise floor is base against itself, in {_BOOTS} more boots with other seeds"
    )
    return Performance(NAME, how, figures_of(boots, policy), policy)


def _boots(images: Mapping[str, Path]) -> Iterator[_Measured]:
    """Base and patched with the same seeds, side by side; then base again with other ones."""
    for seed in range(1, _BOOTS + 1):
        yield _Measured("base", seed, images["base"])
        yield _Measured("patched", seed, images["patched"])
    for seed in range(_BOOTS + 1, 2 * _BOOTS + 1):
        yield _Measured("control", seed, images["base"])


def _measured(bench: Bench, boots: Sequence[_Measured], run: RunFolder, observer: Observer) -> list[Boot]:
    """Some boots at the same time."""
    sessions = [_session(bench, boot, run.path / "perf" / boot.name) for boot in boots]

    def listen(side: str, event: dict[str, Any]) -> None:
        count = str(len(event.get("tests", ())))
        outcome = count if event["event"] == "collected" else event.get("outcome", "")
        observer.testing(side, event["event"], event.get("test", ""), outcome)

    def make() -> list[Boot]:
        run_sessions(sessions, find_splats, listen)
        return [Boot(boot.role, boot.seed, _readings(each)) for boot, each in zip(boots, sessions, strict=True)]

    inputs = inputs_digest([(boot.name, boot.image) for boot in boots], bench.suites, bench.keyword)
    return run.once(f"perf-{'-'.join(boot.name for boot in boots)}", list[Boot], inputs, make)


def _session(bench: Bench, boot: _Measured, folder: Path) -> Session:
    guest = replace(counting(bench.guest, boot.seed), image=boot.image, boots=folder / "boots")
    return Session(
        side=boot.name,
        guest=guest,
        root=bench.root,
        suites=bench.suites,
        folder=folder,
        keyword=bench.keyword,
        benches=True,
    )


def _readings(session: Session) -> tuple[Reading, ...]:
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
    return Reading(event["test"], figure["unit"], tuple(figure["values"]))


def _end(session: Session) -> str:
    """Why a bench has no result: how its guest ended."""
    boots = read_boots(session.boots)
    return f"the guest ended: {boots[-1].why or boots[-1].end}" if boots else "no guest came up"
