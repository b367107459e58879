"""What `ktrial run` takes beside booting the same two guests and running pytest in them, by hand.

    python -m bench.run_overhead [--pairs 3] [-k EXPRESSION]

Kernels are built before the clock starts. Plain: virtme-ng boots both kernels at once, pytest runs the suite in each,
no xdist, no watcher, no comparison. Ours: the whole command, from the mailbox to the report. The pairs are interleaved
and change sides (ABBA). The ratio to stay below is 1.3. Wall-clock time on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.kernels import EXAMPLES, TREE, kernels_of
from harness.bpf_objects import compile_objects
from harness.command import Command, started
from harness.machine.guest import guest_command, guest_python, next_boot, write_program
from harness.machine.model import Accelerator, GuestSpec
from harness.places import cache_dir, suites_dir
from harness.suites import find_suites

SERIES = "clean-feature.mbox"
TARGET = 1.3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("-k", dest="keyword", default="")
    options = parser.parse_args()
    images = kernels_of(SERIES)
    ratios = []
    for number in range(options.pairs):
        order = (_plain, _ours) if number % 2 == 0 else (_ours, _plain)
        taken = {way: way(images, options.keyword) for way in order}
        ratios.append(taken[_ours] / taken[_plain])
        print(f"plain {taken[_plain]:6.1f} s   ktrial run {taken[_ours]:6.1f} s   ratio {ratios[-1]:.3f}", flush=True)
    low, high = min(ratios), max(ratios)
    middle = statistics.median(ratios)
    print(f"ratio: median {middle:.3f} of {len(ratios)} pairs, {low:.3f} to {high:.3f}; target {TARGET}")
    return 0 if middle <= TARGET else 1


def _plain(images: dict[str, Path], keyword: str) -> float:
    """Seconds to boot both kernels and run the suite in both, with nothing around it."""
    suites = find_suites()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=cache_dir()) as name:
        objects = compile_objects(suites, Path(name) / "bpf")
        began = time.monotonic()
        with (
            started(_command(images["base"], Path(name) / "base", objects, keyword)) as base,
            started(_command(images["patched"], Path(name) / "patched", objects, keyword)) as patched,
        ):
            outputs = [_drained(process) for process in (base, patched)]
        seconds = time.monotonic() - began
    if not all(b" passed" in output for output in outputs):
        raise SystemExit("the plain run did not pass:\n" + outputs[0].decode("utf-8", "replace")[-2000:])
    return seconds


def _command(image: Path, folder: Path, objects: Path, keyword: str) -> Command:
    root = suites_dir()
    spec = GuestSpec(image, folder, Accelerator.TCG, readable=(root, objects))
    boot = next_boot(folder)
    argv = [guest_python(), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(root), "-c"]
    argv += [str(root / "pytest.ini"), *(["-k", keyword] if keyword else []), str(root)]
    write_program(boot, argv, {"KTRIAL_BPF_DIR": str(objects), "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/tmp"})
    return guest_command(spec, boot)


def _drained(process: subprocess.Popen[bytes]) -> bytes:
    output, _ = process.communicate(timeout=1200)
    return output


def _ours(images: dict[str, Path], keyword: str) -> float:
    """Seconds of the whole command."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=cache_dir()) as name:
        argv = [sys.executable, "-m", "harness.cli", "run", str(EXAMPLES / SERIES), "--tree", TREE, "--accel", "tcg"]
        argv += ["--out", f"{name}/run", *(["-k", keyword] if keyword else [])]
        began = time.monotonic()
        done = subprocess.run(argv, capture_output=True, check=False)
        seconds = time.monotonic() - began
    if done.returncode:
        raise SystemExit(f"ktrial run ended with {done.returncode}:\n{done.stdout.decode()}{done.stderr.decode()}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
