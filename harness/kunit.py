"""KUnit: which of the kernel's unit tests lie where a series works, and the configuration that builds them in.

A test that is built in runs while the kernel boots and prints KTAP to its log, where suites/kunit reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.kconfig.model import Fragment, Setting
from harness.tree.git import git

__all__ = ["KUNIT", "KunitTest", "find_kunit_tests", "kunit_fragment"]

KUNIT = "kunit"
"""The suite that reads the results."""

# include/kunit/test.h: the macros that declare a file's suites.
_DECLARES = r"^kunit_test_(init_section_)?suites?\("
_OUTSIDE = ("tools/", "Documentation/", "samples/", "scripts/")
_BESIDE = ("", "test/", "tests/", "kunit/")
_OBJECT = r"^obj-\$\(CONFIG_(\w+)\)\s*[:+]?=.*\b{stem}\.o\b"
_PART = r"^([\w-]+)-(?:y|objs|\$\(CONFIG_\w+\))\s*[:+]?=.*\b{stem}\.o\b"


@dataclass(frozen=True)
class KunitTest:
    """A file of KUnit tests. source: from the tree's root. symbol: what builds it, without CONFIG_. why: a clause."""

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
            symbol = _symbol(repository, commit, source)
            if symbol:
                found.setdefault(source, KunitTest(source, symbol, f"touches {path}"))
    return tuple(found.values())


def kunit_fragment(tests: Iterable[KunitTest]) -> Fragment:
    """Builds the tests in; each may be absent, since what it tests may be."""
    symbols = {test.symbol: test for test in tests}
    settings = [
        Setting("KUNIT", "y", 1, True, "the framework of the unit tests"),
        Setting("LOG_BUF_SHIFT", "21", 2, True, "the kernel's log is to hold all that unit tests print at boot"),
    ]
    for number, (symbol, test) in enumerate(symbols.items(), len(settings) + 1):
        settings.append(Setting(symbol, "y", number, True, f"builds {test.source}: {test.why}"))
    return Fragment("kunit", Path("kunit"), tuple(settings))


def _sources(repository: Path, commit: str, folder: str) -> list[str]:
    patterns = [f":(glob){folder}/{beside}*.c" for beside in _BESIDE]
    done = git(repository, "grep", "-l", "-E", _DECLARES, commit, "--", *patterns, check=False)
    return [line.partition(":")[2] for line in done.text.splitlines()]


def _symbol(repository: Path, commit: str, source: str) -> str:
    """The symbol that compiles a file, by the Makefile beside it; "" where it is always or never compiled."""
    path = PurePosixPath(source)
    makefile = git(repository, "show", f"{commit}:{path.parent}/Makefile", check=False)
    text = makefile.text.replace("\\\n", " ") if makefile.ok else ""
    for stem in (path.stem, *re.findall(_PART.format(stem=re.escape(path.stem)), text, re.MULTILINE)):
        if match := re.search(_OBJECT.format(stem=re.escape(stem)), text, re.MULTILINE):
            return match[1]
    return ""
