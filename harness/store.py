"""A run's folder: everything that one trial took in, made and found, and the journal that lets it be resumed.

The folder is the run. Each stage's frozen value is recorded the moment it is there, with a digest of what it was made
from; a resumed run takes up what still holds and makes the rest. docs/run-folder.md names every file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

from harness import __version__, record
from harness.errors import KtrialError, UsageError
from harness.locks import is_locked, try_locked
from harness.places import runs_dir

__all__ = [
    "RunCard",
    "RunFolder",
    "RunState",
    "RunSummary",
    "find_run",
    "inputs_digest",
    "list_runs",
    "new_run",
    "remove_run",
    "run_folders",
    "summary",
]

T = TypeVar("T")

_CARD = "run.json"
_FORMAT = 1
_LABEL_LENGTH = 40


@dataclass(frozen=True)
class RunCard:
    """What a run is called. id: `20261121-0415-breaks-shrink-3f2a`; created: UTC, ISO 8601; version: ktrial's."""

    format: int
    id: str
    label: str
    created: str
    version: str


@dataclass(frozen=True)
class _Stage:
    """A stage in the journal. inputs: digest of what its value was made from."""

    inputs: str
    value: msgspec.Raw


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run. side: `base` or `patched`."""

    path: Path

    @property
    def card(self) -> RunCard:
        """Raises UsageError where the folder is no run, or one of another version's."""
        card = record.load_if(self.path / _CARD, RunCard)
        if card is None or card.format != _FORMAT:
            raise UsageError(f"{self.path} is not a run that this ktrial can read", hint="ktrial runs list")
        return card

    @property
    def id(self) -> str:
        return self.card.id

    @property
    def invocation_file(self) -> Path:
        return self.path / "invocation.json"

    @property
    def series_mbox(self) -> Path:
        """The series as it came in: what standard input held is nowhere else."""
        return self.path / "series.mbox"

    @property
    def result(self) -> Path:
        """The whole outcome, under docs/result.schema.json; a run that has it is finished."""
        return self.path / "result.json"

    @property
    def reproduce(self) -> Path:
        """Shell script that repeats the first regression."""
        return self.path / "reproduce.sh"

    @property
    def events(self) -> Path:
        return self.path / "events.log"

    def config(self, side: str) -> Path:
        """The side's whole .config."""
        return self.path / "config" / f"{side}.config"

    def build_log(self, side: str) -> Path:
        """All that make printed."""
        return self.path / "build" / side / "build.log"

    def session(self, side: str, attempt: int = 1) -> Path:
        """Folder of one pass over a side's tests: its journal, pytest's log, and a folder for each boot."""
        return self.path / "results" / f"{side}-{attempt}"

    def note(self, event: str) -> None:
        """Append a line, with the time in UTC, to the run's events."""
        with self.events.open("a", encoding="utf-8") as log:
            log.write(f"{_now().isoformat(timespec='milliseconds')} {event}\n")

    @contextlib.contextmanager
    def noted(self, what: str) -> Iterator[None]:
        """Note when something begins, and when it is done or has failed."""
        self.note(f"{what}: begins")
        try:
            yield
        except KtrialError:
            self.note(f"{what}: failed")
            raise
        self.note(f"{what}: done")

    def save_invocation(self, invocation: object) -> None:
        """Record what the run was asked to do, a frozen value, so that resuming it needs no other argument."""
        record.save(self.invocation_file, invocation)

    def invocation(self, kind: type[T]) -> T:
        """What the run was asked to do. Raises UsageError where another version of ktrial recorded it."""
        found = record.load_if(self.invocation_file, kind)
        if found is None:
            raise UsageError(
                f"{self.path} does not say what it was asked to do, or an other version of ktrial wrote it",
                hint="start a new run: what it built is found again in the cache",
            )
        return found

    def once(
        self,
        stage: str,
        kind: type[T],
        inputs: str,
        make: Callable[[], T],
        *,
        still_good: Callable[[T], bool] = lambda value: True,
    ) -> T:
        """The stage's value: the recorded one where it was made from the same inputs, else made and recorded now.

        inputs: digest of all that the value depends on (see `inputs_digest`).
        still_good: whether a recorded value can be used yet (a kernel that it names may have left the cache).
        """
        known = self.stage_value(stage, kind, inputs)
        if known is not None and still_good(known):
            self.note(f"{stage}: already done")
            return known
        self.note(f"{stage}: begins")
        value = make()
        self.stage_done(stage, inputs, value)
        return value

    def stage_value(self, stage: str, kind: type[T], inputs: str) -> T | None:
        """A stage's recorded value; None where there is none, or other inputs or another version made it."""
        entry = record.load_if(self._journal(stage), _Stage)
        if entry is None or entry.inputs != inputs:
            return None
        with contextlib.suppress(msgspec.DecodeError):
            return record.decode(bytes(entry.value), kind)
        return None

    def stage_done(self, stage: str, inputs: str, value: object) -> None:
        """Record a stage's value, whole or not at all."""
        record.save(self._journal(stage), _Stage(inputs, msgspec.Raw(record.encode(value))))
        self.note(f"{stage}: done")

    def stages(self) -> tuple[str, ...]:
        """The stages that are recorded, in the order in which they were done."""
        files = self.path.joinpath("stages").glob("[!.]*.json")
        return tuple(file.stem for file in sorted(files, key=lambda file: file.stat().st_mtime_ns))

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Hold the run, so that no other process works on it. Raises UsageError where one does."""
        with try_locked(self._lock) as held:
            if not held:
                raise UsageError(f"another ktrial is working on run {self.id}", hint="wait for it, or end it")
            try:
                yield
            finally:
                self._lock.unlink(missing_ok=True)

    @property
    def is_active(self) -> bool:
        """Whether some process works on the run at this moment."""
        return is_locked(self._lock)

    @property
    def _lock(self) -> Path:
        return self.path / ".lock"

    def _journal(self, stage: str) -> Path:
        return self.path / "stages" / f"{stage}.json"


class RunState(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    UNFINISHED = "unfinished"


@dataclass(frozen=True)
class RunSummary:
    """A run in a list. stage: the last one done, or "". size: bytes on disk."""

    run: RunFolder
    card: RunCard
    state: RunState
    stage: str
    size: int


def inputs_digest(*values: object) -> str:
    """SHA-256, hex, over values in order: frozen dataclasses, strings, numbers, paths (by name) and bytes."""
    digest = hashlib.sha256()
    for value in values:
        data = record.encode(value)
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()


def new_run(out: Path | None, label: str) -> RunFolder:
    """Make a run's folder: `out`, else one of its own among the runs, where `out` is linked too.

    label: what the run is about, for its id. Raises UsageError where `out` holds anything.
    """
    created = _now()
    identity = f"{created:%Y%m%d-%H%M}-{_slug(label)}-{secrets.token_hex(2)}"
    home = runs_dir() / identity
    path = home if out is None else out.expanduser().resolve()
    _make_empty(path)
    record.save(
        path / _CARD, RunCard(_FORMAT, identity, label, created.isoformat(timespec="milliseconds"), __version__)
    )
    if path != home:
        home.parent.mkdir(parents=True, exist_ok=True)
        home.symlink_to(path)
    return RunFolder(path)


def find_run(reference: str | Path) -> RunFolder:
    """The run of a folder, an id, the beginning of one or its last four letters, or `last`. Raises UsageError."""
    path = Path(reference).expanduser()
    if (path / _CARD).is_file():
        return RunFolder(path.resolve())
    name = str(reference)
    known = _ids()
    if name == "last" and known:
        return list_runs()[0].run
    matches = [name] if name in known else [run for run in known if run.startswith(name) or run.endswith(f"-{name}")]
    if len(matches) == 1:
        return RunFolder((runs_dir() / matches[0]).resolve())
    if matches:
        raise UsageError(f"{name} is the beginning of {len(matches)} runs", detail="\n".join(matches))
    raise UsageError(f"no run {name}", hint="ktrial runs list")


def list_runs() -> tuple[RunSummary, ...]:
    """Every run that this ktrial can read, the newest first."""
    found = []
    for name in _ids():
        with contextlib.suppress(UsageError, FileNotFoundError):  # another version's, or removed meanwhile
            found.append(summary(RunFolder((runs_dir() / name).resolve())))
    return tuple(sorted(found, key=lambda entry: (entry.card.created, entry.card.id), reverse=True))


def run_folders() -> dict[str, RunFolder]:
    """The folder of every run, by its id. Nothing in them is read."""
    return {name: RunFolder((runs_dir() / name).resolve()) for name in _ids()}


def summary(run: RunFolder) -> RunSummary:
    """How far a run is."""
    finished = RunState.FINISHED if run.result.is_file() else RunState.UNFINISHED
    stages = run.stages()
    state = RunState.RUNNING if run.is_active else finished
    return RunSummary(run, run.card, state, stages[-1] if stages else "", _size(run.path))


def remove_run(run: RunFolder) -> None:
    """Remove a run's folder and its link among the runs. Raises UsageError while a process works on it."""
    link = runs_dir() / run.id
    with run.active():
        doomed = run.path.with_name(f".{run.path.name}.removed")  # out of sight at once, should removing be cut short
        run.path.rename(doomed)
        if link.is_symlink():
            link.unlink()
        shutil.rmtree(doomed)


