"""Find the kernel tree that a user names, or means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.errors import TreeError
from harness.tree.debian import PREFIX, packaged_tree
from harness.tree.git import git
from harness.tree.model import Tree

__all__ = ["DEFAULT", "find_tree"]

DEFAULT = f"{PREFIX}6.12"

_DESCRIBE_DEADLINE = 10.0  # seconds; naming a commit after a far tag walks history
_KERNEL_FILES = ("Makefile", "Kconfig", "Kbuild")
_OR_PACKAGED = f"give --tree a git checkout of the kernel, or {DEFAULT}"


def find_tree(spec: str | None, *, cwd: Path, say: Callable[[str], None]) -> Tree:
    """The kernel tree of `--tree SPEC`: a git checkout, a bare repository or `debian:X.Y`.

    Without a spec: the kernel checkout that `cwd` is in, else debian:6.12. A folder of a checkout stands for the whole.
    Raises TreeError (no such folder, not git, no commits, not a kernel, no such package), UsageError (a bad `debian:`).
    """
    if spec is None:
        try:
            return _checkout(cwd, str(cwd))
        except TreeError:
            say(f"{cwd} is not in a kernel checkout: using {DEFAULT}")
            return packaged_tree(DEFAULT, say)
    if spec.startswith(PREFIX):
        return packaged_tree(spec, say)
    return _checkout((cwd / Path(spec).expanduser()), spec)


def _checkout(path: Path, origin: str) -> Tree:
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise TreeError(f"--tree {origin}: {path} {what}", hint=_OR_PACKAGED)
    repository = _repository(path, origin)
    if not git(repository, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", check=False).ok:
        raise TreeError(
            f"--tree {origin}: {repository} is a git repository without commits (its HEAD leads nowhere)",
            hint="commit the kernel there, or check out a branch",
        )
    _check_kernel(repository, origin)
    return Tree(repository=repository, origin=origin, label=f"{repository} {_describe(repository)}")


def _repository(path: Path, origin: str) -> Path:
    """The top of the checkout, or the bare repository itself."""
    done = git(path, "rev-parse", "--is-bare-repository", "--path-format=absolute", "--git-dir", check=False)
    if not done.ok:
        unpacked = (path / "Makefile").is_file() and (path / "Kconfig").is_file()
        hint = f"make it one: git -C {path} init && git -C {path} add -Af && git -C {path} commit -m base"
        raise TreeError(
            f"--tree {origin}: {path} is not in a git repository",
            detail=done.tail(3),
            hint=hint if unpacked else _OR_PACKAGED,
        )
    bare, directory = done.text.rstrip("\n").split("\n", 1)
    if bare == "true":
        return Path(directory)
    top = git(path, "rev-parse", "--path-format=absolute", "--show-toplevel", check=False)
    # Inside .git itself there is no top; the repository is usable as it is.
    return Path(top.text.rstrip("\n")) if top.ok else Path(directory)


def _check_kernel(repository: Path, origin: str) -> None:
    listed = git(repository, "ls-tree", "--full-tree", "--name-only", "HEAD", "--", *_KERNEL_FILES)
    missing = [name for name in _KERNEL_FILES if name not in listed.text.split()]
    if missing:
        raise TreeError(
            f"--tree {origin}: {repository} is a git repository, but not of a kernel",
            detail=f"its HEAD has no {', '.join(missing)}",
            hint=_OR_PACKAGED,
        )


def _describe(repository: Path) -> str:
    named = git(repository, "describe", "--tags", "--abbrev=12", "HEAD", check=False, deadline=_DESCRIBE_DEADLINE)
    done = named if named.ok else git(repository, "rev-parse", "--short=12", "HEAD")
    return done.text.strip()
