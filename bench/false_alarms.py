"""Put a kernel on trial against itself, again and again: nothing may ever be raised.

    python -m bench.false_alarms [--runs 20] [-k EXPRESSION] [--state FILE]

Both sides boot the very same image, so whatever differs is ktrial's own doing or the machine's. Prints one line for
each run and exits with 1 if any test was blamed, flaky or lost. A loaded machine is welcome: that is what it is for.
Each run is kept in a file as it ends, and a later call makes those that are missing: one that was made with other
suites, another kernel or another EXPRESSION says nothing of these, and is not counted.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.kernels import base_image
from bench.mutants import suites_digest
from harness import record
from harness.bpf_objects import compile_objects
from harness.compare import compare
from harness.machine.model import Accelerator
from harness.passes import Bench, run_passes
from harness.places import cache_dir
from harness.plan import Invocation, Silent
from harness.results import Outcome
from harness.store import new_run
from harness.suites import find_suites
from harness.verdict import decide


@dataclass(frozen=True)
class Alarm:
    """One run. inputs: digest of what it was made of. load: of the machine over the last minute, at the end.

    passed: tests that were well on both sides. changes: how many tests came out how. logs: what was new in the kernel's
    log beside any test.
    """

    inputs: str
    ended: str
    seconds: float
    load: float
    boots: int
    passed: int
    changes: dict[str, int]
    logs: int
    line: str

    @property
    def raised(self) -> bool:
        return self.changes.keys() != {"same"} or bool(self.logs)


@dataclass(frozen=True)
class State:
    """Every run that was ever made here."""

    runs: tuple[Alarm, ...] = ()


def main() -> int:
    options = _options()
    image = base_image()
    inputs = f"{image.parent.name} {suites_digest(find_suites())} {options.keyword}".rstrip()
    place = options.state or cache_dir() / "false-alarms.json"
    state = record.load_if(place, State) or State()
    made = [run for run in state.runs if run.inputs == inputs]
    for number, run in enumerate(made, 1):
        print(_line(number, run))
    with tempfile.TemporaryDirectory(prefix="false-alarms-", dir=image.parents[2]) as folder:
        os.environ["KTRIAL_RUNS"] = folder
        for number in range(len(made) + 1, options.runs + 1):
            made.append(_once(image, inputs, number, options.keyword))
            print(_line(number, made[-1]), flush=True)
            state = State((*state.runs, made[-1]))
            record.save(place, state)
    raised = sum(run.raised for run in made)
    print(f"{len(made)} runs of a kernel against itself, {raised} of them raised something")
    return 1 if raised else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("-k", dest="keyword", default="")
    parser.add_argument("--state", type=Path, help="file that keeps the runs")
    return parser.parse_args()


def _once(image: Path, inputs: str, number: int, keyword: str) -> Alarm:
    """One trial of the kernel against itself."""
    began = time.monotonic()
    run = new_run(None, f"false-alarms-{number}")
    suites = find_suites()
    objects = compile_objects(suites, run.path / "bpf")
    bench = Bench.of(Invocation("", str(Path.cwd()), keyword=keyword), Accelerator.TCG, suites, objects)
    sides = run_passes(bench, {"base": image, "patched": image}, run, Silent())
    comparison = compare(sides["base"], sides["patched"])
    return Alarm(
        inputs=inputs,
        ended=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=time.monotonic() - began,
        load=os.getloadavg()[0],
        boots=sum(len(side.boots) for side in sides.values()),
        passed=sum(test.patched is Outcome.PASSED for test in comparison.tests),
        changes=dict(Counter(str(test.change) for test in comparison.tests)),
        logs=len(comparison.kernel_log),
        line=decide(comparison).line,
    )


def _line(number: int, run: Alarm) -> str:
    head = f"{number:3d}  {run.seconds:6.1f} s  load {run.load:4.1f}  {run.boots} boots  {run.passed} passed"
    return f"{head}  {run.changes}  {run.line}"


if __name__ == "__main__":
    sys.exit(main())
