"""Make each suite importable as a package of its own name, with `bpf` and `net` (shared support) beside them."""

import sys
from pathlib import Path

HERE = str(Path(__file__).resolve().parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)

pytest_plugins = ("meter",)
