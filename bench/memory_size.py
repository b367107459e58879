"""What the memory takes: bytes and seconds for a run, and for each question, once there are many.

    python -m bench.memory_size [--runs 1000] [--tests 2000]

The runs are made up: as many tests on both sides, of which one in fifty flakes: one time in ten it fails, with a reason
of its own, and is tried three times. Writing, asking and the file are real, on the disk of the temporary folder.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

from harness.compare import compare
from harness.memory.file import opened
from harness.memory.flakes import Comparable, flakes
from harness.memory.past import Window, matching, past_of_test, past_of_tests
from harness.memory.recall import previous, recall
from harness.memory.write import remember
from harness.results import Boot, Outcome, SideResults, TestResult
from harness.run_result import (
    ConfigInfo,
    Environment,
    KernelInfo,
    PatchInfo,
    Paths,
    RunResult,
    SeriesInfo,
    SuiteInfo,
    TreeInfo,
)
from harness.verdict import decide

ATTEMPTS = 3
FLAKING = 50  # every so many tests there is one that flakes
RATE = 0.1
KERNELS = 40  # bases among the runs: on some of them a test both passes and fails
SUITE = SuiteInfo("suite", "default", "5u17e")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--tests", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "memory.sqlite"
        with opened(file) as connection:
            took = [_timed(partial(remember, connection, run)) for run in _runs(options.runs, options.tests)]
            tenth = max(1, len(took) // 10)
            print(f"write a run of {options.tests} tests on two sides: {_milliseconds(took[:tenth])} among the first")
            print(f"  {_milliseconds(took[-tenth:])} after {options.runs - tenth} runs")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            size = file.stat().st_size
            print(f"file: {size / 1e6:.1f} MB, {size / options.runs / 1000:.1f} kB a run")
            _ask(connection, options.runs)
    return 0


def _ask(connection: sqlite3.Connection, runs: int) -> None:
    """Each question, five times."""
    newest = recall(connection, f"run-{runs - 1:05}")
    like = Comparable("6.12.40", "tcg", ("boot",), ((SUITE.name, SUITE.digest),))
    names = matching(connection, "test_0001")
    window = Window()
    _print("history of a test", lambda: past_of_test(connection, names[0], window))
    _print(f"history of {len(names)} tests", lambda: past_of_tests(connection, names, window))
    _print("names that match", lambda: matching(connection, "*0[1-3]*"))
    _print("known flakes", lambda: flakes(connection, like))
    _print("a run recalled", lambda: recall(connection, newest.run))
    _print("the version before", lambda: previous(connection, newest))


def _print(question: str, ask: Callable[[], object]) -> None:
    print(f"{question}: {_milliseconds([_timed(ask) for _ in range(5)])}")


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _milliseconds(took: list[float]) -> str:
    return f"{1000 * statistics.median(took):.1f} ms ({1000 * min(took):.1f} to {1000 * max(took):.1f})"


def _runs(count: int, tests: int) -> Iterator[RunResult]:
    random = Random(1)
    names = [
        f"suite/test_file_{number // 100:02}.py::test_{number:05}[frame=9000,by={number}]" for number in range(tests)
    ]
    for number in range(count):
        yield _run(number, names, random)


def _run(number: int, names: list[str], random: Random) -> RunResult:
    base, patched = _side("base", names, random), _side("patched", names, random)
    comparison = compare(base, patched)
    kernel = f"{number % KERNELS:040x}"
    day = f"2026-{1 + number // 28 % 12:02}-{1 + number % 28:02}T00:00:00+00:00"
    return RunResult(
        run=f"run-{number:05}",
        started=day,
        finished=day,
        verdict=decide(comparison),
        environment=Environment("0.1.0", accelerator="tcg"),
        paths=Paths(f"/nowhere/run-{number:05}"),
        series=SeriesInfo(
            "x.mbox",
            f"net: series {number // 5}",
            1 + number % 5,
            "A Developer <dev@example.org>",
            tuple(PatchInfo(patch, f"net: patch {patch}", f"{number}-{patch}") for patch in range(1, 11)),
        ),
        tree=TreeInfo("~/linux", "linux", kernel, "HEAD", f"6.12.{number % KERNELS}", f"{number:040x}"),
        config=ConfigInfo(("boot",), "c" * 64, "c" * 64),
        kernels=(
            KernelInfo("base", "6.12", "key", True, 0, 0.0, "/nowhere", kernel),
            KernelInfo("patched", "6.12", "key", True, 0, 0.0, "/nowhere", f"{number:064x}"),
        ),
        suites=(SUITE,),
        base=base,
        patched=patched,
        comparison=comparison,
    )


def _side(side: str, names: list[str], random: Random) -> SideResults:
    failing = {place for place in range(0, len(names), FLAKING) if random.random() < RATE}
    results = [
        TestResult(name, Outcome.FAILED, f"{name}: {random.random()}", seconds=random.random(), attempt=attempt)
        if place in failing and attempt == 1
        else TestResult(name, Outcome.PASSED, seconds=random.random(), attempt=attempt)
        for place, name in enumerate(names)
        for attempt in range(1, ATTEMPTS + 1 if place in failing else 2)
    ]
    return SideResults(side, tuple(results), (Boot("000", "clean", "console.log", 6.0, "tcg"),), 60.0, True)


if __name__ == "__main__":
    sys.exit(main())
