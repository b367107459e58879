"""Kernel against model: the same operations on the same frames, and every return code, length and byte the same.

The cases are the same in every run and on every kernel. A failure shows its case made small, as a test to paste.
`ktrial run --fuzz MINUTES` makes more (test_fuzz.py).
"""

from __future__ import annotations

import pytest
from xdp_multibuf.case import Case, as_test, disagreement
from xdp_multibuf.cases import cases
from xdp_multibuf.generate import Seeded, generate
from xdp_multibuf.machine import Limits, Machine
from xdp_multibuf.model import Behaviour
from xdp_multibuf.shrink import shrink

CASES_EACH = 30


@cases("seed", range(20))
def test_kernel_and_model_agree(machine: Machine, limits: Limits, behaviour: Behaviour, seed: int):
    """Thirty cases of each seed: frame, split, metadata, and up to a dozen operations."""
    source = Seeded(seed)
    for _ in range(CASES_EACH):
        case = generate(source, limits)
        if disagreement(machine, limits, behaviour, case):
            _fail(machine, limits, behaviour, case)


def _fail(machine: Machine, limits: Limits, behaviour: Behaviour, case: Case) -> None:
    """Fail with the case made small."""
    small = shrink(case, lambda other: bool(disagreement(machine, limits, behaviour, other)))
    said = disagreement(machine, limits, behaviour, small)
    pytest.fail(f"{said}\n\n{as_test(small, said)}", pytrace=False)
