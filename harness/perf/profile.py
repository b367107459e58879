"""The instrument `profile`: what each kernel function ran and touched for a packet, to the instruction.

QEMU's plugin (vm/profile) counts while the guest's clock counts too, in one boot, so that each checks the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from harness.command import Command, run
from harness.errors import MachineLost
from harness.machine.model import GuestSpec
from harness.native_tools import build_tool
from harness.perf.symbols import Symbols
from harness.perf.trace import Counts, Segment, read_trace, samples

__all__ = ["CLOCKS", "FunctionCost", "Profile", "profiling", "read_profiles"]

CLOCKS = ("ktime_get", "bpf_ktime_get_ns")
"""Functions of the kernel whose entries are marks: bpf_test_run() reads the first, programs call the second."""

PROFILE_VARIABLE = "KTRIAL_PROFILE"  # as in suites/marks.py
_TOOL = "profile"
_OUTPUT = "profile.bin"
_QEMU_DIR = Path("/ktrial/qemu")  # as in harness/machine/guest.py
# bpf_test_run() divides and rounds down (net/bpf/test_run.c); a read of the clock is not at its function's entry.
_ROUNDING = 1.0
_TOLERANCE = 0.001


@dataclass(frozen=True)
class FunctionCost:
    """One kernel function under one bench, for one packet. lines: data cache lines that it was the first to touch."""

    name: str
    insns: float
    lines: float
    calls: float


@dataclass(frozen=True)
class Profile:
    """One bench in one boot. figure: by the guest's clock, in insns. counted: by the plugin.

    functions: those that ran, most expensive first; medians over the bench's samples. at: runs of blocks of
    instructions, by their addresses, for a packet. failure: why there is nothing, or "".
    """

    bench: str
    figure: float = 0.0
    counted: float = 0.0
    functions: tuple[FunctionCost, ...] = ()
    at: tuple[tuple[tuple[int, ...], float], ...] = ()
    failure: str = ""


def profiling(guest: GuestSpec, symbols: Symbols, tools: Path) -> GuestSpec:
    """A guest whose QEMU has the plugin. tools: a folder the plugin is put in. Raises ToolchainError, MachineLost."""
    version = run(Command(("qemu-system-x86_64", "--version"), deadline=10)).text
    plugin = build_tool(_TOOL, tools, variables=(f"PLUGIN_API={plugin_api(version)}",))
    clocks = [symbols.address(name) for name in CLOCKS]
    if None in clocks:
        missing = CLOCKS[clocks.index(None)]
        raise MachineLost(f"{symbols.path} has no function {missing}", hint="is it of the kernel that is measured?")
    options = [str(plugin), f"out={_QEMU_DIR / _OUTPUT}", "lines=on", *(f"clock={address:x}" for address in clocks)]
    return replace(
        guest,
        env={**guest.env, PROFILE_VARIABLE: "1"},
        readable=(*guest.readable, tools),
        qemu_args=(*guest.qemu_args, "-plugin", ",".join(options)),
    )


def plugin_api(version: str) -> int:
    """The version of the plugins' interface that a QEMU takes (include/qemu/qemu-plugin.h lists what changed).

    version: as `qemu-system-x86_64 --version` tells it. QEMU 9.0 dropped all before 2; 3 came with 9.1, and is the last
    that changed what vm/profile uses.
    """
    found = re.search(r"version (\d+)\.(\d+)", version)
    numbers = (int(found[1]), int(found[2])) if found else (0, 0)
    return 3 if numbers >= (9, 1) else 2 if numbers >= (9, 0) else 1


def read_profiles(boots: Path, figures: Mapping[str, dict[str, Any]], symbols: Symbols) -> tuple[Profile, ...]:
    """The profiles of benches, from the last boot's trace. figures: what each bench said (suites/meter.py)."""
    traces = sorted(boots.glob(f"*/qemu/{_OUTPUT}"))
    if not traces:
        raise MachineLost("no guest wrote a profile", log=boots)
    segments = read_trace(traces[-1], symbols)
    return tuple(_profile(bench, figure, segments) for bench, figure in figures.items())


def _profile(bench: str, figure: dict[str, Any], segments: Mapping[int, Segment]) -> Profile:
    told = figure.get("profile", {})
    if told.get("clock") not in CLOCKS:
        return Profile(bench, failure="it does not say by which clock it measures")
    numbers = range(told["first"], told["first"] + told["segments"])
    if any(number not in segments for number in numbers):
        return Profile(bench, failure="its guest was ended before its profile was whole")
    clock, every = CLOCKS.index(told["clock"]), bool(told.get("every"))
    taken = [sample for number in numbers for sample in samples(segments[number], clock, every=every)]
    return _checked(bench, figure["values"], int(told["per"]), taken)


def _checked(bench: str, values: Sequence[float], per: int, taken: Sequence[Counts]) -> Profile:
    """Medians, where what was counted is what the clock said; else the failure."""
    if not taken:
        return Profile(bench, failure="the kernel's clock was never read while it ran")
    figure, counted = median(values), median(sample.insns.total() / per for sample in taken)
    packets = {sample.packets for sample in taken}
    if packets != {per} and packets != {0}:
        odd = next(iter(packets - {per}))
        return Profile(bench, figure, counted, failure=f"{odd} packets were counted where {per} were sent")
    if abs(counted - figure) > _ROUNDING + _TOLERANCE * figure:
        why = f"{counted:.2f} insns for a packet were counted, and the clock said {figure:.2f}"
        return Profile(bench, figure, counted, failure=why)
    return Profile(bench, figure, counted, _functions(taken, per), _blocks(taken, per))


def _functions(taken: Sequence[Counts], per: int) -> tuple[FunctionCost, ...]:
    names = dict.fromkeys(name for sample in taken for name in sample.insns)
    costs = (
        FunctionCost(
            name,
            *(
                median(counter[name] / per for counter in counters)
                for counters in (_of(taken, "insns"), _of(taken, "lines"), _of(taken, "calls"))
            ),
        )
        for name in names
    )
    return tuple(sorted((cost for cost in costs if cost.insns), key=lambda cost: (-cost.insns, cost.name)))


def _of(taken: Iterable[Counts], what: str) -> list[Any]:
    return [getattr(sample, what) for sample in taken]


def _blocks(taken: Sequence[Counts], per: int) -> tuple[tuple[tuple[int, ...], float], ...]:
    blocks = dict.fromkeys(block for sample in taken for block in sample.at)
    medians = ((block, median(sample.at[block] / per for sample in taken)) for block in blocks)
    return tuple((block, runs) for block, runs in medians if runs)
