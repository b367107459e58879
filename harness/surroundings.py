"""Where a trial runs: this machine, how busy it is, and which ktrial this is."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from harness import __version__
from harness.command import Command, run
from harness.errors import KtrialError

__all__ = ["Surroundings", "load", "look_around", "processor", "qemu_version", "version_with_commit"]

_MIB = 1024 * 1024
_OURS = ("harness", "suites", "vm", "configs")
_GIT = 20.0  # seconds


@dataclass(frozen=True)
class Surroundings:
    """What there is before a trial begins. ktrial: its version, with the commit of a checkout. load: see `load`."""

    ktrial: str
    distribution: str
    processor: str
    processors: int
    memory_mib: int
    load: float | None


def look_around() -> Surroundings:
    """This machine as it is now. What cannot be found out is "", 0 or None."""
    return Surroundings(
        ktrial=version_with_commit(),
        distribution=_distribution(),
        processor=processor(),
        processors=len(os.sched_getaffinity(0)),
        memory_mib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MIB,
        load=load(),
    )


def load() -> float | None:
    """How many tasks ran or wanted to: the mean of the last minute (getloadavg(3)); None where nobody tells."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def qemu_version() -> str:
    """The first line of what QEMU says of itself; "" where there is none."""
    try:
        return run(Command(("qemu-system-x86_64", "--version"), deadline=10)).text.partition("\n")[0]
    except KtrialError:
        return ""


def version_with_commit(root: Path | None = None) -> str:
    """`0.1.0`, or `0.1.0 (35803c3b9a12, with changes)` where ktrial runs from a git checkout. root: of the checkout."""
    checkout = root or Path(__file__).resolve().parents[1]
    if not (checkout / ".git").exists():
        return __version__
    commit = _git(checkout, "rev-parse", "--short=12", "HEAD")
    if not commit:
        return __version__
    changed = _git(checkout, "status", "--porcelain", "--", *_OURS)
    return f"{__version__} ({commit}{', with changes' if changed else ''})"


def _git(checkout: Path, *arguments: str) -> str:
    """What git prints; "" where it fails or is not there."""
    try:
        done = run(Command(("git", "-C", str(checkout), *arguments), deadline=_GIT), check=False)
    except KtrialError:
        return ""
    return done.text.strip() if done.ok else ""


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def processor() -> str:
    """The processor's name, as the kernel has it; else what kind of machine this is."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(": ")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
