"""Plant bugs in the kernel, one at a time: which of our tests notices, and how soon?

    python -m bench.mutation [NAME...] [--again] [--selftests] [--state FILE]

For each patch of tests/mutants (those whose name contains a NAME): apply it to the packaged 6.12, build from the base's
objects, boot, and run the suites that its files pick until a test fails that passes on base; tests that are called like
the mutant go first, then those that caught earlier ones. What was found is kept in a file, so that a second call only
tries what is new, what was missed and may be found by changed suites, and what was interrupted. --selftests: run the
kernel's own selftests instead of ours. A mutant whose mail says `Equivalent: why` may be missed. Exits with 1 if any
other was.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.mutants import (
    End,
    Found,
    Mutant,
    State,
    find_mutants,
    holds_on_base,
    our_suites,
    suites_digest,
    try_mutant,
)
from bench.selftest_mutants import selftests_digest, try_selftests
from harness import record
from harness.places import cache_dir
from harness.store import new_run, remove_run


def main() -> int:
    options = _options()
    mutants = find_mutants(options.names)
    place = options.state or cache_dir() / f"mutation{'-selftests' if options.selftests else ''}.json"
    state = record.load_if(place, State) or State()
    with tempfile.TemporaryDirectory(prefix="mutation-", dir=_folder(place)) as folder:
        os.environ["KTRIAL_RUNS"] = folder
        if options.again:
            state = replace(state, found={name: found for name, found in state.found.items() if _other(name, mutants)})
        state = _all(mutants, state, place, selftests=options.selftests)
    return _report([state.found[mutant.name] for mutant in mutants if mutant.name in state.found], len(mutants))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--again", action="store_true", help="also those whose fate is known")
    parser.add_argument("--selftests", action="store_true", help="with the kernel's own selftests instead of ours")
    parser.add_argument("--state", type=Path, help="file that keeps what was found")
    return parser.parse_args()


def _folder(place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    return place.parent


def _other(name: str, mutants: Sequence[Mutant]) -> bool:
    return all(mutant.name != name for mutant in mutants)


def _all(mutants: Sequence[Mutant], state: State, place: Path, *, selftests: bool) -> State:
    """Try what is not known, then the tests that caught something on base, until nothing rests on a bad test."""
    digest = selftests_digest() if selftests else suites_digest(our_suites())
    while todo := [mutant for mutant in mutants if not state.is_known(mutant, digest)]:
        for mutant in todo:
            run = new_run(None, f"mutant-{mutant.name}")
            if selftests:
                found = try_selftests(mutant, run, digest, place.with_suffix(".base.json"))
            else:
                found = try_mutant(mutant, state, run, digest)
            remove_run(run)
            print(_line(found), flush=True)
            state = state.with_found(found).with_sure(found)
            record.save(place, state)
        state = state if selftests else _proven(state, mutants[0])
        record.save(place, state)
        if any(found.end is End.LOST for found in state.found.values()):
            break
    return state


def _proven(state: State, mutant: Mutant) -> State:
    """The same with every test that caught something tried on base. mutant: any, for it has the base beside it."""
    unproven = [test for test in state.killers() if test not in (*state.good, *state.bad)]
    if not unproven:
        return state
    run = new_run(None, "base")
    known = holds_on_base(unproven, mutant, run)
    remove_run(run)
    for test in known.bad:
        print(f"fails on base too, and proves nothing: {test}", flush=True)
    return replace(state, good=(*state.good, *known.good), bad=(*state.bad, *known.bad))


def _line(found: Found) -> str:
    seconds = f"{found.build_seconds:5.0f} s built {found.run_seconds:5.0f} s run {found.run:4d} tests"
    return f"{found.end:10s} {found.mutant:44s} {seconds}  {found.by}  {found.reason}".rstrip()


def _report(found: Sequence[Found], total: int) -> int:
    """The table of all mutants, those that were missed last, and the share."""
    order = list(End)
    for one in sorted(found, key=lambda one: (order.index(one.end), one.mutant)):
        print(_line(one))
    caught = sum(one.end is End.CAUGHT for one in found)
    equivalent = sum(one.end is End.EQUIVALENT for one in found)
    share = f"{100 * caught / (len(found) - equivalent):.1f} %" if len(found) > equivalent else "none"
    print(f"{caught} of {len(found)} mutants caught, {equivalent} equivalent: {share} ({total - len(found)} not tried)")
    return 0 if caught + equivalent == total else 1


if __name__ == "__main__":
    sys.exit(main())
