"""Run one kernel selftest, in a tree it may write to, with nothing of it left afterwards."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from kselftest.card import Card
from kselftest.plan import Program

__all__ = ["Ended", "run_program", "writable_tree"]

HOME = Path("/tmp/ktrial-kselftest")
SELFTESTS = "tools/testing/selftests"
_GRACE = 10.0  # seconds for a script's own clean-up, once it was told to end
_LEAVING = 1.0  # seconds for what ends by itself: a process in the background, the links of a namespace that is gone
_MOST_OUTPUT = 4_000_000  # bytes; test_verifier prints 100,000
_PR_SET_CHILD_SUBREAPER = 36  # include/uapi/linux/prctl.h

# The kernel's own tests expect what `make run_tests` gives them: the initial network namespace (its sysctls are in no
# other), and the file systems that a distribution mounts. Ours are mounts of a namespace that ends with the program,
# and with it go the network namespaces that it named, under /run as under /var/run: a shared mount shows them in both.
_SETUP = """
for at in bpf:/sys/fs/bpf debugfs:/sys/kernel/debug tracefs:/sys/kernel/tracing cgroup2:/sys/fs/cgroup \
        securityfs:/sys/kernel/security; do
    mountpoint -q "${at#*:}" || mount -t "${at%%:*}" "${at%%:*}" "${at#*:}"
done
mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && mount --make-shared /run/netns
mount --rbind /run /var/run
ip link set lo up
"""
_NETDEVSIM = "/sys/bus/netdevsim"


@dataclass(frozen=True)
class Ended:
    """How a program ended. status: its exit status, negative for a signal, 124 where its time ran out.

    cut: bytes at the front of its output that were too many to keep. left: what it left behind, by name; removed.
    """

    status: int
    output: str
    seconds: float
    cut: int = 0
    left: tuple[str, ...] = ()


def writable_tree(root: str) -> Path:
    """The selftests' tree at one place for every kernel, where programs may write; the host's own stays as it was."""
    tree = HOME / "tree"
    HOME.mkdir(exist_ok=True)
    # Of its own: the guest's /tmp is not always one that overlayfs can write to.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(HOME)], check=True)
    for name in ("upper", "work", "tree"):
        (HOME / name).mkdir(parents=True, exist_ok=True)
    layers = f"lowerdir={root},upperdir={HOME / 'upper'},workdir={HOME / 'work'}"
    overlay = ["mount", "-t", "overlay", "overlay", "-o", layers, str(tree)]
    if subprocess.run(overlay, capture_output=True, check=False).returncode:
        subprocess.run(["mount", "--bind", root, str(tree)], check=True)
    return tree


def run_program(tree: Path, program: Program, seconds: float, card: Card | None = None) -> Ended:
    """Run a program in its collection's folder, for so long at the most; its children end with it."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    folder = tree / SELFTESTS / program.collection
    before, devices = _children(), _devices()
    began = time.monotonic()
    setup = f"exec 3>&1 >/dev/null 2>&1\n{_SETUP}\nexec 1>&3 3>&- 2>&1"
    command = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        f"{setup}\n{card.setup if card else ''}\n{_START}",
        "sh",
        *program.argv,
    ]
    with (HOME / "output").open("w+b") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**_environment(tree, folder), **(card.env if card else {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        status = _wait(process, seconds)
        left = _clean(before, devices)
        cut = max(0, output.seek(0, os.SEEK_END) - _MOST_OUTPUT)
        output.seek(cut)
        text = output.read().decode("utf-8", "replace")
    return Ended(status, text, time.monotonic() - began, cut, left)


# A script that lost its execute bit (a patch from a mail without modes) is run by its own interpreter, as
# kselftest/runner.sh does.
_START = """
if [ -x "$1" ]; then exec "$@"; fi
interpreter=$(head -n 1 "$1" | sed -n 's/^#! *//p')
exec ${interpreter:-/bin/sh} "$@"
"""


def _environment(tree: Path, folder: Path) -> dict[str, str]:
    tools = f"{tree / SELFTESTS / 'bpf/tools/sbin'}:{folder}"
    return {
        "PATH": f"{tools}:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return 124


def _children() -> set[int]:
    path = f"/proc/self/task/{os.getpid()}/children"
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - pathlib is slow here
            return {int(word) for word in file.read().split()}
    except OSError:  # no CONFIG_PROC_CHILDREN
        return _children_by_stat()


def _children_by_stat() -> set[int]:
    found = set()
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is slow here
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                    parent = file.read().rpartition(")")[2].split()[1]
            except (OSError, IndexError):
                continue
            if int(parent) == os.getpid():
                found.add(int(name))
    return found


def _clean(before: set[int], devices: set[tuple[str, str]]) -> tuple[str, ...]:
    """End and remove what a program left, after a while for what goes by itself; gives what it was."""
    deadline = time.monotonic() + _LEAVING
    while ((left := _running(before)) or _devices() - devices) and time.monotonic() < deadline:
        time.sleep(0.02)
    made = _devices() - devices
    named = _named([f"process {_command(child)}" for child in left] + [f"{kind} {name}" for kind, name in made])
    _end_children(before)
    _remove_devices(_devices() - devices)
    return named


def _running(before: set[int]) -> set[int]:
    """Our children that were not there before and have not ended; those that have are waited for."""
    left = _children() - before
    return {child for child in left if not _reaped(child)}


def _reaped(child: int) -> bool:
    try:
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:
        return True


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return "?"


def _named(things: list[str]) -> tuple[str, ...]:
    """Each once, with how many there are of it, in an order that is the same on every boot."""
    return tuple(f"{thing} ({count})" if count > 1 else thing for thing, count in sorted(Counter(things).items()))


def _end_children(before: set[int]) -> None:
    """Kill what the program left running: being their subreaper, we are its parent now (prctl(2))."""
    deadline = time.monotonic() + _GRACE
    while (left := _children() - before) and time.monotonic() < deadline:
        for child in left:
            try:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            except (ProcessLookupError, ChildProcessError):
                continue


def _devices() -> set[tuple[str, str]]:
    """The links of the initial network namespace, and the simulated devices."""
    links = {("link", name) for name in os.listdir("/sys/class/net")}  # noqa: PTH208 - pathlib is slow here
    try:
        simulated = os.listdir(f"{_NETDEVSIM}/devices")  # noqa: PTH208
    except FileNotFoundError:
        simulated = []
    return links | {("netdevsim", name) for name in simulated}


def _remove_devices(left: set[tuple[str, str]]) -> None:
    """Remove what a program made and left: the next one is to begin like the first."""
    for kind, name in sorted(left, reverse=True):  # a simulated device's links go with it
        if kind == "link":
            subprocess.run(["ip", "link", "del", "dev", name], capture_output=True, check=False)
            continue
        try:
            Path(f"{_NETDEVSIM}/del_device").write_text(name.removeprefix("netdevsim"))
        except OSError:
            continue
