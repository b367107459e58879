"""An interpreter in a guest, as execnet starts one: `python -m harness.machine.gateway SPEC -u -c BOOTSTRAP`.

pytest-xdist starts its workers through execnet, and an execnet `popen//python=COMMAND` gateway only needs a COMMAND
that behaves like `python -u -c ...` on its standard input and output. This one boots a kernel and runs that Python in
the guest. It watches the console, ends a guest that is overdue, and leaves boot.json to say how the guest ended. When
it is itself killed, its jail and with it QEMU die too.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from harness import record
from harness.command import started
from harness.machine.guest import guest_command, guest_python, next_boot, read_qemu_status, write_program
from harness.machine.model import Accelerator, BootEnd, BootRecord, Deadlines, GuestSpec
from harness.machine.watch import Watched, ended, overdue, see

__all__ = ["PR_SET_PDEATHSIG", "Console", "follow", "main", "watch_boot", "write_boot"]

_TICK = 0.5
PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h


def main() -> int:
    """Boot, serve, and say how it ended. Exit status: 0 when the guest powered off cleanly, else 1."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    spec = record.load(Path(sys.argv[1]), GuestSpec)
    folder = next_boot(spec.boots)
    env = {**spec.env, "KTRIAL_BOOT": folder.name}
    write_program(folder, (guest_python(), *sys.argv[2:]), env)
    return 0 if watch_boot(spec, folder).end is BootEnd.CLEAN else 1


def watch_boot(spec: GuestSpec, folder: Path, *, stdin: int = 0, stdout: int = 1) -> BootRecord:
    """Boot `spec` on two descriptors until it ends or is overdue; write boot.json."""
    began = time.monotonic()
    # The descriptors themselves, not pipes of ours: execnet's bytes must not wait for the watcher.
    with started(guest_command(spec, folder), stdin=stdin, stdout=stdout, merge=False) as process:
        console = Console(folder, spec.accelerator, began)
        try:
            killed = follow(process, console, spec.deadlines)
        finally:
            console.close()
    status = 0 if killed else read_qemu_status(folder)
    how = killed or ended(console.state, status, console.last_words)
    return write_boot(folder, spec.accelerator, how, console.state, began, qemu_status=status)


def write_boot(
    folder: Path,
    accelerator: Accelerator,
    how: tuple[BootEnd, str],
    state: Watched,
    began: float,
    *,
    qemu_status: int | None = None,
) -> BootRecord:
    """Write boot.json. how: its end and why, one line. began: when it was started, of the monotonic clock."""
    end, why = how
    boot = BootRecord(
        name=folder.name,
        end=end,
        why=why,
        accelerator=accelerator,
        seconds_to_ready=state.ready_at or 0.0,
        seconds=time.monotonic() - began,
        running=state.running,
        last=state.last,
        qemu_status=qemu_status,
    )
    record.save(folder / "boot.json", boot)
    return boot


@dataclass
class Console:
    """The whole console, kept as it came in a boot's folder, and what was understood of it.

    boot.json is there from when the worker is up on: nobody may be there to write it at the end.
    """

    folder: Path
    accelerator: Accelerator
    began: float
    state: Watched = field(default_factory=Watched)
    last_words: str = ""
    _partial: bytes = b""
    _file: BinaryIO = field(init=False)

    def __post_init__(self) -> None:
        self._file = (self.folder / "console.log").open("wb", buffering=0)

    def feed(self, data: bytes) -> None:
        self._file.write(data)
        *lines, self._partial = (self._partial + data).split(b"\n")
        self._partial = self._partial[-65536:]
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip("\r")
            before, self.state = self.state, see(self.state, text, time.monotonic() - self.began)
            self.last_words = text or self.last_words
            if before.ready_at is None and self.state.ready_at is not None:
                write_boot(self.folder, self.accelerator, (BootEnd.RUNNING, ""), self.state, self.began)

    def close(self) -> None:
        self._file.close()


def follow(process: subprocess.Popen[bytes], console: Console, deadlines: Deadlines) -> tuple[BootEnd, str] | None:
    """Read the console to its end; what killed the guest, or None where it ended by itself."""
    assert process.stderr is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        while True:
            if selector.select(_TICK):
                data = os.read(process.stderr.fileno(), 65536)
                if not data:
                    process.wait()
                    return None
                console.feed(data)
            if late := overdue(console.state, deadlines, time.monotonic() - console.began):
                return late


if __name__ == "__main__":
    sys.exit(main())
