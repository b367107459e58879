"""Put a kernel on trial against itself, again and again: nothing may ever be raised.

    python -m bench.false_alarms [--runs 20] [-k EXPRESSION]

Both sides boot the very same image, so whatever differs is ktrial's own doing or the machine's. Prints one line for
each run and exits with 1 if any test was blamed, flaky or lost. A loaded machine is welcome: that is what it is for.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench.kernels import base_image
from harness.bpf_objects import compile_objects
from harness.compare import compare
from harness.machine.model import Accelerator
from harness.passes import Bench, run_passes
from harness.plan import Invocation, Silent
from harness.store import new_run
from harness.suites import find_suites
from harness.verdict import decide


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("-k", dest="keyword", default="")
    options = parser.parse_args()
    image = base_image()
    raised = 0
    with tempfile.TemporaryDirectory(prefix="false-alarms-", dir=image.parents[2]) as folder:
        os.environ["KTRIAL_RUNS"] = folder
        for number in range(1, options.runs + 1):
            raised += _once(image, number, options.keyword)
    print(f"{options.runs} runs of a kernel against itself, {raised} of them raised something")
    return 1 if raised else 0


def _once(image: Path, number: int, keyword: str) -> bool:
    """One trial of the kernel against itself; whether anything was raised."""
    began = time.monotonic()
    run = new_run(None, f"false-alarms-{number}")
    suites = find_suites()
    objects = compile_objects(suites, run.path / "bpf")
    bench = Bench.of(Invocation("", str(Path.cwd()), keyword=keyword), Accelerator.TCG, suites, objects)
    sides = run_passes(bench, {"base": image, "patched": image}, run, Silent())
    comparison = compare(sides["base"], sides["patched"])
    changes = Counter(str(test.change) for test in comparison.tests)
    boots = sum(len(side.boots) for side in sides.values())
    load, seconds = os.getloadavg()[0], time.monotonic() - began
    line = decide(comparison).line
    print(f"{number:3d}  {seconds:6.1f} s  load {load:4.1f}  {boots} boots  {dict(changes)}  {line}", flush=True)
    return changes.keys() != {"same"} or bool(comparison.kernel_log)


if __name__ == "__main__":
    sys.exit(main())