def _now() -> datetime:
    return datetime.now(UTC)


def _slug(label: str) -> str:
    """A label as part of a file name: `xdp: shrink frags (v2)` becomes `xdp-shrink-frags-v2`."""
    slug = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
    return slug[:_LABEL_LENGTH].rstrip("-") or "run"


def _make_empty(path: Path) -> None:
    if (path / _CARD).is_file():
        raise UsageError(f"{path} is already a run", hint=f"ktrial run --resume {path}")
    try:
        path.mkdir(parents=True, exist_ok=True)
        holds = next(path.iterdir(), None)
    except OSError as error:
        raise UsageError(f"the run's folder {path} cannot be made: {error.strerror}") from error
    if holds is not None:
        raise UsageError(f"{path} is not empty (it holds {holds.name})", hint="name a folder that does not exist yet")


def _ids() -> tuple[str, ...]:
    with contextlib.suppress(FileNotFoundError):
        entries = (entry for entry in sorted(runs_dir().iterdir()) if not entry.name.startswith("."))
        return tuple(entry.name for entry in entries if (entry / _CARD).is_file() and not _is_of_another(entry))
    return ()


def _is_of_another(entry: Path) -> bool:
    """Whether a link leads to a folder of `--out` in which a later run was made."""
    card = record.load_if(entry / _CARD, RunCard) if entry.is_symlink() else None
    return card is not None and card.id != entry.name


def _size(directory: Path) -> int:
    """Bytes that a folder takes on disk."""
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(f"{parent}/{name}").st_blocks * 512
    return total
