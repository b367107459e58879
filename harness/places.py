"""Where things are: the parts that ship with ktrial, the cache and the runs."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

__all__ = ["cache_dir", "configs_dir", "packages_file", "runs_dir", "suites_dir", "vm_dir"]


def _shipped(name: str) -> Path:
    """A top-level part of the project: beside `harness/` in a checkout, in `harness/_data/` once installed."""
    here = Path(__file__).resolve().parent
    installed = here / "_data" / name
    return installed if installed.exists() else here.parent / name


def configs_dir() -> Path:
    """The Kconfig fragments."""
    return _shipped("configs")


def suites_dir() -> Path:
    """The test suites."""
    return _shipped("suites")


def vm_dir() -> Path:
    """What runs beside or inside a guest."""
    return _shipped("vm")


def packages_file() -> Path:
    """The packages of Debian and Ubuntu that ktrial needs."""
    return _shipped("packages.debian")


def cache_dir() -> Path:
    """Trees, builds and ccache: $KTRIAL_CACHE, else `ktrial` in the user's cache folder. May be deleted at any time."""
    return Path(os.environ.get("KTRIAL_CACHE") or platformdirs.user_cache_path("ktrial")).expanduser().resolve()


def runs_dir() -> Path:
    """The runs' folders: $KTRIAL_RUNS, else `ktrial/runs` in the user's state folder."""
    given = os.environ.get("KTRIAL_RUNS")
    return (Path(given) if given else platformdirs.user_state_path("ktrial") / "runs").expanduser().resolve()
