"""git, started so that nothing of the user's, the system's or a stranger's configuration has a say.

No hooks, no filters, no file-system monitor, no network (a partial clone must not fetch behind our back), no optional
locks (reading the user's repository must not refresh its index), no automatic repacking.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.command import Command, Completed, run
from harness.errors import TreeError

__all__ = ["WHO", "git", "git_environment", "objects_directory"]

WHO = "ktrial"

_DEADLINE = 600.0  # seconds; the longest is a checkout of a whole kernel on a slow disk

_CONFIG = {
    "commit.gpgSign": "false",
    "core.attributesFile": "/dev/null",
    "core.autocrlf": "false",
    "core.excludesFile": "/dev/null",
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.logAllRefUpdates": "false",
    "core.quotePath": "false",
    "gc.auto": "0",
    "log.showRoot": "false",
    "maintenance.auto": "false",
    "rerere.enabled": "false",
    "safe.directory": "*",  # the user named the repository; whose files they are is not ours to judge
}


def git_environment() -> dict[str, str]:
    """The variables that every git of ours runs under. Command-line scope, so a repository's own file cannot win."""
    environment = {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_EDITOR": ":",
        "GIT_PAGER": "cat",
        "GIT_COMMITTER_NAME": WHO,
        "GIT_COMMITTER_EMAIL": f"{WHO}@localhost",
        "GIT_CONFIG_COUNT": str(len(_CONFIG)),
    }
    for index, (key, value) in enumerate(_CONFIG.items()):
        environment[f"GIT_CONFIG_KEY_{index}"] = key
        environment[f"GIT_CONFIG_VALUE_{index}"] = value
    return environment


def git(
    where: Path,
    *arguments: str,
    stdin: bytes | None = None,
    check: bool = True,
    merge: bool = False,
    env: Mapping[str, str] | None = None,
    deadline: float = _DEADLINE,
) -> Completed:
    """Run git in directory `where`. Raises CommandFailed where `check`, ToolchainError where there is no git."""
    environment = git_environment() | dict(env or {})
    command = Command(("git", "-C", str(where), *arguments), env=environment, deadline=deadline)
    return run(command, stdin=stdin, check=check, merge=merge)


def objects_directory(repository: Path) -> Path:
    """Where a repository keeps its objects: also right for linked worktrees, submodules and bare repositories."""
    done = git(repository, "rev-parse", "--path-format=absolute", "--git-path", "objects", check=False)
    if not done.ok:
        raise TreeError(f"{repository} is not a git repository", detail=done.tail())
    return Path(done.text.rstrip("\n"))
