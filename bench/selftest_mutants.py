"""The kernel's own selftests on planted bugs: built once, from the unmodified tree, and run on each mutant's kernel.

What each selftest gives on the unmodified kernel is found out once too, in several runs: a mutant is caught where a
test that was well in all of them is not, twice, as a trial would have it (harness/compare.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from bench.mutants import End, Found, Mutant, build, find_mutants
from harness import record
from harness.bpf_objects import compile_objects
from harness.build.model import Kernel
from harness.compare import BootChange, Comparison, compare
from harness.errors import KtrialError
from harness.kselftest.build import Wanted, build_selftests
from harness.kselftest.guests import guest_part
from harness.kselftest.model import Installed, Plan, Program
from harness.kselftest.select import denied, select
from harness.machine.journal import item_of
from harness.machine.model import Accelerator
from harness.machine.session import Session, run_sessions
from harness.passes import Bench
from harness.plan import Invocation
from harness.results import Outcome, SideResults
from harness.splats import find_splats
from harness.store import RunFolder
from harness.suites import load_suite
from harness.tree import applied_repository
from harness.trial import Trial

__all__ = ["SELFTESTS", "Yardstick", "selftests_digest", "try_selftests", "yardstick"]

SELFTESTS = "kselftest"

_BASE_RUNS = 2
_SLOW = 12.0  # seconds on base: what takes longer is run only where nothing quicker catches the mutant
_LONGEST = 7200.0
_TOUCHED = re.compile(r"^\+\+\+ b/(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Yardstick:
    """The unmodified kernel's selftests, and what those that were needed so far gave on it.

    digest: of the suite that ran them. image: the kernel. known: ids of the programs that were run.
    """

    digest: str
    version: str
    image: Path
    installed: Installed
    base: SideResults
    known: tuple[str, ...] = ()

    def seconds(self, program: Program) -> float:
        """How long it took on the unmodified kernel."""
        return max((result.seconds for result in self.base.results if result.test == _item(program)), default=0.0)

    def programs(self, mutant: Mutant) -> tuple[Program, ...]:
        """Those that the mutant's files pick, less those that tell nothing on base."""
        ran = {item_of(each.test) for each in self.base.results if each.outcome is Outcome.PASSED}
        return tuple(program for program in self.picked([mutant]) if _item(program) in ran)

    def picked(self, mutants: Sequence[Mutant]) -> tuple[Program, ...]:
        """Those that the files of some mutants pick."""
        names = tuple(name for name, _ in _picked(mutants))
        return tuple(program for program in self.installed.programs if _called(program, names))


def selftests_digest() -> str:
    """Of what is run, and of what runs it, wherever it lies."""
    digest = hashlib.sha256()
    folder = load_suite(SELFTESTS).directory
    for file in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".toml", ".txt")):
        digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def yardstick(mutants: Sequence[Mutant], run: RunFolder, digest: str, place: Path) -> Yardstick:
    """What the selftests that some mutants need give on the unmodified kernel; kept in the file `place`.

    They are built once, and each is run on base only when the first mutant needs it.
    """
    known = record.load_if(place, Yardstick)
    if known is None or known.digest != digest or not known.installed.root.is_dir():
        known = _begun(mutants[0], run, digest)
    missing = tuple(each for each in known.picked(mutants) if each.id not in known.known)
    if missing:
        folder = run.path / "base"
        runs = [
            _run(known.installed.root, missing, known.version, known.image, folder / str(attempt), attempt)
            for attempt in range(1, _BASE_RUNS + 1)
        ]
        results = (*known.base.results, *(result for each in runs for result in each.results))
        boots = (*known.base.boots, *(boot for each in runs for boot in each.boots))
        base = replace(known.base, results=results, boots=boots, booted=any(each.booted for each in runs))
        known = replace(known, base=base, known=(*known.known, *(each.id for each in missing)))
        record.save(place, known)
    return known


def _begun(mutant: Mutant, run: RunFolder, digest: str) -> Yardstick:
    """The selftests of the tree that mutants are planted in, built. mutant: any, for it has the base beside it."""
    trial = build(mutant, run)
    assert trial.base is not None
    assert trial.base_kernel is not None
    with contextlib.ExitStack() as hold:
        installed = build_selftests(_wanted(trial), hold=hold)
    return Yardstick(
        digest, trial.base.version, trial.base_kernel.image, installed, SideResults("base", (), (), 0.0, False)
    )


