"""Run the tests of a trial: once on every side, and those that differ again before anybody is blamed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.allow_list import Allowed, entries_of
from harness.bpf_objects import BPF_DIR_VARIABLE
from harness.compare import compare, suspects
from harness.flakiness import KnownFlake, wanting
from harness.kselftest.guests import GuestPart
from harness.machine.devices import guest_devices
from harness.machine.events import NONSENSE
from harness.machine.journal import item_of, read_journal
from harness.machine.model import TCG_SCALE, Accelerator, Deadlines, GuestSpec
from harness.machine.session import Session, run_sessions
from harness.native_tools import TOOLS_DIR_VARIABLE, build_tools
from harness.places import suites_dir
from harness.plan import Invocation, Observer, fuzzing, listening
from harness.results import Outcome, SideResults, TestResult
from harness.splats import find_splats
from harness.store import RunFolder, inputs_digest
from harness.suites import Suite

__all__ = ["Bench", "guests_at_once", "run_passes", "with_those_before", "with_unrun"]

# A guest that our machine lost is no evidence about anything; a machine that keeps losing them is to be told so.
_MOST_LOSSES = 3
_PYTESTS_FAULT = "INTERNALERROR>"  # as pytest begins each line of a traceback of its own
_LONGEST_SAID = 500
# What ran before a suspect is repeated with it, unless it takes that long (a selftest); as many fit into one guest.
_LONG_BEFORE = 30.0
_IN_ONE_GUEST = 16
_UNRUN = "the session ended before this test was run"
# A kernel with every checker in it booted three to six times slower; its tests get their time in vm/ktrial_pytest.py.
_CHECKED = "debug"
_CHECKED_BOOT = 3.0
# KASAN reports but the first mistake of a boot otherwise, and the tests after it look well (mm/kasan/report.c).
_CHECKED_ARGS = ("kasan_multi_shot",)


@dataclass(frozen=True)
class Bench:
    """What every guest of a run has in common. guest: without its image and boots. vms: guests for each side.

    keyword, mark: expressions that names and marks must match. of_side: what one side's guests have beside that.
    label: names the passes in the run's journal. flaky: tests that failed now and then on base kernels before.
    allowed: complaints of the kernel that fail no test, on no side.
    """

    guest: GuestSpec
    root: Path
    suites: tuple[Path, ...]
    vms: int
    reruns: int
    keyword: str = ""
    only: tuple[str, ...] | None = None
    of_side: Mapping[str, GuestPart] = field(default_factory=dict)
    label: str = "tests"
    mark: str = ""
    flaky: Mapping[str, KnownFlake] = field(default_factory=dict)
    allowed: tuple[Allowed, ...] = ()

    @staticmethod
    def of(asked: Invocation, accelerator: Accelerator, suites: Sequence[Suite], objects: Path) -> Bench:
        """From the options of a run. objects: the suites' compiled BPF programs; the tools go beside them."""
        scale = 1.0 if accelerator is Accelerator.KVM else TCG_SCALE
        session = asked.session_deadline + 60 * asked.fuzz_minutes
        checked = _CHECKED in asked.fragments
        boot = asked.boot_deadline * (_CHECKED_BOOT if checked else 1.0)
        tools = build_tools(suites, objects.parent / "tools")
        devices = guest_devices(device for suite in suites for device in suite.devices)
        guest = GuestSpec(
            image=Path("/nonexistent"),
            boots=Path("/nonexistent"),
            accelerator=accelerator,
            readable=(objects, tools),
            cpus=asked.cpus,
            memory_mib=asked.memory_mib,
            deadlines=Deadlines(boot, asked.test_deadline, session, scale),
            env={
                BPF_DIR_VARIABLE: str(objects),
                TOOLS_DIR_VARIABLE: str(tools),
                **devices.env,
                **fuzzing(asked.fuzz_minutes, asked.fuzz_seed),
            },
            kernel_args=_CHECKED_ARGS if checked else (),
            qemu_args=devices.qemu_args,
        )
        folders = tuple(suite.directory for suite in suites)
        root = folders[0].parent if folders else suites_dir()
        return Bench(
            guest,
            root,
            folders,
            guests_at_once(asked),
            asked.reruns,
            asked.keyword,
            asked.tests or None,
            allowed=entries_of(asked.allow_splats),
        )


