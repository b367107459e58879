"""Figures of a real board: here a real sshd in a network namespace, whose boots are a new boot_id."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import UsageError
from tests.boards import PROJECT, Sshd, real, sshd, two_machines

BENCH = "bench_wire and drop and native and 64"
# What boots the board: its boot_id is another. Every line that comes goes to a file.
SWITCH = """\
echo "$1" >> {folder}/switched
cat /proc/sys/kernel/random/uuid > {folder}/boot_id
nsenter --target={pid} --mount -- mount --bind {folder}/boot_id /proc/sys/kernel/random/boot_id
"""


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    with sshd(tmp_path_factory.mktemp("board")) as started:
        yield started


def perf(board: Sshd, script: str, *arguments: str, instrument: str = "wall", bench: str = BENCH) -> tuple[int, str]:
    """`ktrial perf` on it: exit status and output."""
    switch = board.folder / "switch"
    switch.write_text(f"set -e\n{script.format(folder=board.folder, pid=board.process.pid)}")
    argv = ("--switch", f"sh {switch} {{role}}", "--rounds", "3", "--suite", "drivers", "--all")
    process = board.ktrial(
        *argv, "--instrument", instrument, "-k", bench, *arguments, command="perf", suites=PROJECT / "suites"
    )
    output = process.communicate(timeout=300)[0]
    return process.returncode, output


@real
def test_two_kernels_of_a_board_are_measured_by_turns(board):
    board.ip("link", "add", "cable0", "type", "veth", "peer", "name", "cable1")
    status, output = perf(board, SWITCH, "--iface", "cable0", "--loop", "cable1")
    board.ip("link", "delete", "cable0")
    assert status in (0, 7), output  # never a change: it is one kernel
    assert (board.folder / "switched").read_text().split() == ["base", "patched", "patched", "base"] * 3
    assert "(one and the same)" in output
    assert "drop[iface,native,64]" in output
    assert "ns/packet" in output
    assert board.is_clean()


@real
def test_another_machine_sends(board, tmp_path):
    with two_machines(board, tmp_path) as (_, other):
        status, output = perf(board, SWITCH, "--iface", "cable2", "--peer", "ssh:board")
        # A veth takes whatever is sent, for its sender is who does its work.
        assert status == 7, output
        assert re.search(r"cable2 took all of \d{4,} frames: time is the sender's", output), output
        assert other.is_clean()


@real
def test_what_a_board_takes_for_what_another_machine_sends(tmp_path):
    """By an event that every kernel has, for the machine may have no counter of cycles: its processors' clocks."""
    for name in ("board", "sender"):
        (tmp_path / name).mkdir()
    temporary = f"SetEnv TMPDIR={tmp_path}/board/tmp"
    with sshd(tmp_path / "board", f"{temporary} KTRIAL_EVENT=1:0") as board, two_machines(board, tmp_path / "sender"):
        wired = ("--iface", "cable2", "--peer", "ssh:board", "--json", str(tmp_path / "told"))
        bench = "bench_wire and 64 and ((bench_drop and native) or (rxdrop and drv))"
        status, output = perf(board, SWITCH, *wired, instrument="cycles", bench=bench)
        assert board.is_clean()
    assert status in (0, 7), output  # never a change: it is one kernel
    told = json.loads((tmp_path / "told").read_text())["performance"]["figures"]
    assert {each["bench"].partition("::bench_")[2].partition("[")[0] for each in told} == {"drop", "rxdrop"}
    for each in told:
        assert (each["unit"], each["base"] is not None) == ("events/packet", True), each["why"]
    assert "drop[iface,native,64]" in output


@real
def test_a_board_that_does_not_boot_is_lost(board):
    status, output = perf(board, "exit 3", "--iface", "lo")
    assert status == 7, output
    assert "ended with status 3" in output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--on", "ssh:board"), "does not say where the kernel's name goes"),
        (("--on", "ssh:board", "--switch", "x '{role}"), "No closing quotation"),
        (("--on", "ssh:board", "--instrument", "icount"), "a board's instructions are not counted"),
        (("one",), "name two kernels, or a board"),
        (("one", "two", "--on", "ssh:board"), "name two kernels, or a board"),
        (("--iface", "eth1"), "are for a board"),
    ],
)
def test_what_cannot_be_measured_is_said(arguments, said, tmp_path, monkeypatch):
    monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path))
    done = CliRunner().invoke(app, ["perf", *arguments])
    assert isinstance(done.exception, UsageError), done.output
    assert said in str(done.exception)
