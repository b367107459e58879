"""Run benchmarks by name, or all of them: `python -m bench [NAME...]`."""

from __future__ import annotations

import subprocess
import sys

NAMES = (
    "build_overhead",
    "run_overhead",
    "kill_resume",
    "false_alarms",
    "mutation",
    "sensitivity",
    "figures_spread",
    "profile_overhead",
    "perf_matrix",
    "memory_size",
)


def main() -> int:
    wanted = sys.argv[1:] or list(NAMES)
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    status = 0
    for name in wanted:
        print(f"== {name}", flush=True)
        status |= subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
