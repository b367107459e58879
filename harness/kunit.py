"""KUnit: which of the kernel's unit tests lie where a series works, and the configuration that builds them in.

A test that is built in runs while the kernel boots and prints KTAP to its log, where suites/kunit reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.kconfig.model import Fragment, Setting
from harness.kunit_symbol import DECLARES, symbol_of
from harness.listing import some_of
from harness.tree.git import git

__all__ = ["KUNIT", "KunitTest", "find_kunit_tests", "kunit_fragment", "not_built"]

KUNIT = "kunit"
"""The suite that reads the results."""

_OUTSIDE = ("tools/", "Documentation/", "samples/", "scripts/")
_NAMED = 4  # files, in a clause
_BESIDE = ("", "test/", "tests/", "kunit/")


@dataclass(frozen=True)
class KunitTest:
    """A file of KUnit tests. source: from the tree's root. why: a clause.

    symbol: what builds it in, without CONFIG_; "" where that could not be found.
    """

    source: str
    symbol: str
    why: str


def find_kunit_tests(repository: Path, commit: str, changed: Iterable[str]) -> tuple[KunitTest, ...]:
    """The KUnit tests in the folders of touched files, and in folders of tests beside them."""
    found: dict[str, KunitTest] = {}
    for path in sorted(changed):
        folder = str(PurePosixPath(path).parent)
        if path.startswith(_OUTSIDE) or folder == ".":
            continue
        for source in _sources(repository, commit, folder):
            if source not in found:
                found[source] = KunitTest(source, symbol_of(repository, commit, source), f"touches {path}")
    return tuple(found.values())


def kunit_fragment(tests: Iterable[KunitTest]) -> Fragment:
    """Builds the tests in; each may be absent, since what it tests may be."""
    symbols = {test.symbol: test for test in tests if test.symbol not in ("", "KUNIT")}
    settings = [
        Setting("KUNIT", "y", 1, True, "the framework of the unit tests"),
        Setting("KUNIT_DEFAULT_ENABLED", "y", 2, True, "without it every unit test stays where it is: kunit: disabled"),
        Setting("LOG_BUF_SHIFT", "21", 3, True, "the kernel's log is to hold all that unit tests print at boot"),
    ]
    for number, (symbol, test) in enumerate(symbols.items(), len(settings) + 1):
        settings.append(Setting(symbol, "y", number, True, f"builds {test.source}: {test.why}"))
    return Fragment("kunit", Path("kunit"), tuple(settings))


def not_built(tests: Iterable[KunitTest]) -> str:
    """A clause on the tests of which nobody knows what would build them in; "" where there are none."""
    sources = [test.source for test in tests if not test.symbol]
    return f"unit tests that cannot be built in here: {some_of(sources, _NAMED)}" if sources else ""


def _sources(repository: Path, commit: str, folder: str) -> list[str]:
    patterns = [f":(glob){folder}/{beside}*.c" for beside in _BESIDE]
    done = git(repository, "grep", "-l", "-E", DECLARES, commit, "--", *patterns, check=False)
    return [line.partition(":")[2] for line in done.text.splitlines()]
