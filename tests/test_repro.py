"""What is written down to reproduce a failure is valid shell, says what was run, and cannot be broken out of."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.repro import Reproduction, commands, script

ONE = Reproduction(
    test="xdp_multibuf/test_adjust_tail.py::test_grow[frame=9000,by=1]",
    series=Path("/runs/r 1/series.mbox"),
    tree="debian:6.12",
    repository=Path("/cache/trees/linux.git"),
    base_commit="0123456789abcdef0123456789abcdef01234567",
    config=Path("/runs/r 1/patched.config"),
    patched_image=Path("/cache/builds/p/bzImage"),
    base_image=Path("/cache/builds/b/bzImage"),
    suites_root=Path("/usr/share/ktrial/suites"),
    suites=("xdp_multibuf",),
    fragments=("boot", "xdp"),
    env={"KTRIAL_BPF_DIR": "/cache/bpf it"},
)
HOSTILE = "s/t.py::test[$(touch pwned)`touch pwned`'\"; touch pwned\nEOF\ntouch pwned\n#]"


def shell(text, *arguments, cwd, path):
    return subprocess.run(
        ["/bin/sh", "-c", text, "reproduce.sh", *arguments],
        cwd=cwd,
        env={"PATH": f"{path}:/usr/bin:/bin", "HOME": str(cwd)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.fixture
def recorded(tmp_path):
    """Programs that write down how they were called instead of doing it (they would take an hour)."""
    programs = tmp_path / "bin"
    programs.mkdir()
    calls = tmp_path / "calls"
    for name in ("ktrial", "git", "make", "vng"):
        (programs / name).write_text(f'#!/bin/sh\nfor a in {name} "$@"; do printf "%s\\0" "$a"; done >>{calls}\n')
        with (programs / name).open("a") as file:
            file.write(f'printf "\\n\\0" >>{calls}\n')
        (programs / name).chmod(0o755)

    def run(text, *arguments):
        calls.write_text("")
        done = shell(text, *arguments, cwd=tmp_path, path=programs)
        words = calls.read_text().split("\0")
        called, argv = [], []
        for word in words[:-1]:
            if word == "\n":
                called.append(argv)
                argv = []
            else:
                argv.append(word)
        return done, called

    return run


def test_the_test_runs_on_both_kernels_base_first(recorded):
    done, called = recorded(script(ONE))
    assert done.returncode == 0, done.stderr
    assert [argv[:3] for argv in called] == [
        ["ktrial", "test", "/cache/builds/b/bzImage"],
        ["ktrial", "test", "/cache/builds/p/bzImage"],
    ]
    assert called[0][3:] == [
        "--accel", "tcg", "--suite", "xdp_multibuf", "--test", ONE.test,
    ]  # fmt: skip


def test_a_test_alone_needs_no_suite_but_its_own(recorded):
    several = replace(ONE, suites=("drivers", "xdp_multibuf", "kselftest:bpf"))
    _, called = recorded(script(several))
    assert [argv[argv.index("--suite") :] for argv in called] == [["--suite", "xdp_multibuf", "--test", ONE.test]] * 2
    _, called = recorded(script(replace(several, test="kselftest/test_kselftest.py::test[bpf:x]")))
    assert {argv[argv.index("--suite") + 1] for argv in called} == {"kselftest:bpf"}
    _, (argv,) = recorded(script(several), "run")
    assert argv.count("--suite") == 3, "the same suites make the same configuration"


def test_the_trial_is_run_again_with_the_same_inputs(recorded):
    _, (argv,) = recorded(script(ONE), "run")
    assert argv[:9] == [
        "ktrial", "run", "/runs/r 1/series.mbox", "--tree", "debian:6.12", "--base", ONE.base_commit, "--config",
        "boot",
    ]  # fmt: skip


def test_by_hand_it_applies_builds_and_boots_the_same(recorded, tmp_path):
    (tmp_path / "c").write_text("CONFIG_X=y\n")
    done, called = recorded(script(replace(ONE, config=tmp_path / "c", llvm=True)), "hand")
    assert done.returncode == 0, done.stderr
    assert [argv[0] for argv in called] == ["git", "git", "make", "make", "vng"]
    assert called[1][-2:] == ["--3way", "/runs/r 1/series.mbox"]
    assert "LLVM=1" in called[3]
    (work,) = (tmp_path / ".cache").iterdir()
    assert (work / "obj" / ".config").read_text() == "CONFIG_X=y\n"
    guest = (work / "guest.sh").read_text().splitlines()
    assert "export KTRIAL_BPF_DIR='/cache/bpf it'" in guest
    assert shlex.split(guest[-1])[-1] == ONE.test
    assert called[4][-1] == str(work / "guest.sh")


@pytest.mark.parametrize("way", ["test", "run", "hand"])
def test_no_name_of_a_test_or_file_runs_as_a_command(recorded, tmp_path, way):
    (tmp_path / "c").write_text("")
    hostile = replace(ONE, test=HOSTILE, series=Path("/x/$(touch pwned)"), tree="`touch pwned`", config=tmp_path / "c")
    done, called = recorded(script(hostile), way)
    assert done.returncode == 0, done.stderr
    assert called
    assert not list(tmp_path.rglob("pwned"))


def test_the_guests_script_passes_a_hostile_name_on_unharmed(recorded, tmp_path):
    (tmp_path / "c").write_text("")
    recorded(script(replace(ONE, test=HOSTILE, config=tmp_path / "c")), "hand")
    (guest,) = tmp_path.rglob("guest.sh")
    assert shlex.split(guest.read_text().partition("exec ")[2])[-1] == HOSTILE


def test_a_kernel_that_does_not_boot_needs_no_test(recorded, tmp_path):
    (tmp_path / "c").write_text("")
    nothing = replace(ONE, test="", config=tmp_path / "c", base_image=None)
    _, called = recorded(script(nothing))
    assert [argv[:3] for argv in called] == [["ktrial", "test", "/cache/builds/p/bzImage"]]
    assert "--test" not in called[0]
    recorded(script(nothing), "hand")
    (guest,) = tmp_path.rglob("guest.sh")
    assert "pytest" not in guest.read_text()


def test_an_unknown_way_is_bad_usage(recorded):
    done, called = recorded(script(ONE), "magic")
    assert (done.returncode, called) == (2, [])


def test_the_short_form_is_the_same_commands():
    lines = commands(ONE).splitlines()
    assert lines[::2] == ["# on base", "# on patched", "# the whole trial, of this alone"]
    assert len(lines) == 6
    assert all(f"    {line}\n" in script(ONE) for line in lines[1::2])
