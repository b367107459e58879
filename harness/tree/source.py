"""Put a tree's files into a folder for the build, with time stamps that make compiles by.

make recompiles what is newer than its object. So every file of a base's source has one old time stamp (`OLD`), older
than any object, and in a patched source the files that the series changes, and only they, are new. A patched build that
starts from a copy of the base's objects (made with their time stamps: `cp -a`) then compiles exactly what the series
changed. Two things to know:
- The objects must be older than the changed files. A base that is built after the patched source was exported breaks
  that: call `freshen` when the objects have been copied, just before the first make, and not again when it is resumed.
- A series that undoes a change is no special case: its files are newer than the base's objects too.
The unchanged files of a patched source are hard links to the base's. Never write into a source; a changed file is
always a new file, never a rewritten one.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.command import Command, CommandFailed, run
from harness.errors import TreeError
from harness.places import cache_dir
from harness.record import atomic_write
from harness.tree.git import git
from harness.tree.model import Applied, Base, Source
from harness.tree.once import make_once, remove, touch
from harness.tree.workshop import open_workshop

__all__ = ["OLD", "base_source", "discard", "freshen", "patched_source"]

OLD = 1577836800  # 2020-01-01 00:00 UTC, seconds; older than any object that will ever be compiled

_NEEDED = 2 << 30  # bytes: a kernel's files take 1.6 GB
_NONE = b"000000"
_FILE_MODES = (b"100644", b"100755", b"120000")  # git's; leaves out submodules
_COPY_DEADLINE = 3600.0  # seconds


def base_source(repository: Path, base: Base, say: Callable[[str], None] | None = None) -> Source:
    """The base's files, in the cache under `sources/<tree_id>`: exported once, then found again.

    Files are byte for byte what git holds (no line-end conversion, no filters, no keyword expansion), symbolic links
    and execute bits kept, every mtime `OLD`. Two runs at once export once; a killed export leaves nothing that is used.
    Raises TreeError where there is no room, or the repository lacks objects (a partial clone).
    """
    target = cache_dir() / "sources" / base.tree_id
    tell = say or (lambda _: None)

    def make(scratch: Path) -> Path:
        tell(f"Exporting the files of {base.version} ({base.commit[:12]})")
        _check_room(scratch)
        return _export(repository, base.tree_id, scratch)

    make_once(target, make, lambda: tell("Waiting for another ktrial that exports the same files"))
    return Source(directory=target, tree_id=base.tree_id)


def _check_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _NEEDED:
        raise TreeError(
            f"no room to export a kernel's files: {free >> 20} MiB free in {folder.parent}, {_NEEDED >> 20} MiB needed",
            hint="free some space (ktrial cache prune), or set KTRIAL_CACHE to a folder on a larger disk",
        )


def _export(repository: Path, tree_id: str, scratch: Path) -> Path:
    """Check a tree out into a new directory in `scratch`, through a repository of ours that knows no attributes."""
    directory = scratch / "files"
    directory.mkdir()
    try:
        env = {"GIT_DIR": str(open_workshop(repository, scratch / "git")), "GIT_WORK_TREE": str(directory)}
        git(directory, "read-tree", tree_id, env=env)
        git(directory, "-c", "checkout.workers=0", "checkout-index", "--all", "--quiet", env=env)
    except CommandFailed as error:
        raise TreeError(
            f"the files of {tree_id[:12]} cannot be exported from {repository}",
            detail=error.detail,
            hint="is the disk full (df -h), or does a partial clone lack files (git fetch --refetch --no-filter)?",
        ) from error
    for path in _files(directory):
        os.utime(path, (OLD, OLD), follow_symlinks=False)
    return directory


def _files(directory: Path) -> Iterator[str]:
    """Every file and symbolic link below a directory. os.scandir: 85,000 Paths would take a second more."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path))
            else:
                yield entry.path


@dataclass(frozen=True)
class _Change:
    """One path that differs (as on disk). was, mode: git's, old and new; `000000` for none. blob: of the new file."""

    path: bytes
    was: bytes
    mode: bytes
    blob: bytes


