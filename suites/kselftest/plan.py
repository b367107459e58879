"""What this guest is to run: the plan that the host wrote, found through KTRIAL_KSELFTEST."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Program", "programs", "scale", "tree_root"]

_CHECKED_SCALE = 4.0  # as the guest's own deadlines: vm/ktrial_pytest.py
_LOCKDEP = Path("/proc/lockdep")


@dataclass(frozen=True)
class Program:
    """One program of a collection (harness/kselftest/model.py). timeout: seconds where KVM works.

    card: the network card that it runs on, or "". skip: why it is not run, or "". denied: (subtest, why) pairs, globs
    allowed, of subtests whose results count for nothing; test_progs does not even run them.
    """

    id: str
    collection: str
    name: str
    argv: tuple[str, ...]
    timeout: float
    card: str
    skip: str
    denied: tuple[tuple[str, str], ...] = ()


def programs() -> tuple[Program, ...]:
    """The programs of the plan; none where no selftests were built."""
    plan = _plan()
    denied = dict(plan.get("denied", ()))
    return tuple(_program(entry, denied) for entry in plan.get("programs", ()))


def tree_root() -> str:
    """The folder on the host that holds this side's tools/testing/selftests, built."""
    return str(_plan()["root"])


def scale() -> float:
    """How much longer than where KVM works, on a kernel without checks, everything may take."""
    where = os.environ.get("KTRIAL_PLAN")
    emulated = float(_read(where).get("scale", 1.0)) if where else 1.0
    return emulated * (_CHECKED_SCALE if _LOCKDEP.exists() else 1.0)


def _program(entry: dict, denied: dict[str, str]) -> Program:
    name = f"{entry['collection']}:{entry['name']}"
    below = tuple((key.removeprefix(f"{name}/"), why) for key, why in denied.items() if key.startswith(f"{name}/"))
    return Program(
        name,
        entry["collection"],
        entry["name"],
        (*entry["argv"], *_without(entry["name"], below)),
        entry["timeout"],
        entry.get("card", ""),
        entry["unbuildable"] or (f"on the deny-list: {denied[name]}" if name in denied else ""),
        below,
    )


def _without(name: str, denied: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """How a runner of test_progs is told to leave subtests out; other programs run all that they have."""
    runner, _, test = name.partition("/")
    if not runner.startswith("test_progs"):
        return ()
    return tuple(word for subtest, _ in denied for word in ("-d", f"{test}/{subtest}"))


def _plan() -> dict:
    where = os.environ.get("KTRIAL_KSELFTEST")
    return _read(where) if where else {}


def _read(path: str) -> dict:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib is slow here
        return json.load(file)
