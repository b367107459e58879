"""What stands in for a guest where no kernel is booted: this machine's own interpreter, as execnet starts one.

It is started as harness.machine.gateway is, `python -m tests.guest_of_this_machine SPEC -u -c BOOTSTRAP`, and leaves
the same boot.json. All else is as in a trial: pytest, its workers, the plugin, the journal. A test learns from the
variable STANDS_FOR which side and which attempt it is in (`patched-3`), and from KERNEL which kernel it was to run on.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from harness import record
from harness.machine.guest import next_boot
from harness.machine.model import BootEnd, BootRecord, GuestSpec


def main() -> None:
    spec = record.load(Path(sys.argv[1]), GuestSpec)
    folder = next_boot(spec.boots)
    (folder / "console.log").write_bytes(b"")
    # Before the worker, for it leaves by os._exit().
    boot = BootRecord(folder.name, BootEnd.CLEAN, "", spec.accelerator, 0.1, 0.2, "", "", 0)
    record.save(folder / "boot.json", boot)
    os.environ |= {**spec.env, "STANDS_FOR": spec.boots.parent.name, "KERNEL": spec.image.parent.name}
    _leave_the_kernel_log_alone()
    code = sys.argv[-1]
    sys.argv[:] = ["-c"]
    exec(compile(code, "<bootstrap>", "exec"), {"__name__": "__main__"})


def _leave_the_kernel_log_alone() -> None:
    """This machine's is not the trial's."""
    real = os.open

    def opened(path: Any, *arguments: Any, **keywords: Any) -> int:
        if path == "/dev/kmsg":
            raise PermissionError(path)
        return real(path, *arguments, **keywords)

    os.open = opened


if __name__ == "__main__":
    main()
