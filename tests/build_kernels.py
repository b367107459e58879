"""Small kernels for the tests of building: a source tree that changes, and a run that builds it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.build import BuildProgress, Kernel, Toolchain, build_kernel
from harness.kconfig.model import ResolvedConfig
from harness.tree.model import Source

TREE = Path(__file__).parent / "data" / "build" / "kernel"
OLD = 1_500_000_000
TOOLCHAIN = Toolchain(llvm=False, compiler="gcc", linker="ld", pahole="", ccache=False, digest="t")


def make_source(folder: Path, changes: Mapping[str, str] | None = None) -> Source:
    """The small kernel with some files replaced (or removed, where the text is empty), time stamps as git trees get."""
    shutil.copytree(TREE, folder)
    for path in folder.rglob("*"):
        os.utime(path, (OLD, OLD))
    for name, text in (changes or {}).items():
        (folder / name).unlink(missing_ok=True)
        if text:
            (folder / name).write_text(text)
    content = "".join(f"{p.relative_to(folder)}{p.read_text()}" for p in sorted(folder.rglob("*")) if p.is_file())
    return Source(folder, hashlib.sha1(content.encode()).hexdigest())


def make_config(text: str = "CONFIG_NET=y\n") -> ResolvedConfig:
    return ResolvedConfig(text=text, digest=hashlib.sha256(text.encode()).hexdigest(), fragments=())


@dataclass
class Run:
    """A run's folder, and what its builds reported."""

    folder: Path
    seen: list[BuildProgress] = field(default_factory=list)

    def build(self, side: str, source: Source, base: Kernel | None = None, **more: Any) -> Kernel:
        arguments: dict[str, Any] = {"config": make_config(), "jobs": 2, "deadline": 60, **more}
        return build_kernel(
            side=side,
            source=source,
            toolchain=TOOLCHAIN,
            work=self.folder / side,
            version="0.1",
            start_from=base,
            progress=self.seen.append,
            **arguments,
        )

    @property
    def phases(self) -> list[str]:
        """Each phase once, in order."""
        return list(dict.fromkeys(progress.phase.value for progress in self.seen))


def edited(name: str, old: str, new: str) -> dict[str, str]:
    """A change of one file of the small kernel."""
    text = (TREE / name).read_text()
    assert old in text
    return {name: text.replace(old, new)}