def guests_at_once(asked: Invocation) -> int:
    """Guests for each side. Those of both sides run at once: half of the processors for each."""
    return asked.vms or max(1, (os.cpu_count() or 2) // 2)


def run_passes(bench: Bench, images: Mapping[str, Path], run: RunFolder, observer: Observer) -> dict[str, SideResults]:
    """Every side's results, with all the attempts that it took to be sure.

    images: the kernel of each side; sides run at the same time, on the same load. Tests whose outcome differs are run
    again on all sides, `reruns` times, and those that are known to flake a few times more; tests that our machine lost
    are run again until they are not, within reason.
    """
    guests = "1 guest" if bench.vms == 1 else f"{bench.vms} guests"
    observer.stage("boot", f"{' and '.join(images)}, {guests} each; consoles and logs in {run.path / 'results'}")
    sides = dict(zip(images, _pass(bench, images, run, observer, 1, bench.only), strict=True))
    sides = _boot_again(bench, images, run, observer, sides)
    attempt = 1
    losses = 0
    while attempt <= bench.reruns + _MOST_LOSSES:
        lost = _lost(sides)
        losses += bool(lost)
        doubted = suspects(compare(sides["base"], sides["patched"])) if "base" in sides else ()
        repeated = attempt - losses
        wanted = (*(doubted if repeated <= bench.reruns else ()), *(lost if losses <= _MOST_LOSSES else ()))
        if not wanted:
            break
        attempt += 1
        observer.stage("again", f"{len(set(wanted))} tests once more on every side (attempt {attempt})")
        again = _pass(bench, images, run, observer, attempt, with_those_before(sides, wanted))
        sides = {side: _joined(sides[side], more) for side, more in zip(images, again, strict=True)}
    return _try_flaky(bench, images, run, observer, sides, attempt) if "base" in sides and bench.reruns else sides


def with_those_before(sides: Mapping[str, SideResults], tests: Sequence[str]) -> tuple[str, ...]:
    """Tests, and the one that ended right before each in its guest where it was bad.

    What one test does to the next (a lock that stays held, a device in a wrong state) comes again only behind it: alone
    in a fresh guest the next would pass, and be taken for flaky.
    """
    found = dict.fromkeys(tests)
    for side in sides.values():
        for before, result in _in_turn(side.results):
            if result.test in found and result.outcome.bad and before.seconds <= _LONG_BEFORE:
                found[before.test] = None
    return tuple(found)


def _in_turn(results: Iterable[TestResult]) -> Iterator[tuple[TestResult, TestResult]]:
    """Each result with that of the item that ended before its own in the same guest."""
    guests: dict[tuple[int, str], tuple[TestResult | None, TestResult]] = {}
    for result in results:
        guest = (result.attempt, result.boot)
        before, latest = guests.get(guest, (None, result))
        if item_of(latest.test) != item_of(result.test):
            before = latest
        guests[guest] = before, result
        if before is not None:
            yield before, result


def _try_flaky(
    bench: Bench,
    images: Mapping[str, Path],
    run: RunFolder,
    observer: Observer,
    sides: dict[str, SideResults],
    attempt: int,
) -> dict[str, SideResults]:
    """More attempts of blamed tests that are known to flake, until one passes or chance no longer explains them."""
    while wanted := wanting(compare(sides["base"], sides["patched"]), bench.flaky):
        attempt += 1
        observer.stage("again", f"{len(wanted)} tests that have been flaky on base before (attempt {attempt})")
        again = _pass(bench, images, run, observer, attempt, wanted)
        sides = {side: _joined(sides[side], _extra(more)) for side, more in zip(images, again, strict=True)}
        if not all(_ran(side, wanted) for side in again):  # our machine: it would go on for ever
            break
    return sides


def _ran(side: SideResults, tests: Sequence[str]) -> bool:
    return {result.test for result in side.results if result.outcome is not Outcome.LOST}.issuperset(tests)


def _extra(side: SideResults) -> SideResults:
    return replace(side, results=tuple(replace(result, extra=True) for result in side.results))


def _boot_again(
    bench: Bench, images: Mapping[str, Path], run: RunFolder, observer: Observer, sides: dict[str, SideResults]
) -> dict[str, SideResults]:
    """A kernel that did not come up gets a second try before it is said not to boot."""
    down = {side: image for side, image in images.items() if not sides[side].booted}
    if not down:
        return sides
    observer.stage("again", f"{' and '.join(down)} did not boot: a second try")
    again = _pass(bench, down, run, observer, 0, bench.only)
    return sides | {side: _joined(sides[side], more) for side, more in zip(down, again, strict=True)}


def _pass(
    bench: Bench,
    images: Mapping[str, Path],
    run: RunFolder,
    observer: Observer,
    attempt: int,
    only: tuple[str, ...] | None,
) -> list[SideResults]:
    """One run of the tests on some sides at once. attempt 0: the second try of a kernel that did not boot."""
    sessions = [_session(bench, side, image, run, attempt, only) for side, image in images.items()]

    def make() -> list[SideResults]:
        results = run_sessions(sessions, find_splats, listening(observer))
        return [with_unrun(result, session) for result, session in zip(results, sessions, strict=True)]

    parts = [sorted(part.env.items()) for part in bench.of_side.values()]
    # The number of guests is no part of what a result means; a resumed run may use another.
    inputs = inputs_digest(attempt, list(images.items()), only or (), bench.suites, bench.keyword, parts)
    return run.once(f"{bench.label}-{attempt}", list[SideResults], inputs, make)


def _session(
    bench: Bench, side: str, image: Path, run: RunFolder, attempt: int, only: tuple[str, ...] | None
) -> Session:
    folder = run.session(side, attempt)
    part = bench.of_side.get(side, GuestPart())
    guest = replace(
        bench.guest,
        image=image,
        boots=folder / "boots",
        readable=(*bench.guest.readable, *part.readable),
        env={**bench.guest.env, **part.env},
    )
    only = None if only is None else tuple(dict.fromkeys(item_of(test) for test in only))
    workers = bench.vms if only is None or len(only) > _IN_ONE_GUEST else 1
    return Session(
        side=side,
        guest=guest,
        root=bench.root,
        suites=bench.suites,
        folder=folder,
        workers=workers,
        only=only,
        keyword=bench.keyword,
        attempt=max(attempt, 1),
        allowed=bench.allowed,
    )


def with_unrun(results: SideResults, session: Session) -> SideResults:
    """Add what was collected and never came to an end (pytest itself went away): lost, so that it is run again."""
    told = {result.test for result in results.results}
    events = read_journal(session.journal)
    collected = dict.fromkeys(test for event in events if event["event"] == "collected" for test in event["tests"])
    missing = [test for test in collected if test not in told]
    why = _why_unrun(session, events) if missing else ""
    lost = tuple(TestResult(test, Outcome.LOST, reason=why, attempt=session.attempt) for test in missing)
    return replace(results, results=results.results + lost)


def _why_unrun(session: Session, events: Sequence[dict[str, Any]]) -> str:
    """What a session says that did not run all its tests: of a report that could not be read, of pytest's own end."""
    nonsense = next((event["why"] for event in events if event["event"] == NONSENSE), "")
    if nonsense:
        return f"no report of it came; of one that did, {nonsense}"
    try:
        lines = session.log.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    said = next((line for line in reversed(lines) if line.startswith(_PYTESTS_FAULT)), "")
    return f"{_UNRUN}: {said.removeprefix(_PYTESTS_FAULT).strip()[:_LONGEST_SAID]}" if said else _UNRUN


def _lost(sides: Mapping[str, SideResults]) -> tuple[str, ...]:
    """Tests that have no result but lost ones on some side that does boot."""
    found: dict[str, None] = {}
    for side in sides.values():
        known = {result.test for result in side.results if result.outcome is not Outcome.LOST}
        found |= dict.fromkeys(result.test for result in side.results if result.test not in known and side.booted)
    return tuple(found)


def _joined(first: SideResults, more: SideResults) -> SideResults:
    return replace(
        first,
        results=first.results + more.results,
        boots=first.boots + more.boots,
        seconds=first.seconds + more.seconds,
        booted=first.booted or more.booted,
    )
