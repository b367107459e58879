"""Run the tests that a series brings on the kernel without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.kselftest.proof import Proof, failing, proofs
from harness.kselftest.stage import Selftests
from harness.passes import Bench, run_passes
from harness.plan import Observer
from harness.results import SideResults
from harness.store import RunFolder
from harness.suites import Suite

__all__ = ["prove"]


def prove(
    bench: Bench,
    suite: Suite,
    selftests: Selftests,
    image: Path,
    results: tuple[SideResults | None, SideResults],
    run: RunFolder,
    observer: Observer,
) -> tuple[Proof, ...]:
    """What the series' own tests show. image: the base kernel. results: of base and patched.

    Tests that fail there are run a second time: what failed once has not been shown to fail.
    """
    parts = selftests.proof(run.path / "kselftest")
    if not parts:
        return ()
    observer.stage("proof", "the series' own selftests on the kernel without it")
    proving = replace(bench, suites=(suite.directory,), of_side=parts, only=None, keyword="", label="proof")
    on_base = run_passes(proving, {"proof": image}, run, observer)["proof"]
    if again := failing(on_base):
        repeat = replace(proving, only=again, of_side={"proof-again": parts["proof"]}, label="proof-again")
        more = run_passes(repeat, {"proof-again": image}, run, observer)["proof-again"]
        on_base = replace(on_base, results=(*on_base.results, *more.results))
    return proofs(on_base, *results)
