"""Kill a run with SIGKILL at random moments, resume it, and compare its verdict with that of a run left alone.

    python -m bench.kill_resume [--kills 10] [--seed 1] [-k EXPRESSION]

Each kill is one run: started, killed after a random part of the time that the untouched run took, looked at (no
process of it may be left), resumed to its end, and looked at again (no process, no source, no lock). Exits with 1 where
a verdict differs or anything was left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.kernels import EXAMPLES, TREE
from harness.places import cache_dir

SERIES = "breaks-shrink.mbox"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-k", dest="keyword", default="test_adjust_tail")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="kills-", dir=cache_dir()) as name:
        began = time.monotonic()
        wanted = _finish(_argv(Path(name) / "whole", options.keyword), Path(name) / "whole")
        whole = time.monotonic() - began
        print(f"left alone: {whole:.1f} s, {wanted['line']}", flush=True)
        faults = sum(
            _one(Path(name) / f"kill-{n}", chance, whole, wanted, options.keyword) for n in range(options.kills)
        )
    print(f"{options.kills} runs killed and resumed, {faults} of them with a fault")
    return 1 if faults else 0


def _one(out: Path, chance: random.Random, whole: float, wanted: dict[str, Any], keyword: str) -> bool:
    """One run, killed and resumed; whether anything was wrong."""
    after = chance.uniform(0.5, whole)
    process = subprocess.Popen(_argv(out, keyword), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1.0)
    left = _left(out)
    stages = sorted(path.stem for path in (out / "stages").glob("*.json"))
    if not (out / "run.json").exists():
        print(f"killed after {after:5.1f} s: before the run had a folder; nothing to resume, left: {left}")
        return bool(left)
    argv = [sys.executable, "-m", "harness.cli", "run", "--resume", str(out)]
    verdict = _finish(argv, out)
    left += _left(out) + _left_in_cache(out)
    same = verdict == wanted
    print(
        f"killed after {after:5.1f} s, {len(stages)} stages done: {verdict['line']}  same: {same}, left: {left}",
        flush=True,
    )
    return not same or bool(left)


def _argv(out: Path, keyword: str) -> list[str]:
    series = str(EXAMPLES / SERIES)
    options = ["--tree", TREE, "--accel", "tcg", "--reruns", "1", "-k", keyword, "--out", str(out)]
    return [sys.executable, "-m", "harness.cli", "run", series, *options]


def _finish(argv: list[str], out: Path) -> dict[str, Any]:
    done = subprocess.run(argv, capture_output=True, check=False)
    try:
        return dict(json.loads((out / "result.json").read_bytes())["verdict"])
    except OSError:
        return {"line": f"no result, exit status {done.returncode}: {done.stderr.decode()[-500:]}"}


def _left_in_cache(out: Path) -> list[str]:
    """What only a run under way needs: its patched source, its worktree, its lock."""
    run = json.loads((out / "run.json").read_bytes())["id"]
    found = [str(path) for path in (cache_dir() / "patched").glob(f"{run}*") if not path.name.endswith(".lock")]
    return found + [str(path) for path in (out / ".lock", out / "tree" / "applying") if path.exists()]


def _left(out: Path) -> list[str]:
    """Processes that know this run's folder."""
    mine = os.fsencode(out)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mine in (process / "cmdline").read_bytes() or mine in (process / "mountinfo").read_bytes():
                found.append(f"process {process.name}")
        except OSError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
