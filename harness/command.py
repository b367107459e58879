"""The one door to the outside: every program ktrial starts goes through `run` or `start`.

A command is an argument list with a deadline, a log file and, for anything that runs a stranger's code, a `Jail`: a
bubblewrap sandbox that names what the program may read and write. Each command has its own session, so that the whole
group can be killed, and dies with ktrial (PR_SET_PDEATHSIG), so that a `kill -9` of ktrial leaves nothing running.
"""

from __future__ import annotations

import contextlib
import io
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import KtrialError, ToolchainError

__all__ = ["Command", "CommandFailed", "Completed", "Jail", "run", "start", "started"]

_TAIL_LINES = 20


@dataclass(frozen=True)
class Jail:
    """What a confined program may see. Nothing else of the host's file system is there.

    read_only, read_write: (path on the host, path inside) pairs, mounted in order; a pair may shadow an earlier one.
    devices: device nodes passed through (`/dev/kvm`), where the host has them. empty: folders made, empty.
    hidden: folders of the system that are empty inside.
    terminal: the program may use the caller's terminal (an interactive guest); else it cannot reach it.
    The system's programs and libraries (`/usr` and the links into it, `/etc/alternatives`) are always there, read-only;
    /tmp is private and in memory; there is no network, no home, no other process; the user has no capabilities.
    """

    read_only: tuple[tuple[Path, Path], ...] = ()
    read_write: tuple[tuple[Path, Path], ...] = ()
    devices: tuple[Path, ...] = ()
    empty: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    terminal: bool = False
    etc: tuple[str, ...] = ("alternatives", "ld.so.cache", "passwd", "group", "localtime", "nsswitch.conf")


@dataclass(frozen=True)
class Command:
    """A program to start.

    argv: the program and its arguments; nothing goes through a shell.
    env: variables set on top of a small clean environment (PATH, HOME, LANG=C.UTF-8), not the caller's own.
    deadline: seconds until the whole process group is killed; None for none.
    log: file to which standard output and error are appended, or None to only capture.
    inherit: names of variables taken over from ktrial's own environment.
    """

    argv: tuple[str, ...]
    cwd: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    deadline: float | None = None
    log: Path | None = None
    jail: Jail | None = None
    inherit: tuple[str, ...] = ()

    def __str__(self) -> str:
        return shlex.join(self.argv)


@dataclass(frozen=True)
class Completed:
    """What a command did. `output` is standard output and error, interleaved, unless `merge=False` was asked for."""

    command: Command
    status: int
    output: bytes
    errors: bytes
    seconds: float
    timed_out: bool

    @property
    def ok(self) -> bool:
        return self.status == 0 and not self.timed_out

    @property
    def text(self) -> str:
        return self.output.decode("utf-8", "replace")

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines of all that was printed."""
        return "\n".join((self.text + self.errors.decode("utf-8", "replace")).splitlines()[-lines:])


class CommandFailed(KtrialError):
    """A command exited with a status other than 0, or ran past its deadline."""

    def __init__(self, completed: Completed) -> None:
        how = "ran past its deadline" if completed.timed_out else f"exited with status {completed.status}"
        super().__init__(
            f"{completed.command.argv[0]} {how}: {completed.command}",
            detail=completed.tail(),
            log=completed.command.log,
        )
        self.completed = completed


def run(
    command: Command,
    *,
    stdin: bytes | None = None,
    check: bool = True,
    merge: bool = True,
    on_line: Callable[[str], None] | None = None,
) -> Completed:
    """Run a command to its end.

    check: raise CommandFailed unless it exited with 0 in time.
    merge: standard error into standard output (and so into `output` and `on_line`).
    on_line: called with each line of output as it comes, without its newline.
    Raises ToolchainError where the program is not installed.
    """
    began = time.monotonic()
    with started(command, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL, merge=merge) as process:
        output, errors, timed_out = _communicate(process, stdin, command, began, on_line)
        status = process.returncode
    completed = Completed(command, status, output, errors, time.monotonic() - began, timed_out)
    if check and not completed.ok:
        raise CommandFailed(completed)
    return completed


@contextlib.contextmanager
def started(
    command: Command, *, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.PIPE, merge: bool = True
) -> Iterator[subprocess.Popen[bytes]]:
    """`start` a command and, however the block is left, kill its process group and reap it."""
    process = start(command, stdin=stdin, stdout=stdout, merge=merge)
    try:
        yield process
    finally:
        _end(process)


def start(
    command: Command, *, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.PIPE, merge: bool = True
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own. The caller ends it (see `started`). Raises ToolchainError."""
    argv = _jailed(command) if command.jail else ("setpriv", "--pdeathsig", "KILL", "--", *command.argv)
    for program in {argv[0], command.argv[0]} if not command.jail else {argv[0]}:
        if shutil.which(program) is None:
            raise ToolchainError(f"{program} is not installed", hint="ktrial doctor --fix installs what is missing")
    return subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.STDOUT if merge else subprocess.PIPE,
        cwd=None if command.jail else command.cwd,
        env=_environment(command),
        start_new_session=not (command.jail and command.jail.terminal),
    )


