"""bpf/test_progs: which tests there are, and what each is made from.

A test is a function `test_NAME` or `serial_test_NAME` of prog_tests/*.c (the bpf Makefile finds them in the same way).
Its BPF programs are named by the skeletons it includes (`NAME.skel.h`) and the objects it opens (`NAME.bpf.o`), each
made from progs/NAME.c; a linked skeleton from several (`NAME.skel.h-deps` in the Makefile).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.kselftest.model import SELFTESTS
from harness.kselftest.within import files_in, is_named_within, text_of

__all__ = ["FOLDERS", "TestProgs", "TestSource"]

FOLDERS = {"test_maps": "map_tests", "test_verifier": "verifier"}
"""Binaries of the collection that are made from a whole folder of files (bpf/Makefile)."""

_FUNCTION = re.compile(r"^void (?:serial_)?test_(\w+)\((?:void)?\)", re.MULTILINE)
_SKELETON = re.compile(r'#include\s+"([\w-]+)\.(skel|lskel|subskel)\.h"')
_OF_FOLDER = re.compile(r'#include\s+"([\w-]+)/[\w/-]+\.skel\.h"')
_HEADER = re.compile(r'#include\s+"([\w./-]+\.[hc])"')
_OBJECT = re.compile(r'"(?:\./)?([\w%*-]+?)(?:\.bpf(?:\.linked\d)?)?\.o"')
_LINKED = re.compile(r"^([\w-]+)\.skel\.h-deps\s*:?=\s*(.*)$", re.MULTILINE)
_LIST = r"^{name}\s*[:+]?=\s*((?:[^\n]*\\\n)*[^\n]*)$"
# Programs and files that a test starts or reads by name, made only where one of the wanted tests mentions them.
# A function that another file may call: it begins a line, and is not static.
_DEFINED = re.compile(r"^(?!static\b|typedef\b|return\b|else\b)\w[\w\s*]*?\b(\w+)\([^;{}]*\)\s*\{", re.MULTILINE)
_CALLED = re.compile(r"\b(\w+)\(")
_EXTRAS = ("urandom_read", "liburandom_read.so", "xdp_synproxy", "sign-file", "uprobe_multi")


@dataclass(frozen=True)
class TestSource:
    """One file of prog_tests. tests: the names in it. programs: files of progs/ to compile.

    skeletons: linked skeletons it includes; light: progs/ files of which it includes light skeletons.
    extras: other files that must be made for it. companions: files of prog_tests whose functions it calls.
    folders: folders of the collection with skeletons of their own that it includes (`libarena`).
    """

    __test__ = False

    file: str
    tests: tuple[str, ...]
    programs: frozenset[str]
    skeletons: frozenset[str] = frozenset()
    light: frozenset[str] = frozenset()
    extras: frozenset[str] = frozenset()
    companions: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()


class TestProgs:
    """The tests of one tree. folder: its tools/testing/selftests/bpf."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder.parents[len(Path(SELFTESTS).parts)]
        self.makefile = self._text(folder / "Makefile")

    @cached_property
    def files(self) -> tuple[TestSource, ...]:
        """Every file of prog_tests: those too that have no test, and that others call into (7.2: test_xsk.c)."""
        return tuple(self._read(file) for file in self.files_of("prog_tests"))

    @cached_property
    def sources(self) -> tuple[TestSource, ...]:
        """Every file of prog_tests with a test in it."""
        return tuple(source for source in self.files if source.tests)

    def of_others(self) -> tuple[TestSource, ...]:
        """The files of prog_tests that other binaries are made from as well (EXTRA_SRC of xskxceiver)."""
        named = set(re.findall(r"\bprog_tests/([\w-]+\.c)\b", self.makefile))
        return tuple(source for source in self.files if source.file in named)

    @cached_property
    def linked(self) -> dict[str, tuple[str, ...]]:
        """Linked skeletons: NAME to the progs/ files it is made from."""
        found = {}
        for match in _LINKED.finditer(self.makefile):
            found[match[1]] = tuple(Path(word).name.replace(".bpf.o", ".c") for word in match[2].split())
        return found

    @cached_property
    def common(self) -> TestSource:
        """What the runner itself needs, whichever tests are wanted."""
        names = re.findall(r"[\w-]+\.c\b", self._list("TRUNNER_EXTRA_SOURCES"))
        parts = [self._read(self.folder / name) for name in names if (self.folder / name).is_file()]
        # resolve_btfids patches test_progs with the ids of this object's types.
        programs = frozenset({"btf_data.c"}).union(*(part.programs for part in parts))
        return TestSource("", (), programs, frozenset().union(*(part.skeletons for part in parts)))

    def of_binary(self, name: str) -> TestSource:
        """Another program of the collection, by its name: what NAME.c includes, and the files of its folder."""
        beside = self.files_of(FOLDERS[name]) if name in FOLDERS else []
        parts = [self._read(file) for file in (self.folder / f"{name}.c", *beside)]
        return TestSource(
            f"{name}.c",
            (),
            frozenset().union(*(part.programs for part in parts)),
            frozenset().union(*(part.skeletons for part in parts)),
            frozenset().union(*(part.light for part in parts)),
        )

    def with_companions(self, sources: Iterable[TestSource]) -> tuple[TestSource, ...]:
        """The same files and those whose functions they call, and so on."""
        known = {source.file: source for source in self.files}
        found: dict[str, TestSource] = {}
        left = list(sources)
        while left:
            source = left.pop()
            found[source.file] = source
            left += [known[name] for name in source.companions if name in known and name not in found]
        return tuple(found.values())

    def tests_with(self, source: TestSource, program: str) -> tuple[str, ...]:
        """The tests of a file that a program of progs/ is for: those that alone mention it, else all.

        prog_tests/verifier.c has a hundred tests of one line each, every one with a program of its own.
        """
        mentions = re.compile(rf"\b{re.escape(Path(program).stem)}\b")
        found: list[str] = []
        test = ""
        for line in self._text(self.folder / "prog_tests" / source.file).splitlines():
            begun = _FUNCTION.match(line)
            test = begun[1] if begun else test
            if mentions.search(line) and not line.startswith("#include"):
                if not test:
                    return source.tests
                found.append(test)
            if line.rstrip().endswith("}") and (begun or line.startswith("}")):
                test = ""
        return tuple(dict.fromkeys(found)) or source.tests

    def with_included(self, programs: frozenset[str]) -> frozenset[str]:
        """The same files of progs/ and those that they include as C text."""
        found: set[str] = set()
        left = [name for name in programs if (self.folder / "progs" / name).is_file()]
        while left:
            name = left.pop()
            found.add(name)
            text = self._text(self.folder / "progs" / name)
            included = (Path(each).name for each in _HEADER.findall(text) if each.endswith(".c"))
            left += [each for each in included if each not in found and (self.folder / "progs" / each).is_file()]
        return frozenset(found)

    def _list(self, name: str) -> str:
        """The first definition of a variable: those after it are other runners' (test_maps)."""
        match = re.search(_LIST.format(name=name), self.makefile, re.MULTILINE)
        return match[1] if match else ""

    def _read(self, file: Path) -> TestSource:
        text = self._whole(file)
        skeletons = _SKELETON.findall(text)
        linked = frozenset(name for name, _ in skeletons if name in self.linked)
        programs = {f"{name}.c" for name, _ in skeletons if name not in self.linked}
        programs |= {part for name in linked for part in self.linked[name]}
        for name in _OBJECT.findall(text):
            programs |= self._objects(name, file.stem)
        return TestSource(
            file.name,
            tuple(dict.fromkeys(_FUNCTION.findall(self._text(file)))),
            self.with_included(frozenset(programs)),
            linked,
            frozenset(f"{name}.c" for name, kind in skeletons if kind == "lskel"),
            frozenset(extra for extra in _EXTRAS if extra in text),
            self._companions(file, text),
            frozenset(_OF_FOLDER.findall(text)),
        )

    def _companions(self, file: Path, text: str) -> frozenset[str]:
        """Other files of prog_tests that define what this one calls: all of them are linked into one program."""
        if file.parent.name != "prog_tests":
            return frozenset()
        called = set(_CALLED.findall(text)) - set(_DEFINED.findall(text))
        return frozenset(found for name in called if (found := self._definitions.get(name, file.name)) != file.name)

    @cached_property
    def _definitions(self) -> dict[str, str]:
        """Functions of prog_tests that are no tests, and the file that defines each."""
        found = {}
        for file in self.files_of("prog_tests"):
            for name in _DEFINED.findall(self._text(file)):
                if not name.startswith(("test_", "serial_test_")):
                    found[name] = file.name
        return found

    def _whole(self, file: Path) -> str:
        """A file's text with that of the headers beside it."""
        text = self._text(file)
        own = (file.parent / name for name in _HEADER.findall(text) if name.endswith(".h"))
        return "\n".join([text, *(self._text(each) for each in own if is_named_within(self.tree, str(each)))])

    def _objects(self, name: str, stem: str) -> set[str]:
        """progs/ files that an object's name stands for; `%s` in it stands for the program's own name, or anything."""
        if (own := name.replace("%s", stem)) != name and (self.folder / "progs" / f"{own}.c").is_file():
            return {f"{own}.c"}
        if "%" in name:
            pattern = re.sub(r"(?:%[\w.]*?[sdu]|\*)+", "*", name)
            return {path.name for path in self.files_of("progs", f"{pattern}.c")} if pattern.strip("*") else set()
        if name in self.linked:
            return set(self.linked[name])
        return {f"{name}.c"}

    def files_of(self, folder: str, pattern: str = "*.c") -> list[Path]:
        """The files of a folder of the collection. Raises BuildError where it is not the tree's."""
        return files_in(self.tree, self.folder / folder, pattern)

    def _text(self, path: Path) -> str:
        return text_of(self.tree, path)
