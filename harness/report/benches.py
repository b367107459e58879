"""Names of benches, as tables have them."""

from __future__ import annotations

import re

__all__ = ["short_name"]

_PARAMETER = re.compile(r"(?<=[\[,-])\w+=")


def short_name(bench: str) -> str:
    """`tx[veth,native,64]` of `drivers/bench_actions.py::bench_tx[device=veth,mode=native,size=64]`."""
    name, bracket, parameters = bench.rpartition("::")[2].partition("[")
    return name.removeprefix("bench_") + _PARAMETER.sub("", bracket + parameters)
