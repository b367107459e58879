"""Measure the measuring, and write docs/performance-spread.md of it: this one command regenerates the page.

    python -m bench.perf_page [--boots 100] [--quick] [--keep FOLDER]

It runs profile_overhead (what QEMU's plugin costs), perf_matrix (how long the matrix takes) and figures_spread (a
kernel against itself), some hours with the hundred boots of every bench. --keep names a folder for what they measured:
what is in it already is not measured again, so the page can be written anew without a boot.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from bench.figures_spread import Spread
from bench.kernels import TREE
from bench.perf_matrix import LIMITS
from harness.report.benches import short_name
from harness.surroundings import qemu_version

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance-spread.md"
_LITTLE = 0.0005  # a spread that is told in words: 0.05 %


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boots", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="the quick selection of benches against itself alone")
    parser.add_argument("--keep", type=Path, help="folder of what was measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perf-page-") as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        spread = ["--boots", str(options.boots), *([] if options.quick else ["--all"])]
        wanted = {"profile_overhead": [], "perf_matrix": [], "figures_spread": spread}
        measured = {name: _measured(name, words, folder / f"{name}.json") for name, words in wanted.items()}
    PAGE.write_text("\n".join(page(measured, _machine())) + "\n")
    print(f"wrote {PAGE}")
    return 0


def _measured(name: str, words: Sequence[str], path: Path) -> Any:
    """What a benchmark wrote; it runs unless it did so before. A limit that it misses is in the page as well."""
    if not path.is_file():
        print(f"== {name}", flush=True)
        done = subprocess.run([sys.executable, "-m", f"bench.{name}", *words, "--json", str(path)], check=False)
        if not path.is_file():
            raise SystemExit(f"bench.{name} ended with {done.returncode} and wrote nothing")
    return json.loads(path.read_bytes())


def _machine() -> str:
    return f"{os.cpu_count()} processors, {qemu_version().partition(' (')[0]}, TCG, kernel {TREE.partition(':')[2]}"


def page(measured: Mapping[str, Any], machine: str) -> Iterator[str]:
    """The lines of the page. measured: what each benchmark wrote, by its name."""
    yield "# How exact figures are, and what they take"
    yield ""
    yield f"`make bench-perf` measures all of this anew and writes this page (`bench/perf_page.py`). Last: {machine}."
    yield from _overhead(measured["profile_overhead"])
    yield from _matrix(measured["perf_matrix"])
    yield from _spreads(measured["figures_spread"])


def _overhead(told: Mapping[str, Any]) -> Iterator[str]:
    ratios = [under / plain for plain, under in told["pairs"]]
    furthest = f", `{short_name(told['furthest'])}`" if told["furthest"] else ""
    missing = f"; read in some boots only: {len(told['missing'])}" if told["missing"] else ""
    yield from ("", "## What the profile plugin costs", "")
    yield (
        f"A boot of the quick selection under the plugin takes {median(ratios):.3f} times as long as one without"
        f" ({min(ratios):.3f} to {max(ratios):.3f}, {len(ratios)} pairs in turns, wall-clock). Of {told['readings']}"
        f" readings {told['same']} are the same to the digit in all of these boots, and none under the plugin lies more"
        f" than {told['beyond']:.2%} beyond those without it{furthest}{missing}."
    )


def _matrix(told: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from ("", "## How long the matrix takes", "")
    yield "Kernels ready, nearly all figures changed, so that telling where they went takes as long as it can."
    yield ""
    yield "| selection | figures | changed | cannot be told | boots, s | where it went, s | all, s | limit, s | load |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    for each in told:
        where = sum(seconds for name, seconds in each["stages"] if name == "where")
        limit = LIMITS.get(each["selection"])
        cells = (
            each["selection"],
            *(str(each[name]) for name in ("figures", "changed", "failed")),
            *(f"{seconds:.0f}" for seconds in (each["seconds"] - where, where, each["seconds"])),
            f"{limit:.0f}" if limit else "-",
            f"{each['load']:.1f}",
        )
        yield f"| {' | '.join(cells)} |"


def _spreads(told: Mapping[str, Any]) -> Iterator[str]:
    spreads = [Spread(**each) for each in told["spreads"]]
    yield from ("", "## A kernel against itself", "")
    still = sum(not each.spread for each in spreads)
    little = sum(each.share <= _LITTLE for each in spreads)
    worst = max((each.share for each in spreads), default=0.0)
    yield (
        f"{told['boots']} boots of one kernel, by icount: half with seeds of their own, half with the same seeds again."
        f" {told['trials']} trials of the kernel against itself, each of twelve boots that follow each other, called"
        f" {told['called'] or 'no'} changes. Of {len(spreads)} figures {still} do not vary at all, {little} by at most"
        f" {_LITTLE:.2%}, the worst by {worst:.2%}; {sum(each.equal for each in spreads)} are the same to the digit for"
        " equal seeds."
    )
    for (file, unit), group in groupby(spreads, lambda each: (each.bench.partition("::")[0], each.unit)):
        yield from ("", f"### {file}, {unit}", "")
        yield "| bench | median | spread | % | equal seeds | boots |"
        yield "|---|--:|--:|--:|---|--:|"
        for each in group:
            numbers = f"{each.median:.10g} | {each.spread:.4g} | {100 * each.share:.3f}"
            yield f"| `{short_name(each.bench)}` | {numbers} | {'equal' if each.equal else 'differ'} | {each.boots} |"


if __name__ == "__main__":
    sys.exit(main())
