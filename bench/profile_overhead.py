"""What the profile plugin costs: boots of one kernel with and without it, in pairs (wall-clock).

    python -m bench.profile_overhead [--pairs 3] [-k EXPRESSION] [--json FILE]

Both boots run the quick selection of benches under icount, one after the other, all with one seed. Prints each pair's
ratio, their median and their range, and how far what was read under the plugin lies beyond what boots without it read.
Exits with 1 if that is more than a change would have to be (0.5 %), or if a bench read something in only one of them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

from bench.kernels import base_image
from harness.bpf_objects import compile_objects
from harness.machine.model import Accelerator
from harness.passes import Bench
from harness.perf.boots import Measured, readings, run_boots, session_of
from harness.perf.measure import has_benches
from harness.perf.model import QUICK, Policy
from harness.perf.profile import profiling
from harness.perf.symbols import Symbols, find_system_map
from harness.plan import Invocation, Silent
from harness.store import RunFolder, new_run
from harness.suites import find_suites


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("-k", dest="keyword", default="")
    parser.add_argument("--json", type=Path, help="write what was measured to this file as well")
    options = parser.parse_args()
    image = base_image()
    with tempfile.TemporaryDirectory(prefix="profile-overhead-", dir=image.parents[2]) as folder:
        os.environ["KTRIAL_RUNS"] = folder
        pairs, plain, under = _pairs(image, options.pairs, options.keyword)
    ratios = [second / first for first, second in pairs]
    print(f"median ratio {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), load {os.getloadavg()[0]:.1f}")
    compared = compare(plain, under)
    print(f"{compared.same} of {compared.readings} readings are the same to the digit in every boot")
    print(f"at most {compared.beyond:.2%} beyond those without it: {compared.furthest or 'none'}")
    for name in compared.missing:
        print(f"LACKING in one of them: {name}")
    if options.json:
        options.json.write_text(json.dumps({"pairs": pairs, **asdict(compared)}, indent=1))
    return 1 if compared.missing or compared.beyond >= Policy().share else 0


@dataclass(frozen=True)
class Compared:
    """What boots under the plugin read, against those without it.

    same: readings of one value in all boots. beyond: by which part of itself the `furthest` lies below or above all
    that was read without the plugin. missing: benches that read something in some boots only.
    """

    readings: int
    same: int
    beyond: float
    furthest: str
    missing: tuple[str, ...]


def compare(plain: Sequence[Mapping[str, float]], under: Sequence[Mapping[str, float]]) -> Compared:
    """plain, under: what each boot read, by bench."""
    names = dict.fromkeys(name for boot in (*plain, *under) for name in boot)
    whole = [name for name in names if all(name in boot for boot in (*plain, *under))]
    same = sum(len({boot[name] for boot in (*plain, *under)}) == 1 for name in whole)
    beyond = {name: _beyond([boot[name] for boot in plain], [boot[name] for boot in under]) for name in whole}
    furthest = max(beyond, key=lambda name: beyond[name], default="")
    most = beyond.get(furthest, 0.0)
    missing = tuple(name for name in names if name not in whole)
    return Compared(len(names), same, most, furthest if most else "", missing)


def _beyond(plain: Sequence[float], under: Sequence[float]) -> float:
    low, high = min(plain), max(plain)
    outside = max(max(low - value, value - high, 0.0) for value in under)
    return outside / median(plain) if outside else 0.0


_Read = list[dict[str, float]]


def _pairs(image: Path, count: int, keyword: str) -> tuple[list[tuple[float, float]], _Read, _Read]:
    """Seconds without and with the plugin, of each pair; and what each boot read, without and with it."""
    run = new_run(None, "profile-overhead")
    bench = _bench(run, keyword)
    pairs: list[tuple[float, float]] = []
    read: dict[bool, _Read] = {False: [], True: []}
    for number in range(count):
        # In turns (ABBA), for the host may warm up.
        order = (False, True) if number % 2 == 0 else (True, False)
        once = {each: _once(bench, image, run, number, with_plugin=each) for each in order}
        (plain, without), (under, with_it) = once[False], once[True]
        if not without:
            raise SystemExit("no bench read anything in a boot without the plugin")
        pairs.append((plain, under))
        read[False].append(without)
        read[True].append(with_it)
        print(f"plain {plain:5.1f} s, with the plugin {under:5.1f} s, ratio {under / plain:.3f}", flush=True)
    return pairs, read[False], read[True]


def _bench(run: RunFolder, keyword: str) -> Bench:
    suites = tuple(filter(has_benches, find_suites()))
    objects = compile_objects(suites, run.path / "bpf")
    asked = Invocation("", str(Path.cwd()), keyword=keyword)
    return replace(Bench.of(asked, Accelerator.TCG, suites, objects), mark=QUICK)


def _once(
    bench: Bench, image: Path, run: RunFolder, number: int, *, with_plugin: bool
) -> tuple[float, dict[str, float]]:
    """Seconds of one boot, and the median of every bench."""
    system_map = find_system_map(image)
    assert system_map is not None, f"no System.map beside {image}"
    folder = run.path / f"{'profile' if with_plugin else 'plain'}-{number}"
    boot = Measured("boot", 1, image)
    also = partial(profiling, symbols=Symbols(system_map), tools=run.path / "plugin")
    session = session_of(bench, boot, folder, also=also) if with_plugin else session_of(bench, boot, folder)
    began = time.monotonic()
    (done,) = run_boots([session], Silent())
    seconds = time.monotonic() - began
    return seconds, {each.bench: median(each.values) for each in readings(done) if each.values}


if __name__ == "__main__":
    sys.exit(main())
