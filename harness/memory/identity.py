"""What stays the same of a series from version to version, and of a kernel from run to run. Pure."""

from __future__ import annotations

import re

from harness.results import SideResults
from harness.run_result import RunResult

__all__ = ["is_checked", "kernel_key", "release_of", "subject_key", "written"]

_RELEASE = re.compile(r"\d+\.\d+")
_SHORT = 16  # hex digits of a digest, in a key


def subject_key(title: str) -> str:
    """A title as it is compared: without brackets in front, in one case, with single blanks."""
    bare = re.sub(r"^(\s*\[[^\]]*\])+", "", title)
    return " ".join(written(bare).casefold().split())


def release_of(version: str) -> str:
    """The release series of a kernel: `6.12` of `6.12.40` and `6.12.0-rc3`; "" of anything else."""
    match = _RELEASE.match(version)
    return match[0] if match else ""


def is_checked(fragments: tuple[str, ...]) -> bool:
    """Whether a kernel has the checkers (KASAN, lockdep, ...) in it, which make tests of time fail."""
    return "debug" in fragments


def kernel_key(result: RunResult, side: SideResults) -> str:
    """What makes kernels of two runs one and the same: commit, configuration and code. "" where one is not known."""
    tree, config = result.tree, result.config
    code = next((kernel.code_digest for kernel in result.kernels if kernel.side == side.side), "")
    if tree is None or config is None or not code:
        return ""
    base = side.side == "base"
    commit = tree.base_commit if base else tree.patched_commit
    digest = config.base_digest if base else config.patched_digest
    return f"{commit} {digest[:_SHORT]} {code[:_SHORT]}" if commit else ""


def written(text: str) -> str:
    """The text with bytes of no encoding as their escapes: SQLite holds valid Unicode alone."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
