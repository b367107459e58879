"""Choose programs of one tree: those asked for by name, and those that what the series touches makes relevant.

A name is COLLECTION/PROGRAM with globs allowed: `bpf/xdp_adjust_tail` (a test of test_progs), `bpf/test_xdp_*.sh`,
`bpf/test_progs-no_alu32/xdp_*`, `bpf/test_progs*/xdp_*` (in every flavour), `net/udpgso.sh`, `drivers/net`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property

from harness.kselftest.collection import LIBRARY, Collection, collection_of, read_collection
from harness.kselftest.make import Maker
from harness.kselftest.model import SELFTESTS, Program
from harness.kselftest.progs import FOLDERS, TestProgs, TestSource

__all__ = ["Chooser"]

_BPF = "bpf"
_RUNNER = "test_progs"
_NEVER_MADE = ("test_progs-bpf_gcc",)  # build_bpf.py leaves that compiler out
_GLOB = re.compile(r"[*?[]")
# Whose programs the products of net/lib are for.
_USERS = ("net", "drivers/net", "drivers/net/hw")
# Seconds for one test of test_progs: the collection has no limit, and most take less than one.
_TEST_TIMEOUT = 120.0


class Chooser:
    """Finds programs in a tree that `maker` can make in."""

    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self._collections: dict[str, Collection] = {}

    def choose(self, asked: Sequence[tuple[str, str]], touched: Iterable[str] = ()) -> tuple[Program, ...]:
        """Programs for (name, why it is asked for) pairs, and those made from touched files; each once."""
        found = [program for name, why in asked for program in self.named(name, why)]
        found += self.touched(tuple(touched))
        return tuple({program.id: program for program in reversed(found)}.values())[::-1]

    def named(self, name: str, why: str) -> list[Program]:
        """The programs that a name stands for; none where this tree has none."""
        collection, rest = collection_of(self.maker.tree, name)
        if not collection:
            return []
        if collection == _BPF:
            runners = (_RUNNER, *self._flavours) if rest in ("", "*") else ()
            tests = [test for each in runners for test in self._tests_named(each, why)]
            tests = tests or self._tests_named(rest, why)
            if rest.startswith(_RUNNER) or (tests and rest and "*" not in rest):
                return tests
            # The runner itself stands for its tests, which are there already.
            return [*tests, *self._listed(collection, rest or "*", why, without=_RUNNER)]
        return self._listed(collection, rest or "*", why)

    def hint(self, name: str) -> str:
        """Names like one that stands for nothing."""
        collection, rest = collection_of(self.maker.tree, name)
        if not collection:
            return "a name is COLLECTION/PROGRAM, as bpf/xdp_adjust_tail, net/udpgso.sh or drivers/net"
        known = [*self.collection(collection).names]
        known += [test for _, test in self._all_tests] if collection == _BPF else []
        close = get_close_matches(rest, known, n=3) or sorted(known)[:5]
        return f"in {collection} there are {', '.join(close)}"

    def touched(self, files: Sequence[str]) -> list[Program]:
        """The programs that have one of these files for a source of their own."""
        found: list[Program] = []
        for collection in dict.fromkeys(self._collection_with(path) for path in files):
            if collection:
                own = [path for path in files if self._collection_with(path) == collection]
                users = _USERS if collection == LIBRARY else ()
                found += [program for each in (collection, *users) for program in self._made_from(each, own)]
        return found

    def _made_from(self, collection: str, files: Sequence[str]) -> list[Program]:
        found = self._tests_made_from(files) if collection == _BPF else []
        listed = self.collection(collection)
        for name in listed.names:
            program = None if name.startswith(_RUNNER) else self._program(listed, name, "")
            if program and (own := [path for path in files if path in program.sources]):
                found.append(_because(program, own))
        return found

    def _tests_made_from(self, files: Sequence[str]) -> list[Program]:
        """Tests of test_progs, in every flavour."""
        found = []
        for runner in (_RUNNER, *self._flavours):
            for source, test in self._all_tests:
                program = self._test(source, test, runner, "")
                own = [path for path in files if path in program.sources and self._concerns(path, source, test)]
                if own:
                    found.append(_because(program, own))
        return found

    def _concerns(self, path: str, source: TestSource, test: str) -> bool:
        return "/progs/" not in path or test in self.tests.tests_with(source, path)

    def collection(self, name: str) -> Collection:
        if name not in self._collections:
            self._collections[name] = read_collection(self.maker, name)
        return self._collections[name]

    def _collection_with(self, path: str) -> str:
        """The collection that a file of the kernel's tree belongs to, or ""."""
        if not path.startswith(f"{SELFTESTS}/"):
            return ""
        return collection_of(self.maker.tree, path.removeprefix(f"{SELFTESTS}/"))[0]

    def _listed(self, collection: str, pattern: str, why: str, without: str = "") -> list[Program]:
        listed = self.collection(collection)
        names = [name for name in listed.names if _is_called(name, pattern)]
        # What is only ever asked for by its name: made, but no part of `make run_tests`.
        names += [name for name in (*listed.extended, *listed.more) if name == pattern]
        kept = [name for name in dict.fromkeys(names) if not (without and name.startswith(without))]
        return [self._program(listed, name, why) for name in kept]

    def _program(self, listed: Collection, name: str, why: str) -> Program:
        program = listed.program(name, why)
        return self._with_parts(program) if listed.name == _BPF else program

    def _tests_named(self, pattern: str, why: str) -> list[Program]:
        runner, _, rest = pattern.partition("/") if pattern.startswith(_RUNNER) else (_RUNNER, "", pattern)
        wanted = rest or "*"
        return [
            self._test(source, test, each, why)
            for each in self._runners(runner)
            for source, test in self._all_tests
            if fnmatchcase(test, wanted) or fnmatchcase(source.file.removesuffix(".c"), wanted)
        ]

    def _runners(self, name: str) -> tuple[str, ...]:
        """The runners that a glob stands for; one named in full may be none of this tree's, which building it tells."""
        if not _GLOB.search(name):
            return (name,)
        return tuple(each for each in (_RUNNER, *self._flavours) if fnmatchcase(each, name))

    def _test(self, source: TestSource, test: str, runner: str, why: str) -> Program:
        folder = f"{SELFTESTS}/{_BPF}"
        # With the files that only lend functions; one that has tests of its own is theirs.
        parts = [each for each in self.tests.with_companions([source]) if each is source or not each.tests]
        files = [f"{folder}/prog_tests/{part.file}" for part in parts]
        programs = sorted({f"{folder}/progs/{name}" for part in parts for name in part.programs})
        return Program(
            _BPF,
            f"{runner}/{test}",
            (f"./{runner}", "-a", test),
            _TEST_TIMEOUT,
            sources=(*files, *programs),
            targets=(runner,),
            why=why,
        )

    def _with_parts(self, program: Program) -> Program:
        """The same with the BPF programs that its binaries include, and the files in folders of their own."""
        folder = f"{SELFTESTS}/{_BPF}"
        found = {f"{folder}/progs/{name}" for each in program.targets for name in self.tests.of_binary(each).programs}
        for binary, parts in FOLDERS.items():
            if binary in program.targets:
                found |= {f"{folder}/{parts}/{path.name}" for path in self.tests.files_of(parts)}
        if "xskxceiver" in program.targets:
            found |= {f"{folder}/prog_tests/{part.file}" for part in self.tests.of_others()}
        return replace(program, sources=tuple(dict.fromkeys((*program.sources, *sorted(found)))))

    @cached_property
    def tests(self) -> TestProgs:
        return TestProgs(self.maker.tree / SELFTESTS / _BPF)

    @cached_property
    def _flavours(self) -> tuple[str, ...]:
        """The runners whose programs are compiled otherwise, as far as the Makefile makes them with this clang."""
        names = self.collection(_BPF).compiled
        return tuple(name for name in names if name.startswith(f"{_RUNNER}-") and name not in _NEVER_MADE)

    @cached_property
    def _all_tests(self) -> list[tuple[TestSource, str]]:
        return [(source, test) for source in self.tests.sources for test in source.tests]


def _is_called(name: str, pattern: str) -> bool:
    """`xdp.py` stands for both of xdp.py and xdp.py@virtio_net."""
    return fnmatchcase(name, pattern) or fnmatchcase(name.partition("@")[0], pattern)


def _because(program: Program, files: Sequence[str]) -> Program:
    return replace(program, why=f"touches {files[0]}{f' and {len(files) - 1} more' if len(files) > 1 else ''}")