def try_selftests(mutant: Mutant, known: Yardstick, run: RunFolder) -> Found:
    """Build a mutant and run the kernel's own selftests on it, the slow ones only where the others find nothing."""
    began = time.monotonic()
    found = Found(mutant.name, mutant.digest, known.digest, End.NOT_BUILT, picked=(SELFTESTS,))
    try:
        kernel = build(mutant, run).patched_kernel
    except KtrialError as error:
        return replace(found, reason=error.summary)
    assert kernel is not None
    built = time.monotonic()
    found = replace(found, build_seconds=built - began)
    for place, programs in enumerate(_phases(known, mutant)):
        found = _tried(found, known, programs, kernel, run.path / f"tests-{place}")
        if found.end is not End.MISSED:
            break
    if found.end is End.MISSED and mutant.equivalent:
        found = replace(found, end=End.EQUIVALENT, reason=mutant.equivalent)
    return replace(found, run_seconds=time.monotonic() - built)


def _phases(known: Yardstick, mutant: Mutant) -> list[tuple[Program, ...]]:
    programs = known.programs(mutant)
    quick = tuple(program for program in programs if known.seconds(program) <= _SLOW)
    return [phase for phase in (quick, tuple(each for each in programs if each not in quick)) if phase]


def _tried(found: Found, known: Yardstick, programs: Sequence[Program], kernel: Kernel, folder: Path) -> Found:
    """Run programs; what fails is run again before it counts."""
    root, version = known.installed.root, known.version
    results = _run(root, programs, version, kernel.image, folder / "all", 1)
    found = replace(found, run=found.run + len(results.results))
    comparison = _compared(known, results, programs)
    if comparison.boot is BootChange.LOST:
        return replace(found, end=End.LOST, reason="the machine was lost")
    if comparison.boot is not BootChange.BOOTS:
        return replace(found, end=End.CAUGHT, by="(the kernel does not boot)")
    if comparison.blamed:
        again = {item_of(test.test) for test in comparison.blamed}
        doubted = [program for program in programs if _item(program) in again]
        more = _run(root, doubted, version, kernel.image, folder / "again", 2)
        comparison = _compared(known, replace(results, results=(*results.results, *more.results)), programs)
    if comparison.blamed:
        return replace(found, end=End.CAUGHT, by=comparison.blamed[0].test, reason=comparison.blamed[0].reason)
    if comparison.blamed_log:
        return replace(found, end=End.CAUGHT, by="(the kernel log)", reason=comparison.blamed_log[0].splat.key)
    return replace(found, end=End.MISSED)


def _compared(known: Yardstick, results: SideResults, programs: Sequence[Program]) -> Comparison:
    """Against what the same programs gave on base."""
    items = {_item(program) for program in programs}
    own = tuple(result for result in known.base.results if item_of(result.test) in items)
    return compare(replace(known.base, results=own), results)


def _run(root: Path, programs: Sequence[Program], version: str, image: Path, folder: Path, attempt: int) -> SideResults:
    suite = load_suite(SELFTESTS)
    part = guest_part(folder / "plan", "side", Plan(root, tuple(programs), denied(programs, version)))
    objects = compile_objects((suite,), folder / "bpf")
    asked = Invocation("", str(Path.cwd()), session_deadline=_LONGEST)
    bench = Bench.of(asked, Accelerator.TCG, (suite,), objects)
    guest = replace(
        bench.guest,
        image=image,
        readable=(*bench.guest.readable, *part.readable),
        env={**bench.guest.env, **part.env},
    )
    session = Session(side="patched", guest=guest, root=bench.root, suites=bench.suites, folder=folder, attempt=attempt)
    return run_sessions([session], find_splats)[0]


def _wanted(trial: Trial) -> Wanted:
    assert trial.base is not None
    assert trial.base_kernel is not None
    assert trial.configs is not None
    assert trial.toolchain is not None
    return Wanted(
        repository=applied_repository(trial.run.path / "tree"),
        commit=trial.base.commit,
        named=tuple((name, "picked by a mutant") for name, _ in _picked(find_mutants())),
        touched=(),
        vmlinux=trial.base_kernel.vmlinux,
        kernel_key=trial.base_kernel.key,
        config=trial.configs[0].text,
        toolchain=trial.toolchain,
        trusted=True,
    )


def _picked(mutants: Sequence[Mutant]) -> tuple[tuple[str, str], ...]:
    """(name, why) of the selftests that a series with the mutants' files is given (relevant.toml)."""
    return select((), [path for mutant in mutants for path in _TOUCHED.findall(mutant.path.read_text())]).named


def _called(program: Program, names: Sequence[str]) -> bool:
    """Whether one of the names stands for it: its own, less runner and card, or its file's (choose.py)."""
    name = program.name.removeprefix("test_progs/").partition("@")[0]
    files = (Path(path).stem for path in program.sources if "/prog_tests/" in path)
    known = [f"{program.collection}/{each}" for each in (name, *files)]
    return any(fnmatchcase(each, wanted) for each in known for wanted in names)


def _item(program: Program) -> str:
    return f"{SELFTESTS}/test_kselftest.py::test[{program.id}]"
