"""Apply a series to its base, patch by patch, in a repository of ours."""

from __future__ import annotations

import contextlib
import email.utils
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness.command import CommandFailed, Completed
from harness.errors import ApplyError, TreeError
from harness.series.model import Patch, Series
from harness.tree.git import WHO, git
from harness.tree.hunks import read_diff
from harness.tree.model import Applied, AppliedPatch, Base, Tree
from harness.tree.once import remove
from harness.tree.refusal import Attempt, refusal
from harness.tree.workshop import open_workshop

__all__ = ["applied_repository", "apply_series"]

_KEPT_BY = "refs/heads/series"
_NOTHING = b"!/*\n"  # sparse-checkout pattern: leave every file out
_SEPARATOR = f"From {WHO} Mon Sep 17 00:00:00 2001\n".encode()
_UNDATED = b"Wed, 01 Jan 2020 00:00:00 +0000"
_AM = (
    "am",
    "--3way",
    "--patch-format=mboxrd",
    "--no-scissors",
    "--no-keep-cr",
    "--whitespace=nowarn",
    "--quoted-cr=nowarn",
    "--committer-date-is-author-date",
)


def applied_repository(work: Path) -> Path:
    """The bare repository, in a run's folder, that `apply_series` leaves its commits in."""
    return work / "series.git"


def first_patches(repository: Path, applied: Applied, count: int) -> Applied:
    """An applied series as far as its first `count` patches. repository: as of applied_repository()."""
    commit = applied.patches[count - 1].commit
    tree_id = git(repository, "rev-parse", "--verify", f"{commit}^{{tree}}").text.strip()
    return replace(applied, patches=applied.patches[:count], commit=commit, tree_id=tree_id)


def apply_series(tree: Tree, base: Base, series: Series, *, work: Path, say: Callable[[str], None]) -> Applied:
    """The series as commits on its base, in `applied_repository(work)`; the tree's own repository is only read.

    Each patch goes through `git am --3way`. Committer and dates are fixed, so the same series on the same base gives
    the same commit ids. Only the files that patches name are checked out, so a whole kernel costs no more than a
    small tree. The commits of a git range whose start is the base are taken as they are.
    Raises ApplyError naming patch, file and hunk; TreeError where objects are missing (a partial clone).
    """
    work.mkdir(parents=True, exist_ok=True)
    repository = open_workshop(tree.repository, applied_repository(work))
    if _is_range_on(repository, base, series):
        patches = tuple(_taken(repository, base, series))
    else:
        with _desk(repository, base, _named_files(series), work / "applying") as desk:
            patches = tuple(_applied(desk, series, say))
    commit = patches[-1].commit if patches else base.commit
    git(repository, "update-ref", _KEPT_BY, commit)
    return _result(repository, base, patches, commit)


def _result(repository: Path, base: Base, patches: tuple[AppliedPatch, ...], commit: str) -> Applied:
    tree_id = git(repository, "rev-parse", "--verify", f"{commit}^{{tree}}").text.strip()
    changed = _changed(repository, base.tree_id, tree_id)
    return Applied(base=base, patches=patches, commit=commit, tree_id=tree_id, changed=changed)


def _changed(repository: Path, old: str, new: str) -> tuple[str, ...]:
    """Paths that differ between two trees or commits, sorted."""
    done = git(repository, "diff-tree", "-r", "-z", "--no-renames", "--name-only", old, new)
    return tuple(sorted(path for path in done.text.split("\0") if path))


def _is_range_on(repository: Path, base: Base, series: Series) -> bool:
    """The series is a line of commits whose first has the base as its parent."""
    if not series.commits or len(series.commits) != len(series.patches):
        return False
    done = git(repository, "rev-list", "--no-walk=unsorted", "--parents", *series.commits, check=False)
    parents = (base.commit, *series.commits[:-1])
    chain = [[commit, parent] for commit, parent in zip(series.commits, parents, strict=True)]
    return done.ok and [line.split() for line in done.text.splitlines()] == chain


def _taken(repository: Path, base: Base, series: Series) -> Iterator[AppliedPatch]:
    parent = base.commit
    for patch, commit in zip(series.patches, series.commits, strict=True):
        yield AppliedPatch(patch.number, patch.subject, commit, _changed(repository, parent, commit), "commit")
        parent = commit


@dataclass(frozen=True)
class _Desk:
    """A checkout in which patches are applied."""

    repository: Path
    checkout: Path
    base: Base

    def git(self, *arguments: str, stdin: bytes | None = None, check: bool = True, merge: bool = False) -> Completed:
        env = {"GIT_DIR": str(self.repository), "GIT_WORK_TREE": str(self.checkout)}
        return git(self.checkout, *arguments, stdin=stdin, check=check, merge=merge, env=env)

    def head(self) -> str:
        return self.git("rev-parse", "--verify", "HEAD").text.strip()


