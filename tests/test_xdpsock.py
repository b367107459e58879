"""xdpsock, our AF_XDP program: how it is built, its manners, and on a kernel that lets us, its work."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
from pathlib import Path

import pytest

from harness.errors import ToolchainError, UsageError
from harness.native_tools import build_tools
from harness.suites import Suite, find_suites

# The letters of the well-known sample; what scripts call.
LETTERS = "rtliqpSNnOzcmfuMdwbCsPVJKGHTyWUxQaIBRF"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tools")


@pytest.fixture(scope="module")
def xdpsock(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tools(find_suites(), tmp_path_factory.mktemp("out"), cache=cache) / "xdpsock"


def run(program: Path, *words: str, seconds: float = 20) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=seconds)


def test_it_is_built_once_for_a_source(xdpsock, cache, tmp_path):
    again = build_tools(find_suites(), tmp_path / "out", cache=cache) / "xdpsock"
    assert again.stat().st_ino == xdpsock.stat().st_ino
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["xdpsock"]


def test_only_what_a_suite_names_is_built(tmp_path):
    out = build_tools([Suite("small", "", tmp_path)], tmp_path / "out", cache=tmp_path / "cache")
    assert list(out.iterdir()) == []


def test_a_source_that_does_not_compile_is_told_with_its_error(tmp_path, monkeypatch):
    folder = tmp_path / "vm" / "broken"
    folder.mkdir(parents=True)
    (folder / "Makefile").write_text("broken:\n\techo 'int main(' | gcc -x c -\n")
    monkeypatch.setattr("harness.native_tools.vm_dir", lambda: tmp_path / "vm")
    with pytest.raises(ToolchainError, match="does not build") as caught:
        build_tools([Suite("one", "", tmp_path, tools=("broken",))], tmp_path / "out", cache=tmp_path / "cache")
    assert "error:" in caught.value.detail


def test_a_tool_that_is_not_there_is_the_suite_s_fault(tmp_path):
    with pytest.raises(UsageError, match="the tool 'nosuch'"):
        build_tools([Suite("one", "", tmp_path, tools=("nosuch",))], tmp_path / "out", cache=tmp_path / "cache")


def test_help_lists_every_letter_of_the_sample(xdpsock):
    told = run(xdpsock, "--help")
    assert told.returncode == 0
    assert set(LETTERS) <= set(re.findall(r"^  -(\w),", told.stdout, re.MULTILINE))
    assert max(map(len, told.stdout.splitlines())) <= 120


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ((), "which interface?"),
        (("-i", "lo", "-q", "x"), "'x' is not a number from 0 to 65535"),
        (("-i", "lo", "-q", "-1"), "'-1' is not a number"),
        (("-i", "lo", "-f", "3000"), "3000 is not a power of two (-u takes any)"),
        (("-i", "lo", "-z", "-c"), "exclude each other"),
        (("-i", "lo", "-t", "-s", "9000"), "-F sends them in several buffers"),
        (("-i", "lo", "--laps-fd=3"), "--laps=N"),
        (("-i", "lo", "--tx-metadata=light"), "'light' is none of"),
        (("-i", "lo", "-G", "12"), "not an address"),
        (("-i", "lo", "--no-such"), "no such option: --no-such"),
        (("-i",), "needs a value"),
        (("-i", "lo", "extra"), "what is 'extra' for?"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_told(xdpsock, words, what):
    told = run(xdpsock, *words)
    assert told.returncode == 2
    assert what in told.stderr
    assert "--help" in told.stderr
    assert told.stdout == ""


def test_an_interface_that_is_not_there_is_told_in_json_too(xdpsock):
    told = run(xdpsock, "--json", "-i", "nosuch0")
    assert told.returncode == 1
    assert json.loads(told.stdout) == {"error": {"what": "interface nosuch0", "errno": "ENODEV"}}
    assert "try: ip link" in told.stderr


SCRIPT = """
set -e
ip link add one type veth peer name two
for link in one two; do
    [ ! -e /proc/sys/net/ipv6/conf/$link ] || echo 1 > /proc/sys/net/ipv6/conf/$link/disable_ipv6
    ip link set $link up
