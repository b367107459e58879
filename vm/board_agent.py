"""Runs on a board, started through ssh: the worker that tests, and the kernel's log beside it.

    FOLDER/vm/board_agent.py FOLDER -u -c BOOTSTRAP      (by harness/machine/board.py's loader, in its own process)

Standard input and output are the worker's (execnet's bytes). Standard error gets every line of the kernel's log, so
that the host watches a board as it watches a guest's console. When the worker ends, or the connection does, all that
the worker started is killed, what was changed is changed back, and FOLDER is removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

_PRINTK = Path("/proc/sys/kernel/printk_devkmsg")
_TICK = 500  # milliseconds
_LAST_WORDS = 0.5  # seconds for the log of a test that just ended
_OWN = "KTRIAL_BOARD_FOLDER"


def main() -> int:
    folder = Path(sys.argv[1])
    printk = _let_marks_through()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        return _serve(folder, sys.argv[2:])
    finally:
        _end_all(folder)
        with contextlib.suppress(OSError):
            _PRINTK.write_text(printk)
        shutil.rmtree(folder, ignore_errors=True)


def _let_marks_through() -> str:
    """Let user space write to the kernel log without a limit; gives what was set (devkmsg_sysctl_set_loglvl())."""
    try:
        before = _PRINTK.read_text()
        _PRINTK.write_text("on")
    except OSError:
        return "ratelimit"
    return before


def _serve(folder: Path, words: list[str]) -> int:
    """Run the worker to its end, or to that of the connection."""
    log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.lseek(log, 0, os.SEEK_END)
    worker = _start(folder, words)
    _let_go_of_the_streams()
    poll = select.poll()
    poll.register(log, select.POLLIN)
    poll.register(2, 0)  # only errors: nobody reads any more
    while worker.poll() is None:
        ready = dict(poll.poll(_TICK))
        if 2 in ready or not _pass_on(log):
            return 1
    time.sleep(_LAST_WORDS)
    _pass_on(log)
    return 0


def _start(folder: Path, words: list[str]) -> subprocess.Popen[bytes]:
    brought = f"{folder / 'vm'}{os.pathsep}{folder / 'site'}"
    (folder / "tmp").mkdir()
    env = {
        **os.environ,
        **json.loads((folder / "env.json").read_text()),
        "PYTHONPATH": brought,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "KTRIAL_BOARD_PATH": brought,
        "KTRIAL_PLAN": str(folder / "plan.json"),
        "KTRIAL_BPF_DIR": str(folder / "bpf"),
        "KTRIAL_TOOLS_DIR": str(folder / "tools"),
        "TMPDIR": str(folder / "tmp"),
        _OWN: str(folder),
    }
    at = words.index("-c") + 1
    words = [*words[:at], f"import board_worker; {words[at]}", *words[at + 1 :]]
    return subprocess.Popen([sys.executable, *words], cwd=folder / "suites", env=env, start_new_session=True)


def _let_go_of_the_streams() -> None:
    """The worker's end alone shall close them."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)


def _pass_on(log: int) -> bool:
    """Write what the kernel has logged, as a console shows it; False where nobody listens any more."""
    while True:
        try:
            record = os.read(log, 8192)
        except BlockingIOError:
            return True
        except BrokenPipeError:  # overwritten before it was read
            continue
        head, _, rest = record.decode("utf-8", "replace").partition(";")
        microseconds = int(head.split(",")[2])
        stamp = f"[{microseconds // 1_000_000:5d}.{microseconds % 1_000_000:06d}] "
        try:
            os.write(2, (stamp + rest.partition("\n")[0] + "\n").encode())
        except OSError:
            return False


def _end_all(folder: Path) -> None:
    """Kill everything that the worker started: it has our variable in its environment."""
    mark = f"{_OWN}={folder}".encode()
    for _ in range(50):
        mine = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _is_marked(pid, mark)]  # noqa: PTH208
        if not mine:
            return
        for pid in mine:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _is_marked(pid: int, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
