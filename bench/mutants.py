"""Planted bugs: build each one's kernel from the base's objects, and run tests on it until one fails."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from bench.kernels import TREE
from harness.bpf_objects import compile_objects
from harness.errors import KtrialError
from harness.machine.model import Accelerator
from harness.machine.session import Session, names_of, run_sessions
from harness.passes import Bench
from harness.plan import Invocation
from harness.results import Outcome, SideResults
from harness.splats import find_splats
from harness.store import RunFolder
from harness.suites import Suite, find_suites, pick_suites, suite_digest
from harness.trial import Trial

__all__ = [
    "End",
    "Found",
    "Mutant",
    "State",
    "build",
    "find_mutants",
    "holds_on_base",
    "our_suites",
    "suites_digest",
    "try_mutant",
]

MUTANTS = Path(__file__).resolve().parents[1] / "tests" / "mutants"
# A line of the mail: why nothing can tell this kernel from the right one.
_EQUIVALENT = "Equivalent: "
_SUGGESTED = 40  # earlier killers that are tried first
_ATTEMPTS = 4
_LIKELY = 150  # tests that are tried first because they are called alike
_SHORT = 2  # letters: `of`, `in`
_TOUCHED = re.compile(r"^\+\+\+ b/(\S+)", re.MULTILINE)
_NO_TEST = "(the kernel log)"
_NO_BOOT = "(the kernel does not boot)"


class End(StrEnum):
    CAUGHT = "caught"
    MISSED = "missed"
    EQUIVALENT = "equivalent"  # missed, with the reason why nothing can catch it
    NOT_BUILT = "not-built"  # it does not apply, configure or build: no bug that anybody could boot
    LOST = "lost"


@dataclass(frozen=True)
class Mutant:
    """One patch of tests/mutants. equivalent: why no test can catch it, or ""."""

    name: str
    path: Path
    digest: str
    equivalent: str


@dataclass(frozen=True)
class Found:
    """What became of a mutant. by: the first test that failed. *_seconds: wall-clock. run: tests that were run.

    digest: of the patch. suites: of the suites it was tried with; only what was missed is tried again with others.
    """

    mutant: str
    digest: str
    suites: str
    end: End
    by: str = ""
    reason: str = ""
    build_seconds: float = 0.0
    run_seconds: float = 0.0
    run: int = 0
    picked: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """What is known. good: tests that were seen to pass on base. bad: those that do not, and so prove nothing.

    sure: tests that failed twice on one mutant: what they say is no accident.
    """

    found: dict[str, Found] = field(default_factory=dict)
    sure: tuple[str, ...] = ()
    good: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()

    def with_found(self, found: Found) -> State:
        return replace(self, found={**self.found, found.mutant: found})

    def with_sure(self, found: Found) -> State:
        caught = found.end is End.CAUGHT and not found.by.startswith("(")
        return replace(self, sure=tuple(dict.fromkeys((*self.sure, found.by)))) if caught else self

    def killers(self) -> tuple[str, ...]:
        """Tests that caught mutants, those that caught most first."""
        caught = (found.by for found in self.found.values() if found.end is End.CAUGHT)
        counts = Counter(test for test in caught if not test.startswith("("))
        return tuple(test for test, _ in counts.most_common())

    def is_known(self, mutant: Mutant, suites: str) -> bool:
        """Whether a mutant need not be tried again."""
        found = self.found.get(mutant.name)
        if found is None or found.digest != mutant.digest or found.end is End.LOST or found.by in self.bad:
            return False
        return found.end is End.CAUGHT or found.suites == suites


def find_mutants(names: Sequence[str] = ()) -> tuple[Mutant, ...]:
    """The mutants whose names contain one of `names`; all, where none is given."""
    found = (_mutant(path) for path in sorted(MUTANTS.glob("*.patch")))
    return tuple(mutant for mutant in found if not names or any(name in mutant.name for name in names))


def _mutant(path: Path) -> Mutant:
    text = path.read_text()
    reasons = [line.removeprefix(_EQUIVALENT) for line in text.splitlines() if line.startswith(_EQUIVALENT)]
    return Mutant(path.stem, path, hashlib.sha256(text.encode()).hexdigest()[:16], " ".join(reasons))


def suites_digest(suites: Iterable[Suite]) -> str:
    """Of all that the suites are made of, and what they share."""
    digests = "".join(suite_digest(suite.directory) for suite in suites)
    return hashlib.sha256(digests.encode()).hexdigest()[:16]


class _Build(Trial):
    """A trial that ends where its kernels are built."""

    def _test(self) -> None:
        pass


def our_suites() -> tuple[Suite, ...]:
    """All but those that run programs of the kernel's tree."""
    return tuple(suite for suite in find_suites() if not suite.chooses)


def _asked(mutant: Mutant, suites: Iterable[str]) -> Invocation:
    """All our fragments on every trial, so that there is but one base kernel."""
    fragments = dict.fromkeys(name for suite in our_suites() for name in suite.fragments)
    return Invocation(
        str(mutant.path),
        str(Path.cwd()),
        tree=TREE,
        suites=tuple(suites),
        fragments=tuple(fragments),
        accelerator="tcg",
    )


