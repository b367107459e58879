"""Write down how to see a regression again: with ktrial in one command, and by hand with git, make and virtme-ng."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

__all__ = ["Reproduction", "commands", "script"]


@dataclass(frozen=True)
class Reproduction:
    """All that it takes to see one failure again.

    test: the test's name, `suite/file.py::name[id]`; "" where the kernel fails outside of tests (it does not boot).
    series: the patches as one mbox. tree: as `--tree` takes it. repository: the git repository behind it.
    config: the patched kernel's whole .config. base_image: None without a base.
    selftests: plans of built selftests, of base and patched (harness/kselftest/guests.py); None where none were run.
    suites_root: the folder that tests are named from. env, kernel_args, qemu_args, cpus, memory_mib: of the guest.
    fuzz_minutes, fuzz_seed: as `--fuzz` and `--fuzz-seed` take them, 0 minutes for no fuzzing.
    allow_splats: the run's own copies of its allow-lists.
    """

    test: str
    series: Path
    tree: str
    repository: Path
    base_commit: str
    config: Path
    patched_image: Path
    suites_root: Path
    base_image: Path | None = None
    suites: tuple[str, ...] = ()
    fragments: tuple[str, ...] = ()
    config_base: str = ""
    llvm: bool = False
    accelerator: str = "tcg"
    python: str = "python3"
    env: Mapping[str, str] = field(default_factory=dict)
    kernel_args: tuple[str, ...] = ()
    qemu_args: tuple[str, ...] = ()
    cpus: int = 1
    memory_mib: int = 1024
    fuzz_minutes: float = 0.0
    fuzz_seed: int = 0
    selftests: tuple[Path, Path] | None = None
    allow_splats: tuple[Path, ...] = ()


def commands(reproduction: Reproduction) -> str:
    """The short way, for a report: the test on both kernels that were built, then the whole trial of it."""
    return "\n".join((*_test_commands(reproduction), "# the whole trial, of this alone", _run_command(reproduction)))


def script(reproduction: Reproduction) -> str:
    """A shell script for the run's folder; its first argument chooses the way."""
    what = reproduction.test or "the kernel's boot"
    return "\n".join(
        (
            "#!/bin/sh",
            f"# Reproduces: {''.join(char if char.isprintable() else '?' for char in what)}",
            "# Usage: sh reproduce.sh [test|run|hand]",
            "#   test   on the kernels that were built (the default)",
            "#   run    the whole trial again, of this alone",
            "#   hand   without ktrial: git am, make, virtme-ng and pytest",
            'case "${1:-test}" in',
            "test)",
            *_indented(_test_commands(reproduction)),
            "    ;;",
            "run)",
            *_indented([_run_command(reproduction)]),
            "    ;;",
            "hand)",
            *_indented(_by_hand(reproduction)),
            "    ;;",
            "*)",
            '    echo "usage: $0 [test|run|hand]" >&2',
            "    exit 2",
            "    ;;",
            "esac",
            "",
        )
    )


def _test_commands(reproduction: Reproduction) -> list[str]:
    """The test on each kernel, below a comment that says which: their images' names do not."""
    images = (("base", reproduction.base_image), ("patched", reproduction.patched_image))
    plans = reproduction.selftests or (None, None)
    return [
        line
        for (side, image), plan in zip(images, plans, strict=True)
        if image
        for line in (
            f"# on {side}",
            shlex.join(("ktrial", "test", str(image), *_selection(_alone(reproduction)), *_selftests(plan))),
        )
    ]


def _alone(reproduction: Reproduction) -> Reproduction:
    """With the test's own suite only, whose folder its name begins with: the guest boots without the others' cards."""
    own = reproduction.test.partition("/")[0]
    suites = tuple(suite for suite in reproduction.suites if suite.partition(":")[0] == own)
    return replace(reproduction, suites=suites or reproduction.suites)


def _selftests(plan: Path | None) -> tuple[str, ...]:
    return ("--selftests", str(plan)) if plan else ()


def _run_command(reproduction: Reproduction) -> str:
    argv = ["ktrial", "run", str(reproduction.series), "--tree", reproduction.tree, "--base", reproduction.base_commit]
    for fragment in reproduction.fragments:
        argv += ["--config", fragment]
    argv += ["--config-base", reproduction.config_base] if reproduction.config_base else []
    return shlex.join((*argv, *_selection(reproduction)))


def _selection(reproduction: Reproduction) -> list[str]:
    """Options that choose the suite, the test and the accelerator."""
    argv = ["--accel", reproduction.accelerator]
    for suite in reproduction.suites:
        argv += ["--suite", suite]
    if reproduction.fuzz_minutes:
        argv += ["--fuzz", f"{reproduction.fuzz_minutes:g}", "--fuzz-seed", str(reproduction.fuzz_seed)]
    argv += [word for path in reproduction.allow_splats for word in ("--allow-splats", str(path))]
    return [*argv, "--test", reproduction.test] if reproduction.test else argv


def _by_hand(reproduction: Reproduction) -> list[str]:
    # Not below /tmp: the guest has its own there, and would not see the script.
    repository, base = shlex.quote(str(reproduction.repository)), shlex.quote(reproduction.base_commit)
    make = f'make -C "$work/linux" O="$work/obj"{" LLVM=1" if reproduction.llvm else ""}'
    return [
        "set -eu",
        'cache=${XDG_CACHE_HOME:-$HOME/.cache}; mkdir -p "$cache"',
        'work=$(mktemp -d "$cache/ktrial-by-hand.XXXXXX")',
        f'git -C {repository} worktree add --detach "$work/linux" {base}',
        f'git -C "$work/linux" am --3way {shlex.quote(str(reproduction.series))}',
        f'mkdir "$work/obj"; cp {shlex.quote(str(reproduction.config))} "$work/obj/.config"',
        f"{make} olddefconfig",
        f'{make} -j"$(nproc)" bzImage',
        f"printf '%s\\n' {shlex.join(_guest_script(reproduction))} >\"$work/guest.sh\"",
        'chmod +x "$work/guest.sh"',
        f"{_vng(reproduction)} </dev/null 2>&1 | cat",
        f'echo "to clean up: git -C {repository} worktree remove --force $work/linux; rm -r $work"',
    ]


def _guest_script(reproduction: Reproduction) -> Sequence[str]:
    """The lines of the script that runs in the guest."""
    lines = ["#!/bin/sh", "ip link set lo up", "mount -t bpf bpf /sys/fs/bpf"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(reproduction.env.items())]
    if not reproduction.test:
        return (*lines, "uname -a")
    root = reproduction.suites_root
    pytest = (reproduction.python, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(root))
    return (*lines, f"cd {shlex.quote(str(root))}", shlex.join(("exec", *pytest, reproduction.test)))


def _vng(reproduction: Reproduction) -> str:
    argv = ["--force-9p", "--disable-microvm", *([] if reproduction.accelerator == "kvm" else ["--disable-kvm"])]
    argv += ["--cpus", str(reproduction.cpus), "--memory", f"{reproduction.memory_mib}M"]
    for argument in ("nokaslr", *reproduction.kernel_args):
        argv += ["--append", argument]
    argv += [f"--qemu-opts={shlex.join(reproduction.qemu_args)}"] if reproduction.qemu_args else []
    return f'vng --run "$work/obj/arch/x86/boot/bzImage" {shlex.join(argv)} --verbose --exec "$work/guest.sh"'


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]
