"""A real board, reached by ssh: what it must have, what is brought to it, and the command that runs suites there.

Nothing is installed on it. pytest and the libraries that it needs (pure Python, from our own environment), the suites
and their BPF objects travel with the connection into a folder that vm/board_agent.py removes when the connection ends.
"""

from __future__ import annotations

import io
import json
import shlex
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import msgspec

from harness.command import Command, Completed, run
from harness.errors import MachineLost, UsageError
from harness.machine.model import Deadlines
from harness.places import vm_dir

__all__ = ["Board", "BoardSpec", "Facts", "agent_command", "board_of", "payload", "probe"]

_PREFIX = "ssh:"
_DEADLINE = 60.0
_CONNECT = 10  # seconds
# What a worker imports; all of it is pure Python, so that any processor will do.
_BROUGHT = ("pytest", "pluggy", "iniconfig", "packaging", "pygments", "execnet", "pytest-xdist")
_OLDEST_PYTHON = (3, 11)
# ssh exits with 255 where it is itself that failed; it says why on standard error (ssh(1)).
_SSH_FAILED = 255
_HINTS = (
    ("Host key verification failed", "its key is not known here: compare its fingerprint, then `ssh {target}` once"),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "its key is another than before: find out why, then `ssh-keygen -R`"),
    ("Permission denied", "ktrial asks for no password: install a key (ssh-copy-id {target})"),
    ("Connection refused", "nothing listens there: is sshd running, and the port right?"),
    ("Could not resolve hostname", "the name is not known: check it, or give the address"),
    ("timed out", "nothing answers: is the board up, and the cable in?"),
    ("No route to host", "nothing answers: is the board up, and the cable in?"),
)
# through: the interface that has the address which this connection came to (sshd(8): SSH_CONNECTION).
_PROBE = """\
import ctypes, fcntl, ipaddress, json, os, socket, struct, sys
def addresses():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        for _, name in socket.if_nameindex():
            try:
                told = fcntl.ioctl(door, 0x8915, struct.pack("256s", name.encode()))
                yield name, ipaddress.ip_address(told[20:24])
            except OSError:
                pass
    try:
        for line in open("/proc/net/if_inet6"):
            words = line.split()
            yield words[5], ipaddress.ip_address(bytes.fromhex(words[0]))
    except OSError:
        pass
try:
    ctypes.CDLL("libbpf.so.1")
    libbpf = True
except OSError:
    libbpf = False
here = (os.environ.get("SSH_CONNECTION", "").split() + [""] * 4)[2].partition("%")[0]
through = next((name for name, address in addresses() if here and address == ipaddress.ip_address(here)), "")
boot = open("/proc/sys/kernel/random/boot_id").read().strip()
interfaces = sorted(name for _, name in socket.if_nameindex())
print(json.dumps({"python": sys.version_info[:2], "user": os.getuid(), "machine": os.uname().machine,
    "release": os.uname().release, "version": os.uname().version, "boot": boot, "libbpf": libbpf,
    "interfaces": interfaces, "through": through,
    "log": os.access("/dev/kmsg", os.R_OK | os.W_OK)}))
"""
# Reads its length, 16 digits, and then as much of a tar; whatever comes after is for the worker.
_LOADER = """\
import io, os, runpy, sys, tarfile, tempfile
def take(count):
    data = bytearray()
    while len(data) < count:
        more = os.read(0, count - len(data))
        if not more:
            sys.exit(1)
        data += more
    return bytes(data)
tar = take(int(take(16)))
folder = tempfile.mkdtemp(prefix="ktrial-")
tarfile.open(fileobj=io.BytesIO(tar)).extractall(folder)
sys.argv = [folder + "/vm/board_agent.py", folder, *sys.argv[1:]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass(frozen=True)
class Board:
    """Where a board is. target: for ssh (`root@board`, `ssh://root@board:2222`). ssh_config: for its -F, or ""."""

    target: str
    ssh_config: str = ""


@dataclass(frozen=True)
class BoardSpec:
    """All that is needed to run a worker on a board.

    boots: folder that gets one numbered folder for each connection. root: the suites' root. objects: the compiled BPF
    objects. tools: programs built for it, None where it is of another architecture. env: variables of the worker.
    plan: what to run. Deadlines as for a guest; `boot` is how long a board may be away after it went down.
    """

    board: Board
    boots: Path
    root: Path
    objects: Path
    deadlines: Deadlines
    tools: Path | None = None
    env: dict[str, str] = field(default_factory=dict)
    plan: Path | None = None


@dataclass(frozen=True)
class Facts:
    """What a board says of itself. python: major and minor version. user: its id. log: /dev/kmsg may be used.

    through: the interface that we are connected through, "" where that is not known. release, version: as of uname(2).
    boot: the kernel's id of this boot (/proc/sys/kernel/random/boot_id).
    """

    python: tuple[int, int]
    user: int
    machine: str
    release: str
    libbpf: bool
    interfaces: tuple[str, ...]
    log: bool
    through: str = ""
    version: str = ""
    boot: str = ""


def board_of(text: str, ssh_config: str = "") -> Board:
    """The board of `--on ssh:TARGET`. Raises UsageError."""
    target = text.removeprefix(_PREFIX)
    if not text.startswith(_PREFIX) or not target or target.startswith("-") or any(char.isspace() for char in target):
        raise UsageError(f"{text!r} names no board", hint="--on ssh:root@board, or ssh:ssh://root@board:2222")
    return Board(target, ssh_config)


def probe(board: Board, interfaces: Iterable[str] = ()) -> Facts:
    """Look whether suites can run on a board. Raises MachineLost where it cannot be reached, UsageError for the rest.

    interfaces: network interfaces that it must have.
    """
    facts = _facts(board)
    for wrong, hint in _missing(facts, interfaces):
        raise UsageError(f"{board.target}: {wrong}", hint=hint)
    return facts


def _facts(board: Board) -> Facts:
    done = run(_ssh(board, "python3", "-c", _PROBE, deadline=_DEADLINE), stdin=b"", check=False, merge=False)
    if done.ok:
        return msgspec.json.decode(done.output.strip().rpartition(b"\n")[2], type=Facts)
    if done.status == _SSH_FAILED or done.timed_out:
        raise MachineLost(f"{board.target} cannot be reached by ssh", detail=done.tail(), hint=_hint(board, done))
    if done.status in (126, 127):  # as a shell says that it cannot run, or find, a program
        raise UsageError(
            f"{board.target} has no python3", detail=done.tail(), hint="install Python 3.11 or later on it"
        )
    raise UsageError(
        f"{board.target}: python3 does not work", detail=done.tail(), hint="Python 3.11 or later is needed"
    )


def _hint(board: Board, done: Completed) -> str:
    said = done.tail()
    return next((hint.format(target=board.target) for words, hint in _HINTS if words in said), f"ssh {board.target}")


def _missing(facts: Facts, interfaces: Iterable[str]) -> Iterator[tuple[str, str]]:
    """What a board lacks, and what to do."""
    if facts.python < _OLDEST_PYTHON:
        yield f"its python3 is {facts.python[0]}.{facts.python[1]}", "Python 3.11 or later is needed"
    if facts.user != 0:
        yield "its user is not root", "suites load BPF programs and set up links: --on ssh:root@..."
    if not facts.log:
        yield "/dev/kmsg cannot be used", "the kernel's log is needed: CONFIG_PRINTK, and root outside a container"
    if not facts.libbpf:
        yield "it has no libbpf.so.1", "install libbpf 1 (Debian: libbpf1)"
    for name in interfaces:
        if name not in facts.interfaces:
            yield f"it has no interface {name}", f"it has {', '.join(facts.interfaces)}"
        elif name == facts.through != "lo":
            yield f"this connection comes through {name}, which the tests would cut", "test another interface"


def agent_command(spec: BoardSpec, words: Iterable[str]) -> Command:
    """The command that takes `payload` and then a worker's bytes on its standard input; the log is its standard error.

    words: the arguments of the worker's Python.
    """
    return _ssh(spec.board, "python3", "-u", "-c", _LOADER, *words)


def _ssh(board: Board, *words: str, deadline: float | None = None) -> Command:
    """ssh that never asks, and that notices within half a minute when the other side is gone."""
    argv = ["ssh", "-T", "-e", "none", *(("-F", board.ssh_config) if board.ssh_config else ())]
    for option in ("BatchMode=yes", f"ConnectTimeout={_CONNECT}", "ServerAliveInterval=5", "ServerAliveCountMax=6"):
        argv += ["-o", option]
    return Command((*argv, "--", board.target, shlex.join(words)), deadline=deadline, inherit=("SSH_AUTH_SOCK", "USER"))


def payload(spec: BoardSpec, env: dict[str, str]) -> bytes:
    """What the loader takes: 16 digits, and a tar of all that is brought. env: more variables for the worker."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz", compresslevel=3) as out:
        for name, path in _files(spec):
            out.add(path, name, recursive=False)
        _add(out, "env.json", json.dumps({**spec.env, **env}).encode())
    data = tar.getvalue()
    return b"%016d" % len(data) + data


def _add(out: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    out.addfile(entry, io.BytesIO(data))


def _files(spec: BoardSpec) -> Iterator[tuple[str, Path]]:
    """(name in the tar, file) of everything."""
    for folder, path in (("vm", vm_dir()), ("suites", spec.root), ("bpf", spec.objects), ("tools", spec.tools)):
        if path is not None:
            yield from _tree(folder, path)
    if spec.plan is not None:
        yield "plan.json", spec.plan
    for name in _BROUGHT:
        for file in metadata.files(name) or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                yield f"site/{file}", Path(str(file.locate()))


def _tree(folder: str, path: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(path.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield f"{folder}/{file.relative_to(path)}", file
