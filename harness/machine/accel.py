"""Choose between KVM and TCG by booting a kernel: a /dev/kvm that opens may still hang every guest for ever.

Seen: a /dev/kvm (a nested one) that creates a VM and runs its firmware, and then never runs the kernel. So KVM counts
only once a real kernel has come up with it under a deadline; the answer is kept for this host, QEMU and device.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from harness import record
from harness.command import Command, run
from harness.errors import UsageError
from harness.locks import locked
from harness.machine.gateway import watch_boot
from harness.machine.guest import host_has_kvm, next_boot, write_program
from harness.machine.model import Accelerator, Deadlines, GuestSpec
from harness.places import cache_dir
from harness.surroundings import processor

__all__ = ["AcceleratorChoice", "cached_choice", "choose_accelerator"]

_PROBE_DEADLINE = 30.0
_DOUBTED_AFTER = 24 * 3600.0  # seconds; a "no" may have come of a bad moment, and costs all later runs their speed


@dataclass(frozen=True)
class AcceleratorChoice:
    """What guests run on, and why: one clause for the report.

    host: what the answer holds for. probed: when it was found by booting, seconds since 1970; 0 where it was not.
    """

    accelerator: Accelerator
    why: str
    host: str
    probed: float = 0.0


def choose_accelerator(asked: str, image: Path) -> AcceleratorChoice:
    """`kvm` and `tcg` as asked; `auto` is KVM where `image` really boots with it. Raises UsageError."""
    host = _host()
    if asked == "tcg":
        return AcceleratorChoice(Accelerator.TCG, "asked for", host)
    if asked == "kvm":
        if not host_has_kvm():
            raise UsageError("--accel kvm, but /dev/kvm cannot be opened", hint="--accel auto, or join the group kvm")
        return AcceleratorChoice(Accelerator.KVM, "asked for", host)
    if asked != "auto":
        raise UsageError(f"no accelerator {asked!r}", hint="auto, kvm or tcg")
    with locked(_answer().with_suffix(".lock")):
        known = cached_choice()
        return known if known else _probed(image, host)


def cached_choice() -> AcceleratorChoice | None:
    """The answer of an earlier probe, if it holds for this host as it is now; a "no" only for a day."""
    known = record.load_if(_answer(), AcceleratorChoice)
    if known is None or known.host != _host():
        return None
    old = time.time() - known.probed > _DOUBTED_AFTER
    return None if old and known.accelerator is Accelerator.TCG else known


def _probed(image: Path, host: str) -> AcceleratorChoice:
    choice = AcceleratorChoice(*_probe(image), host, time.time())
    record.save(_answer(), choice)
    return choice


def _probe(image: Path) -> tuple[Accelerator, str]:
    if not host_has_kvm():
        return Accelerator.TCG, "no /dev/kvm that this user may open"
    with tempfile.TemporaryDirectory(prefix="probe-", dir=cache_dir()) as folder:
        deadlines = Deadlines(boot=_PROBE_DEADLINE)
        spec = GuestSpec(image, Path(folder), Accelerator.KVM, memory_mib=512, deadlines=deadlines)
        boot = next_boot(spec.boots)
        write_program(boot, ("sh", "-c", "echo '<6>ktrial: ready' >/dev/kmsg"), {})
        with open(os.devnull, "r+b") as nothing:  # noqa: PTH123
            ended = watch_boot(spec, boot, stdin=nothing.fileno(), stdout=nothing.fileno())
    if ended.seconds_to_ready > 0:
        return Accelerator.KVM, f"a kernel came up with KVM in {ended.seconds_to_ready:.1f} s"
    return Accelerator.TCG, f"/dev/kvm opens, but no kernel came up with it: {ended.why}"


def _answer() -> Path:
    return cache_dir() / "accelerator.json"


def _host() -> str:
    """What a change of makes an old answer void: this machine's kernel and processor, the device, QEMU."""
    qemu = run(Command(("qemu-system-x86_64", "--version"), deadline=10)).text.partition("\n")[0]
    return f"{platform.node()} {platform.release()} {processor()} kvm={host_has_kvm()} {qemu}"
