"""A board for tests: a real sshd, in a network namespace and with a file system of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["PROJECT", "SUITES", "Sshd", "real", "sshd", "two_machines"]

PROJECT = Path(__file__).resolve().parents[1]
SUITES = PROJECT / "tests" / "data" / "board_suites"
NEEDED = ("sshd", "ssh", "ssh-keygen", "ip", "ethtool", "unshare", "nsenter")
MISSING = [program for program in NEEDED if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
MISSING += ["root"] if os.getuid() else []
real = pytest.mark.skipif(bool(MISSING), reason=f"NOT TESTED: {', '.join(MISSING)} missing")
CLI = """\
import pathlib, sys
import harness.suites
harness.suites.suites_dir = lambda: pathlib.Path({!r})
from harness.cli import main
main()
"""
# The board has its own /run, and of the host neither the project nor the environment that runs it.
START = """\
ip link set lo up
mount --make-rprivate /
mount -t tmpfs none /run
mkdir /run/sshd
for folder in "$@"; do mount -t tmpfs none "$folder"; done
exec "$(command -v sshd)" -D -e -f "$CONFIG"
"""


SSH_CONFIG = "/etc/ssh/ssh_config.d"


@dataclass
class Sshd:
    """A board. folder: its keys and configuration. mounts: its mount namespace. temporary: its TMPDIR."""

    folder: Path
    process: subprocess.Popen[bytes]
    mounts: Path

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def ktrial(self, *arguments: str, command: str = "test", suites: Path = SUITES) -> subprocess.Popen[str]:
        """`ktrial test`, or another command, on it, started."""
        cli = CLI.format(str(suites))
        argv = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net", "--", sys.executable, "-c", cli, command]
        argv += ["--on", "ssh:board", "--ssh-config", str(self.folder / "ssh_config"), *arguments]
        folders = {"KTRIAL_RUNS": str(self.folder / "runs"), "KTRIAL_CACHE": str(self.folder / "cache")}
        env = {**os.environ, **folders, "PYTHONPATH": str(PROJECT), "NO_COLOR": "1", "COLUMNS": "200"}
        return subprocess.Popen(
            argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
        )

    def test(self, *tests: str, arguments: tuple[str, ...] = ()) -> tuple[int, str]:
        """Run tests of the suite to their end: exit status and output."""
        names = (word for test in tests for word in ("--test", f"wired/test_wired.py::{test}"))
        process = self.ktrial("--suite", "wired", *names, *arguments)
        output = process.communicate(timeout=100)[0]
        return process.returncode, output

    def drivers(self, keyword: str, *arguments: str) -> tuple[int, str]:
        """Run tests of the suite of drivers to their end: exit status and output."""
        argv = ("--suite", "drivers", "-k", keyword, *arguments)
        process = self.ktrial(*argv, suites=PROJECT / "suites")
        output = process.communicate(timeout=300)[0]
        return process.returncode, output

    def run(self, *words: str) -> str:
        """Run a program on the board."""
        argv = ("nsenter", f"--target={self.process.pid}", "--net", "--mount", "--", *words)
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def ip(self, *words: str) -> str:
        """iproute2's `ip` there."""
        return self.run("ip", *words)

    def sessions(self) -> list[int]:
        """The processes that serve connections, and what they started."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (folder / "ns" / "mnt").readlink() == self.mounts and int(folder.name) != self.process.pid:
                    found.append(int(folder.name))
        return found

    def is_clean(self) -> bool:
        """Whether everything that came with a connection goes away, soon."""
        for _ in range(200):
            if not self.sessions() and not list(self.temporary.iterdir()):
                return True
            time.sleep(0.05)
        return False

    def await_test(self, name: str) -> None:
        """Wait until a test runs."""
        for _ in range(600):
            consoles = self.folder.glob("runs/*/results/board-1/boots/*/console.log")
            if any(f"::{name}\n" in console.read_text() for console in consoles):
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} never began")


@contextlib.contextmanager
def sshd(folder: Path, *lines: str) -> Iterator[Sshd]:
    """Start an sshd that knows one key, and that one key is known of."""
    for name in ("host", "user"):
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name), check=True)
    (folder / "tmp").mkdir()
    own = (f"HostKey {folder}/host", f"AuthorizedKeysFile {folder}/user.pub", "ListenAddress 0.0.0.0:2222")
    fixed = ("StrictModes no", "UsePAM no", "PidFile none", "PermitRootLogin prohibit-password", "PrintMotd no")
    (folder / "sshd_config").write_text("\n".join((*own, *fixed, *(lines or (f"SetEnv TMPDIR={folder}/tmp",)), "")))
    (folder / "known").write_text(f"board {(folder / 'host.pub').read_text()}")
    known = ("HostKeyAlias board", f"UserKnownHostsFile {folder}/known", "GlobalKnownHostsFile /dev/null")
    address = ("Host board", "HostName 127.0.0.1", "Port 2222", "User root", "IdentitiesOnly yes")
    (folder / "ssh_config").write_text("\n".join((*address, *known, f"IdentityFile {folder}/user", "")))
    environment = [] if Path(sys.prefix).is_relative_to(PROJECT) or sys.prefix == sys.base_prefix else [sys.prefix]
    argv = ("unshare", "--net", "--mount", "sh", "-e", "-c", START, "sh", str(PROJECT), *environment)
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    env = {"CONFIG": str(folder / "sshd_config"), "PATH": path}
    process = subprocess.Popen(argv, env=env, stderr=subprocess.PIPE)
    try:
        assert process.stderr
        said = b""
        while b"listening" not in said:
            line = process.stderr.readline()
            assert line, said.decode()
            said += line
        yield Sshd(folder, process, Path(f"/proc/{process.pid}/ns/mnt").readlink())
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def two_machines(board: Sshd, folder: Path) -> Iterator[tuple[Sshd, Sshd]]:
    """A board, and another that it reaches by ssh as `board`: cable2 to cable3, and a network to talk over."""
    with sshd(folder) as other:
        there = f"/proc/{other.process.pid}/ns/net"
        for near, far in (("cable2", "cable3"), ("talk0", "talk1")):
            board.ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", there)
        for machine, name, address in ((board, "talk0", "10.77.0.1/30"), (other, "talk1", "10.77.0.2/30")):
            machine.ip("address", "add", address, "dev", name)
            machine.ip("link", "set", name, "up")
        other.ip("link", "set", "cable3", "up")
        # A veth takes frames that XDP sends only with NAPI, which a program brings, or GRO.
        other.run("ethtool", "-K", "cable3", "gro", "on")
        config = (folder / "ssh_config").read_text().replace("HostName 127.0.0.1", "HostName 10.77.0.2")
        board.run("mount", "-t", "tmpfs", "none", SSH_CONFIG)
        board.run("sh", "-ec", f'echo "$1" > {SSH_CONFIG}/other.conf', "sh", config)
        yield board, other
        board.run("umount", SSH_CONFIG)
        board.ip("link", "delete", "cable2")
        board.ip("link", "delete", "talk0")
