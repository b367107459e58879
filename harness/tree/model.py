"""What a kernel tree, a base and an applied series are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = ["Applied", "AppliedPatch", "Base", "BaseReason", "Source", "Tree"]


@dataclass(frozen=True)
class Tree:
    """A git repository that holds a kernel.

    repository: the user's checkout (never written to) or our cached one. origin: what the user named it (`debian:6.12`,
    a path). label: for reports (`linux-source-6.12 6.12.117-1`, or the path and `git describe`).
    """

    repository: Path
    origin: str
    label: str


class BaseReason(StrEnum):
    OPTION = "option"
    BASE_COMMIT = "base-commit"
    RANGE = "range"
    HEAD = "head"


@dataclass(frozen=True)
class Base:
    """The commit a series is tried on. why: one sentence for the report. version: `make kernelversion`."""

    commit: str
    tree_id: str
    reason: BaseReason
    why: str
    version: str


@dataclass(frozen=True)
class AppliedPatch:
    """A patch of the series as a commit. how: `clean`, `3-way`, `fuzz` or `commit` (taken from a git range)."""

    number: int
    subject: str
    commit: str
    files: tuple[str, ...]
    how: str


@dataclass(frozen=True)
class Applied:
    """The whole series on its base. commit and tree_id are the last patch's."""

    base: Base
    patches: tuple[AppliedPatch, ...]
    commit: str
    tree_id: str
    changed: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A tree's files in a folder, for reading and building; never written to (files may be shared hard links).

    tree_id: the git tree they hold. Time stamps: every file has the same old mtime, except those that differ from
    the base's source, which are new; so make compiles what the series changed and nothing else.
    """

    directory: Path
    tree_id: str
