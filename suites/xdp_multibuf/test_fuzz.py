"""More cases for kernel and model, for as long as `--fuzz MINUTES` says. Collected only then (conftest.py).

Half of the time goes to cases by seed, ten times as many in a minute of an emulated guest; the other half to
Hypothesis, which looks for cases unlike those it has seen. What is found is made small and shown as a test to paste;
the seed is in the test's name, and the same seed gives the same cases.
"""

from __future__ import annotations

import os
import time

import pytest
from xdp_multibuf.case import Case, as_test, disagreement
from xdp_multibuf.cases import cases
from xdp_multibuf.fuzz import by_hypothesis, by_seed
from xdp_multibuf.machine import Limits, Machine
from xdp_multibuf.model import Behaviour

MINUTES = float(os.environ.get("KTRIAL_FUZZ_MINUTES", "1"))
SEED = int(os.environ.get("KTRIAL_FUZZ_SEED", "1"))
# Beside the minutes: Hypothesis's import, its last round, and what it shrinks (guests differ by a factor of ten).
GRACE = 120.0


@pytest.mark.deadline(60 * MINUTES + GRACE)
@cases("seed", [SEED])
def test_kernel_and_model_agree_on_more(machine: Machine, limits: Limits, behaviour: Behaviour, seed: int):
    """A failure tells what differs and a test of it."""

    def says(case: Case) -> str:
        return disagreement(machine, limits, behaviour, case)

    half, whole = (time.monotonic() + part * MINUTES for part in (30, 60))
    found = by_seed(says, limits, seed, half) or by_hypothesis(says, limits, seed, whole)
    if found is not None:
        said = says(found) or "kernel and model disagreed once, and not again"
        again = f"--fuzz {MINUTES:g} --fuzz-seed {seed}"
        pytest.fail(f"{said} ({again})\n\n{as_test(found, said)}", pytrace=False)
