"""The benches whose figures are in the tables of cover letters (harness/report/tables.py)."""

from __future__ import annotations

import re

from harness.perf.model import Performance

__all__ = ["ACTIONS", "BASELINES", "VERIFIER", "XDPSOCK", "devices_of", "letter_benches"]

ACTIONS = "drivers/bench_actions.py::bench_{}[device={},mode=native,size=64]"
XDPSOCK = "af_xdp/bench_xdpsock.py::bench_{}[device={},mode={},size={}]"
VERIFIER = re.compile(r"(?P<suite>[^:]+)/bench_verifier\.py::bench_verified_(insns|states)\[object=(?P<object>.+)\]")
BASELINES = (("XDP_DROP", "drop"), ("XDP_TX", "tx"))
_MODES = ("drv", "zc")


def devices_of(performance: Performance) -> tuple[str, ...]:
    """The devices of these benches, in the order of the benches."""
    ours = tuple(name.partition("::")[0] + "::" for name in (ACTIONS, XDPSOCK))
    return tuple(dict.fromkeys(_device(each.bench) for each in performance.figures if each.bench.startswith(ours)))


def _device(bench: str) -> str:
    return bench.partition("[device=")[2].partition(",")[0]


def letter_benches(performance: Performance) -> frozenset[str]:
    """Those that the first table has a row of for every patch, where that is asked."""
    devices = devices_of(performance)
    names = {ACTIONS.format(name, device) for device in devices for _, name in BASELINES}
    return frozenset(names | {XDPSOCK.format("rxdrop", device, mode, 64) for device in devices for mode in _MODES})
