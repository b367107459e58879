"""What a kernel selftest is to us: a program of a collection, with what it is made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["SELFTESTS", "Installed", "Plan", "Program"]

SELFTESTS = "tools/testing/selftests"


@dataclass(frozen=True)
class Program:
    """One program of a collection: one item of the suite.

    collection: its folder below tools/testing/selftests (`bpf`, `drivers/net`). name: within it; a test of
    bpf/test_progs is a program of its own, `test_progs/xdp_adjust_tail`. argv: from the collection's folder.
    timeout: seconds where KVM works. sources: the files of the kernel's tree that are this test and no other's.
    targets: what make is asked for. shared: products of other collections that
    it needs, named from selftests/. card: the kind of emulated network
    card that it runs on, where it does not make its own device; its name then ends with `@` and the card.
    why: what picked it. unbuildable: why it could not be built, or "".
    """

    collection: str
    name: str
    argv: tuple[str, ...]
    timeout: float
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    card: str = ""
    why: str = ""
    unbuildable: str = ""

    @property
    def id(self) -> str:
        """As the kernel's own kselftest-list.txt has it: `net:udpgso.sh`."""
        return f"{self.collection}:{self.name}"


@dataclass(frozen=True)
class Installed:
    """Selftests that were built. root: the tree's folder that holds tools/testing/selftests. log: make's output.

    packages: what stands for the packages of the machine where something could not be built, else "".
    """

    root: Path
    programs: tuple[Program, ...]
    log: Path
    packages: str = ""


@dataclass(frozen=True)
class Plan:
    """What one guest runs: written for suites/kselftest. denied: (program, reason) pairs, skipped with the reason."""

    root: Path
    programs: tuple[Program, ...]
    denied: tuple[tuple[str, str], ...] = ()
