"""A real board, reached by ssh: here a real sshd, in a network namespace and with a file system of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.board_run import Wiring, wiring_of
from harness.errors import UsageError
from harness.machine.board import Board, board_of

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


@dataclass
class Sshd:
    """A board. folder: its keys and configuration. mounts: its mount namespace. temporary: its TMPDIR."""

    folder: Path
    process: subprocess.Popen[bytes]
    mounts: Path

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def ktrial(self, *arguments: str, suites: Path = SUITES) -> subprocess.Popen[str]:
        """`ktrial test` on it, started."""
        cli = CLI.format(str(suites))
        argv = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net", "--", sys.executable, "-c", cli, "test"]
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
def sshd(folder: Path, *lines: str):
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


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    with sshd(tmp_path_factory.mktemp("board")) as started:
        yield started


@pytest.fixture
def own_board(tmp_path):
    with sshd(tmp_path) as started:
        yield started


@real
def test_a_suite_runs_on_a_board_and_nothing_stays_there(board):
    names = ("test_knows_the_wiring", "test_runs_from_what_was_brought", "test_logs", "test_leaves_a_process")
    status, output = board.test(*names, arguments=("--iface", "lo", "--peer", "ssh:root@peer"))
    assert status == 1, output
    assert "3 passed, 1 failed" in output
    assert "left behind: process sleep" in output
    consoles = [path.read_text() for path in board.folder.glob("runs/*/results/board-1/boots/*/console.log")]
    assert any("wired: a word of the kernel's" in console for console in consoles)
    assert board.is_clean()


@real
def test_a_test_that_hangs_is_ended_and_the_others_run(board):
    status, output = board.test("test_hangs", "test_is_run_after_one_that_hung")
    assert status == 1
    assert "timed-out" in output
    assert "1 passed" in output
    assert board.is_clean()


@real
def test_a_connection_that_is_lost_is_no_failure_of_the_kernel(own_board):
    process = own_board.ktrial("--suite", "wired", "--test", "wired/test_wired.py::test_waits")
    own_board.await_test("test_waits")
    own_board.process.kill()  # so that nobody can connect again
    for boots in own_board.folder.glob("runs/*/results/board-1/boots"):
        (boots / "gone").touch()  # and nobody waits for it
    for pid in own_board.sessions():
        with contextlib.suppress(ProcessLookupError):
            if b"sshd" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 7, output
    assert "lost" in output
    assert own_board.is_clean()


@real
def test_a_ktrial_that_is_killed_leaves_nothing_on_the_board(board):
    process = board.ktrial("--suite", "wired", "--test", "wired/test_wired.py::test_waits")
    board.await_test("test_waits")
    process.kill()
    process.wait()
    assert board.is_clean()


@real
@pytest.mark.parametrize(
    ("what", "status", "said"),
    [
        ("key", 7, "its key is not known here"),
        ("port", 7, "nothing listens there"),
        ("user", 7, "ktrial asks for no password"),
        ("iface", 2, "it has no interface eth77"),
    ],
)
def test_a_board_that_cannot_be_used_is_said_to_be(board, what, status, said):
    config = board.folder / "ssh_config"
    whole = config.read_text()
    spoilt = {"key": ("/known", "/unknown"), "port": ("Port 2222", "Port 2223"), "user": ("/user\n", "/nobody\n")}
    with contextlib.ExitStack() as stack:
        stack.callback(config.write_text, whole)
        config.write_text(whole.replace(*spoilt.get(what, ("", ""))))
        ended, output = board.test(arguments=("--iface", "eth77" if what == "iface" else "lo"))
    assert ended == status, output
    assert said in output
    assert board.is_clean()


@real
def test_a_board_without_python_is_said_to_have_none(tmp_path):
    with sshd(tmp_path, "SetEnv PATH=/nonexistent") as board:
        status, output = board.test()
    assert status == 2, output
    assert "has no python3" in output


@pytest.fixture
def cabled(board):
    """A board with two interfaces, one cable between them."""
    board.ip("link", "add", "cable0", "mtu", "1400", "type", "veth", "peer", "name", "cable1")
    yield board
    board.ip("link", "delete", "cable0")


def shape(board: Sshd, name: str) -> tuple[object, ...]:
    """What must be as it was of an interface."""
    (told,) = json.loads(board.ip("-j", "-d", "link", "show", name))
    return told["mtu"], told["flags"], told.get("xdp")


SSH_CONFIG = "/etc/ssh/ssh_config.d"

# Kernels up to 6.18 give a frame that was shrunk in its fragments a byte too much.
SOUND = "not shrunk"


@real
def test_the_matrix_of_drivers_runs_on_a_boards_interface(cabled):
    before = shape(cabled, "cable0"), shape(cabled, "cable1")
    status, output = cabled.drivers(f"{SOUND} and not churn", "--iface", "cable0", "--loop", "cable1")
    assert status == 0, output
    assert int(re.search(r"(\d+) passed", output)[1]) > 50, output
    assert (shape(cabled, "cable0"), shape(cabled, "cable1")) == before
    assert cabled.is_clean()


@pytest.fixture
def two_machines(board, tmp_path):
    """A board, and another that it reaches by ssh: a cable between them, and a network to talk over."""
    with sshd(tmp_path) as other:
        there = f"/proc/{other.process.pid}/ns/net"
        for near, far in (("cable2", "cable3"), ("talk0", "talk1")):
            board.ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", there)
        for machine, name, address in ((board, "talk0", "10.77.0.1/30"), (other, "talk1", "10.77.0.2/30")):
            machine.ip("address", "add", address, "dev", name)
            machine.ip("link", "set", name, "up")
        other.ip("link", "set", "cable3", "up")
        # A veth takes frames that XDP sends only with NAPI, which a program brings, or GRO.
        other.run("ethtool", "-K", "cable3", "gro", "on")
        config = (tmp_path / "ssh_config").read_text().replace("HostName 127.0.0.1", "HostName 10.77.0.2")
        board.run("mount", "-t", "tmpfs", "none", SSH_CONFIG)
        board.run("sh", "-ec", f'echo "$1" > {SSH_CONFIG}/other.conf', "sh", config)
        yield board, other
        board.run("umount", SSH_CONFIG)
        board.ip("link", "delete", "cable2")
        board.ip("link", "delete", "talk0")


@real
def test_the_matrix_of_drivers_runs_over_a_cable_to_another_machine(two_machines):
    board, other = two_machines
    before = shape(board, "cable2"), shape(other, "cable3")
    # What a veth sends back natively, the other end takes only with a program of its own (veth_xdp_flush).
    chosen = f"{SOUND} and not back and not tx and (test_actions or test_jumbo or test_swap_loses_nothing)"
    status, output = board.drivers(chosen, "--iface", "cable2", "--peer", "ssh:board")
    assert status == 0, output
    assert int(re.search(r"(\d+) passed", output)[1]) > 20, output
    assert (shape(board, "cable2"), shape(other, "cable3")) == before
    assert board.is_clean()
    assert other.is_clean()


@real
def test_the_interface_that_the_board_is_reached_through_is_refused(two_machines):
    board, _ = two_machines
    config = board.folder / "ssh_config"
    whole = config.read_text()
    config.write_text(whole.replace("HostName 127.0.0.1", "HostName 10.77.0.1"))
    status, output = board.drivers("test_pass", "--iface", "talk0", "--loop", "cable2")
    config.write_text(whole)
    assert status == 2, output
    assert "this connection comes through talk0" in output


@pytest.mark.parametrize("text", ["root@board", "ssh:", "ssh:-oProxyCommand=x", "ssh:a b"])
def test_what_is_no_board_is_refused(text):
    with pytest.raises(UsageError):
        board_of(text)


def test_a_board_is_named_as_ssh_names_it():
    assert board_of("ssh:root@board") == Board("root@board")
    assert board_of("ssh:ssh://root@board:2222").target == "ssh://root@board:2222"


@pytest.mark.parametrize(
    "wiring",
    [("", "eth2", ""), ("", "", "ssh:peer"), ("eth1", "eth2", "ssh:peer"), ("eth 1", "", ""), ("eth1", "", "p")],
)
def test_a_wiring_that_cannot_be_is_refused(wiring):
    with pytest.raises(UsageError):
        wiring_of(*wiring)


def test_the_wiring_reaches_the_suites():
    assert wiring_of("eth1", "eth2", "") == Wiring("eth1", "eth2", "")
    assert wiring_of("eth1", "", "ssh:root@peer").env() == {"KTRIAL_IFACE": "eth1", "KTRIAL_PEER": "root@peer"}
