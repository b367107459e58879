"""What a toolchain, a compiler diagnostic and a built kernel are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = ["BuildProgress", "Diagnostic", "Identity", "Kernel", "Phase", "Toolchain"]


@dataclass(frozen=True)
class Toolchain:
    """The programs that build a kernel. llvm: `make LLVM=1`. versions: first line of each program's --version.

    digest: SHA-256 over what can change the result, hex.
    """

    llvm: bool
    compiler: str
    linker: str
    pahole: str
    ccache: bool
    digest: str


@dataclass(frozen=True)
class Diagnostic:
    """One compiler, linker, objtool or modpost message, normalised: no line number, no build path.

    severity: `warning` or `error`. flag: `-Wunused-variable`, or "". line: 1-based as printed, for people only.
    """

    severity: str
    file: str
    message: str
    flag: str
    line: int
    text: str


@dataclass(frozen=True)
class Kernel:
    """A kernel that was built. directory holds bzImage, vmlinux, System.map, .config and modules/.

    key: what it was built from, hex: same key, same kernel. side: `base` or `patched`.
    compiled: objects that this build compiled. seconds: wall time of the build (0.0 where it was found ready).
    reused: found ready in the cache. log: make's whole output.
    code_digest: SHA-256 over the sections that can change what the kernel does, hex.
    whole: False where make started from another kernel's objects; its diagnostics are then those of what changed.
    lender: the key of that other kernel; "" of a whole one, and where nobody has recorded it.
    """

    side: str
    version: str
    tree_id: str
    config_digest: str
    key: str
    directory: Path
    diagnostics: tuple[Diagnostic, ...]
    compiled: int
    seconds: float
    reused: bool
    log: Path
    code_digest: str
    whole: bool = True
    lender: str = ""

    @property
    def image(self) -> Path:
        """The bzImage, as virtme-ng boots it."""
        return self.directory / "bzImage"

    @property
    def vmlinux(self) -> Path:
        return self.directory / "vmlinux"


class Phase(StrEnum):
    """What a build is doing, in order. WAITING: another run is building the same kernel."""

    WAITING = "waiting"
    COPYING = "copying"
    CONFIGURING = "configuring"
    COMPILING = "compiling"
    LINKING = "linking"
    COLLECTING = "collecting"
    READY = "ready"


@dataclass(frozen=True)
class BuildProgress:
    """How far a build is. compiled: objects so far. total: objects expected, None where nobody knows.

    total is what the dependency files or an earlier build of the same configuration say; it is never below compiled.
    current: the file being made, or a sentence for a phase without files.
    """

    phase: Phase
    compiled: int
    total: int | None
    current: str


@dataclass(frozen=True)
class Identity:
    """Whether two kernels' loaded code and data are the same bytes.

    differing: sections of vmlinux (`.text`) and of modules (`kernel/net/foo.ko:.data`) that are not, sorted.
    """

    same: bool
    differing: tuple[str, ...]
