"""Make a failing case small: fewer operations, a smaller frame, plainer numbers, as long as it still fails.

Hypothesis shrinks what it generated itself; this does it for the fixed cases, without its import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from xdp_multibuf.case import Case
from xdp_multibuf.machine import Kind, Op, ink

__all__ = ["shrink"]

MOST_TRIES = 300
PAGE = 4096  # of most machines: a fragment less, and the last one as it was


def shrink(case: Case, fails: Callable[[Case], bool]) -> Case:
    """The smallest case found that `fails` says fails too, after MOST_TRIES tries at the most."""
    tries, smaller = 0, True
    while smaller:
        smaller = False
        for candidate in _smaller(case):
            tries += 1
            if tries > MOST_TRIES:
                return case
            if fails(candidate):
                case, smaller = candidate, True
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    """Cases a step simpler, the boldest steps first."""
    operations = case.operations
    for count in (len(operations) // 2, 2, 1):
        for at in range(0, len(operations), count) if count else ():
            yield replace(case, operations=operations[:at] + operations[at + count :])
    if case.split is not None:
        yield replace(case, split=None)
    if case.meta:
        yield replace(case, meta=0)
        yield replace(case, meta=0, size=case.size - case.meta)
    for size in (*_towards(case.size, 60), max(60, case.size - PAGE)):
        yield replace(case, size=size)
        yield from _cut_by_less(case, size)
    for split in _towards(case.split, 64) if case.split is not None else ():
        yield replace(case, split=split)
    for index, op in enumerate(operations):
        for plainer in _plainer(op):
            yield replace(case, operations=(*operations[:index], plainer, *operations[index + 1 :]))


def _cut_by_less(case: Case, size: int) -> Iterator[Case]:
    """A smaller frame of which an operation leaves as much: where a fault is in what is left."""
    for index, op in enumerate(case.operations):
        offset = op.offset + case.size - size
        if op.kind == Kind.ADJUST_TAIL and offset < 0:
            operations = (*case.operations[:index], op._replace(offset=offset), *case.operations[index + 1 :])
            yield replace(case, size=size, operations=operations)


def _plainer(op: Op) -> Iterator[Op]:
    for offset in _towards(op.offset, 0):
        yield op._replace(offset=offset)
    if op.kind in (Kind.LOAD, Kind.STORE):
        for length in _towards(op.length, 1):
            yield op._replace(length=length, data=ink(length) if op.data else b"")


def _towards(value: int, goal: int) -> Iterator[int]:
    """Numbers between, half the way each: the goal itself first, a step of one last."""
    distance = value - goal
    while distance:
        yield value - distance
        distance = int(distance / 2)
