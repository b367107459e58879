"""The first stage: from what a user names (a mailbox, a directory, a git range) to a Series."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.errors import UsageError
from harness.series.assemble import GIT_AM_OPTIONS, as_mbox, assemble
from harness.series.choose import choose, in_order
from harness.series.gitrange import is_range, read_range
from harness.series.model import Cover, Patch, Reply, Series
from harness.series.quilt import letters_of_quilt, series_file
from harness.series.sources import letters_of_bytes, letters_of_directory, read_bytes

__all__ = ["GIT_AM_OPTIONS", "Cover", "Patch", "Reply", "Series", "as_mbox", "read_series"]


def read_series(
    source: str, *, tree: Path | None = None, revision: int | None = None, stdin: bytes | None = None
) -> Series:
    """Read a patch series.

    source: an mbox file or a single mail (also packed by gzip), `-` for the bytes of standard input, a Maildir or a
    directory of .patch and .eml files, a quilt series (its `series` file, or a directory that has one, or has one in
    `patches`), or a range `A..B` of the git repository `tree`. What exists as a file is read as one.
    revision: take vN instead of the newest complete version.

    Raises UsageError where there is nothing of that name, nothing in it, or a range without a tree; SeriesError where
    it is no complete, readable series.
    """
    if source == "-":
        if stdin is None:
            raise UsageError("standard input was not given", hint="ktrial run - < series.mbox")
        return assemble(choose(letters_of_bytes(stdin, "standard input"), "standard input", revision), source)
    path = Path(source)
    if _exists(path):
        try:
            return _read_path(path, source, revision)
        except OSError as error:
            raise UsageError(f"cannot read {source}: {error.strerror}") from error
    if is_range(source):
        return _read_range(source, tree)
    raise UsageError(
        f"{source}: no such file or directory",
        hint="give an mbox file, -, a Maildir, a directory of patches, a quilt series, or a git range A..B",
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _read_path(path: Path, source: str, revision: int | None) -> Series:
    series = series_file(path)
    if series:
        return assemble(in_order(letters_of_quilt(series)), source, anonymous=True)
    if path.is_dir():
        return assemble(choose(letters_of_directory(path), source, revision, ordered=True), source)
    return assemble(choose(letters_of_bytes(read_bytes(path), source), source, revision), source)


def _read_range(source: str, tree: Path | None) -> Series:
    if tree is None:
        raise UsageError(f"{source}: a git range needs a tree", hint="name it with --tree PATH")
    found = read_range(source, tree)
    series = assemble(in_order(found.letters), source)
    return replace(series, base_commit=found.base, commits=found.commits, remarks=(*series.remarks, *found.remarks))
