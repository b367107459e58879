"""Run suites in guests of one kernel, or of two at once, and collect what became of each test."""

from __future__ import annotations

import contextlib
import functools
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from harness import record
from harness.allow_list import Allowed
from harness.command import Command, run, started
from harness.errors import UsageError
from harness.machine.board import BoardSpec
from harness.machine.guest import guest_python
from harness.machine.journal import SplatFinder, collect, finished_tests, read_journal, read_on
from harness.machine.model import GuestSpec
from harness.places import vm_dir
from harness.results import SideResults

__all__ = ["Session", "names_of", "run_sessions"]

_POLL = 0.1
_COLLECT_DEADLINE = 120.0
_WRONG_EXPRESSION = re.compile(r"Wrong expression passed to '(-[km])': (.*)")
_NOTHING_COLLECTED = 5  # pytest.ExitCode.NO_TESTS_COLLECTED
# A worker that never comes up would be replaced for ever; one crash for each test is the most that makes sense.
_RESTARTS = 2000
# Looking through every installed package for plugins of pytest costs an emulated guest a second; none is wanted.
_NO_AUTOLOAD = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
_BOARD_RESTARTS = 50  # a board takes minutes to come back


@dataclass(frozen=True)
class Session:
    """One side's tests, to be run once.

    guest: how to boot, or which board to use (its `boots` and `plan` are set here). suites: folders of tests, below
    `root`. folder: where the journal, the log and the boots go. only: tests to run, None for all. skip: tests not to
    run. first: tests to run before all others. keyword: an expression that names must match, as pytest's `-k`.
    mark: an expression that marks must match, as pytest's `-m`. arguments: more words for pytest (`-x`).
    benches: run these (bench_*.py) and no tests. attempt: 1 for the first run, 2 for the first repetition.
    allowed: complaints of the kernel that fail no test.
    """

    side: str
    guest: GuestSpec | BoardSpec
    root: Path
    suites: tuple[Path, ...]
    folder: Path
    workers: int = 1
    only: tuple[str, ...] | None = None
    skip: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    keyword: str = ""
    mark: str = ""
    arguments: tuple[str, ...] = ()
    benches: bool = False
    attempt: int = 1
    allowed: tuple[Allowed, ...] = ()

    @property
    def journal(self) -> Path:
        return self.folder / "journal.jsonl"

    @property
    def log(self) -> Path:
        """What pytest printed."""
        return self.folder / "pytest.log"

    @property
    def boots(self) -> Path:
        return self.folder / "boots"


Listener = Callable[[str, dict[str, Any]], None]


@dataclass
class _Running:
    session: Session
    process: subprocess.Popen[bytes]
    began: float
    seen: int  # bytes of the journal
    late: bool = False


def run_sessions(sessions: Sequence[Session], splats: SplatFinder, listen: Listener | None = None) -> list[SideResults]:
    """Run sessions side by side to their ends, or each to its deadline.

    A session whose journal already tells some tests' fate (a run that was killed) only runs the rest.
    listen: called with (side, journal event) as they come, and first with a `begun`, which has the number of guests.
    Results are in the order of `sessions`.
    """
    with contextlib.ExitStack() as stack:
        running = [_begin(session, stack) for session in sessions]
        for session in sessions:
            if listen is not None:
                listen(session.side, {"event": "begun", "guests": session.workers})
        while any(one.process.poll() is None for one in running):
            for one in running:
                _pass_on(one, listen)
                _end_if_late(one)
            time.sleep(_POLL)
        for one in running:
            _pass_on(one, listen)
    return [_collect(one, splats) for one in running]


def names_of(session: Session) -> tuple[str, ...]:
    """The names of a session's tests, in the order in which they shall run.

    They are collected on the host, which also compiles the tests and rewrites their assertions: a guest cannot write
    bytecode, and would do it again at every boot. Raises UsageError where a suite cannot be loaded.
    """
    only = None if session.only is None else set(session.only)
    skip = set(session.skip)
    selected = tuple((option, text) for option, text in (("-k", session.keyword), ("-m", session.mark)) if text)
    collected = _collected(session.root, session.suites, selected, tuple(sorted(session.guest.env.items())))
    kind = [name for name in collected if _is_bench(name) is session.benches]
    wanted = [name for name in kind if name not in skip and (only is None or name in only)]
    rank = {name: place for place, name in enumerate(session.first)}
    return tuple(sorted(wanted, key=lambda name: rank.get(name, len(rank))))


def _is_bench(name: str) -> bool:
    return name.partition("::")[0].rpartition("/")[2].startswith("bench_")


