"""What suites/kselftest makes of a program that ended: skipped, failed, cut, denied, and what it left behind."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.kselftest import proof
from harness.places import suites_dir

ROOT = Path(__file__).parents[1]


@pytest.fixture
def suite(monkeypatch):
    """The suite's own module, as a guest imports it."""
    monkeypatch.setattr(sys, "path", [str(suites_dir()), *sys.path])
    monkeypatch.setenv("KTRIAL_KSELFTEST_READER", str(ROOT))
    return importlib.import_module("kselftest.test_kselftest")


def program(suite, name="x.sh", denied=()):
    return suite.Program(f"net:{name}", "net", name, (f"./{name}",), 5.0, "", "", denied)


MISSING = "./x.sh: line 3: jq: command not found\n"


@pytest.mark.parametrize(
    ("output", "status", "outcome", "reason"),
    [
        (MISSING, 1, "skipped", "needs jq, not installed here"),
        (MISSING, 127, "skipped", "needs jq, not installed here"),
        (MISSING, 0, "passed", ""),
        (MISSING, 124, "failed", "timed out after 7 s"),
        (MISSING, -11, "failed", "killed by signal 11: ./x.sh: line 3: jq: command not found"),
        (MISSING, 139, "failed", "exit status 139: ./x.sh: line 3: jq: command not found"),
        (f"1..3\nok 1 first\n{MISSING}", 1, "failed", "1 of 3 planned results: 2 lost; exit status 1"),
        (f"1..2\nBail out! no device\n{MISSING}", 1, "failed", "Bail out! no device; exit status 1"),
    ],
)
def test_a_missing_command_excuses_a_bad_status_and_nothing_worse(suite, output, status, outcome, reason):
    assert suite._read(program(suite), suite.Ended(status, output, 7.0))[:2] == (outcome, reason)


def test_results_in_an_output_that_was_cut_may_be_lost_and_that_is_told(suite):
    outcome, reason, cases = suite._read(program(suite), suite.Ended(0, "ok 2 second\n", 1.0, cut=12))
    assert outcome == "failed"
    assert "the first 12 bytes" in reason
    assert [case["name"] for case in cases] == ["second"]
    # Where nothing is told one by one, the exit status says it all.
    assert suite._read(program(suite), suite.Ended(0, "chatter\n", 1.0, cut=12))[0] == "passed"
    assert "12 bytes" in suite._remarks(suite.Ended(0, "chatter\n", 1.0, cut=12))[0]


def test_what_a_program_left_is_a_result_of_its_own_that_fails_nothing(suite):
    ended = suite.Ended(0, "", 1.0, left=("link v0", "process nc (2)"))
    (case,) = suite._left_behind(ended)
    assert f"]/{case['name']}" == proof._LEAVES
    assert (case["outcome"], case["reason"]) == ("xfailed", "left behind, removed: link v0, process nc (2)")
    assert suite._remarks(ended) == ["# ktrial: left behind, removed: link v0, process nc (2)"]


def test_what_is_left_of_a_program_that_was_ended_is_told_in_its_text_alone(suite):
    for status in (124, -9, 137):
        ended = suite.Ended(status, "", 1.0, left=("process nc",))
        assert suite._left_behind(ended) == []
        assert suite._remarks(ended)


def test_many_things_left_are_told_in_one_line(suite):
    (case,) = suite._left_behind(suite.Ended(0, "", 1.0, left=tuple(f"link v{at}" for at in range(9))))
    assert str(case["reason"]).endswith("link v5 and 3 more")


def test_a_denied_subtest_is_skipped_with_its_reason_whether_it_ran_or_not(suite):
    denied = (("down*", "flaps"), ("never", "hangs the guest"))
    text = "1..3\nok 1 up\nnot ok 2 down_a\nok 3 down_b\n"
    _, _, cases = suite._read(program(suite, denied=denied), suite.Ended(1, text, 1.0))
    assert {case["name"]: (case["outcome"], case["reason"]) for case in cases} == {
        "up": ("passed", ""),
        "down_a": ("skipped", "on the deny-list: flaps"),
        "down_b": ("skipped", "on the deny-list: flaps"),
        "never": ("skipped", "on the deny-list: hangs the guest"),
    }


