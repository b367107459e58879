"""Which patch of a series wrote, or took away, a line of the source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from harness.command import CommandFailed
from harness.tree.git import git
from harness.tree.model import Applied

__all__ = ["Blame", "Line", "blame"]

Line = tuple[str, int]
"""A file of the tree and a line's number, from 1."""

_HEADER = re.compile(r"^(?P<commit>[0-9a-f]{40,64}) (?P<old>\d+) (?P<new>\d+)")


@dataclass(frozen=True)
class Blame:
    """Numbers of patches. added: of lines of the patched tree. removed: of lines of the base tree."""

    added: Mapping[Line, int] = field(default_factory=dict)
    removed: Mapping[Line, int] = field(default_factory=dict)


def blame(repository: Path, applied: Applied) -> Blame:
    """Every line that the series added or took away, with the patch that did. Files without text have none."""
    numbers = {patch.commit: patch.number for patch in applied.patches}
    commits = [applied.base.commit, *(patch.commit for patch in applied.patches)]
    after = {commit: numbers[follower] for commit, follower in pairwise(commits)}
    reach = f"{applied.base.commit}..{applied.commit}"
    added: dict[Line, int] = {}
    removed: dict[Line, int] = {}
    for path in applied.changed:
        for commit, _, line in _blamed(repository, reach, path):
            if commit in numbers:
                added[path, line] = numbers[commit]
        # In reverse a line's commit is the last that still has it (git-blame(1)).
        for commit, _, line in _blamed(repository, "--reverse", reach, path):
            if commit in after:
                removed[path, line] = after[commit]
    return Blame(added, removed)


def _blamed(repository: Path, *arguments: str) -> Iterator[tuple[str, int, int]]:
    """Commit, line in it and line in the file that was asked about. Nothing for a file that is not there."""
    *options, path = arguments
    try:
        said = git(repository, "blame", "--porcelain", *options, "--", path).text
    except CommandFailed:
        return
    for line in said.splitlines():
        if found := _HEADER.match(line):
            yield found["commit"], int(found["old"]), int(found["new"])
