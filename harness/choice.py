"""Choose what a trial runs: the suites, with what is asked of each, and so the fragments its kernels are built with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from harness.kconfig import Fragment, load_fragment
from harness.kselftest.select import Selection, config_fragments, select
from harness.kunit import KUNIT, KunitTest, find_kunit_tests, kunit_fragment, not_built
from harness.plan import Invocation
from harness.suites import PickedSuite, asked_suites, find_suites, load_suite, pick_suites
from harness.tree import Applied

__all__ = ["Choice", "choose"]


@dataclass(frozen=True)
class Choice:
    """picked: suites, with the reason for each. selection: which of the kernel's own selftests."""

    picked: tuple[PickedSuite, ...]
    fragments: tuple[Fragment, ...]
    selection: Selection


def choose(asked: Invocation, applied: Applied, repository: Path) -> Choice:
    """By the options of a run, else by what the series touches. repository: holds the applied commits."""
    picked = asked_suites(asked.suites) if asked.suites else pick_suites(find_suites(), applied.changed)
    chooser = next((chosen for chosen in picked if chosen.suite.chooses), None)
    selection = select(chooser.suite.asked, applied.changed) if chooser else Selection()
    wanted = not asked.suites or any(chosen.suite.name == KUNIT for chosen in picked)
    unit_tests = find_kunit_tests(repository, applied.commit, applied.changed) if wanted else ()
    picked += () if asked.suites else _for_unit_tests(unit_tests)
    picked = tuple(_with_remark(chosen, not_built(unit_tests)) for chosen in picked)
    fragments = _fragments(asked, picked)
    if unit_tests and any(chosen.suite.name == KUNIT for chosen in picked):
        fragments += (kunit_fragment(unit_tests),)
    return Choice(picked, fragments + config_fragments(repository, applied.commit, selection), selection)


def _fragments(asked: Invocation, picked: tuple[PickedSuite, ...]) -> tuple[Fragment, ...]:
    names = [name for chosen in picked for name in chosen.suite.fragments]
    given = [name if "/" not in name else str(Path(asked.cwd) / name) for name in asked.fragments]
    return tuple(load_fragment(name) for name in dict.fromkeys(["boot", *names, *given]))


def _for_unit_tests(tests: tuple[KunitTest, ...]) -> tuple[PickedSuite, ...]:
    """The suite of unit tests, where any that can be built in lie beside what the series touches."""
    why = next((test.why for test in tests if test.symbol), "")
    return (PickedSuite(load_suite(KUNIT), f"{why}, with unit tests beside it"),) if why else ()


def _with_remark(chosen: PickedSuite, remark: str) -> PickedSuite:
    return replace(chosen, why=f"{chosen.why}; {remark}") if remark and chosen.suite.name == KUNIT else chosen
