"""Links in what a stranger gives: any file or folder there may be one, and lead anywhere on the host."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["outside"]


def outside(folder: Path, path: Path) -> Path | None:
    """Where a path, there or not, leads to, links on its way followed; None where that is below the folder."""
    where = Path(os.path.realpath(path))
    return None if where.is_relative_to(os.path.realpath(folder)) else where
