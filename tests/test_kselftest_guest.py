"""Selftests in a guest: each program's word is a result, its subtests' too, and nothing of it stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.kselftest.guests import guest_part
from harness.kselftest.model import SELFTESTS, Plan, Program
from harness.machine.devices import guest_devices
from harness.machine.model import Accelerator, Deadlines, GuestSpec
from harness.machine.session import Session, run_sessions
from harness.places import suites_dir
from harness.results import Outcome
from harness.splats import find_splats

pytestmark = [pytest.mark.kernel, pytest.mark.vm]

SCRIPTS = {
    "ktap.sh": "echo 'KTAP version 1'; echo 1..2; echo 'ok 1 up'; echo 'not ok 2 down'; exit 1",
    "plain.sh": "echo all is well",
    "skips.sh": "echo 'SKIP: no NIC'; exit 4",
    "loses.sh": "echo 1..3; echo 'ok 1 first'",
    "breaks.sh": "echo 'cannot add a link'; exit 1",
    "slow.sh": "trap 'echo ended; exit 1' TERM; echo begun; while :; do sleep 0.1; done",
    "needs.sh": "no-such-command-anywhere || exit 1",
    "needs_below.sh": "ip netns add n; ip netns exec n no-such-command-below || exit 1",
    "asks_too_much.sh": "ip link gibberish || exit 1",
    "leaves.sh": "ip link add left0 type dummy; ip netns add left; sleep 1000 & echo x > written; test -f written",
    "comes_after_leaves.sh": "! ip link show left0 && ! ip netns list | grep left",
    "lost_its_mode.sh": "echo still run",
    "kunit.sh": 'while IFS= read -r line; do echo "$line" >/dev/kmsg; done <kunit.log',
    "bpf.sh": "mountpoint /sys/fs/bpf && mountpoint /sys/fs/cgroup",
}
# What lib/kunit prints while a kernel boots that has a suite of two cases; a script prints it here instead.
KUNIT = """\
KTAP version 1
1..1
    KTAP version 1
    # Subtest: small
    # module: small_test
    1..2
    ok 1 works
    # breaks: EXPECTATION FAILED at net/small_test.c:9
    not ok 2 breaks
