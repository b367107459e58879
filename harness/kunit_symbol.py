"""Which symbol builds a file of unit tests in: by its own #if, by the file that includes it, or by a Makefile.

A test may be a file of its own (`obj-$(CONFIG_X) += x_test.o`), a part of another object (`x-${CONFIG_X_TEST} +=
tests/x.o`, in the Makefile of its folder or the one above), C text that a driver includes, or lines of that driver.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from harness.kselftest.export import file_of
from harness.tree.git import git

__all__ = ["DECLARES", "symbol_of"]

# include/kunit/test.h: the macros that declare a file's suites.
DECLARES = r"^kunit_test_(init_section_)?suites?\("

_ALWAYS = "KUNIT"  # what is always compiled needs the framework and nothing else
_CONDITION = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif|else|endif)\b(.*)$")
_CONFIG = re.compile(r"\bCONFIG_(\w+?)(?:_MODULE)?\b")
_NAMED_TEST = re.compile(r"TEST|KUNIT")
_LISTED = r"[ \t]*[:+]?=(?:.*[ \t])?{path}\.o(?![\w.-])"
_OBJECT = r"^obj-(?:([ym])|\$[({{]CONFIG_(\w+)[)}}])" + _LISTED
_PART = r"^(?!obj-)([\w-]+?)-(?:y|objs|\$[({{]CONFIG_(\w+)[)}}])" + _LISTED


def symbol_of(repository: Path, commit: str, source: str) -> str:
    """The symbol without CONFIG_, that of the framework for what is always compiled; "" where none is found."""
    text = file_of(repository, commit, source) or ""
    return (
        _guard(text, re.compile(DECLARES))
        or _of_makefiles(repository, commit, source)
        or _of_includer(repository, commit, source)
    )


def _guard(text: str, wanted: re.Pattern[str]) -> str:
    """The symbol of the innermost #if around the first line of that kind; "" where none is about a symbol."""
    around: list[str] = []
    for line in text.splitlines():
        condition = _CONDITION.match(line)
        if condition is None:
            if wanted.match(line):
                return next((symbol for each in reversed(around) if (symbol := _of_condition(each))), "")
            continue
        kind, rest = condition.groups()
        if kind in ("endif", "elif", "else") and around:
            around.pop()
        if kind != "endif":
            around.append(rest if kind in ("if", "ifdef", "elif") else "")
    return ""


def _of_condition(condition: str) -> str:
    """The symbol that a condition asks for, a test's own before others; none of one that asks for its absence."""
    names = [] if "!" in condition else _CONFIG.findall(condition)
    return next((name for name in names if _NAMED_TEST.search(name)), names[0] if names else "")


def _of_makefiles(repository: Path, commit: str, source: str) -> str:
    """By the Makefile beside a file, or the one above, where it is called with its folder (`tests/x.o`)."""
    path = PurePosixPath(source)
    for folder in path.parents[:2]:
        text = file_of(repository, commit, f"{folder}/Makefile")
        if text and (symbol := _of_makefile(text.replace("\\\n", " "), str(path.relative_to(folder).with_suffix("")))):
            return symbol
    return ""


def _of_makefile(text: str, stem: str) -> str:
    found = re.search(_OBJECT.format(path=re.escape(stem)), text, re.MULTILINE)
    if found:
        return found[2] or (_ALWAYS if found[1] == "y" else "")  # a module is not built in
    for part in re.finditer(_PART.format(path=re.escape(stem)), text, re.MULTILINE):
        if part[2] and _NAMED_TEST.search(part[2]):
            return part[2]
        if whole := re.search(_OBJECT.format(path=re.escape(part[1])), text, re.MULTILINE):
            return whole[2] or part[2] or _ALWAYS
    return ""


def _of_includer(repository: Path, commit: str, source: str) -> str:
    """By the C file, in the same folder or the one above, that takes the test in as text."""
    path = PurePosixPath(source)
    for folder in path.parents[:2]:
        name = f'"{path.relative_to(folder)}"'
        line = re.compile(rf"^\s*#\s*include\s+{re.escape(name)}")
        done = git(repository, "grep", "-l", "-F", name, commit, "--", f":(glob){folder}/*.c", check=False)
        for includer in (each.partition(":")[2] for each in done.text.splitlines()):
            text = file_of(repository, commit, includer) or ""
            if symbol := _guard(text, line) or _of_makefiles(repository, commit, includer):
                return symbol
    return ""
