"""Whether KVM boots a kernel: known from an earlier run, or tried with a kernel of the cache."""

from __future__ import annotations

from pathlib import Path

from harness.build.store import Entry
from harness.errors import ToolchainError
from harness.locks import locked
from harness.machine.accel import cached_choice, choose_accelerator
from harness.machine.model import Accelerator
from harness.places import cache_dir

__all__ = ["kvm_boots"]


def kvm_boots() -> bool | None:
    """Whether a kernel came up with KVM on this machine; None where no kernel is built yet to try it with."""
    try:
        choice = cached_choice()
        kernel = _base_kernel()
        if choice is None and kernel is not None:
            with locked(kernel.lock, shared=True):
                choice = choose_accelerator("auto", kernel.directory / "bzImage")
    except (ToolchainError, OSError):  # no QEMU yet, or the kernel has just been pruned
        return None
    return None if choice is None else choice.accelerator is Accelerator.KVM


def _base_kernel() -> Entry | None:
    """The newest kernel of the cache that no series has changed: one that hangs must not be KVM's fault."""
    images = sorted(cache_dir().glob("builds/*/bzImage"), key=_modified, reverse=True)
    found = (Entry(image.parent) for image in images)
    return next((entry for entry in found if not entry.borrowed.exists()), None)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
