"""What an archive of runs holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

__all__ = ["ARRIVAL", "FORMAT", "MANIFEST", "Arrival", "Arrived", "Limits", "Manifest", "Packed", "is_log", "is_wanted"]

FORMAT: Final = 1
MANIFEST: Final = "ktrial-runs.json"
"""The first member of an archive."""
ARRIVAL: Final = "imported.json"
"""In the folder of a run that came from another machine."""

_FILES = frozenset({"run.json", "result.json", "series.mbox", "reproduce.sh", "events.log"})
_KEPT = re.compile(r"config/[\w-]{1,40}\.config|allow-splats-[1-9]\d{0,3}\.toml", re.ASCII)
_LOGS = re.compile(
    r"(?:build|results|perf|bpf|config)/(?:[\w-][\w.-]{0,100}/){0,4}(?:[\w-][\w.-]{0,100}\.log|journal\.jsonl|boot\.json)",
    re.ASCII,
)


@dataclass(frozen=True)
class Packed:
    """A run in an archive. digest: SHA-256, hex, of its result as it was on the machine that made the run."""

    id: str
    digest: str


@dataclass(frozen=True)
class Manifest:
    """The archive's first member. machine: that wrote it. made: ISO 8601. ktrial: version."""

    format: int
    machine: str
    made: str
    ktrial: str
    runs: tuple[Packed, ...]


@dataclass(frozen=True)
class Arrival:
    """Where a run came from, and when. digest: as of `Packed`."""

    machine: str
    at: str
    digest: str


@dataclass(frozen=True)
class Limits:
    """What an archive may hold at most. size: bytes of all files, and of one file at most half of that."""

    size: int = 4 * 10**9
    files: int = 100_000
    runs: int = 1000


@dataclass(frozen=True)
class Arrived:
    """What became of the runs of an archive, by id. known: those that were here already, the same."""

    machine: str
    taken: tuple[str, ...]
    known: tuple[str, ...] = ()


def is_wanted(path: PurePosixPath) -> bool:
    """Whether a file of a run's folder belongs in an archive: what a report is made of, and logs.

    What would let a run be resumed stays out: its stages are of the machine that it is on.
    """
    name = str(path)
    return name in _FILES or _KEPT.fullmatch(name) is not None or is_log(path)


def is_log(path: PurePosixPath) -> bool:
    """Whether a file is a log: of a build, a pass over the tests, a guest."""
    return _LOGS.fullmatch(str(path)) is not None
