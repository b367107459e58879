"""Figures of a real board: benches on two kernels, which it is booted into by turns, with a command of its owner's."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from harness.board_run import Wiring, board_session
from harness.command import Command
from harness.command import run as run_command
from harness.errors import KtrialError, MachineLost, UsageError
from harness.machine.board import Board, BoardSpec, Facts, probe
from harness.machine.session import Session, names_of
from harness.perf.boots import readings, run_boots
from harness.perf.icount import INSTRUMENT_VARIABLE
from harness.perf.model import QUICK, Boot, Instrument, Performance
from harness.perf.paired import ORDER, paired_figures, rounds_told
from harness.perf.words import counts_from
from harness.plan import Invocation, Observer
from harness.store import RunFolder, inputs_digest
from harness.suites import Suite

__all__ = ["Turned", "measure_on_board"]

_BOOT = 600.0  # seconds: from the command that boots a board to its answer
_RETRY = 2.0
_MADE_BY = {Instrument.CYCLES: "cycles of its kernel", Instrument.WALL: "time by its clock"}


@dataclass(frozen=True)
class Turned:
    """A board, how it is cabled, and what boots it. switch: a command of this machine; `{role}` is base or patched."""

    board: Board
    wiring: Wiring
    switch: str

    def command(self, role: str) -> Command:
        """Raises UsageError where the words cannot be told apart."""
        try:
            words = shlex.split(self.switch)
        except ValueError as error:
            raise UsageError(f"--switch {self.switch!r}: {error}") from error
        if not words or "{role}" not in self.switch:
            raise UsageError(
                f"--switch {self.switch!r} does not say where the kernel's name goes",
                hint="--switch './boot-board {role}' is run as ./boot-board base and ./boot-board patched",
            )
        return Command(
            tuple(word.replace("{role}", role) for word in words), deadline=_BOOT, inherit=("SSH_AUTH_SOCK",)
        )


def measure_on_board(
    asked: Invocation, turned: Turned, suites: Sequence[Suite], run: RunFolder, observer: Observer
) -> Performance:
    """The figures of two kernels of a board, in rounds of base, patched, patched, base.

    Raises UsageError where the board cannot be used, MachineLost where it does not come back.
    """
    turned.command("base")
    facts = probe(turned.board, turned.wiring.interfaces)
    benches = _measuring(board_session(asked, turned.board, turned.wiring, suites, run, facts), asked)
    if not names_of(benches):
        raise UsageError("no bench is called so", hint="ktrial suites show NAME lists a suite's benches")
    kernels: dict[str, str] = {}
    boots: list[Boot] = []
    for number in range(asked.rounds * len(ORDER)):
        role = ORDER[number % len(ORDER)]
        folder = run.path / "perf" / f"{role}-{number + 1}"
        session = replace(benches, side=folder.name, folder=folder)
        make = partial(_measured, turned, role, number + 1, session, facts.boot, observer)
        inputs = inputs_digest(turned, session.side, session.suites, session.keyword, session.mark, asked.instrument)
        done = run.once(f"perf-{session.side}", _Done, inputs, make)
        if kernels.setdefault(role, done.kernel) != done.kernel:
            raise MachineLost(
                f"{role} was {kernels[role]}, and is {done.kernel} now", hint="see what the command of --switch boots"
            )
        if not boots and not any(reading.values for reading in done.boot.readings):
            reasons = "\n".join(f"{reading.bench}: {reading.failure}" for reading in done.boot.readings)
            raise MachineLost(f"no bench gives a figure on {turned.board.target}", detail=reasons, log=session.folder)
        boots.append(done.boot)
        facts = done.facts
    return Performance(
        asked.instrument, _how(asked, turned, kernels), paired_figures(boots, asked.policy), asked.policy
    )


@dataclass(frozen=True)
class _Done:
    """One boot that was measured."""

    boot: Boot
    facts: Facts

    @property
    def kernel(self) -> str:
        return f"Linux {self.facts.release} {self.facts.version}"


def _measured(turned: Turned, role: str, seed: int, session: Session, before: str, observer: Observer) -> _Done:
    """The board booted, and its readings. before: the boot_id that it had."""
    facts = _switched(turned, role, before, observer)
    return _Done(Boot(role, seed, readings(run_boots([session], observer)[0])), facts)


def _measuring(session: Session, asked: Invocation) -> Session:
    """The benches of the suites instead of their tests. A board that is switched may be away for longer."""
    assert isinstance(session.guest, BoardSpec)
    env = {**session.guest.env, INSTRUMENT_VARIABLE: str(asked.instrument)}
    guest = replace(session.guest, env=env, deadlines=replace(session.guest.deadlines, boot=_BOOT))
    return replace(session, guest=guest, mark=QUICK if asked.quick else "", benches=True)


def _switched(turned: Turned, role: str, before: str, observer: Observer) -> Facts:
    """The board, booted into the kernel of a role. before: its boot_id as it was. Raises MachineLost."""
    command = turned.command(role)
    observer.stage("board", f"{turned.board.target}: {command}")
    done = run_command(command, check=False)
    if not done.ok:
        raise MachineLost(f"{command} ended with status {done.status}", detail=done.tail())
    facts = _answer(turned, before)
    observer.stage("board", f"{turned.board.target} is {role}: Linux {facts.release}")
    return facts


def _answer(turned: Turned, before: str) -> Facts:
    """What the board says once it has another boot_id. Raises MachineLost where it has none within the deadline."""
    end = time.monotonic() + _BOOT
    while True:
        try:
            facts = probe(turned.board, turned.wiring.interfaces)
            if facts.boot != before:
                return facts
            why = "it did not boot: its boot_id is the same as before"
        except KtrialError as error:
            why = error.summary
        if time.monotonic() > end:
            raise MachineLost(
                f"{turned.board.target} was not back within {_BOOT:.0f} s", detail=why, hint="look at its console"
            )
        time.sleep(_RETRY)


def _how(asked: Invocation, turned: Turned, kernels: dict[str, str]) -> str:
    same = " (one and the same)" if len(set(kernels.values())) == 1 else ""
    names = ", ".join(f"{role}: {kernel}" for role, kernel in kernels.items())
    on = f"{_MADE_BY[asked.instrument]}, on {turned.board.target}"
    return f"{on}; {names}{same}; {rounds_told(asked.rounds)}{counts_from(asked.policy)}"
