"""Selftests are built from a commit in a jail, once, and one that cannot be built says why."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from selftest_tree import FILES, SELFTESTS, commit_tree, write_tree

from harness.build.model import Toolchain
from harness.cache import prune
from harness.command import Command, Completed
from harness.errors import MachineLost, UsageError
from harness.kernel_make import SOURCE
from harness.kselftest import build, build_bpf
from harness.kselftest.build import Wanted, build_selftests, choose_selftests
from harness.kselftest.guests import PLAN_VARIABLE, guest_part
from harness.kselftest.make import Maker, broken_targets
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


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ("test_progs*", ["test_progs", "test_progs-no_alu32"]),
        ("test_progs*/light", ["test_progs", "test_progs-no_alu32"]),
        ("test_progs-*/light", ["test_progs-no_alu32"]),
        ("test_progs-no_alu3?/li[g]ht", ["test_progs-no_alu32"]),
        ("test_progs/light", ["test_progs"]),
    ],
)
def test_a_glob_stands_for_the_flavours_that_this_tree_has(wanted, tmp_path, asked, chosen):
    programs = choose_selftests(wanted(commit_tree(tmp_path / "git", FLAVOURED), f"bpf/{asked}"))
    assert list(dict.fromkeys(program.name.partition("/")[0] for program in programs)) == chosen
    assert [program.targets for program in programs if program.name.endswith("/light")] == [(each,) for each in chosen]


@pytest.mark.parametrize("asked", ["test_progs-cpu*", "test_progs-cpu*/light", "test_progs*/no_such_test"])
def test_a_glob_that_stands_for_no_flavour_is_an_error_that_helps(wanted, tmp_path, asked):
    with pytest.raises(UsageError, match="no selftest") as error:
        choose_selftests(wanted(commit_tree(tmp_path / "git", FLAVOURED), f"bpf/{asked}"))
    assert error.value.hint.startswith("in bpf there are ")


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


NET_MAKEFILE = FILES[f"{SELFTESTS}/net/Makefile"]


@pytest.mark.parametrize("name", ["mm/gup_test.h", "lib/test_hmm_uapi.h", "samples/check-exec/inc.c"])
def test_what_the_makefiles_name_elsewhere_in_the_kernel_is_there(wanted, tmp_path, name):
    rule = f"$(OUTPUT)/sender: sender.c $(abspath ../../../..)/{name}\n\t$(CC) -o $@ $<\n"
    commit = commit_tree(tmp_path / "git", {name: "", f"{SELFTESTS}/net/Makefile": NET_MAKEFILE + rule})
    installed = build_selftests(wanted(commit, "net/send.sh"))
    assert not installed.programs[0].unbuildable
    assert not (installed.root / name).exists()  # nothing runs it


DRIVERS = f"{SELFTESTS}/drivers/net"


def test_what_a_driver_test_sources_of_another_driver_stays(wanted, tmp_path):
    """As in 6.1 and 7.2: team sources what bonding has, by a link there or by its path."""
    links = {"team/lag_lib.sh": "../bonding/lag_lib.sh", "bonding/forwarding.sh": "../../../net/forwarding/lib.sh"}
    for name, target in links.items():
        (tmp_path / "git" / DRIVERS / name).parent.mkdir(parents=True)
        (tmp_path / "git" / DRIVERS / name).symlink_to(target)
    files = {
        f"{DRIVERS}/team/Makefile": "TEST_PROGS := linked.sh named.sh\ninclude ../../../lib.mk\n",
        f"{DRIVERS}/team/linked.sh": "#!/bin/sh\n. ./lag_lib.sh\n",
        f"{DRIVERS}/team/named.sh": "#!/bin/sh\n. ../bonding/lag_lib.sh\n",
        f"{DRIVERS}/bonding/Makefile": "include ../../../lib.mk\n",
        f"{DRIVERS}/bonding/lag_lib.sh": ". ../bonding/forwarding.sh\n",
        f"{DRIVERS}/bonding/own.c": "",
        f"{SELFTESTS}/net/forwarding/lib.sh": "echo sourced\n",
        f"{DRIVERS}/mlxsw/spectrum/lib.py": "",
    }
    installed = build_selftests(wanted(commit_tree(tmp_path / "git", files), "drivers/net/team"))
    folder = installed.root / DRIVERS
    for script in ("linked.sh", "named.sh"):
        told = subprocess.run([f"./{script}"], cwd=folder / "team", check=True, capture_output=True, text=True)
        assert told.stdout == "sourced\n"
    assert (folder / "mlxsw" / "spectrum" / "lib.py").exists()
    assert not (folder / "bonding" / "own.c").exists()


def test_what_a_collection_starts_of_another_stays(wanted, tmp_path):
    files = {
        f"{SELFTESTS}/verification/Makefile": "TEST_PROGS := verify.sh\ninclude ../lib.mk\n",
        f"{SELFTESTS}/verification/verify.sh": "#!/bin/sh\n../ftrace/ftracetest\n",
        f"{SELFTESTS}/ftrace/ftracetest": "",
    }
    commit = commit_tree(tmp_path / "git", files)
    kept = [build_selftests(wanted(commit, name)).root / SELFTESTS / "ftrace" for name in ("verification", "net/alone")]
    assert [folder.exists() for folder in kept] == [True, False]


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


def test_two_runs_use_the_same_at_once(wanted, tmp_path):
    asked = wanted(commit_tree(tmp_path / "git"), "net/send.sh")
    with contextlib.ExitStack() as one, contextlib.ExitStack() as other:
        first = build_selftests(asked, hold=one)
        waited: list[str] = []
        signal.alarm(20)  # it would wait for the first run's end
        assert build_selftests(asked, waited.append, hold=other) == first
        signal.alarm(0)
        assert not waited
        one.close()
        prune(0)
        assert first.root.is_dir()
    prune(0)
    assert not first.root.exists()


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


KILLED = "gcc: fatal error: Killed signal terminated program cc1"


def made_by(recipe: str) -> dict[str, str]:
    """A tree whose net/sender is made by this recipe."""
    return {f"{SELFTESTS}/net/Makefile": f"{NET_MAKEFILE}$(OUTPUT)/sender: sender.c\n\t{recipe}\n"}


@pytest.mark.parametrize("said", [KILLED, "ld: final link failed: No space left on device"])
def test_what_the_machine_could_not_make_is_nobodys_fault_and_not_remembered(wanted, tmp_path, said):
    asked = wanted(commit_tree(tmp_path / "git", made_by(f"echo '{said}' >&2; false")), "net/send.sh", "net/alone")
    with pytest.raises(MachineLost) as error:
        build_selftests(asked)
    assert "sender, alone of tools/testing/selftests/net could not be made" in error.value.summary
    assert said in error.value.detail
    assert not [path for path in (tmp_path / "cache" / "kselftest").iterdir() if path.is_dir()]


def test_a_compiler_that_was_killed_is_tried_again_alone(wanted, tmp_path):
    once = f"[ -e ../once ] || {{ touch ../once; echo half >$@; echo '{KILLED}' >&2; false; }} && $(CC) -o $@ $<"
    installed = build_selftests(wanted(commit_tree(tmp_path / "git", made_by(once)), "net/send.sh"))
    assert not installed.programs[0].unbuildable
    assert subprocess.run([folder_of(installed) / "sender"], check=False).returncode == 0  # no half of it


def test_a_compiler_that_crashes_again_cannot_build_the_program(wanted, tmp_path):
    crash = made_by("@echo 'sender.c:1:1: internal compiler error: in expand_expr'; false")
    installed = build_selftests(wanted(commit_tree(tmp_path / "git", crash), "net/send.sh"))
    assert "sender: sender.c:1:1: internal compiler error" in installed.programs[0].unbuildable
    assert installed.log.read_text().count("internal compiler error") == 2


def test_a_bpf_program_whose_compiler_was_killed_is_nobodys_fault_either(wanted, tmp_path):
    killed = FILES[f"{BPF}/Makefile"].replace("$(CC) -c -o $@ $<", f"echo '{KILLED}' >&2; false")
    asked = wanted(commit_tree(tmp_path / "git", {f"{BPF}/Makefile": killed}), "bpf/light")
    with pytest.raises(MachineLost, match="test_progs of tools/testing/selftests/bpf"):
        build_selftests(asked)


def test_a_make_that_ran_past_its_deadline_says_of_what(tmp_path):
    tree = write_tree(tmp_path / "tree", made_by("sleep 60"))
    (tmp_path / "vmlinux").touch()
    maker = Maker(tree, tmp_path / "vmlinux", tmp_path / "log", deadline=1.0)
    target = str(SOURCE / SELFTESTS / "net" / "sender")
    with pytest.raises(MachineLost) as error:
        maker.make(f"{SELFTESTS}/net", f"OUTPUT={SOURCE / SELFTESTS / 'net'}", target)
    assert error.value.summary == (
        "sender of tools/testing/selftests/net could not be made: make ran past its deadline of 1 s"
    )


@pytest.mark.parametrize("script", ["fails.sh", "both.sh"])
def test_what_could_not_be_built_is_tried_again_with_other_packages(wanted, tmp_path, monkeypatch, script):
    """A program that lacks one of several products is no better off than one that lacks its only one."""
    packages = tmp_path / "status"
    packages.write_text("Package: gcc\n")
    monkeypatch.setattr(build, "_PACKAGES", packages)
    both = {f"{SELFTESTS}/net/fails.sh": "#!/bin/sh\n./broken\n" + ("./sender\n" if script == "both.sh" else "")}
    commit = commit_tree(tmp_path / "git", both)

    def built(name: str) -> float:
        return build_selftests(wanted(commit, f"net/{name}")).root.stat().st_ctime

    before = built("fails.sh"), built("send.sh")
    assert (built("fails.sh"), built("send.sh")) == before
    packages.write_text("Package: gcc\n\nPackage: libcap-dev\n")
    again = built("fails.sh"), built("send.sh")
    assert again[0] > before[0]
    assert again[1] == before[1]
    assert built("fails.sh") == again[0]


def test_links_of_a_tree_are_kept_as_links(tmp_path):
    """What they lead to is the host's, and no source of the series."""
    outside = tmp_path / "outside.c"
    outside.write_text("secret\n")
    tests = tmp_path / "bpf" / "prog_tests"
    tests.mkdir(parents=True)
    (tmp_path / "bpf" / "progs").mkdir()
    (tests / "out.c").symlink_to(outside)
    (tests / "nowhere.c").symlink_to(tmp_path / "gone.c")
    with build_bpf._kept(tmp_path, tmp_path / "bpf") as restore:
        for file in tests.iterdir():
            file.unlink()
        restore()
    assert {file.name: file.readlink() for file in tests.iterdir()} == {
        "out.c": outside,
        "nowhere.c": tmp_path / "gone.c",
    }
