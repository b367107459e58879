"""What the tests that a series brings prove: run on the kernel without it, do they fail there?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.results import Outcome, SideResults, TestResult

__all__ = ["Proof", "ProofKind", "failing", "proof_words", "proofs"]

# How suites/kselftest calls the result that only tells what a program left behind: it proves nothing of the kernel.
_LEAVES = "]/leaves nothing behind"


class ProofKind(StrEnum):
    """What one test of the series' own shows. Exactly one holds. In the order of reports."""

    PROVEN = "proven"  # fails without the series, passes with it
    PROVES_NOTHING = "proves-nothing"  # passes on both kernels
    FAILS_ON_BOTH = "fails-on-both"
    BROKEN = "broken"  # passes without the series, fails with it
    UNSTABLE = "unstable"  # its attempts on one kernel differ
    NOT_RUN = "not-run"  # skipped or lost on one of the kernels


@dataclass(frozen=True)
class Proof:
    """One test that the series adds or changes, as the series has it, on both kernels.

    new: base's own tree has no test of that name. without, with_series: the outcome on the kernel without and with
    the series, None where there is no result. reason: why it fails without, one line.
    """

    test: str
    kind: ProofKind
    without: Outcome | None
    with_series: Outcome | None
    new: bool
    reason: str = ""


def proofs(on_base: SideResults, base: SideResults | None, patched: SideResults) -> tuple[Proof, ...]:
    """on_base: the patched tree's tests on the base kernel. base, patched: each tree's tests on its own kernel."""
    without, with_series = _by_test(on_base.results), _by_test(patched.results)
    known = {result.test for result in base.results} if base else set()
    items = {test for test in without if "]/" not in test}
    wanted = [test for test in with_series if _item(test) in items]
    order = list(dict.fromkeys([*wanted, *without]))
    found = [_proof(test, without.get(test, []), with_series.get(test, []), test not in known) for test in order]
    return tuple(proof for proof in found if not _repeats(proof, order))


def proof_words(found: Sequence[Proof]) -> str:
    """One clause: `2 of 3 fail without the series and pass with it, 1 passes on both and proves nothing`."""
    counts = {kind: sum(proof.kind is kind for proof in found) for kind in ProofKind}
    told = [f"{counts[ProofKind.PROVEN]} of {len(found)} fail without the series and pass with it"]
    worded = (
        (ProofKind.PROVES_NOTHING, "pass on both and prove nothing"),
        (ProofKind.FAILS_ON_BOTH, "fail on both"),
        (ProofKind.BROKEN, "pass only without it"),
        (ProofKind.UNSTABLE, "differ from one run to the next"),
        (ProofKind.NOT_RUN, "not run on both"),
    )
    return ", ".join(told + [f"{counts[kind]} {words}" for kind, words in worded if counts[kind]])


def failing(on_base: SideResults) -> tuple[str, ...]:
    """The tests that fail without the series; once is not enough to say so."""
    return tuple(dict.fromkeys(result.test for result in on_base.results if result.outcome.bad))


def _repeats(proof: Proof, order: Iterable[str]) -> bool:
    """A program that passes on both, and whose subtests are told one by one."""
    below = any(test.startswith(f"{proof.test}/") for test in order)
    return below and proof.kind is ProofKind.PROVES_NOTHING


def _proof(test: str, without: list[TestResult], with_series: list[TestResult], new: bool) -> Proof:
    reason = next((result.reason for result in without if result.outcome.bad), "")
    return Proof(test, _kind(without, with_series), _worst(without), _worst(with_series), new, reason)


def _kind(without: list[TestResult], with_series: list[TestResult]) -> ProofKind:
    if not all(_ran(result) for result in (*without, *with_series)) or not without or not with_series:
        # A test that takes the guest down leaves its subtests without a result.
        return ProofKind.NOT_RUN
    fails = [{result.outcome.bad for result in results} for results in (without, with_series)]
    if any(len(each) > 1 for each in fails):
        return ProofKind.UNSTABLE
    before, after = True in fails[0], True in fails[1]
    if before:
        return ProofKind.FAILS_ON_BOTH if after else ProofKind.PROVEN
    return ProofKind.BROKEN if after else ProofKind.PROVES_NOTHING


def _ran(result: TestResult) -> bool:
    return result.outcome not in (Outcome.SKIPPED, Outcome.LOST)


def _worst(results: list[TestResult]) -> Outcome | None:
    bad = [result.outcome for result in results if result.outcome.bad]
    return bad[0] if bad else results[0].outcome if results else None


def _by_test(results: Iterable[TestResult]) -> dict[str, list[TestResult]]:
    found: dict[str, list[TestResult]] = {}
    for result in results:
        if result.test.endswith(_LEAVES):
            continue
        found.setdefault(result.test, []).append(result)
    return found


def _item(test: str) -> str:
    head, bracket, _ = test.partition("]/")
    return head + "]" if bracket else test