def build(mutant: Mutant, run: RunFolder) -> Trial:
    """Both kernels, and the suites of ours that the mutant's files pick. Raises KtrialError."""
    touched = _TOUCHED.findall(mutant.path.read_text())
    trial = _Build(run, _asked(mutant, (chosen.suite.name for chosen in pick_suites(our_suites(), touched))))
    trial.go()
    return trial


def try_mutant(mutant: Mutant, state: State, run: RunFolder, digest: str) -> Found:
    """Build a mutant and run our tests on it until one fails that does not fail on base."""
    began = time.monotonic()
    found = Found(mutant.name, mutant.digest, digest, End.NOT_BUILT)
    try:
        trial = build(mutant, run)
    except KtrialError as error:
        return replace(found, reason=error.summary)
    assert trial.patched_kernel is not None
    built = time.monotonic()
    # The suites that need no network cards are the quick ones.
    picked = sorted((chosen.suite for chosen in trial.picked), key=lambda suite: len(suite.devices))
    found = replace(found, picked=tuple(suite.name for suite in picked), build_seconds=built - began)
    return _tested(found, mutant, state, picked, trial.patched_kernel.image, run.path)


def _tested(found: Found, mutant: Mutant, state: State, suites: Sequence[Suite], image: Path, folder: Path) -> Found:
    """Run tests until one fails, and fails again, alone or in its place: a mutant is not caught by an accident."""
    began = time.monotonic()
    once: list[str] = []
    for attempt in range(_ATTEMPTS):
        place = folder / f"tests-{attempt}"
        killers = state.killers()[:_SUGGESTED]
        results = _run(suites, image, place / "all", first=killers, like=mutant.name, skip=state.bad)
        found = _judged(replace(found, run=found.run + len(results.results)), mutant, results)
        if found.end is not End.CAUGHT or found.by in (*state.sure, *once, _NO_BOOT):
            break
        of_killer = [suite for suite in suites if found.by.startswith(f"{suite.name}/")]
        again = _run(of_killer, image, place / "again", only=(found.by,))
        if any(result.outcome.bad for result in again.results):
            break
        once.append(found.by)
    return replace(found, run_seconds=time.monotonic() - began)


def _judged(found: Found, mutant: Mutant, results: SideResults) -> Found:
    if not results.booted:
        return replace(found, end=End.CAUGHT, by=_NO_BOOT, reason=results.boots[-1].end if results.boots else "")
    failed = next((result for result in results.results if result.outcome.bad), None)
    if failed:
        return replace(found, end=End.CAUGHT, by=failed.test, reason=failed.reason)
    if not any(result.outcome is Outcome.PASSED for result in results.results):
        return replace(found, end=End.LOST, reason="no test passed, and none failed")
    if mutant.equivalent:
        return replace(found, end=End.EQUIVALENT, reason=mutant.equivalent)
    return replace(found, end=End.MISSED)


def holds_on_base(tests: Sequence[str], mutant: Mutant, run: RunFolder) -> State:
    """Which of some tests pass on base and which do not: only those that do prove anything."""
    trial = build(mutant, run)
    assert trial.base_kernel is not None
    names = {test.partition("/")[0] for test in tests}
    suites = tuple(suite for suite in find_suites() if suite.name in names)
    results = _run(suites, trial.base_kernel.image, run.path / "base", only=tuple(tests))
    bad = {result.test for result in results.results if result.outcome.bad}
    good = {result.test for result in results.results if result.outcome is Outcome.PASSED} - bad
    return State(good=tuple(sorted(good)), bad=tuple(sorted(bad)))


def _run(
    suites: Sequence[Suite],
    image: Path,
    folder: Path,
    *,
    first: tuple[str, ...] = (),
    like: str = "",
    skip: tuple[str, ...] = (),
    only: tuple[str, ...] | None = None,
) -> SideResults:
    """One session on one kernel; unless `only` some tests are wanted, it stops at the first failure.

    like: tests whose names share words with this come before others.
    """
    objects = compile_objects(suites, folder / "bpf")
    bench = Bench.of(Invocation("", str(Path.cwd())), Accelerator.TCG, suites, objects)
    session = Session(
        side="patched",
        guest=replace(bench.guest, image=image),
        root=bench.root,
        suites=bench.suites,
        folder=folder,
        only=only,
        skip=skip,
        first=first,
        arguments=() if only is not None else ("-x",),
    )
    if like:
        session = replace(session, first=_alike(like, names_of(session))[:_LIKELY] + first)
    return run_sessions([session], find_splats)[0]


def _alike(name: str, tests: Sequence[str]) -> tuple[str, ...]:
    """The tests whose names have words of a mutant's, those with the rarest words first."""
    having = {word: {test for test in tests if word in test} for word in name.split("-") if len(word) > _SHORT}
    weights = {word: math.log(len(tests) / len(those)) for word, those in having.items() if those}
    scores = {test: sum(weights[word] for word in weights if test in having[word]) for test in tests}
    return tuple(sorted((test for test in tests if scores[test]), key=lambda test: -scores[test]))
