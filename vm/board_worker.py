"""Imported first by the Python that runs suites on a board: what was brought along is found before all else.

pytest-xdist hands its workers the import path of the machine that runs ktrial (xdist/remote.py), which means nothing on
another one. A finder of its own keeps what was copied to the board (pytest, our plugin) in reach whatever the path is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_BROUGHT = os.environ["KTRIAL_BOARD_PATH"].split(os.pathsep)


class Brought:
    """Finds modules in the folders that were copied to the board."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, _BROUGHT, target) if path is None else None


sys.meta_path.insert(0, Brought)