@functools.lru_cache
def _collected(
    root: Path,
    suites: tuple[Path, ...],
    selected: tuple[tuple[str, str], ...],
    variables: tuple[tuple[str, str], ...],
) -> tuple[str, ...]:
    """The names of all tests of some suites, as a worker with these variables has them. selected: pytest's options."""
    with tempfile.NamedTemporaryFile(prefix="ktrial-names-") as names:
        argv = [*_pytest(root), "--collect-only", "--ktrial-names", names.name]
        argv += [word for pair in selected for word in pair]
        argv += [str(suite) for suite in suites]
        env = {**dict(variables), **_NO_AUTOLOAD, "PYTHONPATH": str(vm_dir())}
        done = run(Command(tuple(argv), cwd=root, env=env, deadline=_COLLECT_DEADLINE), check=False)
        if wrong := _WRONG_EXPRESSION.search(done.text):
            hint = "words of names, with and, or, not and brackets: -k 'shrink and (9000 or 1500)'"
            raise UsageError(f"{wrong[1]} {wrong[2]}", hint=hint)
        if done.status not in (0, _NOTHING_COLLECTED):
            hint = f"python -m pytest --collect-only {root}"
            raise UsageError("a suite cannot be loaded", detail=done.tail(), hint=hint)
        return tuple(msgspec.json.decode(Path(names.name).read_bytes()))


def _begin(session: Session, stack: contextlib.ExitStack) -> _Running:
    session.folder.mkdir(parents=True, exist_ok=True)
    _mend(session.journal)
    told, seen = read_on(session.journal, 0)
    done = tuple(sorted(finished_tests(told)))
    command = _command(replace(session, skip=session.skip + done))
    log = stack.enter_context(session.log.open("ab"))
    process = stack.enter_context(started(command, stdout=log.fileno()))
    return _Running(session, process, time.monotonic(), seen)


def _mend(journal: Path) -> None:
    """Cut off a line that a kill left half written, so that the next one starts at its own beginning."""
    with contextlib.suppress(FileNotFoundError):
        data = journal.read_bytes()
        if data and not data.endswith(b"\n"):
            record.atomic_write(journal, data[: data.rfind(b"\n") + 1])


def _command(session: Session) -> Command:
    """pytest on the host, whose xdist workers are guests."""
    plan = session.folder / "plan" / "plan.json"
    deadlines = session.guest.deadlines
    plan_value = {
        "tests": names_of(session),
        "deadline": deadlines.test,
        "scale": deadlines.scale,
    }
    record.atomic_write(plan, msgspec.json.encode(plan_value))
    gateway = shlex.join([sys.executable, "-m", *_gateway(session, plan)])
    # A worker gets the same command line, and on a board the suites are elsewhere: there, names are relative.
    root = Path() if isinstance(session.guest, BoardSpec) else session.root
    argv = [*_pytest(root), "--ktrial-journal", str(session.journal), "--ktrial-plan", str(plan)]
    argv += ["--tx", f"{session.workers}*popen//python={gateway}", "--dist", "load"]
    restarts = _BOARD_RESTARTS if isinstance(session.guest, BoardSpec) else _RESTARTS
    argv += ["--max-worker-restart", str(restarts), *session.arguments]
    argv += [str(root / suite.relative_to(session.root)) for suite in session.suites]
    path = f"{Path(__file__).parents[2]}:{vm_dir()}"
    env = {**_NO_AUTOLOAD, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "120"}
    return Command(tuple(argv), cwd=session.root, env=env)


def _gateway(session: Session, plan: Path) -> tuple[str, str]:
    """The module that starts a worker, and the file that says how."""
    if isinstance(session.guest, BoardSpec):
        spec = session.folder / "board.json"
        record.save(spec, replace(session.guest, boots=session.boots, plan=plan))
        return "harness.machine.board_gateway", str(spec)
    guest = replace(
        session.guest,
        boots=session.boots,
        plan=plan,
        readable=(*session.guest.readable, vm_dir(), session.root, plan.parent),
        env={**session.guest.env, **_guest_env(plan)},
    )
    spec = session.folder / "guest.json"
    record.save(spec, guest)
    return "harness.machine.gateway", str(spec)


def _pytest(root: Path) -> list[str]:
    """pytest with our plugin on the suites of a folder, and nothing of the user's."""
    words = [
        guest_python(),
        "-m",
        "pytest",
        "-p",
        "xdist.plugin",
        "-p",
        "ktrial_pytest",
        "-p",
        "no:cacheprovider",
        "-q",
    ]
    return [*words, "--rootdir", str(root), "-c", str(root / "pytest.ini")]


def _guest_env(plan: Path) -> dict[str, str]:
    paths = {"PYTHONPATH": str(vm_dir()), "KTRIAL_PLAN": str(plan), "HOME": "/tmp"}
    return {**_NO_AUTOLOAD, "PYTHONDONTWRITEBYTECODE": "1", **paths}


def _pass_on(one: _Running, listen: Listener | None) -> None:
    if listen is None:
        return
    events, one.seen = read_on(one.session.journal, one.seen)
    for event in events:
        listen(one.session.side, event)


def _end_if_late(one: _Running) -> None:
    """xdist has no deadline of its own: interrupt pytest, which ends its guests, at the session's."""
    if one.late or one.process.poll() is not None:
        return
    if time.monotonic() - one.began > one.session.guest.deadlines.session:
        one.late = True
        one.process.send_signal(signal.SIGKILL)


def _collect(one: _Running, splats: SplatFinder) -> SideResults:
    session = one.session
    events = read_journal(session.journal)
    seconds = time.monotonic() - one.began
    return collect(
        session.side,
        events,
        session.boots,
        splats,
        attempt=session.attempt,
        seconds=seconds,
        allowed=session.allowed,
    )
