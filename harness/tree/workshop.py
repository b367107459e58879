"""A bare repository of ours that borrows the objects of another, so that the other is never written to.

No worktree is registered, no ref, no object and no configuration is made in the user's repository: git reads its
objects through `objects/info/alternates` (gitrepository-layout(5)) and writes new ones here.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.command import CommandFailed
from harness.errors import TreeError
from harness.tree.git import git, objects_directory
from harness.tree.once import remove

__all__ = ["open_workshop"]

# $GIT_DIR/info/attributes wins over every .gitattributes of the tree: files come out byte for byte (gitattributes(5)).
_VERBATIM = "* -text -eol -ident -filter -working-tree-encoding -export-subst -export-ignore\n"


def open_workshop(repository: Path, directory: Path) -> Path:
    """A fresh bare repository at `directory` that sees every object of `repository`. Replaces what was there.

    Raises TreeError where `repository` is no git repository.
    """
    objects = objects_directory(repository)
    remove(directory)
    directory.mkdir(parents=True)
    kind = git(repository, "rev-parse", "--show-object-format").text.strip()
    try:
        git(directory, "init", "--quiet", "--bare", "--template=", f"--object-format={kind}", ".")
    except CommandFailed as error:
        raise TreeError(f"{directory}: cannot make a repository here", detail=error.detail) from error
    info = directory / "info"
    info.mkdir(exist_ok=True)
    (info / "attributes").write_text(_VERBATIM)
    (directory / "objects" / "info" / "alternates").write_text(f"{objects}\n")
    _keep_shallow(objects, directory)
    return directory


def _keep_shallow(objects: Path, directory: Path) -> None:
    """A shallow clone's boundary: without it git would look for parents that were never fetched."""
    boundary = objects.parent / "shallow"
    if boundary.is_file():
        shutil.copyfile(boundary, directory / "shallow")
