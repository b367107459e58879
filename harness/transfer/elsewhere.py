"""Make the paths in a result those of another machine: none of them may name a file of this one. Pure but for a look.

A report reads logs by such paths; without this, a hostile archive could have it show any file of this machine.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

from harness.results import Boot, SideResults
from harness.run_result import KernelInfo, Paths, RunResult
from harness.transfer.model import is_log

__all__ = ["machine_name", "of_another_machine"]

_FOLDERS = ("build", "perf", "results")
_ELSEWHERE = re.compile(r"[A-Za-z0-9][\w.-]*:")


def machine_name(told: str) -> str:
    """A machine's name as it stands before a path; `elsewhere` where none is told."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", told).strip(".-_")[:64] or "elsewhere"


def of_another_machine(result: RunResult, machine: str, arrived: Path, place: Path) -> RunResult:
    """The result with every path as `MACHINE:PATH`, but those of logs that came along, which are in `place` now.

    arrived: where the run's files are at this moment.
    """
    moves = _Moves(machine, result.paths.folder, arrived, place)
    paths = result.paths
    return replace(
        result,
        base=_side(result.base, moves),
        patched=_side(result.patched, moves),
        kernels=tuple(_kernel(kernel, moves) for kernel in result.kernels),
        allow_splats=tuple(replace(each, file=moves.path(each.file)) for each in result.allow_splats),
        failure=replace(result.failure, log=moves.path(result.failure.log)) if result.failure else None,
        reproduce=f"# on {machine}, with paths of that machine:\n{result.reproduce}" if result.reproduce else "",
        paths=Paths(
            str(place),
            tuple((what, moves.path(path)) for what, path in paths.logs),
            moves.path(paths.reproduce),
            machine_name(paths.machine) if paths.machine else machine,
        ),
    )


class _Moves:
    """Where each path of a result leads now."""

    def __init__(self, machine: str, folder: str, arrived: Path, place: Path) -> None:
        self._machine, self._folder, self._arrived, self._place = machine, folder.rstrip("/"), arrived, place

    def path(self, path: str) -> str:
        """The log here, where it came along; else whose path it is."""
        if not path or (_ELSEWHERE.match(path) and not path.startswith("/")):
            return path
        inside = path.removeprefix(f"{self._folder}/") if self._folder else path
        here = inside != path and (inside in _FOLDERS or is_log(PurePosixPath(inside)))
        return str(self._place / inside) if here and (self._arrived / inside).exists() else f"{self._machine}:{path}"


def _side(side: SideResults | None, moves: _Moves) -> SideResults | None:
    return replace(side, boots=tuple(_boot(boot, moves) for boot in side.boots)) if side else None


def _boot(boot: Boot, moves: _Moves) -> Boot:
    return replace(boot, console=moves.path(boot.console))


def _kernel(kernel: KernelInfo, moves: _Moves) -> KernelInfo:
    return replace(kernel, directory=moves.path(kernel.directory), log=moves.path(kernel.log))
