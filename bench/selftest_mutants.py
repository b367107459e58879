"""The kernel's own selftests on planted bugs: built once, from the unmodified tree, and run on each mutant's kernel.

What fails on a mutant is run on the unmodified kernel too, in several runs, once for all mutants: a mutant is caught
where a test that was well in all of them is not, twice, as a trial would have it (harness/compare.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from bench.mutants import End, Found, Mutant, build, find_mutants
from harness import record
from harness.bpf_objects import compile_objects
from harness.build.model import Kernel
from harness.compare import compare
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
from harness.results import SideResults
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
    """The unmodified kernel's selftests, and what those gave on it that failed on some mutant.

    digest: of the suite that ran them. image: the kernel. known: ids of the programs that were run on it.
    seconds: by id, how long each program took where it was run last.
    """

    digest: str
    version: str
    image: Path
    installed: Installed
    base: SideResults
    known: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    def picked(self, mutant: Mutant) -> tuple[Program, ...]:
        """Those that the mutant's files pick and that could be built."""
        names = tuple(name for name, _ in _picked([mutant]))
        return tuple(each for each in self.installed.programs if not each.unbuildable and _called(each, names))

    def phases(self, mutant: Mutant) -> list[tuple[Program, ...]]:
        """The same, the quick ones first: the slow are run only where those find nothing."""
        programs = self.picked(mutant)
        quick = tuple(each for each in programs if self.seconds.get(each.id, _guessed(each)) <= _SLOW)
        return [phase for phase in (quick, tuple(each for each in programs if each not in quick)) if phase]

    def timed(self, results: SideResults) -> Yardstick:
        """With what these results tell of how long programs take."""
        known = {_item(each): each.id for each in self.installed.programs}
        told = {known[each.test]: each.seconds for each in results.results if each.test in known}
        return replace(self, seconds={**self.seconds, **told})


def selftests_digest() -> str:
    """Of what is run, and of what runs it, wherever it lies."""
    digest = hashlib.sha256()
    folder = load_suite(SELFTESTS).directory
    for file in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".toml", ".txt")):
        digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def yardstick(mutant: Mutant, run: RunFolder, digest: str, place: Path) -> Yardstick:
    """The selftests of the tree that mutants are planted in, built; kept in the file `place`. mutant: any of them."""
    known = record.load_if(place, Yardstick)
    if known is not None and known.digest == digest and known.installed.root.is_dir():
        return known
    trial = build(mutant, run)
    assert trial.base is not None
    assert trial.base_kernel is not None
    with contextlib.ExitStack() as hold:
        installed = build_selftests(_wanted(trial), hold=hold)
    nothing = SideResults("base", (), (), 0.0, False)
    return Yardstick(digest, trial.base.version, trial.base_kernel.image, installed, nothing)


def try_selftests(mutant: Mutant, run: RunFolder, digest: str, place: Path) -> Found:
    """Build a mutant and run the kernel's own selftests on it. place: keeps the yardstick."""
    began = time.monotonic()
    found = Found(mutant.name, mutant.digest, digest, End.NOT_BUILT, picked=(SELFTESTS,))
    try:
        known = yardstick(mutant, run, digest, place)
        kernel = build(mutant, run).patched_kernel
    except KtrialError as error:
        return replace(found, reason=error.summary)
    assert kernel is not None
    built = time.monotonic()
    found = replace(found, end=End.MISSED, build_seconds=built - began)
    for number, programs in enumerate(known.phases(mutant)):
        found, known = _tried(found, known, programs, kernel, run.path / f"tests-{number}")
        record.save(place, known)
        if found.end is not End.MISSED:
            break
    if found.end is End.MISSED and mutant.equivalent:
        found = replace(found, end=End.EQUIVALENT, reason=mutant.equivalent)
    return replace(found, run_seconds=time.monotonic() - built)


def _tried(
    found: Found, known: Yardstick, programs: Sequence[Program], kernel: Kernel, folder: Path
) -> tuple[Found, Yardstick]:
    """Run programs on a mutant; what fails is run on base too, and here once more, before it counts."""
    results = _run(known, programs, kernel.image, folder / "all", 1)
    found, known = replace(found, run=found.run + len(results.results)), known.timed(results)
    if not results.booted:
        return replace(found, end=End.CAUGHT, by="(the kernel does not boot)"), known
    bad = {item_of(result.test) for result in results.results if result.outcome.bad}
    doubted = tuple(program for program in programs if _item(program) in bad)
    if not doubted and not any(boot.splats for boot in results.boots):
        return found, known
    known = _on_base(known, doubted or tuple(programs[:1]), folder)
    if worse := _blamed(known, results, bad):
        more = _run(known, doubted, kernel.image, folder / "again", 2) if doubted else replace(results, results=())
        worse = _blamed(known, replace(results, results=(*results.results, *more.results)), bad)
        if worse:
            found = replace(found, end=End.CAUGHT, by=worse[0], reason=worse[1])
    return found, known


def _on_base(known: Yardstick, programs: Sequence[Program], folder: Path) -> Yardstick:
    """With what some programs give on the unmodified kernel, where that is not known yet."""
    missing = tuple(program for program in programs if program.id not in known.known)
    if not missing:
        return known
    runs = [_run(known, missing, known.image, folder / f"base-{each}", each) for each in range(1, _BASE_RUNS + 1)]
    results = (*known.base.results, *(result for each in runs for result in each.results))
    boots = (*known.base.boots, *(boot for each in runs for boot in each.boots))
    base = replace(known.base, results=results, boots=boots, booted=any(each.booted for each in runs))
    return replace(known, base=base, known=(*known.known, *(each.id for each in missing)))


def _blamed(known: Yardstick, results: SideResults, items: Container[str]) -> tuple[str, str] | None:
    """(test, reason) of the first of some items that is worse than on base, or of the kernel's log."""
    base, here = (
        replace(side, results=tuple(each for each in side.results if item_of(each.test) in items))
        for side in (known.base, results)
    )
    comparison = compare(base, here)
    if comparison.blamed:
        return comparison.blamed[0].test, comparison.blamed[0].reason
    return ("(the kernel log)", comparison.blamed_log[0].splat.key) if comparison.blamed_log else None


def _run(known: Yardstick, programs: Sequence[Program], image: Path, folder: Path, attempt: int) -> SideResults:
    suite = load_suite(SELFTESTS)
    plan = Plan(known.installed.root, tuple(programs), denied(programs, known.version))
    part = guest_part(folder / "plan", "side", plan)
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


def _guessed(program: Program) -> float:
    """Seconds: a test of test_progs takes few, a script of the network many."""
    return 0.0 if program.name.startswith("test_progs") else 2 * _SLOW


def _item(program: Program) -> str:
    return f"{SELFTESTS}/test_kselftest.py::test[{program.id}]"
