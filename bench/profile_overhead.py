"""What the profile plugin costs: boots of one kernel with and without it, in pairs (wall-clock).

    python -m bench.profile_overhead [--pairs 3] [-k EXPRESSION] [--json FILE]

Both boots run the quick selection of benches under icount, one after the other. Prints each pair's ratio, their median
and their range, and whether the plugin changed what the benches read: it must not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

from bench.kernels import base_image
from harness.bpf_objects import compile_objects
from harness.machine.model import Accelerator
from harness.passes import Bench
from harness.perf.boots import Measured, readings, run_boots, session_of
from harness.perf.measure import has_benches
from harness.perf.model import QUICK
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
        pairs, differ = _pairs(image, options.pairs, options.keyword)
    ratios = [under / plain for plain, under in pairs]
    print(f"median ratio {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), load {os.getloadavg()[0]:.1f}")
    print(f"{differ} readings differ from those without it")
    if options.json:
        options.json.write_text(json.dumps({"pairs": pairs, "differ": differ}, indent=1))
    return 1 if differ else 0


def _pairs(image: Path, count: int, keyword: str) -> tuple[list[tuple[float, float]], int]:
    """Seconds without and with the plugin, of each pair; and how many readings of all it changed, or only one had."""
    run = new_run(None, "profile-overhead")
    bench = _bench(run, keyword)
    pairs: list[tuple[float, float]] = []
    differ = 0
    for number in range(count):
        # In turns (ABBA), for the host may warm up.
        order = (False, True) if number % 2 == 0 else (True, False)
        once = {each: _once(bench, image, run, number, with_plugin=each) for each in order}
        (plain, read), (under, read_under) = once[False], once[True]
        if not read:
            raise SystemExit("no bench read anything in a boot without the plugin")
        pairs.append((plain, under))
        differ += sum(read.get(name) != read_under.get(name) for name in read.keys() | read_under.keys())
        print(f"plain {plain:5.1f} s, with the plugin {under:5.1f} s, ratio {under / plain:.3f}", flush=True)
    return pairs, differ


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
