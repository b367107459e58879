"""Find the patch at which a series stops building, by making only the object that failed."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.build.failure import machine_trouble
from harness.build.model import Kernel, Toolchain
from harness.build.objects import borrow
from harness.build.store import Entry, entry_of, reading
from harness.command import Command, run
from harness.errors import MachineLost
from harness.kernel_make import kernel_make
from harness.locks import locked
from harness.places import cache_dir
from harness.tree.model import Source

__all__ = ["first_broken"]


def first_broken(
    sources: Callable[[int], contextlib.AbstractContextManager[Source]],
    count: int,
    target: str,
    *,
    base: Kernel,
    toolchain: Toolchain,
    work: Path,
    jobs: int | None = None,
    deadline: float | None = None,
) -> int:
    """The number of the first patch after which `target` cannot be made; `count` where only the whole series fails.

    sources: given N, the tree after the first N patches, there while its context lasts. count: patches of the series.
    target: what make could not make (SeriesBuildError.target); another than an object is taken as the whole image.
    base: the kernel without the series, which builds. deadline: seconds for each try. work: for culprit.log.
    Takes log2(count) tries of a few seconds each for an object. Raises MachineLost.
    """
    good, bad = 0, count
    with _passing_folder() as place:
        while bad - good > 1:
            middle = (good + bad) // 2
            with sources(middle) as source, reading(source):
                _begin(place, base, target)
                make = kernel_make(
                    source.directory,
                    place.objects,
                    [target if _is_object(target) else "bzImage"],
                    llvm=toolchain.llvm,
                    jobs=jobs,
                    log=work / "culprit.log",
                    deadline=deadline,
                )
                builds = not _has_source(source, target) or _succeeds(make)
            good, bad = (middle, bad) if builds else (good, middle)
    return bad


@contextlib.contextmanager
def _passing_folder() -> Iterator[Entry]:
    """Room for an object folder, on the cache's file system."""
    folder = cache_dir() / "builds" / f".culprit-{uuid.uuid4().hex}"
    lock = folder.with_name(f"{folder.name}.lock")
    with locked(lock):
        folder.mkdir(parents=True)
        try:
            yield Entry(folder)
        finally:
            shutil.rmtree(folder)
            lock.unlink()


def _begin(place: Entry, base: Kernel, target: str) -> None:
    """Have base's objects there, and none of an earlier try: sources of two patches may have one time stamp."""
    if place.objects.is_dir() and _is_object(target):
        (place.objects / target).unlink(missing_ok=True)
        return
    with locked(entry_of(base).lock, shared=True):
        borrow(entry_of(base), place)


def _succeeds(make: Command) -> bool:
    completed = run(make, check=False)
    if trouble := machine_trouble(completed):
        raise MachineLost(f"could not look for the patch that breaks the build: {trouble}", log=make.log)
    return completed.ok


def _is_object(target: str) -> bool:
    return target.endswith(".o") and "/" in target


def _has_source(source: Source, target: str) -> bool:
    """Whether there is something to compile: a patch that does not have the file yet does not break it."""
    if not _is_object(target):
        return True
    stem = source.directory / target.removesuffix(".o")
    return any(stem.with_name(stem.name + ending).exists() for ending in (".c", ".S", ".rs"))
