"""What the benchmark of planted bugs remembers, and what it tries again. Nothing is built."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.mutants import End, Found, Mutant, State, find_mutants
from bench.selftest_mutants import Yardstick
from harness import record
from harness.kselftest.model import SELFTESTS, Installed, Program
from harness.results import Outcome, SideResults, TestResult

MUTANT = Mutant("filter-x", None, "digest", "")
CAUGHT = Found("filter-x", "digest", "old", End.CAUGHT, by="s/t.py::a")
MISSED = Found("filter-x", "digest", "old", End.MISSED)


def known(found, suites="old", **more):
    return State(found={found.mutant: found}, **more).is_known(MUTANT, suites)


def test_what_was_caught_stays_caught_whatever_becomes_of_the_suites():
    assert known(CAUGHT)
    assert known(CAUGHT, suites="new")


def test_what_was_missed_is_tried_again_with_other_suites():
    assert known(MISSED)
    assert not known(MISSED, suites="new")


@pytest.mark.parametrize("found", [replace(CAUGHT, digest="other"), replace(CAUGHT, end=End.LOST)])
def test_another_patch_and_a_lost_machine_are_tried_again(found):
    assert not known(found)


def test_a_test_that_fails_on_base_catches_nothing():
    assert not known(CAUGHT, bad=("s/t.py::a",))


def test_the_test_that_caught_most_goes_first():
    founds = [replace(CAUGHT, mutant=name, by=by) for name, by in (("a", "x"), ("b", "y"), ("c", "y"), ("d", "(boot)"))]
    assert State(found={found.mutant: found for found in founds}).killers() == ("y", "x")


def test_what_was_found_is_kept_in_a_file(tmp_path):
    state = State().with_found(CAUGHT).with_sure(CAUGHT)
    record.save(tmp_path / "state.json", state)
    assert record.load(tmp_path / "state.json", State) == state
    assert state.sure == ("s/t.py::a",)


def test_mutants_are_chosen_by_a_part_of_their_names():
    names = {mutant.name for mutant in find_mutants(["cpumap"])}
    assert names
    assert all("cpumap" in name for name in names)


def program(collection, name, file=""):
    sources = (f"{SELFTESTS}/{collection}/prog_tests/{file}",) if file else ()
    return Program(collection, name, (f"./{name}",), 45.0, sources=sources)


PROGRAMS = (
    program("bpf", "test_progs/xdp_veth_redirect", "test_xdp_veth.c"),
    program("bpf", "test_progs/xdp_metadata", "xdp_metadata.c"),
    program("bpf", "test_progs/xdp_bonding", "xdp_bonding.c"),
    program("net", "veth.sh"),
    program("drivers/net", "ping.py@virtio_net"),
)


def yardstick(**seconds):
    installed = Installed(Path("/nowhere"), PROGRAMS, Path("/nowhere"))
    base = SideResults("base", (), (), 1.0, True)
    return Yardstick("digest", "6.12", Path("/nowhere"), installed, base, seconds=seconds)


def names(programs):
    return [each.name for each in programs]


def test_a_mutants_files_pick_the_selftests_by_name_or_by_the_file_they_are_in():
    veth, virtio = find_mutants(["veth-head-moves-one-way"])[0], find_mutants(["virtio-keeps-redirect-target"])[0]
    assert names(yardstick().picked(veth)) == ["test_progs/xdp_veth_redirect", "test_progs/xdp_metadata", "veth.sh"]
    assert names(yardstick().picked(virtio)) == ["ping.py@virtio_net"]


def test_what_takes_long_is_run_last():
    (mutant,) = find_mutants(["veth-head-moves-one-way"])
    known = yardstick()
    assert [names(phase) for phase in known.phases(mutant)] == [
        ["test_progs/xdp_veth_redirect", "test_progs/xdp_metadata"],
        ["veth.sh"],
    ]
    item = "kselftest/test_kselftest.py::test[net:veth.sh]"
    timed = known.timed(SideResults("patched", (TestResult(item, Outcome.PASSED, seconds=1.0),), (), 1.0, True))
    assert len(timed.phases(mutant)) == 1