def patched_source(repository: Path, base: Base, applied: Applied, directory: Path) -> Source:
    """The patched tree's files in `directory`, made from the base's source by hard links (a copy on another disk).

    repository: the one with the series' commits (`applied_repository`). Files that the series changes or adds have the
    present time, the others `OLD`; see the module's text. Found ready where `directory` already holds this tree, made
    anew where it holds another. Raises TreeError.
    """
    mark = _mark(directory)
    if directory.is_dir() and mark.is_file() and mark.read_text() == applied.tree_id:
        touch(directory)
        return Source(directory=directory, tree_id=applied.tree_id)
    discard(Source(directory=directory, tree_id=""))
    partial = directory.with_name(directory.name + ".partial")
    remove(partial)
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        _link_tree(base_source(repository, base).directory, partial)
        _replace(repository, partial, _changes(repository, base.tree_id, applied.tree_id))
        atomic_write(mark, applied.tree_id.encode())
        partial.rename(directory)
    except (OSError, CommandFailed) as error:
        raise TreeError(f"{directory}: cannot hold the patched files", detail=str(error)) from error
    finally:
        remove(partial)
    return Source(directory=directory, tree_id=applied.tree_id)


def _mark(directory: Path) -> Path:
    """Beside a patched source: the id of the tree it holds. Written before the source has its name."""
    return directory.with_name(directory.name + ".tree-id")


def _link_tree(source: Path, target: Path) -> None:
    """Copy a directory by hard links; where the target is on another disk, by its contents, with their time stamps."""
    same_disk = source.stat().st_dev == target.parent.stat().st_dev
    how = ("-al",) if same_disk else ("-a", "--reflink=auto")
    run(Command(("cp", *how, "-T", "--", str(source), str(target)), deadline=_COPY_DEADLINE))


def _changes(repository: Path, old: str, new: str) -> tuple[_Change, ...]:
    """What `git diff-tree --raw` says of two trees: `:100644 100755 <blob> <blob> M NUL path NUL`."""
    raw = git(repository, "diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", old, new).output
    fields = raw.split(b"\0")
    changes = []
    for header, path in zip(fields[0:-1:2], fields[1::2], strict=True):
        was, mode, _, blob, _ = header.lstrip(b":").split(b" ")
        changes.append(_Change(path=path, was=was, mode=mode, blob=blob))
    return tuple(changes)


def _replace(repository: Path, directory: Path, changes: tuple[_Change, ...]) -> None:
    """Make a hard-linked copy of the base differ from it. First all removals: a folder may make way for a file."""
    root = os.fsencode(directory)
    for change in changes:
        if change.was in _FILE_MODES:
            os.unlink(os.path.join(root, change.path))  # noqa: PTH108, PTH118  # a path may be no UTF-8
        if change.mode == _NONE:
            _remove_empty(root, os.path.dirname(change.path))  # noqa: PTH120
    for change in changes:
        if change.mode in _FILE_MODES:
            _write(repository, os.path.join(root, change.path), change)  # noqa: PTH118


def _remove_empty(root: bytes, folder: bytes) -> None:
    """Remove a folder and those above it, as far as they are empty: git knows no empty folders."""
    while folder:
        try:
            os.rmdir(os.path.join(root, folder))  # noqa: PTH106, PTH118
        except OSError:
            return
        folder = os.path.dirname(folder)  # noqa: PTH120


def _write(repository: Path, path: bytes, change: _Change) -> None:
    content = git(repository, "cat-file", "blob", change.blob.decode()).output
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    if change.mode == b"120000":
        os.symlink(content, path)  # noqa: PTH211
        return
    mode = 0o777 if change.mode == b"100755" else 0o666
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        file.write(content)


def freshen(source: Source, applied: Applied) -> None:
    """Give the files that the series changes the present time, so that they are newer than objects just copied.

    Only files of the source's own are touched, never one that shares its contents with the base's source.
    """
    # The clock's own time: what the kernel would stamp may lie some ms back, no later than an object made just now.
    now = time.time_ns()
    for name in applied.changed:
        path = source.directory / name
        if path.is_symlink() or (path.is_file() and path.stat().st_nlink == 1):
            os.utime(path, ns=(now, now), follow_symlinks=False)


def discard(source: Source) -> None:
    """Remove a patched source and its mark. The mark goes first, so that a kill in between leaves nothing trusted."""
    _mark(source.directory).unlink(missing_ok=True)
    remove(source.directory)