# small: pass:1 fail:1 skip:0 total:2
not ok 1 small
"""
UNBUILT = Program("net", "unbuilt", ("./unbuilt",), 5.0, unbuildable="cannot be built with clang 14 here: x.c: error")
DENIED = Program("net", "denied.sh", ("./denied.sh",), 5.0)
ON_CARD = Program("net", "card.sh@virtio_net", ("./card.sh",), 5.0, card="virtio_net")
# Says what is not as drivers/net/README.rst has it, and asks the far end over the cable.
CARD = """\
#!/bin/sh -e
ip addr show dev "$NETIF" | grep -q "inet $LOCAL_V4/" || { echo no address; exit 1; }
ip -n "$REMOTE_ARGS" addr show to "$REMOTE_V6" | grep -q "inet6 $REMOTE_V6/" || { echo no far end; exit 1; }
python3 -c "
import socket
near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
near.settimeout(15)
near.connect(('$REMOTE_V4', 9))
near.send(b'x')
try: near.recv(1)
except ConnectionRefusedError: print('its port is closed')" | grep "its port is closed"
"""


@pytest.fixture(scope="module")
def image(ktrial):
    """The base kernel of the examples, from the cache or built."""
    result = ktrial.run("clean-feature.mbox", "--test", "none", "--reruns", "0").result
    return next(Path(kernel["directory"]) / "bzImage" for kernel in result["kernels"] if kernel["side"] == "base")


@pytest.fixture(scope="module")
def results(image, tmp_path_factory):
    folder = tmp_path_factory.mktemp("selftests")
    net = folder / "tree" / SELFTESTS / "net"
    net.mkdir(parents=True)
    for name, text in SCRIPTS.items():
        (net / name).write_text(f"#!/bin/sh\n{text}\n")
        (net / name).chmod(0o644 if name == "lost_its_mode.sh" else 0o755)
    (net / "kunit.log").write_text(KUNIT)
    (net / "card.sh").write_text(CARD)
    (net / "card.sh").chmod(0o755)
    programs = tuple(Program("net", name, (f"./{name}",), 2.0 if name == "slow.sh" else 5.0) for name in SCRIPTS)
    plan = Plan(folder / "tree", (*programs, UNBUILT, DENIED, ON_CARD), (("net:denied.sh", "takes an hour"),))
    part = guest_part(folder / "plan", "base", plan)
    deadlines = Deadlines(boot=60, test=10, session=900, scale=4)
    devices = guest_devices(["virtio_net"])
    guest = GuestSpec(
        image,
        folder,
        Accelerator.TCG,
        memory_mib=512,
        deadlines=deadlines,
        readable=part.readable,
        env={**part.env, **devices.env},
        qemu_args=devices.qemu_args,
    )
    root = suites_dir()
    suites = (root / "kselftest", root / "kunit")
    (side,) = run_sessions([Session("base", guest, root, suites, folder / "results")], find_splats)
    return {result.test.partition("[net:")[2] or result.test: result for result in side.results}


@pytest.mark.parametrize(
    ("name", "outcome", "reason"),
    [
        ("ktap.sh]", Outcome.PASSED, ""),  # its subtest speaks for itself
        ("ktap.sh]/up", Outcome.PASSED, ""),
        ("ktap.sh]/down", Outcome.FAILED, "not ok"),
        ("plain.sh]", Outcome.PASSED, ""),
        ("skips.sh]", Outcome.SKIPPED, "SKIP: no NIC"),
        ("loses.sh]", Outcome.FAILED, "1 of 3 planned results: 2 lost"),
        ("loses.sh]/first", Outcome.PASSED, ""),
        ("breaks.sh]", Outcome.FAILED, "exit status 1: cannot add a link"),
        ("needs.sh]", Outcome.SKIPPED, "needs no-such-command-anywhere, not installed here"),
        ("needs_below.sh]", Outcome.SKIPPED, "needs no-such-command-below, not installed here"),
        ("asks_too_much.sh]", Outcome.SKIPPED, "needs a newer ip than the one here"),
        ("leaves.sh]", Outcome.PASSED, ""),
        ("leaves.sh]/leaves nothing behind", Outcome.XFAILED, "left behind, removed: link left0, process sleep"),
        ("comes_after_leaves.sh]", Outcome.PASSED, ""),
        ("lost_its_mode.sh]", Outcome.PASSED, ""),
        ("bpf.sh]", Outcome.PASSED, ""),
        ("unbuilt]", Outcome.SKIPPED, "cannot be built with clang 14 here: x.c: error"),
        ("card.sh@virtio_net]", Outcome.PASSED, ""),
        ("denied.sh]", Outcome.SKIPPED, "on the deny-list: takes an hour"),
    ],
)
def test_a_programs_word_is_its_result(results, name, outcome, reason):
    assert (results[name].outcome, results[name].reason) == (outcome, reason)


def test_each_case_of_kunit_is_a_result_of_its_own(results):
    kunit = "kunit/test_kunit.py::test[boot]"
    told = {name.removeprefix(kunit): result.outcome for name, result in results.items() if name.startswith(kunit)}
    # The kernel may have run unit tests of its own before.
    told = {name: outcome for name, outcome in told.items() if not name or name.startswith("/small/")}
    assert told == {"": Outcome.PASSED, "/small/works": Outcome.PASSED, "/small/breaks": Outcome.FAILED}
    assert "EXPECTATION FAILED" in results[f"{kunit}/small/breaks"].reason


def test_only_what_leaves_something_is_told_to(results):
    assert [name for name in results if name.endswith("]/leaves nothing behind")] == [
        "leaves.sh]/leaves nothing behind"
    ]
    assert "# ktrial: left behind, removed: link left0, process sleep" in results["leaves.sh]"].details


def test_a_program_that_does_not_end_is_ended_and_its_guest_lives_on(results):
    slow = results["slow.sh]"]
    assert slow.outcome is Outcome.FAILED
    assert slow.reason.startswith("timed out after")
    assert "ended" in slow.details


def test_what_a_program_printed_is_kept(results):
    assert "all is well" in results["plain.sh]"].details
