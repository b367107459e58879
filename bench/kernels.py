"""The kernels that benchmarks run: those of the examples, from the cache or built now."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.places import cache_dir

__all__ = ["EXAMPLES", "TREE", "base_image", "kernels_of", "untested"]

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TREE = "debian:6.12"


def kernels_of(series: str) -> dict[str, Path]:
    """bzImage of each side of an example's trial, by side."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=cache_dir()) as folder:
        run, out = Path(folder) / "run", Path(folder) / "result.json"
        subprocess.run(untested(series, run, out), stdout=subprocess.DEVNULL, check=False)
        kernels = json.loads(out.read_bytes())["kernels"]
    return {kernel["side"]: Path(kernel["directory"]) / "bzImage" for kernel in kernels}


def untested(series: str, run: Path, out: Path, *options: str) -> list[str]:
    """The trial of a series, an example's name or a file, that runs no test. run: its folder. out: its result, JSON."""
    argv = [sys.executable, "-m", "harness.cli", "run", str(EXAMPLES / series), "--tree", TREE, "--accel", "tcg"]
    return [*argv, *options, "--test", "none", "--reruns", "0", "--quiet", "--out", str(run), "--json", str(out)]


def base_image() -> Path:
    """The examples' base kernel."""
    return kernels_of("clean-feature.mbox")["base"]
