"""Locks between runs: advisory `flock`s on small files beside what they guard, released by the kernel upon any death.

A lock file may be removed by whoever holds it exclusively (see `harness.cache`), so each taker makes sure that the file
it has locked is still the one that the path names.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["is_locked", "locked", "try_locked"]


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False, wait_message: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file `path` (created where missing), waiting for it as long as it takes.

    shared: many may hold it so at once, none of them together with an exclusive holder.
    wait_message: called once before waiting, where somebody else holds the lock.
    Taking a lock stamps its file with the present time: the moment at which what it guards was last used.
    """
    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    handle = _take(path, operation | fcntl.LOCK_NB)
    if handle is None and wait_message is not None:
        wait_message()
    while handle is None:
        handle = _take(path, operation)
    try:
        os.utime(handle)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def try_locked(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` exclusively if nobody holds it now; yields whether it is held."""
    handle = _take(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            os.close(handle)


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock file `path` at this moment, shared or exclusively."""
    if not path.exists():
        return False
    with try_locked(path) as free:
        return not free


def _take(path: Path, operation: int) -> int | None:
    """Lock the file; None where it is held (non-blocking), or was replaced while we waited for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, operation)
        if _still_named(path, handle):
            return handle
    except BlockingIOError:
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _still_named(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
