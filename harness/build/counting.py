"""Count objects: those a build has compiled, from make's own lines, and those it will have to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from harness.build.model import BuildProgress, Phase
from harness.kernel_make import SOURCE

__all__ = ["Counting", "objects_depending_on"]

COMPILED = re.compile(r"^  (?:CC|AS|HOSTCC|HOSTCXX|RUSTC)(?: \[M\])? +(?P<file>\S+)")
LINKING = re.compile(r"^  (?:LD|BTF|BTFIDS|NM|KSYMS|SORTTAB|MODPOST|OBJCOPY|GZIP) +(?P<file>\S*vmlinux\S*)")


class Counting:
    """Follows make's lines (`  CC      net/core/filter.o`) and reports each step."""

    def __init__(self, total: int | None, report: Callable[[BuildProgress], None]) -> None:
        self.compiled = 0
        self._total = total
        self._report = report

    def line(self, text: str) -> None:
        """Take one line of make's output."""
        if match := COMPILED.match(text):
            # kallsyms' assembly and the kernel's version are made while linking, and are nobody's change.
            if "vmlinux" not in match["file"]:
                self.compiled += 1
            self._say(Phase.COMPILING, match["file"])
        elif match := LINKING.match(text):
            self._say(Phase.LINKING, match["file"])

    def _say(self, phase: Phase, file: str) -> None:
        total = None if self._total is None else max(self._total, self.compiled)
        self._report(BuildProgress(phase, self.compiled, total, file))


def objects_depending_on(changed: Iterable[str], objects: Path) -> int:
    """How many objects of a built folder were made from one of these files (relative to the tree).

    Reads Kbuild's `.foo.o.cmd` files, which list every file that foo.o was made from.
    """
    names = [re.escape(f"{SOURCE}/{name}".encode()) for name in changed]
    if not names:
        return 0
    depends = re.compile(rb"(?:" + b"|".join(names) + rb")(?=\s)")
    return sum(1 for path in objects.rglob(".*.o.cmd") if depends.search(path.read_bytes()))