done
mkfifo "$2/ready"
[ ! -e "$2/counter" ] || exec 7< "$2/counter" 8< "$2/counter"
"$1" -i two -r -p --json --verify --ethertype=88b5 -C 500 -d 20 --ready-fd=9 $3 9> "$2/ready" > "$2/receiver" &
receiver=$!
read line < "$2/ready"
"$1" -i one -t -c --json --verify --ethertype=88b5 -C 500 -s 1000 $4 > "$2/sender"
wait $receiver
"""


def flow(xdpsock: Path, folder: Path, receiver: str, sender: str) -> tuple[dict, dict]:
    """One run of each over a veth in a namespace of their own; skips where we may not, or the kernel cannot."""
    if os.geteuid() or run(Path("/usr/bin/unshare"), "-n", "ip", "link", "add", "x", "type", "veth").returncode:
        pytest.skip("needs root, network namespaces and veth")
    words = ["unshare", "-n", "bash", "-c", SCRIPT, "flow", str(xdpsock), str(folder), receiver, sender]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    refused = re.search(r"(AF_XDP socket|XDP program|binding to queue).*", done.stderr)
    if refused:
        pytest.skip(f"this kernel does not let us: {refused[0]}")
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "receiver").read_text()), json.loads((folder / "sender").read_text())


@pytest.mark.parametrize(
    ("receiver", "sender"),
    [
        ("-S", "-S"),
        ("-S -u -f 3000 --headroom=64", "-p -u"),
        ("-S --sockets=3", "--sockets=2 -b 7"),
        ("-S -m -B", "-m -T 500 -b 20"),
    ],
)
def test_what_is_sent_is_received_and_accounted_for(xdpsock, tmp_path, receiver, sender):
    got, sent = flow(xdpsock, tmp_path, receiver, sender)
    assert (got["ended"], got["rx"]["packets"], got["rx"]["bytes"]) == ("count", 500, 500_000)
    assert got["verify"] | {"reordered": 0} == {
        **dict.fromkeys(("not_stamped", "bad_length", "bad_bytes", "lost", "reordered", "duplicate"), 0),
        "checked": 500,
    }
    assert got["buffers"]["fill_returned"] == 500
    assert (sent["tx"]["packets"], sent["buffers"]["tx_returned"]) == (500, 500)
    assert got["bound"]["xdp"] == "skb"


@pytest.mark.parametrize("how", ["", "-p", "-B"])
def test_it_ends_in_time_and_says_so(xdpsock, tmp_path, how):
    """A receiver that waits for a frame more than is sent stops after its duration."""
    got, _ = flow(xdpsock, tmp_path, f"-S {how} -C 501 -d 1", "-S")
    assert (got["ended"], got["rx"]["packets"]) == ("duration", 500)
    assert 1 <= got["seconds"] < 10


def test_the_time_is_noted_at_every_so_many_packets(xdpsock, tmp_path):
    got, sent = flow(xdpsock, tmp_path, "-S --laps=100", "--laps=64 -b 32")
    assert [packets for packets, _ in got["laps"]] == [100] * 4
    assert [packets for packets, _ in sent["laps"]] == [64] * 6
    assert all(0 < nanoseconds < 60e9 for _, nanoseconds in got["laps"] + sent["laps"])


def test_a_counter_is_read_in_the_place_of_the_clock(xdpsock, tmp_path):
    """As of perf_event_open: eight bytes a read, and the sum of all."""
    (tmp_path / "counter").write_bytes(struct.pack("=5Q", 7, 1007, 3007, 6007, 10007))
    got, _ = flow(xdpsock, tmp_path, "-S --laps=100 --laps-fd=7,8", "-S")
    assert got["laps"] == [[100, 2000], [100, 4000], [100, 6000], [100, 8000]]
