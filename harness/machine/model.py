"""What a guest is made of, and how one boot of it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

__all__ = ["Accelerator", "BootEnd", "BootRecord", "Deadlines", "GuestSpec"]


class Accelerator(StrEnum):
    KVM = "kvm"
    TCG = "tcg"
    BOARD = "board"  # no guest at all: harness.machine.board


@dataclass(frozen=True)
class Deadlines:
    """Seconds of host time. boot: until the guest's worker is up. test: for one test that names none of its own.

    session: for one side's whole pytest session. Each is for KVM; `scale` multiplies boot and test elsewhere.
    """

    boot: float = 60.0
    test: float = 30.0
    session: float = 3600.0
    scale: float = 1.0


# Emulated guests ran the same tests 3 to 20 times slower than KVM does; a deadline must not be what fails them.
TCG_SCALE = 4.0


@dataclass(frozen=True)
class GuestSpec:
    """All that is needed to boot a kernel and run a program in it.

    image: the bzImage. boots: folder that gets one numbered folder for each boot (console.log, boot.json, guest/).
    readable: folders of the host that the guest sees, read-only, at their own paths.
    env: variables of the program in the guest. kernel_args: added to the kernel's command line.
    """

    image: Path
    boots: Path
    accelerator: Accelerator
    readable: tuple[Path, ...] = ()
    cpus: int = 1
    memory_mib: int = 1024
    deadlines: Deadlines = Deadlines()
    env: dict[str, str] = field(default_factory=dict)
    plan: Path | None = None
    kernel_args: tuple[str, ...] = ()
    qemu_args: tuple[str, ...] = ()


class BootEnd(StrEnum):
    """How a guest came to its end."""

    RUNNING = "running"
    CLEAN = "clean"
    PANIC = "panic"
    RESET = "reset"
    POWERED_OFF = "powered-off"
    OUT_OF_MEMORY = "out-of-memory"
    BOOT_TIMEOUT = "boot-timeout"
    TEST_TIMEOUT = "test-timeout"
    LOST = "lost"


@dataclass(frozen=True)
class BootRecord:
    """One boot as its watcher saw it. times: seconds of the host's monotonic clock since it was started.

    running: the test that had begun and not ended, or "". last: the last that ended. why: one line for people.
    """

    name: str
    end: BootEnd
    why: str
    accelerator: Accelerator
    seconds_to_ready: float
    seconds: float
    running: str
    last: str
    qemu_status: int | None
