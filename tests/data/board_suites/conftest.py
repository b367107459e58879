"""Make each suite importable as a package of its own name, and `bpf` (shared BPF support) beside them."""

import sys
from pathlib import Path

HERE = str(Path(__file__).resolve().parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)
