"""Take out of a commit the files that selftests are built from, and say what they are by git's own ids."""

from __future__ import annotations

import os
from pathlib import Path

from harness.command import Command, run
from harness.tree.git import git

__all__ = ["export", "file_of", "same_sources", "source_ids"]

# tools/ holds the tests, libbpf and bpftool; the rest is what their Makefiles and `make headers` read.
_PATHS = (
    "Makefile",
    "Kbuild",
    "Kconfig",
    "tools",
    "scripts",
    "usr",
    "kernel/bpf",
    "include/uapi",
    "include/asm-generic",
    "arch/{arch}/Makefile",
    "arch/{arch}/Kbuild",
    "arch/{arch}/include",
    "arch/{arch}/entry/syscalls",
    "arch/{arch}/tools",
    "Documentation/netlink",
    # Headers and sources that collections take from where the kernel has them: mm, iommu, dma, vfio, vDSO, exec.
    "mm/gup_test.h",
    "lib/test_hmm_uapi.h",
    "drivers/iommu/iommufd/iommufd_test.h",
    "include/linux/map_benchmark.h",
    "drivers/dma/idxd/registers.h",
    "drivers/dma/ioat/hw.h",
    "drivers/dma/ioat/registers.h",
    "arch/{arch}/entry/vdso/vgetrandom-chacha.S",
    "arch/{arch}/entry/vdso/vdso64/vgetrandom-chacha.S",
    "arch/{arch}/kernel/vdso/vgetrandom-chacha.S",
    "samples/check-exec",
)
# What libbpf, bpftool and resolve_btfids are made from.
TOOLING = (
    "tools/lib",
    "tools/bpf",
    "tools/build",
    "tools/include",
    "tools/scripts",
    "tools/arch",
    "scripts",
    "kernel/bpf/disasm.c",
    "kernel/bpf/disasm.h",
)
_DEADLINE = 300.0


def source_ids(repository: Path, commit: str, paths: tuple[str, ...] = ()) -> tuple[str, ...]:
    """`<object id> <path>` of everything that selftests are built from, as far as this kernel has it."""
    wanted = paths or _paths()
    done = git(repository, "ls-tree", "--format=%(objectname) %(path)", commit, "--", *wanted)
    return tuple(sorted(done.text.splitlines()))


def same_sources(repository: Path, *commits: str) -> bool:
    """Whether selftests are made from the same at each commit."""
    return len({source_ids(repository, commit) for commit in commits}) == 1


def export(repository: Path, commit: str, folder: Path) -> Path:
    """Put those files into `folder`/tree, with the commit's time stamp."""
    tree = folder / "tree"
    tree.mkdir(parents=True)
    archive = folder / "tree.tar"
    paths = [line.partition(" ")[2] for line in source_ids(repository, commit)]
    git(repository, "archive", "--format=tar", f"--output={archive}", commit, "--", *paths)
    run(Command(("tar", "-xf", str(archive), "-C", str(tree)), deadline=_DEADLINE))
    archive.unlink()
    return tree


def file_of(repository: Path, commit: str, path: str) -> str | None:
    """A file's text, or None where the commit has no such file."""
    done = git(repository, "show", f"{commit}:{path}", check=False)
    return done.output.decode("utf-8", "replace") if done.ok else None


def _paths() -> tuple[str, ...]:
    machine = os.uname().machine
    arch = {"x86_64": "x86", "aarch64": "arm64"}.get(machine, machine)
    return tuple(path.format(arch=arch) for path in _PATHS)
