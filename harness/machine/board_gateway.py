"""An interpreter on a board, as execnet starts one: `python -m harness.machine.board_gateway SPEC -u -c BOOTSTRAP`.

The same place as harness.machine.gateway has for guests: standard input and output are the worker's, the kernel's log
is watched for what the worker is doing too long, and boot.json says how it ended. When this is killed, ssh is, and the
board's agent cleans up.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from harness import record
from harness.command import started
from harness.errors import KtrialError
from harness.machine.board import BoardSpec, agent_command, payload, probe
from harness.machine.gateway import PR_SET_PDEATHSIG, Console, follow, write_boot
from harness.machine.guest import next_boot
from harness.machine.model import Accelerator, BootEnd, BootRecord
from harness.machine.watch import Watched

__all__ = ["main", "watch_board"]

_RETRY = 2.0


def main() -> int:
    """Connect, serve, and say how it ended. Exit status: 0 when the worker ended by itself, else 1."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    spec = record.load(Path(sys.argv[1]), BoardSpec)
    folder = next_boot(spec.boots)
    return 0 if watch_board(spec, folder, sys.argv[2:]).end is BootEnd.CLEAN else 1


def watch_board(spec: BoardSpec, folder: Path, words: list[str], *, stdin: int = 0, stdout: int = 1) -> BootRecord:
    """Run a worker on the board, on two descriptors, until it ends or is overdue; write boot.json."""
    began = time.monotonic()
    state = Watched()
    status: int | None = None
    killed: tuple[BootEnd, str] | None = _wait_for(spec)
    if killed is None:
        console = Console(folder, Accelerator.BOARD, began)
        with started(agent_command(spec, words), stdin=subprocess.PIPE, stdout=stdout, merge=False) as process:
            _feed(process, payload(spec, {"KTRIAL_BOOT": folder.name}), stdin)
            try:
                killed = follow(process, console, spec.deadlines)
            finally:
                console.close()
            state = console.state
            status = process.poll()
    how = killed or _ended(state, status, console.last_words)
    return write_boot(folder, Accelerator.BOARD, how, state, began)


def _wait_for(spec: BoardSpec) -> tuple[BootEnd, str] | None:
    """Wait until the board can be reached, as long as it may be away; why it cannot, or None.

    A board that did not come back once is given up: whoever comes next need not wait for it again.
    """
    gone = spec.boots / "gone"
    until = time.monotonic() + (0 if gone.exists() else spec.deadlines.boot * spec.deadlines.scale)
    while True:
        try:
            probe(spec.board)
        except KtrialError as error:
            if time.monotonic() > until:
                gone.touch()
                return BootEnd.LOST, f"{error.summary}: {error.detail.strip().rpartition(chr(10))[2]}"
            time.sleep(_RETRY)
        else:
            return None


def _feed(process: subprocess.Popen[bytes], first: bytes, stdin: int) -> None:
    """Send what is brought, and then whatever comes on a descriptor, from a thread: the log must not wait for it."""
    assert process.stdin is not None
    pipe = process.stdin

    def pump() -> None:
        with contextlib.suppress(OSError, ValueError):
            pipe.write(first)
            pipe.flush()
            while data := os.read(stdin, 65536):
                os.write(pipe.fileno(), data)
            pipe.close()

    threading.Thread(target=pump, daemon=True).start()


def _ended(state: Watched, status: int | None, last_words: str) -> tuple[BootEnd, str]:
    """How a connection ended that nobody cut."""
    if state.panic:
        return BootEnd.PANIC, state.panic
    if state.out_of_memory and state.running:
        return BootEnd.OUT_OF_MEMORY, "the board ran out of memory and killed the test"
    if status == 0 and not state.running:
        return BootEnd.CLEAN, ""
    what = "the connection was lost" if status == 255 else f"the worker ended with status {status}"
    return BootEnd.LOST, f"{what}: {last_words}".rstrip(": ")


if __name__ == "__main__":
    sys.exit(main())
