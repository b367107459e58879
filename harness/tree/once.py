"""Make a cached directory whole or not at all, by one run at a time."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from harness.locks import locked

__all__ = ["lock_file", "make_once", "remove", "touch"]


def lock_file(target: Path) -> Path:
    """The lock that guards a cached directory: held exclusively while it is made, or removed."""
    return target.with_name(target.name + ".lock")


def make_once(target: Path, make: Callable[[Path], Path], waiting: Callable[[], None] | None = None) -> bool:
    """Have the directory `target`, made by `make(scratch)` if it is not there yet; True where it was made now.

    `make` is given an empty scratch directory beside the target; the directory in it that it returns becomes the target
    by one rename, the rest is removed. A kill in between leaves a `.partial` that the next call removes. The target's
    own mtime is its last use, for pruning.
    waiting: called once where another run is making it.
    """
    if target.is_dir():
        touch(target)
        return False
    with locked(lock_file(target), wait_message=waiting):
        missing = not target.is_dir()
        if missing:
            _make(target, make)
        touch(target)
        return missing


def _make(target: Path, make: Callable[[Path], Path]) -> None:
    partial = target.with_name(target.name + ".partial")
    remove(partial)
    partial.mkdir(parents=True)
    try:
        make(partial).rename(target)
    finally:
        remove(partial)


def touch(directory: Path) -> None:
    """Note that a cached directory was used now."""
    with contextlib.suppress(OSError):
        os.utime(directory)


def remove(path: Path) -> None:
    """Remove a directory and all in it, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
