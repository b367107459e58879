"""Measure one kernel again and again: how far do its figures spread, and is a change ever called?

    python -m bench.figures_spread [--boots 100] [--all] [-k EXPRESSION] [--json FILE]

Half of the boots have seeds of their own, the other half the same seeds again. For each bench: median, spread over
seeds in percent, and whether equal seeds gave equal figures to the digit. Then every four boots with seeds that follow
each other are put on trial as base, patched and base again. Exits with 1 if a trial calls a change.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from bench.kernels import base_image
from harness.bpf_objects import compile_objects
from harness.machine.model import Accelerator
from harness.passes import Bench
from harness.perf.boots import Measured, at_once, readings, run_boots, session_of
from harness.perf.figures import figures_of
from harness.perf.measure import has_benches
from harness.perf.model import QUICK, Boot, FigureChange, Policy
from harness.plan import Invocation, Silent
from harness.store import new_run
from harness.suites import find_suites

# Of three pairs of boots with equal seeds, as harness/perf/measure.py has them.
_OF_A_TRIAL = ("base", "patched", "base", "patched", "control", "control")


@dataclass(frozen=True)
class Spread:
    """How one bench's figure varies over boots of one kernel. spread: of the boots' medians, in `unit`.

    equal: whether boots with equal seeds gave the same to the digit. boots: those that gave one.
    """

    bench: str
    unit: str
    median: float
    spread: float
    equal: bool
    boots: int

    @property
    def share(self) -> float:
        """The spread as a part of the figure."""
        return self.spread / self.median if self.median else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boots", type=int, default=100)
    parser.add_argument("--all", action="store_true", help="every bench, and not the quick selection")
    parser.add_argument("-k", dest="keyword", default="")
    parser.add_argument("--json", type=Path, help="write what was measured to this file as well")
    options = parser.parse_args()
    image = base_image()
    with tempfile.TemporaryDirectory(prefix="figures-spread-", dir=image.parents[2]) as folder:
        os.environ["KTRIAL_RUNS"] = folder
        boots = _boots(image, options.boots, options.keyword, "" if options.all else QUICK)
    spreads = spreads_of(boots)
    _print_spreads(spreads, len(boots))
    trials, called = _print_trials(boots)
    if options.json:
        measured = {
            "boots": len(boots),
            "trials": trials,
            "called": called,
            "spreads": [asdict(each) for each in spreads],
        }
        options.json.write_text(json.dumps(measured, indent=1))
    return 1 if called else 0


def _boots(image: Path, count: int, keyword: str, mark: str) -> list[Boot]:
    """Two boots for each seed, as many at once as there are processors."""
    run = new_run(None, "figures-spread")
    suites = tuple(filter(has_benches, find_suites()))
    objects = compile_objects(suites, run.path / "bpf")
    asked = Invocation("", str(Path.cwd()), keyword=keyword)
    bench = replace(Bench.of(asked, Accelerator.TCG, suites, objects), mark=mark)
    wanted = [Measured("boot", 1 + number // 2, image, f"boot-{number % 2}") for number in range(count)]
    boots: list[Boot] = []
    for some in at_once(wanted):
        sessions = [session_of(bench, boot, run.path / boot.name) for boot in some]
        done = run_boots(sessions, Silent())
        boots += [Boot("boot", boot.seed, readings(each)) for boot, each in zip(some, done, strict=True)]
        print(f"{len(boots):3d} of {count} boots, load {os.getloadavg()[0]:.1f}", flush=True)
    return boots


def spreads_of(boots: Sequence[Boot]) -> list[Spread]:
    """Of every bench that gave figures, in the order of the benches."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for boot in boots:
        for reading in boot.readings:
            if reading.values:
                found.setdefault((reading.bench, reading.unit), []).append((boot.seed, median(reading.values)))
    return [_spread(bench, unit, by_boot) for (bench, unit), by_boot in found.items()]


def _spread(bench: str, unit: str, by_boot: Sequence[tuple[int, float]]) -> Spread:
    values = [value for _, value in by_boot]
    seeds = {seed: {value for each, value in by_boot if each == seed} for seed, _ in by_boot}
    equal = all(len(found) == 1 for found in seeds.values())
    return Spread(bench, unit, median(values), max(values) - min(values), equal, len(by_boot))


def _print_spreads(spreads: Sequence[Spread], boots: int) -> None:
    for each in spreads:
        told = "equal seeds, equal figures" if each.equal else "equal seeds differ"
        print(f"{each.bench:100s} {each.median:10.1f}  {100 * each.share:7.3f} %  {told}  {each.unit}")
    same = sum(each.equal for each in spreads)
    print(f"{len(spreads)} benches in {boots} boots; {same} to the digit the same for equal seeds")


def _print_trials(boots: Sequence[Boot]) -> tuple[int, int]:
    """As many trials of the kernel against itself as the boots are enough for, and the changes that they called."""
    size = len(_OF_A_TRIAL)
    trials = [boots[start : start + size] for start in range(0, len(boots) - size + 1, size)]
    called = 0
    for trial in trials:
        in_roles = [replace(boot, role=role) for boot, role in zip(trial, _OF_A_TRIAL, strict=True)]
        changed = [each for each in figures_of(in_roles, Policy()) if each.change in _CALLED]
        called += len(changed)
        for figure in changed:
            print(f"CALLED {figure.change}: {figure.bench} {figure.delta:+.2f}, noise {figure.noise:.2f}")
    print(f"{len(trials)} trials of a kernel against itself called {called} changes")
    return len(trials), called


_CALLED = (FigureChange.WORSE, FigureChange.BETTER)

if __name__ == "__main__":
    sys.exit(main())
