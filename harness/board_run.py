"""Run suites on a real board: the kernel that runs there, with the board's own network cards."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.allow_list import entries_of
from harness.bpf_objects import compile_objects
from harness.errors import MachineLost, UsageError
from harness.machine.board import Board, BoardSpec, Facts, board_of, probe
from harness.machine.model import Deadlines
from harness.machine.session import Session, run_sessions
from harness.native_tools import build_tools
from harness.passes import with_unrun
from harness.plan import Invocation, Observer, listening
from harness.results import SideResults
from harness.splats import find_splats
from harness.store import RunFolder
from harness.suites import Suite

__all__ = ["Wiring", "board_session", "run_on_board", "wiring_of"]

_BOOT = 120.0  # seconds: how long a board that went down may take to come back
_INTERFACE = re.compile(r"[^\s/:]{1,15}")  # net/core/dev.c:dev_valid_name()


@dataclass(frozen=True)
class Wiring:
    """How a board's cards are connected. iface: the one under test. loop: the board's own card at the other end of its
    cable. peer: another machine there, as ssh names it. Each may be ""."""

    iface: str = ""
    loop: str = ""
    peer: str = ""

    @property
    def interfaces(self) -> tuple[str, ...]:
        return tuple(name for name in (self.iface, self.loop) if name)

    def env(self) -> dict[str, str]:
        """For the suites; docs/suites.md explains them."""
        told = {"KTRIAL_IFACE": self.iface, "KTRIAL_LOOP": self.loop, "KTRIAL_PEER": self.peer}
        return {name: value for name, value in told.items() if value}


def wiring_of(iface: str, loop: str, peer: str) -> Wiring:
    """From `--iface`, `--loop` and `--peer ssh:TARGET`. Raises UsageError."""
    for option, name in (("--iface", iface), ("--loop", loop)):
        if name and (not _INTERFACE.fullmatch(name) or name in (".", "..")):
            raise UsageError(f"{option} {name!r} is no name of an interface")
    if (loop or peer) and not iface:
        raise UsageError("--loop and --peer say what --iface is cabled to", hint="add --iface")
    if loop and peer:
        raise UsageError("--loop or --peer: an interface has one cable")
    return Wiring(iface, loop, board_of(peer).target if peer else "")


def run_on_board(
    asked: Invocation, board: Board, wiring: Wiring, suites: Sequence[Suite], run: RunFolder, observer: Observer
) -> SideResults:
    """What the kernel that runs on the board does. Raises MachineLost and UsageError where it cannot be used."""
    facts = probe(board, wiring.interfaces)
    observer.stage("board", f"{board.target}: {facts.machine}, Linux {facts.release}")
    folder = run.session("board")
    session = replace(board_session(asked, board, wiring, suites, run, facts), side="board", folder=folder)
    results = with_unrun(run_sessions([session], find_splats, listening(observer))[0], session)
    return _checked(results, board, folder)


def board_session(
    asked: Invocation, board: Board, wiring: Wiring, suites: Sequence[Suite], run: RunFolder, facts: Facts
) -> Session:
    """What a board is to run, with all that is brought to it compiled. side, folder: for the caller to set.

    facts: what the board says of itself; programs are built for one that has this machine's processor.
    """
    objects = compile_objects(suites, run.path / "bpf")
    objects.mkdir(parents=True, exist_ok=True)
    tools = build_tools(suites, run.path / "tools") if facts.machine == os.uname().machine else None
    root = suites[0].directory.parent
    deadlines = Deadlines(boot=_BOOT, test=asked.test_deadline, session=asked.session_deadline)
    return Session(
        side="",
        guest=BoardSpec(board, run.path / "boots", root, objects, deadlines, tools, wiring.env()),
        root=root,
        suites=tuple(suite.directory for suite in suites),
        folder=run.path,
        only=asked.tests or None,
        keyword=asked.keyword,
        allowed=entries_of(asked.allow_splats),
    )


def _checked(results: SideResults, board: Board, folder: Path) -> SideResults:
    """The results. Raises MachineLost where no worker ever came up."""
    if results.booted:
        return results
    why = results.boots[-1] if results.boots else None
    log = Path(why.console) if why else folder / "pytest.log"
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:]) if log.is_file() else ""
    raise MachineLost(f"no worker came up on {board.target}", detail=tail, log=folder / "pytest.log")
