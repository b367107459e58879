"""Name the patch of a series that did it, where its kernel does not build."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from harness.build import Kernel, SeriesBuildError, Toolchain, first_broken
from harness.errors import KtrialError, MachineLost
from harness.tree import Applied, AppliedPatch, Source

__all__ = ["last_to_touch", "with_broken_patch"]


def last_to_touch(applied: Applied, path: str) -> str:
    """The last patch that touched a file, as a reader knows it; "" where none did."""
    found = [patch for patch in applied.patches if path in patch.files]
    return _label(found[-1], len(applied.patches)) if found else ""


def with_broken_patch(
    error: SeriesBuildError,
    applied: Applied,
    *,
    base: Kernel | None,
    toolchain: Toolchain,
    after: Callable[[int], AbstractContextManager[Source]],
    work: Path,
    deadline: float,
    say: Callable[[str], None],
) -> KtrialError:
    """The same failure with the patch at which the build breaks, found by building only what failed.

    after: the source with the first so many patches. The failure as it is where that cannot be found out.
    """
    patches = applied.patches
    if len(patches) < 2 or base is None or not error.target:
        return error
    say(f"looking for the patch that breaks {error.target}")
    try:
        number = first_broken(
            after, len(patches), error.target, base=base, toolchain=toolchain, work=work, deadline=deadline
        )
    except MachineLost:
        return error
    summary = f"{_label(patches[number - 1], len(patches))} does not build: {error.said or error.summary}"
    return type(error)(
        summary,
        detail=error.detail,
        hint=error.hint,
        log=error.log,
        diagnostic=error.diagnostic,
        target=error.target,
        patch=patches[number - 1].subject,
        said=error.said,
    )


def _label(patch: AppliedPatch, total: int) -> str:
    return f"patch {patch.number}/{total} ({patch.subject})"
