"""Where built kernels are kept, found again by what they were built from.

builds/<key>.lock        held exclusively while building, shared while in use; its time stamp is the last use
builds/<key>/kernel.json the Kernel; written last, so a folder without it is a build that was interrupted
builds/<key>/obj/        make's objects: of a whole build for others to start from, else only until it is done
builds/<key>/            bzImage, vmlinux, System.map, .config, modules/, build.log, sections.json
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.model import Kernel
from harness.errors import BuildError
from harness.links import outside
from harness.locks import locked
from harness.places import cache_dir
from harness.record import load_if
from harness.tree.model import Source

__all__ = ["Entry", "build_key", "entry", "entry_of", "link_or_copy", "made", "reading", "ready"]

# Raised when what is stored, or how kernels are built, changes: older entries are then no longer found.
LAYOUT = "1"


@dataclass(frozen=True)
class Entry:
    """A kernel's folder in the cache, there or not."""

    directory: Path

    @property
    def lock(self) -> Path:
        return self.directory.with_name(f"{self.directory.name}.lock")

    @property
    def objects(self) -> Path:
        return self.directory / "obj"

    @property
    def log(self) -> Path:
        return self.directory / "build.log"

    @property
    def record(self) -> Path:
        return self.directory / "kernel.json"

    @property
    def borrowed(self) -> Path:
        """Exists where obj/ began as a copy of another kernel's."""
        return self.directory / "borrowed-objects"


def build_key(tree_id: str, config_digest: str, toolchain_digest: str) -> str:
    """Same key, same kernel. Hex."""
    machine = os.uname().machine
    return hashlib.sha256("\n".join((LAYOUT, machine, tree_id, config_digest, toolchain_digest)).encode()).hexdigest()


def entry(key: str) -> Entry:
    """The folder of the kernel with this key."""
    return Entry(cache_dir() / "builds" / key)


def entry_of(kernel: Kernel) -> Entry:
    """The folder that a kernel came from."""
    return Entry(kernel.directory)


def ready(place: Entry, *, side: str, work: Path, beside: Kernel | None = None) -> Kernel | None:
    """The finished kernel of a folder, or None. Its whole log is put into `work`.

    A base must be whole: others start from its objects, and are measured against all of its diagnostics.
    beside: the base, with whose diagnostics those of the patched kernel (and of no other) will be compared: where it
    began from another kernel's objects, only what was said of those that changed since that one is known.
    """
    kernel = load_if(place.record, Kernel)
    if kernel is None or not (place.directory / "bzImage").exists():
        return None
    if side == "base" and not (kernel.whole and place.objects.is_dir()):
        return None
    if side == "patched" and beside is not None and not kernel.whole and kernel.lender != beside.key:
        return None
    log = link_or_copy(place.log, work / "build.log") if place.log.exists() else place.log
    return replace(kernel, side=side, directory=place.directory, log=log, reused=True, seconds=0.0)


@contextlib.contextmanager
def reading(source: Source) -> Iterator[None]:
    """Keep a source that is in the cache from being pruned while make reads it."""
    folder = source.directory
    if cache_dir() not in folder.parents:
        yield
        return
    lock = folder.with_name(f"{folder.name}.lock")
    passing = not lock.exists()
    with locked(lock, shared=True):
        try:
            yield
        finally:
            if passing:
                lock.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> Path:
    """Give a file a second name, or a copy where the two are on different file systems; returns the target."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(source, target)
    return target


def made(objects: Path, name: str) -> Path:
    """What a build made in its folder, there or not.

    Raises BuildError where a link leads out of there: a stranger's makefile can put one in the place of any file, and
    what it leads to is the host's.
    """
    path = objects / name
    if where := outside(objects, path):
        raise BuildError(f"the build put a link to {where} in the place of {name}", hint="read the series' makefiles")
    return path
