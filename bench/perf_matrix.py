"""How long the matrix of figures takes, with kernels ready: a quick selection, a run's own, and every suite's benches.

    python -m bench.perf_matrix [--times 1] [--only SELECTION ...] [--json FILE]

Each time is of the part of a `ktrial run` that measures: from the beginning of its first boot to the end of the last
profile, by the run's own journal. The series adds a check to every run of an XDP program, so nearly all figures change,
and telling where they went takes as long as it can. Exits with 1 where a selection takes longer than its limit: 90 s
the quick one, 360 s what a run picks by itself. Wall-clock time on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

from bench.kernels import kernels_of, untested
from harness.perf.measure import has_benches
from harness.perf.model import CHANGED, FigureChange
from harness.places import cache_dir
from harness.report.json import read_result
from harness.suites import find_suites

SERIES = "costs-instructions.mbox"
SELECTIONS = ("quick", "default", "every")
LIMITS = {"quick": 90.0, "default": 360.0}
# A line of a run's events.log that is of its measurements (harness/perf/measure.py, where.py).
_EVENT = re.compile(r"(?P<when>\S+) (?P<stage>perf-\S+|where): (?P<what>begins|done)")


@dataclass(frozen=True)
class Timed:
    """One measurement. seconds: of all. stages: seconds of each of its stages, in order. failed: figures without."""

    selection: str
    seconds: float
    stages: tuple[tuple[str, float], ...]
    figures: int
    changed: int
    failed: int
    load: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=1, help="how often to measure each selection")
    parser.add_argument("--only", action="append", choices=SELECTIONS, help="of the selections; may be repeated")
    parser.add_argument("--json", type=Path, help="write what was measured to this file as well")
    options = parser.parse_args()
    kernels_of(SERIES)
    taken = []
    for selection in options.only or SELECTIONS:
        for _ in range(options.times):
            taken.append(_measured(selection))
            print(_told(taken[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in taken], indent=1))
    return 1 if over_limits(taken) else 0


def over_limits(taken: Sequence[Timed]) -> list[str]:
    """The selections that take longer than they may, by the median."""
    times = {each.selection: [one.seconds for one in taken if one.selection == each.selection] for each in taken}
    return [name for name, seconds in times.items() if median(seconds) > LIMITS.get(name, float("inf"))]


def stages_of(events: str) -> tuple[tuple[str, float], ...]:
    """The stages of a run's measurements, and how many seconds each took."""
    begun: dict[str, datetime] = {}
    stages = []
    for found in _EVENT.finditer(events):
        when = datetime.fromisoformat(found["when"])
        if found["what"] == "begins":
            begun[found["stage"]] = when
        else:
            stages.append((found["stage"], (when - begun[found["stage"]]).total_seconds()))
    return tuple(stages)


def _measured(selection: str) -> Timed:
    """A run that tests nothing and measures a selection of benches."""
    with tempfile.TemporaryDirectory(prefix="perf-matrix-", dir=cache_dir()) as folder:
        run, out = Path(folder) / "run", Path(folder) / "result.json"
        done = subprocess.run(
            untested(SERIES, run, out, "--perf", *_options(selection)), capture_output=True, check=False
        )
        if not out.is_file():
            raise SystemExit(f"ktrial run ended with {done.returncode}:\n{done.stderr.decode(errors='replace')}")
        performance = read_result(out).performance
        stages = stages_of((run / "events.log").read_text())
    if performance is None or not stages:
        raise SystemExit("ktrial run measured nothing")
    changed = performance.of(*CHANGED)
    failed = performance.of(FigureChange.UNKNOWN)
    return Timed(
        selection,
        sum(seconds for _, seconds in stages),
        stages,
        len(performance.figures),
        len(changed),
        len(failed),
        os.getloadavg()[0],
    )


def _options(selection: str) -> list[str]:
    if selection == "every":
        return [word for suite in find_suites() if has_benches(suite) for word in ("--suite", suite.name)]
    return ["--quick"] if selection == "quick" else []


def _told(timed: Timed) -> str:
    limit = f", limit {LIMITS[timed.selection]:.0f} s" if timed.selection in LIMITS else ""
    figures = f"{timed.figures} figures, {timed.changed} changed, {timed.failed} cannot be told"
    stages = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in timed.stages)
    return f"{timed.selection:8s} {timed.seconds:6.0f} s{limit}; {figures}; load {timed.load:.1f}\n         {stages}"


if __name__ == "__main__":
    sys.exit(main())
