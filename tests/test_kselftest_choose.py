"""Selftests are chosen by name and by what a series touches, and what each is made from is known."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from selftest_tree import FILES, SELFTESTS, commit_tree, write_tree

from harness.errors import UsageError
from harness.kselftest.choose import Chooser
from harness.kselftest.collection import Collection, collection_of, timeout_of
from harness.kselftest.make import Maker
from harness.kselftest.model import Program
from harness.kselftest.progs import TestProgs
from harness.kselftest.select import config_fragments, denied, select
from harness.kselftest.stage import unpicked
from harness.places import suites_dir
from harness.suites import asked_suites, load_suite

BPF = f"{SELFTESTS}/bpf"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def tests(tree: Path) -> TestProgs:
    return TestProgs(tree / BPF)


@pytest.fixture(scope="module")
def chooser(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Chooser:
    folder = tmp_path_factory.mktemp("make")
    (folder / "vmlinux").touch()
    return Chooser(Maker(tree, folder / "vmlinux", folder / "log"))


def programs_of(tests: TestProgs, file: str) -> set[str]:
    return set(next(source.programs for source in tests.sources if source.file == file))


def test_every_test_function_is_found(tests):
    assert {test for source in tests.sources for test in source.tests} == {
        "tail", "tail_alone", "linked", "light", "many", "lends", "borrows"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("file", "programs"),
    [
        ("tail.c", {"tail.c", "tail_body.c", "old_tail.c"}),
        ("linked.c", {"linked1.c", "linked2.c"}),
        ("light.c", {"light.c", "helped.c"}),
        ("many.c", {"case_a.c", "case_b.c"}),
    ],
)
def test_a_tests_bpf_programs_are_found_however_it_names_them(tests, file, programs):
    assert programs_of(tests, file) == programs


def test_linked_and_light_skeletons_and_other_files_are_told_apart(tests):
    by_file = {source.file: source for source in tests.sources}
    assert by_file["linked.c"].skeletons == {"linked"}
    assert by_file["light.c"].light == {"light.c"}
    assert by_file["many.c"].extras == {"urandom_read"}


def test_what_the_runner_itself_needs_is_always_there(tests):
    assert tests.common.programs == {"btf_data.c", "common.c"}


def test_an_object_called_after_the_program_that_loads_it_is_that_one_alone(tests):
    assert tests.of_binary("xdping").programs == {"xdping_kern.c"}


def test_the_maps_tests_need_the_programs_of_their_own_folder(tmp_path):
    folder = write_tree(tmp_path, {f"{BPF}/map_tests/stats.c": '#include "lent.skel.h"\n'}) / BPF
    assert TestProgs(folder).of_binary("test_maps").programs == {"lent.c"}


def names(programs) -> list[str]:
    return [program.id for program in programs]


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ("bpf/tail", ["bpf:test_progs/tail", "bpf:test_progs/tail_alone"]),  # the file's name stands for all in it
        ("bpf/tail_alone", ["bpf:test_progs/tail_alone"]),
        ("bpf/test_progs-no_alu32/li*", ["bpf:test_progs-no_alu32/light", "bpf:test_progs-no_alu32/linked"]),
        ("bpf/test_xdp_*.sh", ["bpf:test_xdp_meta.sh"]),
        ("bpf/test_verifier", ["bpf:test_verifier"]),
        ("bpf/xdping", ["bpf:xdping"]),
        ("net/send.sh", ["net:send.sh"]),
        ("net/deeper/one.sh", ["net/deeper:one.sh"]),
        ("net/deeper", ["net/deeper:one.sh"]),
        ("net", ["net:send.sh", "net:fails.sh", "net:plain.sh", "net:alone"]),
        ("net/nothing.sh", []),
        ("drivers/net", ["drivers/net:echo.py", "drivers/net:echo.py@virtio_net", "drivers/net:own.py"]),
        ("drivers/net/echo.py", ["drivers/net:echo.py", "drivers/net:echo.py@virtio_net"]),
        ("drivers/net/*@virtio_net", ["drivers/net:echo.py@virtio_net"]),
        ("drivers/net/hw/hard.py", ["drivers/net/hw:hard.py@virtio_net"]),  # has no software device
        ("nowhere/at/all", []),
    ],
)
def test_a_name_stands_for_programs(chooser, asked, chosen):
    assert names(chooser.named(asked, "asked")) == chosen


def test_a_whole_collection_of_bpf_has_the_tests_and_the_rest(chooser):
    assert names(chooser.named("bpf", "asked"))[-3:] == [
        "bpf:test_xdp_meta.sh",
        "bpf:test_kmod.sh",
        "bpf:test_verifier",
    ]
    assert "bpf:test_progs/light" in names(chooser.named("bpf", "asked"))


def test_a_wrong_name_is_answered_with_close_ones(chooser):
    assert "tail" in chooser.hint("bpf/tial")
    assert "send.sh" in chooser.hint("net/sent.sh")
    assert "bpf/xdp_adjust_tail" in chooser.hint("nowhere/x")


@pytest.mark.parametrize(
    ("touched", "chosen"),
    [
        (f"{BPF}/prog_tests/linked.c", ["bpf:test_progs/linked"]),
        (f"{BPF}/progs/tail_body.c", ["bpf:test_progs/tail", "bpf:test_progs/tail_alone"]),
        (f"{BPF}/test_xdp_meta.sh", ["bpf:test_xdp_meta.sh"]),
        (f"{SELFTESTS}/net/sender.c", ["net:send.sh"]),
        (f"{SELFTESTS}/net/alone.c", ["net:alone"]),
        (f"{SELFTESTS}/net/lib/echo.bpf.c", ["drivers/net:echo.py", "drivers/net:echo.py@virtio_net"]),
        (f"{SELFTESTS}/net/Makefile", []),
        ("net/core/filter.c", []),
    ],
)
def test_a_touched_file_stands_for_the_programs_made_from_it(chooser, touched, chosen):
    programs = chooser.choose((), [touched])
    assert names(programs) == chosen
    assert all(program.why == f"touches {touched}" for program in programs)


EACH_ITS_OWN = """\
#include "lent.skel.h"
#include "light.skel.h"
#include "case_a.skel.h"
#include "case_b.skel.h"
static void both(void)
{
	run(case_b);
}
void test_lent_alone(void)      { RUN(lent); }
void serial_test_lit(void)
{
	RUN(light);
}
void test_case(void)            { both(); RUN(case_a); }
"""


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        ("lent.c", ("lent_alone",)),
        ("light.c", ("lit",)),
        ("case_a.c", ("case",)),
        ("case_b.c", ("lent_alone", "lit", "case")),  # in a function that any of them may call
        ("linked1.c", ("lent_alone", "lit", "case")),  # by some other way
    ],
)
def test_a_program_that_one_test_alone_mentions_is_that_tests(tmp_path, program, tests):
    of = TestProgs(write_tree(tmp_path, {f"{BPF}/prog_tests/each.c": EACH_ITS_OWN}) / BPF)
    source = next(source for source in of.sources if source.file == "each.c")
    assert of.tests_with(source, f"{BPF}/progs/{program}") == tests


def test_touched_files_that_many_share_are_named(chooser):
    touched = [f"{SELFTESTS}/{name}" for name in ("net/sender.c", "net/lib.sh", "bpf/test_progs.c", "net/Makefile")]
    told = unpicked(chooser.choose((), touched), touched)
    assert told == "shared by many, so none is picked for: net/lib.sh, bpf/test_progs.c; --suite kselftest:NAME does"
    assert not unpicked(chooser.choose((), touched[:1]), touched[:1])
    many = [f"{SELFTESTS}/net/lib/{at}.h" for at in range(6)]
    assert "net/lib/3.h and 2 more;" in unpicked((), many)


# As in 7.2, where test_xsk.c has no test, and both the tests of xsk.c and xskxceiver call into it.
LENDER = {
    f"{BPF}/Makefile": "EXTRA_SRC := $(CURDIR)/prog_tests/whole.c\n"
    + FILES[f"{BPF}/Makefile"].replace("test_verifier test_progs", "test_verifier test_progs test_maps xskxceiver"),
    f"{BPF}/prog_tests/whole.c": '#include "lent.skel.h"\nint lend_whole(int count)\n{\n}\n',
    f"{BPF}/prog_tests/asks.c": "void test_asks(void)\n{\n lend_whole(1);\n}\n",
    f"{BPF}/xskxceiver.c": '#include "light.skel.h"\n',
    f"{BPF}/map_tests/stats.c": '#include "case_a.skel.h"\n',
    f"{BPF}/verifier/jumps.c": "",
}


@pytest.mark.parametrize(
    ("touched", "chosen"),
    [
        ("prog_tests/whole.c", ["bpf:test_progs/asks", "bpf:xskxceiver"]),
        ("progs/lent.c", ["bpf:test_progs/asks", "bpf:test_progs/lends"]),
        ("progs/light.c", ["bpf:test_progs/light", "bpf:xskxceiver"]),
        ("map_tests/stats.c", ["bpf:test_maps"]),
        ("progs/case_a.c", ["bpf:test_progs/many", "bpf:test_maps"]),
        ("verifier/jumps.c", ["bpf:test_verifier"]),
    ],
)
def test_a_touched_part_stands_for_the_programs_that_take_it_in(tmp_path, touched, chosen):
    (tmp_path / "vmlinux").touch()
    maker = Maker(write_tree(tmp_path / "tree", LENDER), tmp_path / "vmlinux", tmp_path / "log")
    assert names(Chooser(maker).choose((), [f"{BPF}/{touched}"])) == chosen


def test_a_script_is_made_with_what_its_library_starts(chooser):
    (program,) = chooser.named("net/send.sh", "asked")
    assert program.targets == ("sender",)
    assert program.sources == (f"{SELFTESTS}/net/send.sh", f"{SELFTESTS}/net/sender.c")


def test_a_driver_test_is_made_with_what_it_needs_of_the_library_and_knows_its_card(chooser):
    own, on_card = chooser.named("drivers/net/echo.py", "asked")
    assert own.shared == on_card.shared == ("net/lib/echo.bpf.o",)
    assert (own.card, on_card.card) == ("", "virtio_net")
    assert on_card.argv == ("./echo.py",)


def test_what_is_no_program_by_itself_is_run_by_the_runner_that_its_collection_has(tmp_path):
    folder = tmp_path / SELFTESTS / "net/packetdrill"
    folder.mkdir(parents=True)
    for name, mode in (("a.pkt", 0o644), ("set.py", 0o755), ("ksft_runner.sh", 0o644)):
        (folder / name).touch()
        (folder / name).chmod(mode)
    collection = Collection("net/packetdrill", folder, scripts=("a.pkt", "set.py"), compiled=("made",))
    assert collection.program("a.pkt", "").argv == ("./a.pkt",)
    (folder / "ksft_runner.sh").chmod(0o755)
    assert collection.program("a.pkt", "").argv == ("./ksft_runner.sh", "./a.pkt")
    assert collection.program("set.py", "").argv == ("./set.py",)
    assert collection.program("made", "").argv == ("./made",)


def test_timeouts_are_those_of_the_settings(tree, tmp_path):
    assert timeout_of(tree, tree / SELFTESTS / "net") == 120
    assert timeout_of(tmp_path, tmp_path) == 45
    for asked, seconds in ((0, 3600), (1800, 1800), (3600, 3600), (90000, 3600)):
        (tmp_path / "settings").write_text(f"# none\ntimeout={asked}\n")
        assert timeout_of(tmp_path, tmp_path) == seconds


def test_the_longest_folder_with_a_makefile_is_the_collection(tree):
    assert collection_of(tree, "net/deeper/one.sh") == ("net/deeper", "one.sh")
    assert collection_of(tree, "net/other/one.sh") == ("net", "other/one.sh")
    assert collection_of(tree, "mm") == ("", "mm")


def test_names_are_asked_of_the_suite_with_a_colon():
    (picked,) = asked_suites(["kselftest:bpf/tail", "kselftest:net", "kselftest:net"])
    assert picked.suite.name == "kselftest"
    assert picked.suite.asked == ("bpf/tail", "net")
    with pytest.raises(UsageError, match="nothing can be chosen"):
        load_suite("xdp_multibuf:shrink")
    with pytest.raises(UsageError, match="nothing can be chosen"):
        load_suite("kselftest:")


def test_what_is_asked_for_wins_over_what_is_touched():
    selection = select(["bpf/tail", "drivers/net/ping.py"], [f"{BPF}/prog_tests/linked.c"])
    assert [name for name, _ in selection.named] == ["bpf/tail", "drivers/net/ping.py"]
    assert not selection.touched
    assert {"bpf", "drivers/net"} < set(selection.configured)


def test_a_touched_kernel_file_stands_for_the_tests_of_the_table():
    selection = select([], ["net/core/filter.c", f"{BPF}/progs/x.c"])
    assert ("bpf/xdp_adjust_tail", "touches net/core/filter.c") in selection.named
    assert selection.touched == (f"{BPF}/progs/x.c",)
    assert selection.configured[0] == "bpf"
    assert not select([], ["mm/slub.c"])


def test_a_collections_config_is_asked_for_line_by_line(tmp_path):
    commit = commit_tree(tmp_path)
    (fragment,) = config_fragments(tmp_path, commit, select(["net/send.sh"], []))
    settings = {setting.symbol: setting for setting in fragment.settings}
    assert {name: setting.value for name, setting in settings.items()} == {"VETH": "y", "TEST_BPF": "y", "BRIDGE": "n"}
    assert all(setting.optional and "net/config asks" in setting.reason for setting in settings.values())


def program(name: str) -> Program:
    return Program("net", name, (f"./{name}",), 45.0)


def test_a_deny_list_says_why_and_for_which_kernel(tmp_path):
    (tmp_path / "deny").mkdir()
    (tmp_path / "deny" / "any.txt").write_text("# why\nnet:slow_*.sh takes an hour\n")
    (tmp_path / "deny" / "6.12.txt").write_text("net:b.sh fails for a known reason\n")
    programs = [program("slow_a.sh"), program("b.sh"), program("c.sh")]
    assert denied(programs, "6.12.117", folder=tmp_path) == (
        ("net:slow_a.sh", "takes an hour"),
        ("net:b.sh", "fails for a known reason"),
    )
    assert denied(programs, "6.1.192", folder=tmp_path) == (("net:slow_a.sh", "takes an hour"),)


def runner(test: str, flavour: str = "") -> Program:
    return Program("bpf", f"test_progs{flavour}/{test}", (f"./test_progs{flavour}", "-a", test), 45.0)


def test_a_deny_list_may_name_a_subtest(tmp_path):
    (tmp_path / "deny").mkdir()
    lines = "net:a*.sh/flaps* flaps\nbpf:test_progs/tc/loops for ever\nbpf:test_progs/whole all of it\n"
    (tmp_path / "deny" / "any.txt").write_text(lines)
    programs = [program("a1.sh"), program("b.sh"), runner("tc"), runner("tc", "-cpuv4"), runner("whole")]
    assert denied(programs, "6.12", folder=tmp_path) == (
        ("net:a1.sh/flaps*", "flaps"),
        ("bpf:test_progs/tc/loops", "for ever"),
        ("bpf:test_progs/whole", "all of it"),
    )


def test_the_trees_own_list_counts_for_every_flavour_and_this_machine(tmp_path):
    (tmp_path / "deny").mkdir()
    (tmp_path / "deny" / "any.txt").write_text("bpf:test_progs*/varlen ours\n")
    bpf = tmp_path / "tree" / BPF
    bpf.mkdir(parents=True)
    (bpf / "DENYLIST").write_text("# TEMPORARY\nspams    # spams the log\ncookie/multi*\nvarlen\n\n")
    (bpf / f"DENYLIST.{os.uname().machine}").write_text("jits # no JIT\n")
    (bpf / "DENYLIST.elsewhere").write_text("tc\n")
    programs = [runner("spams", "-no_alu32"), runner("cookie"), runner("jits"), runner("varlen"), runner("tc")]
    assert denied(programs, "6.12", tmp_path / "tree", tmp_path) == (
        ("bpf:test_progs-no_alu32/spams", "the tree's own DENYLIST: spams the log"),
        ("bpf:test_progs/cookie/multi*", "the tree's own DENYLIST"),
        ("bpf:test_progs/jits", f"the tree's own DENYLIST.{os.uname().machine}: no JIT"),
        ("bpf:test_progs/varlen", "ours"),
    )


def test_a_line_of_a_deny_list_without_a_reason_is_an_error(tmp_path):
    (tmp_path / "deny").mkdir()
    (tmp_path / "deny" / "any.txt").write_text("net:a.sh\n")
    with pytest.raises(UsageError, match="without a reason"):
        denied([program("a.sh")], "6.12", folder=tmp_path)


def test_our_own_lists_are_good():
    versions = [path.stem for path in (suites_dir() / "kselftest" / "deny").glob("*.txt")]
    assert "any" in versions
    for version in versions:
        denied([program("a.sh")], version)
