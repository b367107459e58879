"""Selftests are built from a commit in a jail, once, and one that cannot be built says why."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from selftest_tree import FILES, SELFTESTS, commit_tree

from harness.build.model import Toolchain
from harness.cache import prune
from harness.command import Command, Completed
from harness.errors import UsageError
from harness.kselftest import build_bpf
from harness.kselftest.build import Wanted, build_selftests, choose_selftests
from harness.kselftest.guests import PLAN_VARIABLE, guest_part
from harness.kselftest.make import broken_targets
from harness.kselftest.model import Installed, Plan
from harness.record import load

TOOLCHAIN = Toolchain(llvm=False, compiler="gcc", linker="ld", pahole="", ccache=False, digest="t")


@pytest.fixture
def wanted(tmp_path, monkeypatch):
    monkeypatch.setenv("KTRIAL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "vmlinux").touch()

    def make(commit: str, *names: str, touched: tuple[str, ...] = (), key: str = "k") -> Wanted:
        named = tuple((name, "asked for") for name in names)
        config = "CONFIG_NET=y\nCONFIG_X=m\nCONFIG_HZ=100\n# CONFIG_Y is not set\n"
        vmlinux = tmp_path / "vmlinux"
        return Wanted(tmp_path / "git", commit, named, touched, vmlinux, key, config, TOOLCHAIN, True)

    (tmp_path / "git").mkdir()
    return make


def folder_of(installed: Installed) -> Path:
    return installed.root / SELFTESTS / "net"


def test_what_a_program_needs_is_made_and_nothing_else(wanted, tmp_path):
    installed = build_selftests(wanted(commit_tree(tmp_path / "git"), "net/send.sh"))
    assert [program.id for program in installed.programs] == ["net:send.sh"]
    assert not installed.programs[0].unbuildable
    assert subprocess.run([folder_of(installed) / "sender"], check=False).returncode == 0
    assert not (folder_of(installed) / "alone").exists()
    assert not (installed.root / "Makefile").exists()


def test_a_program_that_does_not_compile_says_why_and_the_others_are_made(wanted, tmp_path):
    installed = build_selftests(wanted(commit_tree(tmp_path / "git"), "net"))
    told = {program.name: program.unbuildable for program in installed.programs}
    assert "broken" in told["fails.sh"]
    assert "missing" in told["fails.sh"]
    assert [name for name, why in told.items() if why] == ["fails.sh"]
    assert (folder_of(installed) / "alone").exists()


BPF = f"{SELFTESTS}/bpf"


def test_a_bpf_program_that_does_not_compile_takes_only_those_with_it_that_need_it(wanted, tmp_path):
    commit = commit_tree(tmp_path / "git", {f"{BPF}/progs/lent.c": "no such C\n"})
    installed = build_selftests(wanted(commit, "bpf/borrows", "bpf/tail", "bpf/xdping"))
    told = {program.name: program.unbuildable for program in installed.programs}
    assert "lent.bpf.o" in told.pop("test_progs/borrows")
    assert told == {"test_progs/tail": "", "test_progs/tail_alone": "", "xdping": ""}
    assert (installed.root / BPF / "test_progs").exists()


def test_a_bpf_program_that_nobody_asked_for_is_left_out_where_it_does_not_compile(wanted, tmp_path):
    commit = commit_tree(tmp_path / "git", {f"{BPF}/progs/common.c": "no such C\n"})
    installed = build_selftests(wanted(commit, "bpf/tail_alone"))
    assert [program.unbuildable for program in installed.programs] == [""]


def test_files_that_only_lend_functions_stay_with_the_tests_that_call_them(wanted, tmp_path):
    lends = '#include "lent.skel.h"\nint lend_whole(int count)\n{\n}\n'
    asks = "void test_asks(void)\n{\n lend_whole(1);\n}\n"
    commit = commit_tree(tmp_path / "git", {f"{BPF}/prog_tests/whole.c": lends, f"{BPF}/prog_tests/asks.c": asks})
    installed = build_selftests(wanted(commit, "bpf/asks"))
    assert not installed.programs[0].unbuildable
    assert {path.name for path in (installed.root / BPF / "prog_tests").glob("*.c")} == {"asks.c", "whole.c"}
    assert (installed.root / BPF / "progs" / "lent.c").exists()
    assert not (installed.root / BPF / "progs" / "tail.c").exists()


def test_a_flavour_that_this_tree_or_compiler_does_not_have_says_so(wanted, tmp_path):
    installed = build_selftests(wanted(commit_tree(tmp_path / "git"), "bpf/test_progs-cpuv9/tail", "bpf/tail_alone"))
    told = {program.name: program.unbuildable for program in installed.programs}
    assert "there is no test_progs-cpuv9" in told["test_progs-cpuv9/tail"]
    assert not told["test_progs/tail_alone"]


FLAVOURED = {
    f"{BPF}/Makefile": FILES[f"{BPF}/Makefile"].replace(
        "test_verifier test_progs", "test_verifier test_progs test_progs-no_alu32"
    )
    + "test_progs-no_alu32: $(patsubst progs/%.c,$(CURDIR)/no_alu32/%.bpf.o,$(wildcard progs/*.c))\n\tcat $^ > $@\n"
    + "$(CURDIR)/no_alu32/%.bpf.o: progs/%.c\n\tmkdir -p no_alu32; $(CC) -DNO_ALU32 -c -o $@ $<\n",
    f"{BPF}/progs/lent.c": "#ifdef NO_ALU32\nno such C\n#endif\n",
}


def test_what_one_flavour_cannot_compile_is_no_others_fault(wanted, tmp_path):
    commit = commit_tree(tmp_path / "git", FLAVOURED)
    names = ("test_progs-no_alu32/lends", "test_progs-no_alu32/tail_alone", "lends", "tail", "xdping")
    installed = build_selftests(wanted(commit, *(f"bpf/{name}" for name in names)))
    told = {program.name: program.unbuildable for program in installed.programs}
    assert "lent.bpf.o" in told.pop("test_progs-no_alu32/lends")
    assert not any(told.values())
    assert set(told) == {
        "test_progs-no_alu32/tail_alone",
        *(f"test_progs/{each}" for each in ("lends", "tail", "tail_alone")),
        "xdping",
    }
    for runner in ("test_progs", "test_progs-no_alu32"):
        assert (installed.root / BPF / runner).exists()


def test_a_touched_test_is_run_in_every_flavour_that_can_be_made(wanted, tmp_path):
    commit = commit_tree(tmp_path / "git", FLAVOURED)
    chosen = choose_selftests(wanted(commit, touched=(f"{BPF}/prog_tests/light.c",)))
    assert [program.id for program in chosen] == ["bpf:test_progs/light", "bpf:test_progs-no_alu32/light"]
    whole = [program.id for program in choose_selftests(wanted(commit, "bpf"))]
    assert {"bpf:test_progs/light", "bpf:test_progs-no_alu32/light", "bpf:test_xdp_meta.sh"} < set(whole)
    assert [program.id for program in choose_selftests(wanted(commit, "bpf/light"))] == ["bpf:test_progs/light"]


def test_skeletons_in_folders_of_their_own_are_made_for_those_that_include_them(wanted, tmp_path):
    asks = '#include "libarena/libarena.skel.h"\nvoid test_libarena(void)\n'
    commit = commit_tree(tmp_path / "git", {f"{BPF}/prog_tests/libarena.c": asks})
    told = [build_selftests(wanted(commit, f"bpf/{name}")).programs[0].unbuildable for name in ("light", "libarena")]
    assert not told[0]
    assert "clang-of-tomorrow" in told[1]


def test_where_nothing_can_be_made_the_reason_is_what_broke_first(wanted, tmp_path):
    commit = commit_tree(tmp_path / "git", {f"{BPF}/progs/tail_body.c": "no such C\n"})
    installed = build_selftests(wanted(commit, "bpf/tail_alone"))
    assert "error" in installed.programs[0].unbuildable


def test_what_a_program_needs_of_net_lib_is_made_too(wanted, tmp_path):
    installed = build_selftests(wanted(commit_tree(tmp_path / "git"), "drivers/net/echo.py"))
    assert not installed.programs[0].unbuildable
    assert (installed.root / SELFTESTS / "net" / "lib" / "echo.bpf.o").exists()
    assert not (installed.root / SELFTESTS / "net" / "lib" / "sends").exists()


def test_what_the_python_tests_read_of_the_documentation_stays(wanted, tmp_path):
    files = {f"Documentation/netlink/{name}": "name: x\n" for name in ("genetlink.yaml", "specs/netdev.yaml")}
    installed = build_selftests(wanted(commit_tree(tmp_path / "git", files), "drivers/net/own.py"))
    assert all((installed.root / name).is_file() for name in files)


def test_the_same_commit_is_built_once(wanted, tmp_path):
    commit = commit_tree(tmp_path / "git")
    first = build_selftests(wanted(commit, "net/send.sh"))
    made = (folder_of(first) / "sender").stat()
    assert build_selftests(wanted(commit, "net/send.sh")) == first
    assert (folder_of(first) / "sender").stat() == made


def test_what_is_in_use_is_not_pruned(wanted, tmp_path):
    with contextlib.ExitStack() as hold:
        installed = build_selftests(wanted(commit_tree(tmp_path / "git"), "net/send.sh"), hold=hold)
        prune(0)
        assert installed.root.is_dir()
    prune(0)
    assert not installed.root.exists()


def test_another_kernel_or_another_source_is_another_build(wanted, tmp_path):
    first = commit_tree(tmp_path / "git")
    second = commit_tree(tmp_path / "git", {f"{SELFTESTS}/net/sender.c": "int main(void) { return 4; }\n"})
    roots = {
        build_selftests(wanted(first, "net/send.sh")).root,
        build_selftests(wanted(second, "net/send.sh")).root,
        build_selftests(wanted(first, "net/send.sh", key="other")).root,
    }
    assert len(roots) == 3


def test_a_makefile_cannot_write_outside_its_tree(wanted, tmp_path):
    witness = tmp_path / "witness"
    evil = f"TEST_PROGS := $(shell touch {witness} /ktrial/vmlinux.new)send.sh\ninclude ../lib.mk\n"
    build_selftests(wanted(commit_tree(tmp_path / "git", {f"{SELFTESTS}/net/Makefile": evil}), "net"))
    assert not witness.exists()


def test_tests_see_the_kernels_configuration_as_a_header(wanted, tmp_path):
    header = '#include "../../../../include/generated/autoconf.h"\n'
    check = f"{header}int main(void) {{ return CONFIG_HZ - CONFIG_NET - 99; }}\n"
    commit = commit_tree(tmp_path / "git", {f"{SELFTESTS}/net/alone.c": check})
    installed = build_selftests(wanted(commit, "net/alone"))
    assert subprocess.run([folder_of(installed) / "alone"], check=False).returncode == 0


def test_a_name_that_stands_for_nothing_is_an_error_that_helps(wanted, tmp_path):
    with pytest.raises(UsageError) as error:
        choose_selftests(wanted(commit_tree(tmp_path / "git"), "net/sent.sh"))
    assert "net/sent.sh" in error.value.summary
    assert "send.sh" in error.value.hint


def test_the_plan_of_a_side_is_there_for_its_guests(tmp_path):
    plan = Plan(tmp_path / "root", (), (("net:a.sh", "why"),))
    part = guest_part(tmp_path / "run", "base", plan)
    assert load(Path(part.env[PLAN_VARIABLE]), Plan) == plan
    assert tmp_path / "root" in part.readable
    reader = Path(part.env["KTRIAL_KSELFTEST_READER"])
    program = "from harness.selftest_output import parse_output; import harness; print(harness.__file__)"
    argv = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(reader)!r}); {program}"]
    assert str(reader) in subprocess.run(argv, capture_output=True, check=True, text=True).stdout


LOG = """\
make: Entering directory '/ktrial/src/tools/testing/selftests/bpf'
progs/verifier_arena.c:17:2: error: unknown type 'arena'
1 error generated.
make: *** [Makefile:646: /ktrial/src/tools/testing/selftests/bpf/verifier_arena.bpf.o] Error 1
  CC other
