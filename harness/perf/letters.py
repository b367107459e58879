"""The benches whose figures are in the tables of cover letters (harness/report/tables.py)."""

from __future__ import annotations

import re

from harness.perf.model import Performance

__all__ = ["BASELINES", "VERIFIER", "action", "devices_of", "letter_benches", "xdpsock"]

_WIRED = "iface"  # a board's interface, as in suites/drivers/rows.py
_WIRE = "drivers/bench_wire.py"
_ACTIONS = "drivers/bench_actions.py"
_XDPSOCK = "af_xdp/bench_xdpsock.py"
VERIFIER = re.compile(r"(?P<suite>[^:]+)/bench_verifier\.py::bench_verified_(insns|states)\[object=(?P<object>.+)\]")
BASELINES = (("XDP_DROP", "drop"), ("XDP_TX", "tx"))
_MODES = ("drv", "zc")


def action(name: str, device: str) -> str:
    """The bench of an XDP action, in native mode and on frames of 64 bytes."""
    return f"{_WIRE if device == _WIRED else _ACTIONS}::bench_{name}[device={device},mode=native,size=64]"


def xdpsock(job: str, device: str, mode: str, size: int) -> str:
    """The bench of one of xdpsock's jobs."""
    return f"{_WIRE if device == _WIRED else _XDPSOCK}::bench_{job}[device={device},mode={mode},size={size}]"


def devices_of(performance: Performance) -> tuple[str, ...]:
    """The devices of these benches, in the order of the benches."""
    ours = tuple(f"{name}::" for name in (_ACTIONS, _XDPSOCK, _WIRE))
    return tuple(dict.fromkeys(_device(each.bench) for each in performance.figures if each.bench.startswith(ours)))


def _device(bench: str) -> str:
    return bench.partition("[device=")[2].partition(",")[0]


def letter_benches(performance: Performance) -> frozenset[str]:
    """Those that the first table has a row of for every patch, where that is asked."""
    devices = devices_of(performance)
    names = {action(name, device) for device in devices for _, name in BASELINES}
    return frozenset(names | {xdpsock("rxdrop", device, mode, 64) for device in devices for mode in _MODES})
