"""A real board, reached by ssh: here a real sshd, in a network namespace and with a file system of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from pathlib import Path

import pytest

from harness.board_run import Wiring, wiring_of
from harness.errors import UsageError
from harness.machine.board import Board, board_of
from tests.boards import Sshd, real, sshd, two_machines


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


# Kernels up to 6.18 give a frame that was shrunk in its fragments a byte too much; some have queues of veth without a
# program once there are more of them.
SOUND = "not shrunk and not every_new_channel"


@real
def test_the_matrix_of_drivers_runs_on_a_boards_interface(cabled):
    before = shape(cabled, "cable0"), shape(cabled, "cable1")
    status, output = cabled.drivers(SOUND, "--iface", "cable0", "--loop", "cable1")
    assert status == 0, output
    assert int(re.search(r"(\d+) passed", output)[1]) > 50, output
    assert (shape(cabled, "cable0"), shape(cabled, "cable1")) == before
    assert cabled.is_clean()


@pytest.fixture
def two(board, tmp_path):
    with two_machines(board, tmp_path) as machines:
        yield machines


@real
def test_the_matrix_of_drivers_runs_over_a_cable_to_another_machine(two):
    board, other = two
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
def test_the_interface_that_the_board_is_reached_through_is_refused(two):
    board, _ = two
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
