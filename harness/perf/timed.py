"""The instruments `cycles` and `wall`: the processor's own counter, and the clock, in a guest that runs at full speed.

What a guest under KVM takes is what the machine takes, with its caches and pipelines, and with its neighbours: a
difference has an interval, and what is smaller than that cannot be told (harness/perf/paired.py).
"""

from __future__ import annotations

from dataclasses import replace

from harness.machine.model import GuestSpec
from harness.perf.icount import INSTRUMENT_VARIABLE
from harness.perf.model import Instrument

__all__ = ["timing"]


def timing(guest: GuestSpec, instrument: Instrument) -> GuestSpec:
    """A guest whose benches read the clock or the PMU. Under KVM virtme-ng gives it the host's processor."""
    return replace(guest, env={**guest.env, INSTRUMENT_VARIABLE: str(instrument)})
