"""A link in a stranger's tree leads ktrial nowhere: nothing outside of the tree is read, written or removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from selftest_tree import FILES, SELFTESTS, commit_tree, write_tree

from harness.build.model import Toolchain
from harness.errors import BuildError
from harness.kselftest import build, build_bpf
from harness.kselftest.build import Wanted, build_selftests, choose_selftests
from harness.kselftest.choose import Chooser
from harness.kselftest.collection import collection_of
from harness.kselftest.make import Maker
from harness.kselftest.progs import TestProgs
from harness.kselftest.select import denied
from harness.kselftest.within import files_in, remove, text_of, within

BPF = f"{SELFTESTS}/bpf"
TOOLCHAIN = Toolchain(llvm=False, compiler="gcc", linker="ld", pahole="", ccache=False, digest="t")


@pytest.fixture
def victim(tmp_path) -> Path:
    """What somebody has at home: a file of every kind that ktrial removes from a tree."""
    folder = tmp_path / "victim"
    for name in ("include/own.h", "build/libbpf/x", "a.o", "a.d", "a.skel.h", "lib.a", "own.c", "tests.h"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("precious")
    return folder


def contents(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def tree(tmp_path) -> Path:
    return write_tree(tmp_path / "scratch" / "tree")


def test_what_stays_in_the_tree_may_be_linked_as_it_likes(tree):
    (tree / BPF / "near.c").symlink_to("../net/alone.c")
    (tree / BPF / "folder").symlink_to(tree / SELFTESTS / "net")
    (tree / BPF / "nowhere.c").symlink_to("gone.c")
    assert "main" in text_of(tree, tree / BPF / "near.c")
    assert "main" in text_of(tree, tree / BPF / "folder" / "alone.c")
    assert text_of(tree, tree / BPF / "nowhere.c") == ""
    assert tree / BPF / "folder" / "alone.c" in files_in(tree, tree / BPF / "folder", "*.c")


def test_what_leads_out_of_the_tree_is_refused_by_its_name(tree, victim):
    (tree / BPF / "linked").symlink_to(victim)
    for path in ("linked", "linked/own.c", "linked/not/there", "../../../../../x"):
        with pytest.raises(BuildError, match=rf"{BPF}/.*leads out of it"):
            within(tree, tree / BPF / path)
    with pytest.raises(BuildError):
        remove(tree, tree / BPF / "linked" / "own.c")
    remove(tree, tree / BPF / "linked")  # the link itself is the tree's
    assert (victim / "own.c").exists()


def test_only_a_file_of_some_size_is_read(tree):
    endless, large = tree / BPF / "endless.c", tree / BPF / "large.c"
    endless.symlink_to("/dev/zero")
    with pytest.raises(BuildError, match=r"endless\.c"):
        text_of(tree, endless)
    with large.open("wb") as file:
        file.truncate(17 << 20)
    with pytest.raises(BuildError, match=r"large\.c is larger than 16 MiB"):
        text_of(tree, large)
    os.mkfifo(tree / BPF / "pipe.c")
    assert text_of(tree, tree / BPF / "pipe.c") == ""
    assert tree / BPF / "pipe.c" not in files_in(tree, tree / BPF, "*.c")
    assert text_of(tree, tree / BPF) == ""


@pytest.mark.parametrize("place", [f"{BPF}/tools", f"{BPF}/tools/build", BPF])
def test_what_a_linked_folder_holds_is_not_stripped(tree, victim, place):
    (tree / place).parent.mkdir(parents=True, exist_ok=True)
    if (tree / place).is_dir():
        (tree / place).rename(tree / "was")
    (tree / place).symlink_to(victim)
    before = contents(victim)
    with pytest.raises(BuildError, match="leads out"):
        build._strip(tree, {"bpf"})
    assert contents(victim) == before


def test_the_tooling_of_an_earlier_build_is_not_copied_through_a_link(tree, victim, tmp_path):
    (tmp_path / "tooling" / "sbin").mkdir(parents=True)
    (tree / BPF / "tools").symlink_to(victim)
    before = contents(victim)
    with pytest.raises(BuildError, match=r"bpf/tools of the .* leads out"):
        build._borrow(tmp_path / "tooling", tree)
    assert contents(victim) == before


@pytest.mark.parametrize("name", ["progs", "prog_tests"])
def test_no_source_of_a_linked_folder_is_taken_out_or_put_back(tree, victim, tmp_path, name):
    folder = tree / BPF
    tests = TestProgs(folder)
    maker = Maker(tree, tmp_path / "vmlinux", tmp_path / "log")
    (program,) = Chooser(maker)._tests_named("light", "asked")
    (victim / "tail.c").write_text("precious")
    before = contents(victim)
    with build_bpf._kept(tree, folder) as restore:
        _ = tests.sources, tests.common
        (folder / name).rename(tree / "was")
        (folder / name).symlink_to(victim)
        built = build_bpf._Build(maker, tests, tests.sources, tests.common)
        with pytest.raises(BuildError, match="leads out"):
            built.prune([program])
        if name == "progs":
            with pytest.raises(BuildError, match="leads out"):
                built.drop([build_bpf.Broken("tail.bpf.o", "no such C")])
        with pytest.raises(BuildError, match="leads out"):
            restore()
    assert contents(victim) == before
    with pytest.raises(BuildError, match="leads out"), build_bpf._kept(tree, folder):
        pass


def test_copies_of_sources_lie_where_no_makefile_reaches_them(tree):
    with build_bpf._kept(tree, tree / BPF):
        assert not list(tree.rglob("sources.*"))


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("prog_tests/x.c", "bpf/light"),
        ("progs/tail.c", "bpf/tail"),
        ("prog_tests", "bpf/tail"),
        ("map_tests", "bpf/test_maps"),
    ],
)
def test_no_source_is_read_through_a_link(tree, tmp_path, victim, named, words):
    place = tree / BPF / named
    if place.is_dir():
        place.rename(tree / "was")
    place.unlink(missing_ok=True)
    place.symlink_to(victim / "own.c" if named.endswith(".c") else victim)
    makefile = tree / BPF / "Makefile"
    makefile.write_text(makefile.read_text().replace("test_verifier test_progs", "test_verifier test_progs test_maps"))
    (tmp_path / "vmlinux").touch()
    chooser = Chooser(Maker(tree, tmp_path / "vmlinux", tmp_path / "log"))
    with pytest.raises(BuildError, match=rf"{named.partition('.')[0]}.*leads out"):
        chooser.named(words, "asked")


def test_an_include_of_the_hosts_is_not_read(tree, victim):
    (victim / "own.h").write_text('#include "light.skel.h"\n')
    test = f'#include "{victim}/own.h"\n#include "../../../../../../../{victim}/own.h"\nvoid test_out(void)\n'
    (tree / BPF / "prog_tests" / "out.c").write_text(test)
    (source,) = (each for each in TestProgs(tree / BPF).sources if each.file == "out.c")
    assert source.programs == frozenset()


def test_a_linked_skeleton_has_no_parts_elsewhere(tree, victim):
    makefile = tree / BPF / "Makefile"
    makefile.write_text(makefile.read_text() + f"far.skel.h-deps := {victim}/own.bpf.o ../../x.bpf.o\n")
    assert TestProgs(tree / BPF).linked["far"] == ("own.c", "x.c")


@pytest.mark.parametrize("name", ["/etc/passwd", "../../../../../../etc/passwd", "deep/../../bpf/test_kmod.sh"])
@pytest.mark.parametrize("variable", ["TEST_PROGS", "TEST_CUSTOM_PROGS"])
def test_a_program_outside_of_its_collection_is_refused(tree, tmp_path, variable, name):
    makefile = tree / SELFTESTS / "net" / "Makefile"
    makefile.write_text(f"{makefile.read_text()}{variable} += {name}\n")
    (tmp_path / "vmlinux").touch()
    chooser = Chooser(Maker(tree, tmp_path / "vmlinux", tmp_path / "log"))
    with pytest.raises(BuildError, match=f"net/Makefile names {name}"):
        chooser.named("net", "asked")


def test_products_outside_of_their_collection_are_left_to_others(tree, tmp_path):
    makefile = tree / SELFTESTS / "net" / "Makefile"
    lists = "TEST_PROGS_EXTENDED := /etc/passwd\nTEST_GEN_PROGS_EXTENDED := ../bpf/x /x\n"
    makefile.write_text(f"{makefile.read_text()}{lists}")
    (tmp_path / "vmlinux").touch()
    net = Chooser(Maker(tree, tmp_path / "vmlinux", tmp_path / "log")).collection("net")
    assert (net.extended, net.more) == ((), ("sender", "broken"))


def test_a_name_on_the_command_line_leaves_no_tree(tree):
    assert collection_of(tree, "net/../net/send.sh") == ("", "net/../net/send.sh")


def test_a_list_of_what_is_not_run_is_read_of_the_tree_alone(tree, victim):
    (tree / BPF / "DENYLIST").symlink_to(victim / "own.c")
    with pytest.raises(BuildError, match="DENYLIST"):
        denied([], "6.12", tree)


@pytest.fixture
def wanted(tmp_path, monkeypatch):
    monkeypatch.setenv("KTRIAL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "vmlinux").touch()

    def make(*names: str, changes: dict[str, str] | None = None, links: dict[str, Path] | None = None) -> Wanted:
        for name, target in (links or {}).items():
            (tmp_path / "git" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "git" / name).symlink_to(target)
        commit = commit_tree(tmp_path / "git", changes)
        named = tuple((name, "asked for") for name in names)
        return Wanted(tmp_path / "git", commit, named, (), tmp_path / "vmlinux", "k", "", TOOLCHAIN, False)

    (tmp_path / "git").mkdir()
    return make


def test_a_link_in_the_commit_is_refused_before_anything_is_removed(wanted, victim):
    before = contents(victim)
    asked = wanted("bpf/tail_alone", links={f"{BPF}/tools": victim})
    with pytest.raises(BuildError, match=r"bpf/tools.* leads out"):
        build_selftests(asked)
    assert contents(victim) == before


def test_an_endless_source_is_not_read(wanted):
    asked = wanted("bpf/tail", links={f"{BPF}/prog_tests/x.c": Path("/dev/zero")})
    with pytest.raises(BuildError, match=r"prog_tests/x\.c of .* leads out of it, to /dev/zero"):
        choose_selftests(asked)


def test_a_link_that_a_makefile_puts_in_the_place_of_a_folder_is_refused(wanted, victim):
    before = contents(victim)
    makefile = f"{FILES[f'{BPF}/Makefile']}$(OUTPUT)/xdping: xdping.c\n\tln -sn {victim} tools; $(CC) -o $@ $<\n"
    with pytest.raises(BuildError, match=r"bpf/tools.* leads out"):
        build_selftests(wanted("bpf/xdping", changes={f"{BPF}/Makefile": makefile}))
    assert contents(victim) == before
