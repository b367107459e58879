"""Measure one kernel again and again: how far do its figures spread, and is a change ever called?

    python -m bench.figures_spread [--boots 100] [--all] [-k EXPRESSION] [--json FILE] [--state FILE]

Half of the boots have seeds of their own, the other half the same seeds again. For each bench: median, spread over
seeds in percent, and whether equal seeds gave equal figures to the digit. Then every six seeds that follow each other
are put on trial as a run does it: base and patched with two of them, base again with two more, and both once more with
the last two for what has changed. Exits with 1 if a trial calls a change. Each boot is kept in a file as it ends, and a
later call makes those that are missing; those of other suites, another kernel or another choice are not counted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from bench.kernels import base_image
from bench.mutants import suites_digest
from harness import record
from harness.bpf_objects import compile_objects
from harness.machine.model import Accelerator
from harness.passes import Bench
from harness.perf.boots import Measured, at_once, readings, run_boots, session_of
from harness.perf.figures import figures_of, seen_again
from harness.perf.measure import has_benches
from harness.perf.model import CHANGED, QUICK, Attribution, Boot, Figure, Policy
from harness.places import cache_dir
from harness.plan import Invocation, Silent
from harness.store import inputs_digest, new_run
from harness.suites import find_suites

# What the two boots of each seed are in a trial, as harness/perf/measure.py and where.py have them.
_OF_A_TRIAL = ("base", "patched", "base", "patched", "control", "", "", "control", "b", "p", "b", "p")


@dataclass(frozen=True)
class State:
    """The boots that were made. inputs: digest of what they were made of."""

    inputs: str
    boots: tuple[Boot, ...] = ()


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
    parser.add_argument("--state", type=Path, help="file that keeps the boots")
    options = parser.parse_args()
    image = base_image()
    place = options.state or cache_dir() / "figures-spread.json"
    with tempfile.TemporaryDirectory(prefix="figures-spread-", dir=image.parents[2]) as folder:
        os.environ["KTRIAL_RUNS"] = folder
        boots = _boots(image, options.boots, options.keyword, "" if options.all else QUICK, place)
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


def _boots(image: Path, count: int, keyword: str, mark: str, place: Path) -> list[Boot]:
    """Two boots for each seed, as many at once as there are processors. place: keeps them."""
    run = new_run(None, "figures-spread")
    suites = tuple(filter(has_benches, find_suites()))
    inputs = inputs_digest(suites_digest(suites), hashlib.sha256(image.read_bytes()).hexdigest(), keyword, mark)
    state = record.load_if(place, State)
    if state is None or state.inputs != inputs:
        state = State(inputs)
    objects = compile_objects(suites, run.path / "bpf")
    bench = Bench.of(Invocation("", str(Path.cwd()), keyword=keyword), Accelerator.TCG, suites, objects)
    bench = replace(bench, mark=mark)
    wanted = [Measured("boot", 1 + number // 2, image, f"boot-{number % 2}") for number in range(count)]
    for some in at_once(wanted[len(state.boots) :]):
        sessions = [session_of(bench, boot, run.path / boot.name) for boot in some]
        done = run_boots(sessions, Silent())
        made = tuple(Boot("boot", boot.seed, readings(each)) for boot, each in zip(some, done, strict=True))
        state = replace(state, boots=(*state.boots, *made))
        record.save(place, state)
        print(f"{len(state.boots):3d} of {count} boots, load {os.getloadavg()[0]:.1f}", flush=True)
    return list(state.boots[:count])


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
    trials = [boots[start : start + size] for start in range(0, len(boots) - size + 1, 2)]
    called = 0
    for trial in trials:
        changed = called_by(trial)
        called += len(changed)
        for figure in changed:
            print(f"CALLED {figure.change}: {figure.bench} {figure.delta:+.2f}, noise {figure.noise:.2f}")
    print(f"{len(trials)} trials of a kernel against itself called {called} changes")
    return len(trials), called


def called_by(trial: Sequence[Boot]) -> list[Figure]:
    """What a trial calls a change. trial: two boots of one kernel for each of six seeds."""
    boots = [replace(boot, role=role) for role, boot in zip(_OF_A_TRIAL, trial, strict=True)]
    first = figures_of(boots, Policy())
    again = {role: _medians([boot for boot in boots if boot.role == role]) for role in ("b", "p")}
    deltas = [Attribution(name, again["p"][name] - base) for name, base in again["b"].items() if name in again["p"]]
    return [each for each in seen_again(first, deltas, Policy()) if each.change in CHANGED]


def _medians(boots: Sequence[Boot]) -> dict[str, float]:
    """By bench, over some boots."""
    found: dict[str, list[float]] = {}
    for reading in (reading for boot in boots for reading in boot.readings if reading.values):
        found.setdefault(reading.bench, []).append(median(reading.values))
    return {name: median(values) for name, values in found.items()}


if __name__ == "__main__":
    sys.exit(main())
