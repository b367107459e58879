"""One case of the model's: a frame and operations, run by the kernel and by the model, and a test of its text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from xdp_multibuf.machine import Kind, Limits, Machine, Op, Run, difference, frame_of
from xdp_multibuf.model import Behaviour, Prediction, predict

__all__ = ["Case", "as_test", "disagreement"]

_UNTOUCHED = {0xEE, 0}  # a refused load leaves the buffer, or clears it


@dataclass(frozen=True)
class Case:
    """size: bytes of the frame, metadata counted. split: ctx_in's data_end. meta: ctx_in's data."""

    size: int
    split: int | None = None
    meta: int = 0
    operations: tuple[Op, ...] = ()

    @property
    def has_context(self) -> bool:
        return self.split is not None or self.meta > 0

    def predicted(self, limits: Limits, behaviour: Behaviour) -> Prediction:
        return predict(self.size, self.operations, limits, behaviour, self.split, self.meta)


def as_test(case: Case, why: str) -> str:
    """A test of this case alone, ready to be pasted into a file of the suite. why: what came of it, one line."""
    operations = "".join(f"            {_spelled(op)},\n" for op in case.operations)
    return _TEST.format(why=why.replace('"', "'"), case=case, operations=operations, names=", ".join(_names(case)))


_TEST = '''\
from xdp_multibuf.case import Case, disagreement
from xdp_multibuf.machine import {names}
from xdp_multibuf.model import Behaviour


def test_found_by_the_model(machine: Machine, limits: Limits, behaviour: Behaviour):
    """{why}"""
    case = Case(
        size={case.size},
        split={case.split},
        meta={case.meta},
        operations=(
{operations}        ),
    )
    said = disagreement(machine, limits, behaviour, case)
    assert not said, said
'''


def _names(case: Case) -> list[str]:
    """What the test has to import from `machine`, as ruff sorts it: constants, classes, functions."""
    used = {word for op in case.operations for word in re.findall(r"[A-Za-z_]+", _spelled(op))} | {"Limits", "Machine"}
    return sorted(used, key=lambda word: (not word.isupper(), word[0].islower(), word))


def disagreement(machine: Machine, limits: Limits, behaviour: Behaviour, case: Case) -> str:
    """What kernel and model see differently in a case, in one line; "" where they agree on everything."""
    ran = machine.run(frame_of(case.size), *case.operations, split=case.split, meta=case.meta)
    return _difference(case, ran, case.predicted(limits, behaviour))


def _difference(case: Case, ran: Run, expected: Prediction) -> str:
    if ran.error != expected.error:
        return f"test_run said {ran.error or 'success'}, the model {expected.error or 'success'}"
    if expected.error:
        return f"{expected.error}, but the program ran" if ran.runs else ""
    got, wanted = zip(ran.results, ran.loaded, strict=True), zip(expected.results, expected.loaded, strict=True)
    for number, (op, one, other) in enumerate(zip(case.operations, got, wanted, strict=True), 1):
        if said := _operation(*one, *other):
            return f"operation {number}, {_spelled(op)}: {said}"
    if case.has_context and (ran.meta, ran.linear) != (expected.meta, expected.linear):
        return f"ctx_out's data, data_end: {ran.meta, ran.linear}, the model {expected.meta, expected.linear}"
    if ran.size != len(expected.data):
        return f"data_size_out is {ran.size}, the model's {len(expected.data)}"
    said = difference(ran.data, expected.data)
    return f"data_out: {said}" if said else ""


def _operation(result: int, loaded: bytes, expected: int, bytes_expected: bytes | None) -> str:
    if result != expected:
        return f"the kernel returned {result}, the model {expected}"
    if bytes_expected is None:
        return "refused, but bytes of the frame were loaded" if not set(loaded) <= _UNTOUCHED else ""
    return difference(loaded, bytes_expected)


_CALLS = {
    Kind.ADJUST_HEAD: "adjust_head({0.offset})",
    Kind.ADJUST_TAIL: "adjust_tail({0.offset})",
    Kind.ADJUST_META: "adjust_meta({0.offset})",
    Kind.LOAD: "load({0.offset}, {0.length})",
    Kind.STORE: "store({0.offset}, ink({0.length}))",
    Kind.PEEK: "peek({0.offset})",
    Kind.POKE: "poke({0.offset}, {0.length})",
    Kind.POKE_META: "poke_meta({0.length})",
}


def _spelled(op: Op) -> str:
    kind = Kind(op.kind)
    return _CALLS[kind].format(op) if kind in _CALLS else kind.name
