"""What the cache holds, and making it smaller: `ktrial cache list` and `prune`.

Every entry has a lock file beside it (`<entry>.lock`): whoever makes or uses the entry holds it, so what is in use is
never removed. An entry's last use is the later of the two time stamps, its own and its lock's.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.locks import is_locked, try_locked
from harness.places import cache_dir

__all__ = ["CacheEntry", "entries", "prune"]

# The folders of the cache that hold one entry a name; everything else there is somebody's passing business.
KINDS = ("builds", "sources", "patched", "trees", "configs", "bpf", "tools", "kselftest")
CCACHE = "ccache"
LOCK = ".lock"
# Beside a patched source, the tree that it holds (see `harness.tree.source`); it goes before the source does.
MARK = ".tree-id"
PARTIAL = ".partial"
# Being removed; a kill leaves one, and the next prune removes it.
GOING = ".removing-"
LEFT_OVER = "left over"


@dataclass(frozen=True)
class CacheEntry:
    """One thing that can be removed from the cache, and will be made again when it is needed.

    kind: the folder that holds it (`builds`, `sources`, `trees` …), `ccache`, or `left over` for what a killed run
    left. size: bytes on disk that removing it gives back now; a file with names in several entries counts
    in the most recently used. last_used: seconds since 1970.
    """

    kind: str
    key: str
    path: Path
    size: int
    last_used: float
    in_use: bool


def entries() -> tuple[CacheEntry, ...]:
    """All that the cache holds, the most recently used first."""
    counted: set[tuple[int, int]] = set()
    found = sorted(_places(), key=lambda place: _last_used(place[1]), reverse=True)
    return tuple(
        CacheEntry(
            kind=kind,
            key=path.name,
            path=path,
            size=_size(path, counted),
            last_used=_last_used(path),
            in_use=is_locked(_lock(path)),
        )
        for kind, path in found
    )


def prune(max_size: int) -> tuple[CacheEntry, ...]:
    """Remove entries, the longest unused first, until the rest takes no more than max_size bytes; returns the removed.

    What is in use stays, even where the rest is then still larger. What killed runs left goes first, whatever its age.
    """
    kept = entries()
    total = sum(entry.size for entry in kept)
    removed = []
    for entry in sorted(kept, key=lambda entry: (entry.kind != LEFT_OVER, entry.last_used)):
        if (total > max_size or entry.kind == LEFT_OVER) and _remove(entry.path):
            total -= entry.size
            removed.append(entry)
    _remove_idle_locks()
    return tuple(removed)


def _places() -> Iterator[tuple[str, Path]]:
    """Kind and path of every entry."""
    root = cache_dir()
    if (root / CCACHE).is_dir():
        yield CCACHE, root / CCACHE
    for kind in KINDS:
        for path in sorted((root / kind).iterdir()) if (root / kind).is_dir() else ():
            if path.suffix not in (LOCK, MARK):
                yield LEFT_OVER if _is_unfinished(path) else kind, path


def _is_unfinished(path: Path) -> bool:
    """A hidden name, or one with `.partial`, is an entry in the making, or what a kill left of one."""
    return path.name.startswith(".") or PARTIAL in path.name


def _lock(path: Path) -> Path:
    """The lock of an entry; of one in the making, that of what it will be."""
    return path.with_name(path.name.partition(PARTIAL)[0] + LOCK)


def _last_used(path: Path) -> float:
    return max((_modified(candidate) for candidate in (path, _lock(path))), default=0.0)


def _modified(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(path: Path, counted: set[tuple[int, int]]) -> int:
    """Bytes on disk of the files below that no earlier call has counted (a hard link is the same file)."""
    total = 0
    for status in _walk(path):
        if (status.st_dev, status.st_ino) not in counted:
            counted.add((status.st_dev, status.st_ino))
            total += status.st_blocks * 512
    return total


def _walk(path: Path) -> Iterator[os.stat_result]:
    """The status of a file, or of everything below a folder. What vanishes meanwhile is left out."""
    try:
        yield path.lstat()
        if path.is_dir() and not path.is_symlink():
            with os.scandir(path) as items:
                for item in items:
                    if item.is_dir(follow_symlinks=False):
                        yield from _walk(Path(item.path))
                    else:
                        yield item.stat(follow_symlinks=False)
    except FileNotFoundError:
        return


def _remove(path: Path) -> bool:
    """Remove an entry and its lock, unless somebody holds the lock; whether it is gone."""
    lock = _lock(path)
    with try_locked(lock) as free:
        if not free:
            return False
        # Under another name first: a kill half way must not leave half an entry that looks whole.
        going = path if path.name.startswith(GOING) else path.with_name(GOING + path.name)
        if going != path:
            path.with_name(path.name + MARK).unlink(missing_ok=True)
            path.rename(going)
        _delete(going)
        lock.unlink(missing_ok=True)
    return True


def _remove_idle_locks() -> None:
    """Remove the locks of entries that are gone. Whoever is about to make such an entry again holds its lock."""
    for kind in KINDS:
        for lock in sorted((cache_dir() / kind).glob(f"*{LOCK}")):
            entry = lock.with_suffix("")
            with try_locked(lock) as free:
                if free and not entry.exists() and not list(lock.parent.glob(f"{entry.name}{PARTIAL}*")):
                    lock.unlink()


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
