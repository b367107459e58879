"""Make what is wanted of tools/testing/selftests/bpf, and no more.

The Makefile makes every test of prog_tests/ and every program of progs/ (800 objects) for one test_progs. So what is
not wanted is taken out of the tree, and the lists that name files one by one are given on make's command line, where
they win over the Makefile's own. A test whose programs this clang cannot compile is left out, and the rest made again.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.kernel_make import SOURCE
from harness.kselftest.make import Broken, Maker, broken_targets
from harness.kselftest.model import SELFTESTS, Program
from harness.kselftest.progs import FOLDERS, TestProgs, TestSource
from harness.kselftest.within import files_in, remove, within

__all__ = ["build_bpf"]

_FOLDER = f"{SELFTESTS}/bpf"
_RUNNER = "test_progs"
_ROUNDS = 6
# Lists of skeletons that are made in folders of their own, for every test_progs.
_OF_FOLDERS = {"libarena": ("LIBARENA_SKEL", "LIBARENA_ASAN_SKEL")}


def build_bpf(maker: Maker, programs: Sequence[Program], tests: TestProgs) -> tuple[Program, ...]:
    """Make these programs of the collection `bpf`; gives them back, those that cannot be made with the reason.

    Each flavour of test_progs by itself, from all files again: what one cannot compile is no other's fault.
    """
    by_runner: dict[str, list[Program]] = {}
    for program in programs:
        by_runner.setdefault(_runner(program), []).append(program)
    made: dict[str, Program] = {}
    with _kept(maker.tree, tests.folder) as restore:
        for number, group in enumerate(by_runner.values()):
            if number:
                restore()
            made |= {program.id: program for program in _build_group(maker, group, tests)}
    return tuple(made[program.id] for program in programs)


def _runner(program: Program) -> str:
    """The flavour of test_progs that runs it; other programs are made with the plain one."""
    return next((target for target in program.targets if target.startswith(_RUNNER)), _RUNNER)


@contextlib.contextmanager
def _kept(tree: Path, folder: Path) -> Iterator[Callable[[], None]]:
    """Sources that are taken out of the tree can be put back, as they were and as old as they were."""
    # Beside the tree: in it a makefile could put others in their place.
    with tempfile.TemporaryDirectory(prefix="sources.", dir=tree.parent) as scratch:
        copies = []
        for name in ("prog_tests", "progs"):
            (Path(scratch) / name).mkdir()
            for file in files_in(tree, folder / name, "*.c"):
                copies.append((shutil.copy2(file, Path(scratch) / name / file.name, follow_symlinks=False), file))

        def restore() -> None:
            for copy, file in copies:
                within(tree, file.parent)
                if not os.path.lexists(file):
                    shutil.copy2(copy, file, follow_symlinks=False)

        yield restore


def _build_group(maker: Maker, programs: Sequence[Program], tests: TestProgs) -> tuple[Program, ...]:
    build = _Build(maker, tests, tuple(tests.sources), tests.common)
    done = {program.id: program for program in programs}
    broken: tuple[Broken, ...] = ()
    for _ in range(_ROUNDS):
        left = [program for program in done.values() if not program.unbuildable]
        if not left:
            break
        build.prune(left)
        broken = build.make(left)
        if not broken:
            break
        blamed = {each.id: replace(each, unbuildable=why) for each in left if (why := build.reason(each, broken))}
        done |= blamed
        if not blamed and not build.drop(broken):
            break
    return tuple(build.checked(program, broken) for program in done.values())


@dataclass
class _Build:
    """The tests that are still in the tree."""

    maker: Maker
    tests: TestProgs
    sources: tuple[TestSource, ...]
    common: TestSource
    dropped: set[str] = field(default_factory=set)

    def prune(self, wanted: Sequence[Program]) -> None:
        """Take the tests and programs out of the tree that none of the wanted ones is made from.

        Without the runner among them nothing needs to go: other targets are made one by one.
        """
        if not any(target.startswith(_RUNNER) for program in wanted for target in program.targets):
            self.sources = ()
            return
        files = {path for program in wanted for path in program.sources}
        own = [each for each in self.tests.sources if f"{_FOLDER}/prog_tests/{each.file}" in files]
        if any(not target.startswith(_RUNNER) for program in wanted for target in program.targets):
            own += self.tests.of_others()
        self.sources = self.tests.with_companions(own)
        kept = {each.file for each in self.sources}
        programs = self._programs(wanted)
        tree = self.maker.tree
        for file in files_in(tree, self.tests.folder / "prog_tests", "*.c"):
            if file.name not in kept:
                remove(tree, file)
        for file in files_in(tree, self.tests.folder / "progs", "*.c"):
            # btf_dump's own cases are read as text.
            if file.name not in programs and not file.name.startswith("btf_dump_test_case_"):
                remove(tree, file)
        remove(tree, self.tests.folder / "prog_tests" / "tests.h")

    def drop(self, broken: Iterable[Broken]) -> bool:
        """Take out of the tree what breaks and what nobody wanted by name. False where there is nothing of it left."""
        names = {f"{each.name.split('.')[0]}.c" for each in broken} - self.dropped
        found = [name for name in names if (self.tests.folder / "progs" / name).is_file()]
        for name in found:
            remove(self.maker.tree, self.tests.folder / "progs" / name)
        self.dropped |= set(found)
        return bool(found)

    def checked(self, program: Program, broken: Sequence[Broken]) -> Program:
        """The same; one whose products are not there cannot be built, whoever is to blame."""
        missing = [name for name in program.targets if not (self.tests.folder / name).exists()]
        if program.unbuildable or len(missing) < len(program.targets) or not missing:
            return program
        why = f"{broken[0].name}: {broken[0].why}" if broken else "make made none of it"
        return replace(program, unbuildable=why)

    def _programs(self, wanted: Sequence[Program]) -> frozenset[str]:
        """The files of progs/ that are to stay."""
        of_tests = self.common.programs.union(*(source.programs for source in self.sources))
        own = {Path(path).name for program in wanted for path in program.sources if "/progs/" in path}
        return self.tests.with_included(of_tests | own) | self._of_tools(wanted)

    def _of_tools(self, wanted: Sequence[Program]) -> frozenset[str]:
        """Programs of the skeletons that other binaries of the collection include (xskxceiver, xdp_features)."""
        names = {target for program in wanted for target in program.targets if not target.startswith(_RUNNER)}
        return frozenset().union(*(self.tests.of_binary(name).programs for name in names))

    def make(self, wanted: Sequence[Program]) -> tuple[Broken, ...]:
        targets = list(dict.fromkeys(target for program in wanted for target in program.targets))
        if not targets:
            return ()
        done = self.maker.make(_FOLDER, *self._lists(wanted), *(_target(target) for target in targets))
        if done.ok:
            return ()
        return broken_targets(done) or (Broken("make", done.tail(1)),)

    def _lists(self, wanted: Sequence[Program]) -> tuple[str, ...]:
        """The Makefile's lists, cut down."""
        binaries = [self.tests.of_binary(target) for program in wanted for target in program.targets]
        parts = (*self.sources, *binaries)
        skeletons = sorted({name for each in parts for name in each.skeletons})
        light = sorted({name for each in self.sources for name in each.light})
        extras = sorted({name for each in self.sources for name in each.extras})
        folders = frozenset().union(*(each.folders for each in self.sources))
        idle = (name for folder, names in _OF_FOLDERS.items() if folder not in folders for name in names)
        return (
            *(f"{name}=" for name in idle),
            f"LINKED_SKELS={' '.join(f'{name}.skel.h' for name in skeletons)}",
            f"LSKELS={' '.join(light)}",
            "LSKELS_EXTRA=",
            "LSKELS_SIGNED=",
            f"TRUNNER_EXTRA_FILES={' '.join(str(SOURCE / _FOLDER / name) for name in extras)}",
            "BPF_GCC=",
        )

    def reason(self, program: Program, broken: Iterable[Broken]) -> str:
        """Which of the broken targets this program is made from, and why that broke; "" where none."""
        files = self._files(program)
        made = {name.removesuffix(".c") for name in files}
        made |= {target for target in program.targets if not target.startswith(_RUNNER)}
        for each in broken:
            stem = each.name.split(".")[0]
            linked = re.search(r"prog_tests/([\w-]+\.c):", each.why) if each.name.startswith(_RUNNER) else None
            if stem in made or each.name in (*made, *program.targets) or (linked and linked[1] in files):
                return f"{each.name}: {each.why}"
        return ""

    def _files(self, program: Program) -> set[str]:
        """The sources of a program, those of tests whose functions it calls, and of skeletons that it includes."""
        # A file of such a folder may be called as one of progs/ is, and has nothing to do with it.
        paths = (Path(path) for path in program.sources)
        own = {path.name for path in paths if path.parent.name not in FOLDERS.values()}
        tests = self.tests.with_companions(each for each in self.tests.sources if each.file in own)
        parts = (*tests, *(self.tests.of_binary(name) for name in program.targets if not name.startswith(_RUNNER)))
        return own.union({each.file for each in tests}, *(each.programs for each in parts))


def _target(name: str) -> str:
    """A runner has a short rule of its own; anything else is made where it will lie."""
    return name if name.startswith(_RUNNER) else str(SOURCE / _FOLDER / name)
