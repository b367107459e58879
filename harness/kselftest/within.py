"""What lies in a stranger's tree, and no more: a link there may lead anywhere, and what it leads to is the host's.

Paths are looked at while no make runs in the tree, so that none changes between the look and the deed.
"""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import BuildError
from harness.links import outside

__all__ = ["files_in", "is_named_within", "remove", "text_of", "within"]

_LARGEST = 16 << 20  # characters of a file that is read


def within(tree: Path, path: Path) -> Path:
    """The same path, there or not, which leads to no place outside of the tree, whatever links are on its way.

    Raises BuildError where it does: a stranger's patch or makefile can put a link in the place of any file or folder.
    """
    if where := outside(tree, path):
        raise BuildError(
            f"{_name(tree, path)} of the selftests' tree leads out of it, to {where}",
            hint="read the tree's links, and the series' makefiles",
        )
    return path


def is_named_within(folder: Path, name: str) -> bool:
    """Whether a name, taken from a folder, stands for something below that folder, links aside."""
    return name.isprintable() and Path(os.path.normpath(folder / name)).is_relative_to(os.path.normpath(folder))


def text_of(tree: Path, path: Path) -> str:
    """The text of a file of the tree, "" where there is none. Raises BuildError where it is elsewhere or too large."""
    within(tree, path)
    try:
        if not path.is_file():
            return ""
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_LARGEST + 1)
    except OSError:
        return ""
    if len(text) > _LARGEST:
        raise BuildError(f"{_name(tree, path)} is larger than {_LARGEST >> 20} MiB: it is no source of a selftest")
    return text


def files_in(tree: Path, folder: Path, pattern: str) -> list[Path]:
    """The files of a folder of the tree with such names, links among them, sorted. Raises BuildError, as `within`."""
    return sorted(path for path in within(tree, folder).glob(pattern) if path.is_symlink() or path.is_file())


def remove(tree: Path, path: Path) -> None:
    """Remove a file or a link of the tree, where it is there. Raises BuildError where its folder is not the tree's."""
    within(tree, path.parent)
    path.unlink(missing_ok=True)


def _name(tree: Path, path: Path) -> str:
    return str(path.relative_to(tree)) if path.is_relative_to(tree) else str(path)
