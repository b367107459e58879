"""What several test files share: skipping loudly, and `ktrial` as its users run it."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

PROJECT = Path(__file__).resolve().parents[1]
NEEDED = {
    "vm": ("qemu-system-x86_64", "bwrap"),
    "kernel": ("make", "gcc", "bwrap", "pahole"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark, programs in NEEDED.items():
            missing = [program for program in programs if shutil.which(program) is None]
            if missing and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=f"NOT TESTED: {', '.join(missing)} not installed"))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return OneMachine(config, log)


class OneMachine(LoadScopeScheduling):
    """A file is run by one process, and the files that build or boot all by the same: each fills the machine.

    So are those of boards: all boards here write to one kernel's log, and would take each other's marks for theirs.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return _shared(PROJECT / file) or file

    def _assign_work_unit(self, node: Any) -> None:
        """The long one first, or it would begin when all the others are done."""
        if "machine" in self.workqueue:
            self.workqueue.move_to_end("machine", last=False)
        super()._assign_work_unit(node)


@functools.cache
def _shared(file: Path) -> str:
    """What the files of one process have in common, "" where a file is alone."""
    text = file.read_text()
    if any(f"mark.{mark}" in text for mark in NEEDED):
        return "machine"
    return "boards" if "from tests.boards import" in text else ""


@dataclass(frozen=True)
class Ended:
    """A `ktrial` that came to its end. result: of --json, where it was asked for."""

    status: int
    output: str
    errors: str
    result: dict[str, Any] | None


class Ktrial:
    """Runs `ktrial` in a process of its own, with the user's cache and runs of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "KTRIAL_RUNS": str(folder / "runs"),
            "NO_COLOR": "1",
            "COLUMNS": "160",
        }

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "harness.cli", *arguments]

    def __call__(self, *arguments: str, stdin: bytes = b"", timeout: float = 3000) -> Ended:
        done = subprocess.run(
            self.argv(*arguments), input=stdin, capture_output=True, env=self.environment, timeout=timeout, check=False
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode(), None)

    def run(self, series: str, *arguments: str, **more: Any) -> Ended:
        """`ktrial run` on the packaged 6.12, with its result."""
        out = self.folder / f"{Path(series).stem}.json"
        common = ("--tree", "debian:6.12", "--accel", "tcg", "--json", str(out))
        done = self("run", str(PROJECT / "examples" / series), *common, *arguments, **more)
        result = json.loads(out.read_bytes()) if out.exists() else None
        return Ended(done.status, done.output, done.errors, result)


@pytest.fixture(scope="session")
def ktrial(tmp_path_factory: pytest.TempPathFactory) -> Ktrial:
    return Ktrial(tmp_path_factory.mktemp("ktrial"))