def _named_files(series: Series) -> set[bytes]:
    """The paths that the series' diffs begin from. Patch.touched may name a renamed file by its new name only."""
    named = {file.path for patch in series.patches for file in read_diff(patch.mail)}
    return {os.fsencode(path) for path in named.union(series.touched)}


@contextlib.contextmanager
def _desk(repository: Path, base: Base, wanted: set[bytes], checkout: Path) -> Iterator[_Desk]:
    """A checkout of the base in which only the `wanted` files are there; the others are in the index, marked left out.

    They must be there, and the index know their stat data: else a 3-way merge takes them for edited and gives up.
    """
    remove(checkout)
    checkout.mkdir(parents=True)
    desk = _Desk(repository, checkout, base)
    try:
        (repository / "info" / "sparse-checkout").write_bytes(_NOTHING)
        desk.git("update-ref", "--no-deref", "HEAD", base.commit)
        desk.git("-c", "core.sparseCheckout=true", "-c", "index.version=4", "read-tree", "-m", "HEAD")
        names = b"\0".join(sorted(wanted.intersection(desk.git("ls-files", "-z").output.split(b"\0")) - {b""}))
        desk.git("update-index", "--no-skip-worktree", "-z", "--stdin", stdin=names)
        desk.git("checkout-index", "--index", "-z", "--stdin", stdin=names)
        yield desk
    except CommandFailed as error:
        raise TreeError(
            f"the base {base.commit[:12]} cannot be checked out",
            detail=error.detail,
            hint="are objects missing? A partial clone must have the base's files: git fetch --refetch --no-filter",
        ) from error
    finally:
        remove(checkout)
        remove(repository / "rebase-apply")
        (repository / "index").unlink(missing_ok=True)


def _applied(desk: _Desk, series: Series, say: Callable[[str], None]) -> Iterator[AppliedPatch]:
    for done, patch in enumerate(series.patches):
        say(f"Applying {patch.number}/{patch.total} {patch.subject}")
        yield _apply(desk, patch, done, from_git=bool(series.commits))


def _apply(desk: _Desk, patch: Patch, before: int, from_git: bool) -> AppliedPatch:
    """Apply one patch. from_git: git wrote it, so that carriage returns in it are the files' own; so they are where
    the mail's headers have none."""
    head = desk.head()
    keep = ("--keep-cr",) if from_git or b"\r\n" not in patch.mail.partition(b"\n\n")[0] else ()
    am = desk.git(*_AM, *keep, stdin=_mail(patch), check=False, merge=True)
    commits = desk.git("rev-list", f"{head}..HEAD").text.split()
    if not am.ok or len(commits) != 1:
        raise _refused(desk, head, patch, before, am, len(commits))
    how = "3-way" if "Falling back to patching base" in am.text else "clean"
    return AppliedPatch(patch.number, patch.subject, commits[0], _changed(desk.repository, head, commits[0]), how)


def _refused(desk: _Desk, head: str, patch: Patch, before: int, am: Completed, commits: int) -> ApplyError:
    if am.ok:
        return ApplyError(
            f'patch {patch.number}/{patch.total} "{patch.subject}" is {commits} patches to git am',
            detail=patch.where,
            hint="is there a line in its message that begins with `From ` and ends with a date?",
        )
    diff = desk.repository / "rebase-apply" / "patch"
    attempt = Attempt(
        repository=desk.repository,
        head=head,
        scratch=desk.checkout.with_name("refused"),
        diff=diff.read_bytes() if diff.is_file() else b"",
        said=am.text,
        before=before,
    )
    return refusal(attempt, patch)


def _mail(patch: Patch) -> bytes:
    """The patch for `git am` as a mailbox of one message, with a date that it can read."""
    return _dated(patch.mail if patch.mail.startswith(b"From ") else _in_mailbox(patch.mail))


def _in_mailbox(message: bytes) -> bytes:
    """A bare message as a mailbox (mboxrd): a line of it that looks like a separator must not make two of it."""
    return _SEPARATOR + re.sub(rb"^(>*From )", rb">\1", message, flags=re.MULTILINE)


def _dated(mail: bytes) -> bytes:
    """A mail with a date: git refuses a bad one, and for none takes the present time, so another commit each run."""
    head, gap, body = mail.partition(b"\n\n")
    match = re.search(rb"^Date:[ \t]*(.*(?:\n[ \t].*)*)$", head, re.MULTILINE | re.IGNORECASE)
    if match and _is_date(match[1]):
        return mail
    dated = head if not match else head[: match.start()] + head[match.end() + 1 :]
    return dated.rstrip(b"\n") + b"\nDate: " + _UNDATED + gap + body


def _is_date(text: bytes) -> bool:
    try:
        moment = email.utils.parsedate_to_datetime(text.decode("ascii", "replace"))
        return moment.timestamp() > 0
    except (ValueError, OverflowError):
        return False
