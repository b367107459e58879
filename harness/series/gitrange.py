"""Read a range `A..B` of a git tree as a series: one mail per commit, as git format-patch writes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from harness.command import Command, run
from harness.errors import SeriesError, UsageError
from harness.series.diffscan import Scan
from harness.series.letters import Kind, Letter, read_letter
from harness.series.mailbox import split
from harness.series.mime import Mail, decode_piece

__all__ = ["Range", "is_range", "read_range"]

_DEADLINE = 300.0
# fmt: off
_FORMAT = (
    "--stdout", "--always", "--pretty=mboxrd", "--no-signature", "--no-cover-letter", "--no-thread", "--no-attach",
    "--no-signoff", "--no-base", "--no-numbered", "--no-encode-email-headers", "--no-stat", "--binary",
    "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--no-notes", "--src-prefix=a/",
    "--dst-prefix=b/", "--subject-prefix=PATCH", "--unified=3", "--no-to", "--no-cc", "--no-add-header", "--no-from",
    "--submodule=short", "--diff-algorithm=myers", "--inter-hunk-context=0",
)
# fmt: on


@dataclass(frozen=True)
class Range:
    """The commits of a range. base: the parent of the first. commits: their full ids, the first one first."""

    base: str
    commits: tuple[str, ...]
    letters: tuple[Letter, ...]
    remarks: tuple[str, ...] = ()


def is_range(source: str) -> bool:
    """Whether a source has the form of a git range."""
    return ".." in source


def read_range(source: str, tree: Path) -> Range:
    """Read a range of the repository at `tree`; either end left out is HEAD.

    Raises UsageError where an end names no commit or there is no repository, SeriesError where the range is empty, has
    a merge, reaches back to a root commit, or has a commit that changes nothing.
    """
    first, last = _ends(source, tree)
    commits = _commits(source, tree, first, last)
    base = _git(tree, "rev-parse", "--verify", "--quiet", f"{commits[0]}^", check=False).strip()
    if not base:
        raise SeriesError(f"{source}: its first commit, {commits[0][:12]}, has no parent to try it on")
    remarks = () if base == first else (f"{source.split('..')[0] or 'HEAD'} is no ancestor; the base is {base[:12]}",)
    return Range(base, tuple(commits), tuple(_letter(tree, commit, source) for commit in commits), remarks)


def _ends(source: str, tree: Path) -> tuple[str, str]:
    if "..." in source:
        raise UsageError(f"{source}: three dots name a symmetric difference", hint="a series is A..B, with two dots")
    names = [name.strip() or "HEAD" for name in source.split("..")]
    if len(names) != 2:
        raise UsageError(f"{source}: not a git range A..B")
    if not _git(tree, "rev-parse", "--git-dir", check=False).strip():
        raise UsageError(f"{tree} is no git repository, so {source} cannot be a range of it", hint="--tree PATH")
    first, last = (_commit(name, source, tree) for name in names)
    return first, last


def _commit(name: str, source: str, tree: Path) -> str:
    words = ("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    found = "" if name.startswith("-") else _git(tree, *words, check=False)
    if not found.strip():
        raise UsageError(f"{source}: {tree} has no commit {name!r}", hint="git fetch it, or name another")
    return found.strip()


def _commits(source: str, tree: Path, first: str, last: str) -> list[str]:
    listed = _git(tree, "rev-list", "--reverse", "--topo-order", "--parents", f"{first}..{last}").splitlines()
    rows = [line.split() for line in listed if line.strip()]
    if not rows:
        raise SeriesError(
            f"{source}: an empty range: every commit of {last[:12]} is in {first[:12]} too",
            hint="A..B are the commits that B has and A has not; is it the other way round?",
        )
    merges = [row[0] for row in rows if len(row) > 2]
    if merges:
        raise SeriesError(
            f"{source}: has a merge ({merges[0][:12]}), and a merge is no patch",
            detail=_git(tree, "log", "--oneline", "--no-decorate", "--no-walk", *merges[:10]),
            hint="rebase the commits onto one base, or give a range without merges",
        )
    return [row[0] for row in rows]


def _letter(tree: Path, commit: str, source: str) -> Letter:
    command = Command(("git", "-C", str(tree), "format-patch", *_FORMAT, "-1", commit), deadline=_DEADLINE)
    mail = run(command, merge=False)
    origin = f"{source}, commit {commit[:12]}"
    letters = [read_letter(_fenced(found)) for piece in split(mail.output, origin) for found in decode_piece(piece)]
    if not letters or not letters[0].scan.found:
        raise SeriesError(f"{origin}: changes nothing", hint="drop the empty commit, for example with git rebase -i")
    return _placed(letters[0], origin)


def _fenced(mail: Mail) -> Mail:
    """A mail whose message cannot be taken for in-body headers, since it has one: the author's own."""
    return replace(mail, body=f"From: {mail.author}\n\n".encode("utf-8", "replace") + mail.body)


def _placed(letter: Letter, origin: str) -> Letter:
    """A commit's letter: it is a patch whatever its subject says, and its diff is whole whatever it looks like."""
    whole = Scan(letter.scan.start, letter.scan.end, letter.scan.touched, None)
    place = replace(letter.mail.origin, source=origin, number=0, line=0)
    return replace(letter, kind=Kind.PATCH, scan=whole, mail=replace(letter.mail, origin=place))


def _git(tree: Path, *words: str, check: bool = True) -> str:
    done = run(Command(("git", "-C", str(tree), *words), deadline=_DEADLINE), check=check, merge=False)
    return done.text if done.ok else ""
