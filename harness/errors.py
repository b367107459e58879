"""The errors a user can meet, and the exit code of each.

One small family, told apart by who is at fault: the series, the tree or toolchain, the machine, or the command line.
Library code raises these and never prints or exits; `harness.cli` renders them and turns them into an exit status.
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path

__all__ = [
    "ApplyError",
    "BuildError",
    "ConfigError",
    "ExitCode",
    "KtrialError",
    "MachineLost",
    "SeriesError",
    "ToolchainError",
    "TreeError",
    "UsageError",
]


class ExitCode(IntEnum):
    """What a script can tell from `ktrial`'s exit status. Documented in docs/exit-codes.md."""

    NO_REGRESSION = 0
    REGRESSION = 1
    BAD_USAGE = 2
    DOES_NOT_APPLY = 3
    DOES_NOT_CONFIGURE = 4
    DOES_NOT_BUILD = 5
    TREE_UNUSABLE = 6
    MACHINE_LOST = 7
    NOT_A_SERIES = 8
    INTERNAL = 70
    INTERRUPTED = 130


class KtrialError(Exception):
    """Something that stops a trial.

    summary: one line, naming the file, patch or line at fault.
    detail: what was seen (several lines: the rejected hunk, the last lines of a log).
    hint: what to try next, as a sentence or a command.
    log: the whole log, when there is one.
    """

    exit_code: ExitCode = ExitCode.INTERNAL

    def __init__(self, summary: str, *, detail: str = "", hint: str = "", log: Path | None = None) -> None:
        super().__init__(summary)
        self.summary = summary
        self.detail = detail
        self.hint = hint
        self.log = log


class UsageError(KtrialError):
    """The command line asks for something that cannot be."""

    exit_code = ExitCode.BAD_USAGE


class SeriesError(KtrialError):
    """The input is not a complete, readable patch series."""

    exit_code = ExitCode.NOT_A_SERIES


class ApplyError(KtrialError):
    """A patch of the series does not apply to the base."""

    exit_code = ExitCode.DOES_NOT_APPLY


class ConfigError(KtrialError):
    """The kernel's configuration does not hold what the fragments ask for."""

    exit_code = ExitCode.DOES_NOT_CONFIGURE


class BuildError(KtrialError):
    """A kernel does not build."""

    exit_code = ExitCode.DOES_NOT_BUILD


class TreeError(KtrialError):
    """The kernel tree cannot be used (not a kernel, no such revision, no such package, base does not build or boot)."""

    exit_code = ExitCode.TREE_UNUSABLE


class ToolchainError(KtrialError):
    """A program that ktrial needs is missing or unusable."""

    exit_code = ExitCode.TREE_UNUSABLE


class MachineLost(KtrialError):
    """Our own machine failed (QEMU killed, no memory, no disk); never the series' doing."""

    exit_code = ExitCode.MACHINE_LOST
