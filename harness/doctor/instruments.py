"""Which instruments can read figures on this machine (harness/perf)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from harness.command import Command, run
from harness.doctor.model import Finding, State

__all__ = ["instruments"]

_SECONDS = 30.0
_DEVICES = Path("/sys/bus/event_source/devices")  # one for each PMU that this kernel drives
_PROCESSORS = ("cpu", "cpu_core", "cpu_atom")
_QEMU = "qemu-system-x86_64"


def instruments(kvm_boots: Callable[[], bool | None] | None, devices: Path = _DEVICES) -> Callable[[], Finding]:
    """A look at them. kvm_boots: whether a kernel boots under KVM, None where nobody knows."""

    def look() -> Finding:
        if shutil.which(_QEMU) is None:
            return Finding(State.OPTIONAL_MISSING, f"no {_QEMU} to count with")
        options = run(Command((_QEMU, "-help"), deadline=_SECONDS), check=False).text
        lacking = [
            name for name, option in (("icount", "-icount"), ("profile", "-plugin")) if f"\n{option} " not in options
        ]
        kvm = kvm_boots() if kvm_boots else None
        counted = (
            ", ".join(name for name in ("icount", "profile") if name not in lacking) or "neither icount nor profile"
        )
        found = f"{counted}; {_timed(kvm, devices)}"
        if lacking:
            return Finding(State.OPTIONAL_MISSING, found, f"a QEMU built with its TCG and plugins has {lacking[0]}")
        return Finding(State.OK, found)

    return look


def _timed(kvm: bool | None, devices: Path) -> str:
    """What of cycles and wall there is."""
    if kvm is False:
        return "no cycles and no wall in guests: KVM boots none"
    if not any((devices / name).exists() for name in _PROCESSORS):
        return f"{'wall' if kvm else 'wall where KVM boots a kernel'}; no cycles: this machine shows no PMU"
    return "wall and cycles" + ("" if kvm else " where KVM boots a kernel")