@pytest.fixture
def plan(tmp_path, monkeypatch, suite):
    """Writes a plan, and gives the module that reads it."""

    def write(denied, *entries):
        made = [
            {"collection": "bpf", "name": name, "argv": [f"./{name}"], "timeout": 5.0, "unbuildable": ""}
            for name in entries
        ]
        path = tmp_path / "plan.json"
        path.write_text(json.dumps({"root": "/tree", "programs": made, "denied": denied}))
        monkeypatch.setenv("KTRIAL_KSELFTEST", str(path))
        return sys.modules["kselftest.plan"]

    return write


def test_a_runner_of_test_progs_is_told_to_leave_denied_subtests_out(plan):
    denied = [["bpf:test_progs/tc/loops", "for ever"], ["bpf:x.sh/part", "flaps"], ["bpf:y.sh", "an hour"]]
    tc, x, y = plan(denied, "test_progs/tc", "x.sh", "y.sh").programs()
    assert tc.argv == ("./test_progs/tc", "-d", "tc/loops")
    assert tc.denied == (("loops", "for ever"),)
    assert (x.argv, x.denied) == (("./x.sh",), (("part", "flaps"),))
    assert (y.skip, y.denied) == ("on the deny-list: an hour", ())


def test_a_kernel_with_lockdep_gets_more_time_as_its_guests_deadline_does(plan, tmp_path, monkeypatch):
    module = plan([])
    trial = tmp_path / "trial.json"
    trial.write_text(json.dumps({"scale": 3.0}))
    monkeypatch.setenv("KTRIAL_PLAN", str(trial))
    monkeypatch.setattr(module, "_LOCKDEP", tmp_path / "none")
    assert module.scale() == 3.0
    monkeypatch.setattr(module, "_LOCKDEP", trial)
    theirs = re.search(r"^_CHECKED_SCALE = ([\d.]+)", (ROOT / "vm" / "ktrial_pytest.py").read_text(), re.MULTILINE)
    assert theirs is not None
    assert module.scale() == 3.0 * float(theirs[1])


def test_a_card_has_a_prefix_for_namespaces_behind_it_that_no_address_is_in(suite, monkeypatch):
    card = sys.modules["kselftest.card"]
    link = SimpleNamespace(name="eth1")
    monkeypatch.setattr(card, "card_pair", lambda device: (link, link))
    monkeypatch.setattr(card, "lacking", lambda device: "")
    monkeypatch.setattr(card, "_reset", lambda name: None)
    with card.plugged("virtio_net") as plugged:
        prefix = ip_network(plugged.env["LOCAL_PREFIX_V6"])
        assert not any(ip_address(plugged.env[name]) in prefix for name in ("LOCAL_V6", "REMOTE_V6"))


CLEANS = """
import ctypes, os, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from kselftest import run
ctypes.CDLL(None).prctl(36, 1)
began = time.monotonic()
leaving = lambda: {("link", "gone")} if time.monotonic() < began + 0.3 else set()
present = {("link", "lo")}
run._devices = lambda: present | leaving()
removed = []
run._remove_devices = lambda left: removed.append(sorted(left))
before, links = run._children(), {("link", "lo")}
present.add(("link", "v0"))
subprocess.Popen(["sh", "-c", "sleep 1000 & sleep 1000 & sleep 0.1 &"]).wait()
print(run._clean(before, links), removed, run._children() - before)
print(run._clean(before, present), removed[1:])
"""


def test_processes_and_links_that_a_program_left_are_named_ended_and_removed():
    argv = [sys.executable, "-c", CLEANS, str(suites_dir())]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    first, second = done.stdout.splitlines()
    assert first == "('link v0', 'process sleep (2)') [[('link', 'v0')]] set()"
    assert second == "() [[]]"