libbpf: failed to find BTF for extern 'bpf_rdonly_cast': -3
Error: failed to link 'tail.linked1.o': unknown error (-3)
make: *** [Makefile:655: /ktrial/src/tools/testing/selftests/bpf/tail.skel.h] Error 254
make: *** No rule to make target 'gone.bpf.o', needed by 'x'.
"""


def test_what_could_not_be_made_is_read_with_its_first_error():
    done = Completed(Command(("make",)), 2, LOG.encode(), b"", 1.0, False)
    assert {each.name: each.why for each in broken_targets(done)} == {
        "verifier_arena.bpf.o": "progs/verifier_arena.c:17:2: error: unknown type 'arena'",
        "tail.skel.h": "Error: failed to link 'tail.linked1.o': unknown error (-3)",
        "gone.bpf.o": "there is no gone.bpf.o, nor a rule to make it",
    }


def test_links_of_a_tree_are_kept_as_links(tmp_path):
    """What they lead to is the host's, and no source of the series."""
    outside = tmp_path / "outside.c"
    outside.write_text("secret\n")
    tests = tmp_path / "bpf" / "prog_tests"
    tests.mkdir(parents=True)
    (tmp_path / "bpf" / "progs").mkdir()
    (tests / "out.c").symlink_to(outside)
    (tests / "nowhere.c").symlink_to(tmp_path / "gone.c")
    with build_bpf._kept(tmp_path / "bpf") as restore:
        for file in tests.iterdir():
            file.unlink()
        restore()
    assert {file.name: file.readlink() for file in tests.iterdir()} == {
        "out.c": outside,
        "nowhere.c": tmp_path / "gone.c",
    }
