"""The kernel's own `make`, always started in the same way: confined, out of tree, with the same paths and variables.

What the compiler can do decides Kconfig symbols (CC_HAS_*), and paths and dates end up in objects. Configuring and
building therefore share this one invocation, so that a configuration means what the build makes of it and equal inputs
give equal kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.command import Command, Jail

__all__ = ["CCACHE", "OBJECTS", "SOURCE", "build_environment", "compiler", "kernel_make"]

SOURCE = Path("/ktrial/src")
OBJECTS = Path("/ktrial/obj")
CCACHE = Path("/ktrial/ccache")


def kernel_make(
    source: Path,
    objects: Path,
    targets: Sequence[str],
    *,
    llvm: bool = False,
    jobs: int | None = None,
    ccache: Path | None = None,
    ccache_read_only: bool = False,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    deadline: float | None = None,
    keep_going: bool = False,
) -> Command:
    """The command that makes `targets` of the kernel in `source`, leaving everything it writes in `objects`.

    source: read-only in the jail, at SOURCE. objects: an existing folder, writable, at OBJECTS (the working directory).
    llvm: `LLVM=1` in place of gcc and binutils. jobs: make's -j; None for one at a time.
    ccache: an existing folder for ccache, which must be installed; only target objects go through it, not host tools.
    ccache_read_only: take objects from it and leave none: what a stranger's Makefiles could have written must never be
    taken for another kernel's object.
    env: variables on top of `build_environment` (KCONFIG_ALLCONFIG). deadline: seconds. keep_going: make's -k.
    """
    objects_of = [(ccache, CCACHE)] if ccache else []
    readable = [(source, SOURCE), *(objects_of if ccache_read_only else [])]
    writable = [(objects, OBJECTS), *([] if ccache_read_only else objects_of)]
    reading = {"CCACHE_READONLY": "1", "CCACHE_TEMPDIR": "/tmp"} if ccache and ccache_read_only else {}
    return Command(
        argv=("make", *_flags(llvm, jobs, ccache is not None, keep_going), *targets),
        cwd=OBJECTS,
        env={**build_environment(ccache is not None), **reading, **(env or {})},
        deadline=deadline,
        log=log,
        jail=Jail(read_only=tuple(readable), read_write=tuple(writable)),
    )


def build_environment(ccache: bool = False) -> dict[str, str]:
    """What make and everything below it sees: who builds, and when, is fixed, or no two kernels would be the same.

    The variables are those of the kernel's Documentation/kbuild/reproducible-builds.rst.
    """
    fixed = {
        "KBUILD_BUILD_TIMESTAMP": "@0",
        "KBUILD_BUILD_USER": "ktrial",
        "KBUILD_BUILD_HOST": "ktrial",
        "KBUILD_BUILD_VERSION": "1",
    }
    return fixed | ({"CCACHE_DIR": str(CCACHE)} if ccache else {})


def compiler(llvm: bool, ccache: bool) -> str:
    """make's CC, as it is given on the command line."""
    name = "clang" if llvm else "gcc"
    return f"ccache {name}" if ccache else name


def _flags(llvm: bool, jobs: int | None, ccache: bool, keep_going: bool) -> list[str]:
    flags = ["-C", str(SOURCE), f"O={OBJECTS}", f"CC={compiler(llvm, ccache)}"]
    if llvm:
        flags.append("LLVM=1")
    if jobs is not None:
        flags.append(f"-j{jobs}")
    if keep_going:
        flags.append("-k")
    return flags