def _environment(command: Command) -> dict[str, str]:
    path = os.environ.get("PATH", "/usr/bin:/bin")
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin" if command.jail else path,
        "HOME": "/tmp" if command.jail else os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
    }
    environment.update({name: os.environ[name] for name in command.inherit if name in os.environ})
    environment.update(command.env)
    return environment


def _jailed(command: Command) -> tuple[str, ...]:
    jail = command.jail
    assert jail is not None
    argv = ["bwrap", "--unshare-all", "--unshare-user", "--uid", "0", "--gid", "0", "--die-with-parent"]
    argv += [] if jail.terminal else ["--new-session"]
    argv += ["--cap-drop", "ALL", "--ro-bind", "/usr", "/usr"]
    for link in ("bin", "lib", "lib32", "lib64", "libx32", "sbin"):
        host = Path("/") / link
        if host.is_symlink():
            argv += ["--symlink", str(host.readlink()), str(host)]
        elif host.is_dir():
            argv += ["--ro-bind", str(host), str(host)]
    for name in jail.etc:
        argv += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    argv += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--dir", "/var/tmp", "--dir", "/run"]
    for folder in jail.empty:
        argv += ["--dir", folder]
    for folder in jail.hidden:
        argv += ["--tmpfs", folder] if Path(folder).is_dir() else []
    for device in jail.devices:
        argv += ["--dev-bind-try", str(device), str(device)]
    for host, inside in jail.read_only:
        argv += ["--ro-bind", str(host), str(inside)]
    for host, inside in jail.read_write:
        argv += ["--bind", str(host), str(inside)]
    argv += ["--chdir", str(command.cwd or "/"), "--", *command.argv]
    return tuple(argv)


def _communicate(
    process: subprocess.Popen[bytes],
    stdin: bytes | None,
    command: Command,
    began: float,
    on_line: Callable[[str], None] | None,
) -> tuple[bytes, bytes, bool]:
    """Feed and drain a process until it exits or its deadline; returns (output, errors, timed out)."""
    streams: dict[int, bytearray] = {}
    timed_out = False
    partial = b""
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(_open_log(command.log)) if command.log else None
        selector = stack.enter_context(selectors.DefaultSelector())
        assert process.stdout is not None
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ)
                streams[pipe.fileno()] = bytearray()
        out = process.stdout.fileno()
        err = process.stderr.fileno() if process.stderr else None
        rest = memoryview(stdin or b"")
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            left = None if command.deadline is None else command.deadline - (time.monotonic() - began)
            if left is not None and left <= 0:
                timed_out = True
                break
            for key, _ in selector.select(left):
                if process.stdin is not None and key.fileobj is process.stdin:
                    rest = _feed(process, rest)
                    if not rest:
                        selector.unregister(process.stdin)
                        with contextlib.suppress(BrokenPipeError):
                            process.stdin.close()
                    continue
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                    continue
                streams[key.fd] += data
                if log:
                    log.write(data)
                if on_line and key.fd == out:
                    *lines, partial = (partial + data).split(b"\n")
                    for line in lines:
                        on_line(line.decode("utf-8", "replace"))
        if on_line and partial:
            on_line(partial.decode("utf-8", "replace"))
        timed_out = not _wait(process, command, began, timed_out) or timed_out
    return bytes(streams[out]), bytes(streams[err]) if err is not None else b"", timed_out


def _wait(process: subprocess.Popen[bytes], command: Command, began: float, timed_out: bool) -> bool:
    """Reap a process whose pipes are closed; False where it had to be killed at its deadline."""
    if not timed_out:
        left = None if command.deadline is None else max(0.0, command.deadline - (time.monotonic() - began))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(left)
            return True
    _end(process)
    return False


def _feed(process: subprocess.Popen[bytes], rest: memoryview) -> memoryview:
    assert process.stdin is not None
    try:
        return rest[os.write(process.stdin.fileno(), rest[:65536]) :]
    except BlockingIOError:
        return rest
    except BrokenPipeError:
        return memoryview(b"")


def _open_log(path: Path) -> io.FileIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return io.FileIO(path, "a")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process's whole group and reap it."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2.0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
