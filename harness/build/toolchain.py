"""Find the programs that build a kernel, where the build's jail will see them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from harness.build.model import Toolchain
from harness.command import Command, run
from harness.errors import ToolchainError

__all__ = ["find_toolchain"]

JAIL_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
GELF_HEADERS = (Path("/usr/include/gelf.h"), Path("/usr/include/libelf/gelf.h"))

# Program: the Debian package that has it.
EITHER = {"make": "make", "flex": "flex", "bison": "bison", "bc": "bc", "bwrap": "bubblewrap", "pahole": "dwarves"}
GNU = {"gcc": "gcc", "ld": "binutils"}
LLVM = {"clang": "clang", "ld.lld": "lld", "llvm-ar": "llvm", "llvm-objcopy": "llvm"}


def find_toolchain(llvm: bool = False) -> Toolchain:
    """The compiler, linker and pahole of this machine. Raises ToolchainError naming all that is missing at once."""
    compiler, linker = ("clang", "ld.lld") if llvm else ("gcc", "ld")
    # Host programs (objtool, fixdep) are built with gcc unless LLVM=1.
    _require({**EITHER, **(LLVM if llvm else GNU)})
    versions = [_version(program) for program in (compiler, linker, "pahole")]
    # The assembler comes with the linker's package, and what it makes of .S files counts as well.
    seen = [*versions, "" if llvm else _version("as"), "llvm" if llvm else "gnu"]
    return Toolchain(
        llvm=llvm,
        compiler=versions[0],
        linker=versions[1],
        pahole=versions[2],
        ccache=shutil.which("ccache", path=JAIL_PATH) is not None,
        digest=hashlib.sha256("\n".join(seen).encode()).hexdigest(),
    )


def _require(programs: dict[str, str]) -> None:
    missing = {program: package for program, package in programs.items() if not shutil.which(program, path=JAIL_PATH)}
    if not any(header.exists() for header in GELF_HEADERS):
        missing["gelf.h"] = "libelf-dev"
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise ToolchainError(
            f"a kernel cannot be built here: {', '.join(missing)} not found",
            detail=f"looked for programs in {JAIL_PATH}: a build sees nothing else of this machine",
            hint=f"apt-get install {packages}",
        )


def _version(program: str) -> str:
    """The first line of `program --version`."""
    path = shutil.which(program, path=JAIL_PATH)
    completed = run(Command((path or program, "--version"), deadline=20))
    return completed.text.partition("\n")[0].strip()
