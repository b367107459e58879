"""Choose the commit that a series is tried on, and say why."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from harness.errors import TreeError, UsageError
from harness.series.model import Series
from harness.tree.git import git
from harness.tree.model import Base, BaseReason, Tree

__all__ = ["choose_base", "kernel_version"]

_STATUS_DEADLINE = 20.0  # seconds; `git status` looks at every file of a checkout
_OBJECT_ID = re.compile(r"[0-9a-f]{7,64}")


def choose_base(tree: Tree, series: Series, base: str | None) -> Base:
    """The base: `--base`, else a git range's start, else the series' base-commit if the tree has it, else HEAD.

    Raises UsageError for a `--base` that the tree does not know, TreeError for one that is not a kernel.
    """
    repository = tree.repository
    if base is not None:
        commit = _named(repository, base)
        return _base(repository, commit, BaseReason.OPTION, f"--base {base} ({commit[:12]})")
    if series.commits:
        return _range_start(repository, series)
    wanted = series.base_commit
    found = _commit(repository, wanted) if _OBJECT_ID.fullmatch(wanted) else None
    if found:
        return _base(repository, found, BaseReason.BASE_COMMIT, f"the series' base-commit {found[:12]}")
    return _head(repository, wanted)


def _range_start(repository: Path, series: Series) -> Base:
    start = series.base_commit or f"{series.commits[0]}^"
    commit = _commit(repository, start)
    if commit is None:
        raise TreeError(f"{repository} has no commit {start}, on which the range {series.source} starts")
    return _base(repository, commit, BaseReason.RANGE, f"the start of the range {series.source} ({commit[:12]})")


def _head(repository: Path, wanted: str) -> Base:
    commit = _commit(repository, "HEAD")
    if commit is None:
        raise TreeError(f"{repository} has no commits")
    if wanted:
        because = f"the series' base-commit {wanted[:12]} is not in this tree"
    else:
        because = "the series names no base-commit"
    why = f"HEAD {commit[:12]} ({because}{_uncommitted(repository)})"
    return _base(repository, commit, BaseReason.HEAD, why)


def _uncommitted(repository: Path) -> str:
    """A warning where the user may expect edits to be part of the base.

    As in the user's own `git status`, a clean filter of their configuration runs where a file's time stamp is new.
    """
    done = git(repository, "status", "--porcelain", "-uno", check=False, deadline=_STATUS_DEADLINE)
    count = len(done.text.splitlines()) if done.ok else 0
    return f"; uncommitted changes to {count} files are left out" if count else ""


def _base(repository: Path, commit: str, reason: BaseReason, why: str) -> Base:
    tree_id = git(repository, "rev-parse", "--verify", f"{commit}^{{tree}}").text.strip()
    return Base(commit=commit, tree_id=tree_id, reason=reason, why=why, version=kernel_version(repository, commit))


def _commit(repository: Path, revision: str) -> str | None:
    """The full id of a revision that the repository has, else None. A revision can never be taken for an option."""
    wanted = f"{revision}^{{commit}}"
    done = git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", wanted, check=False)
    return done.text.strip() if done.ok else None


def _named(repository: Path, revision: str) -> str:
    commit = _commit(repository, revision)
    if commit:
        return commit
    refs = git(repository, "for-each-ref", "--format=%(refname:short)").text.split()
    near = difflib.get_close_matches(revision, refs, n=3)
    raise UsageError(
        f"--base {revision}: {repository} has no such commit",
        hint=f"did you mean {' or '.join(near)}?" if near else "git log names the commits that the tree has",
    )


def kernel_version(repository: Path, commit: str) -> str:
    """What `make kernelversion` would print: KERNELVERSION of the top Makefile. Raises TreeError."""
    done = git(repository, "cat-file", "blob", f"{commit}:Makefile", check=False)
    values = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*(\S*)[ \t]*$", done.text, re.M))
    if not done.ok or "VERSION" not in values or "PATCHLEVEL" not in values:
        raise TreeError(
            f"{commit[:12]} of {repository} is not a kernel: its Makefile names no version", detail=done.tail(3)
        )
    numbers = [str(values.get(name, "")) for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL")]
    return ".".join(number for number in numbers if number) + str(values.get("EXTRAVERSION", ""))
