"""What building a one-line series through ktrial costs, against a bare incremental `make` of the same change.

    python bench/build_overhead.py [--tree debian:6.12] [--pairs 3] [--jobs 2]

Both sides make the same kernel in the same jail, each from objects of the same base, with ccache and a change that
ccache has not seen. The bare side is make and nothing else: its object folder is there before the clock starts, and
stays. Ours is `build_kernel`: it copies the base's objects, makes, takes the artifacts, digests their sections, and
cleans up. The pairs are interleaved and change sides; the ratio to stay below is 1.15. Uses the user's cache (a base
found there is not built), and takes what it adds away again.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from harness.build import Kernel, Toolchain, build_kernel, find_toolchain
from harness.build.objects import borrow
from harness.build.store import Entry, entry_of
from harness.command import run
from harness.kconfig import load_fragment, resolve
from harness.kconfig.model import ResolvedConfig
from harness.kernel_make import kernel_make
from harness.places import cache_dir
from harness.series.model import Series
from harness.tree import base_source, choose_base, find_tree
from harness.tree.model import Source

FILE = "net/core/filter.c"
LIMIT = 1.15
NO_SERIES = Series("bench", "bench", 1, (), "", "", None, ())


@dataclass(frozen=True)
class Bench:
    """A base, and a tree to change."""

    base: Kernel
    config: ResolvedConfig
    toolchain: Toolchain
    source: Path
    work: Path
    jobs: int

    def change(self) -> Source:
        """Change one line of code in a way never seen before, and give the tree a name of its own."""
        name = uuid.uuid4().hex
        path = self.source / FILE
        text = path.read_text().split("\n/* bench */")[0]
        path.unlink()
        path.write_text(f'{text}\n/* bench */ const char ktrial_bench[] = "{name}";\n')
        return Source(self.source, f"bench-{name}")

    def ours(self) -> float:
        """Seconds of build_kernel."""
        source = self.change()
        began = time.monotonic()
        kernel = build_kernel(
            side="patched",
            source=source,
            config=self.config,
            toolchain=self.toolchain,
            work=self.work / "patched",
            version=self.base.version,
            start_from=self.base,
            jobs=self.jobs,
            changed=[FILE],
        )
        seconds = time.monotonic() - began
        assert kernel.compiled < 10, f"{kernel.compiled} objects compiled: not incremental"
        shutil.rmtree(kernel.directory)
        entry_of(kernel).lock.unlink()
        return seconds

    def bare(self, objects: Path) -> float:
        """Seconds of make."""
        source = self.change()
        ccache = cache_dir() / "ccache" if self.toolchain.ccache else None
        command = kernel_make(source.directory, objects, ["bzImage"], jobs=self.jobs, ccache=ccache)
        return run(command).seconds


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=cache_dir()) as folder:
        bench = _prepare(Path(folder), arguments.tree, arguments.jobs)
        place = Entry(Path(folder) / "bare")
        borrow(entry_of(bench.base), place)
        bench.bare(place.objects)
        pairs = [_pair(bench, place.objects, ours_first=number % 2 == 0) for number in range(arguments.pairs)]
    ratios = [ours / bare for ours, bare in pairs]
    for (ours, bare), ratio in zip(pairs, ratios, strict=True):
        print(f"ktrial {ours:6.2f} s   make {bare:6.2f} s   ratio {ratio:.3f}")
    verdict = "within" if statistics.median(ratios) <= LIMIT else "ABOVE"
    print(f"median ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), {verdict} {LIMIT}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tree", default="debian:6.12")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args()


def _prepare(folder: Path, tree_name: str, jobs: int) -> Bench:
    """The base kernel, built or found, and a copy of its source by hard links."""
    tree = find_tree(tree_name, cwd=Path.cwd(), say=print)
    base = choose_base(tree, NO_SERIES, None)
    source = base_source(tree.repository, base, print)
    toolchain = find_toolchain()
    (folder / "kconfig").mkdir()
    fragments = [load_fragment("boot"), load_fragment("xdp")]
    config = resolve(source.directory, fragments, work=folder / "kconfig")
    kernel = build_kernel(
        side="base",
        source=source,
        config=config,
        toolchain=toolchain,
        work=folder / "base",
        version=base.version,
        jobs=jobs,
    )
    subprocess.run(["cp", "-al", "-T", str(source.directory), str(folder / "source")], check=True)
    return Bench(kernel, config, toolchain, folder / "source", folder, jobs)


def _pair(bench: Bench, objects: Path, ours_first: bool) -> tuple[float, float]:
    """(ours, bare), in seconds."""
    if ours_first:
        ours = bench.ours()
        return ours, bench.bare(objects)
    bare = bench.bare(objects)
    return bench.ours(), bare


if __name__ == "__main__":
    main()
