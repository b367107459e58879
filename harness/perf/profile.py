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

_KERNEL_CLOCKS = ("ktime_get", "bpf_ktime_get_ns")
CLOCKS = (*_KERNEL_CLOCKS, "lap")
"""What is read before and after a packet: bpf_test_run() reads the first, programs call the second. These are functions
of the kernel, whose entries are marks; the third is a mark that programs in user space make (suites/marks.py)."""

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
    clocks = [symbols.address(name) for name in _KERNEL_CLOCKS]
    if None in clocks:
        missing = _KERNEL_CLOCKS[clocks.index(None)]
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


@dataclass(frozen=True)
class _Sample:
    """What ran for `per` packets."""

    counts: Counts
    per: int


def _profile(bench: str, figure: dict[str, Any], segments: Mapping[int, Segment]) -> Profile:
    """From what the bench told of itself.

    Its samples lie in the segments `first` and on, between readings of `clock`: with `every` between each two, less the
    first `skip`, and of the rest every `stride`-th. per: packets of a sample, or of each one. packets: whether every
    packet runs a program that the plugin was told of.
    """
    told = figure.get("profile", {})
    if told.get("clock") not in CLOCKS:
        return Profile(bench, failure="it does not say by which clock it measures")
    numbers = range(told["first"], told["first"] + told["segments"])
    if any(number not in segments for number in numbers):
        return Profile(bench, failure="its guest was ended before its profile was whole")
    clock, every = CLOCKS.index(told["clock"]), bool(told.get("every"))
    chosen = slice(told.get("skip", 0), None, told.get("stride", 1))
    counts = [each for number in numbers for each in samples(segments[number], clock, every=every)[chosen]]
    pers = told["per"] if isinstance(told["per"], list) else [told["per"]] * len(counts)
    if len(pers) != len(counts):
        return Profile(bench, failure=f"its clock was read for {len(counts)} samples, and it has {len(pers)}")
    taken = [_Sample(each, int(per)) for each, per in zip(counts, pers, strict=True)]
    return _checked(bench, figure["values"], taken, counted=told.get("packets", True))


def _checked(bench: str, values: Sequence[float], taken: Sequence[_Sample], *, counted: bool) -> Profile:
    """Medians, where what was counted is what the clock said; else the failure.

    counted: whether every packet runs a program that the plugin was told of.
    """
    if not taken:
        return Profile(bench, failure="the kernel's clock was never read while it ran")
    figure, insns = median(values), median(each.counts.insns.total() / each.per for each in taken)
    odd = next((each for each in taken if each.counts.packets != each.per), None)
    if counted and odd:
        why = f"{odd.counts.packets} packets were counted where {odd.per} were sent"
        return Profile(bench, figure, insns, failure=why)
    if abs(insns - figure) > _ROUNDING + _TOLERANCE * figure:
        why = f"{insns:.2f} insns for a packet were counted, and the clock said {figure:.2f}"
        return Profile(bench, figure, insns, failure=why)
    return Profile(bench, figure, insns, _functions(taken), _blocks(taken))


def _functions(taken: Sequence[_Sample]) -> tuple[FunctionCost, ...]:
    names = dict.fromkeys(name for each in taken for name in each.counts.insns)
    costs = (
        FunctionCost(name, *(_middle(taken, what, name) for what in ("insns", "lines", "calls"))) for name in names
    )
    return tuple(sorted((cost for cost in costs if cost.insns), key=lambda cost: (-cost.insns, cost.name)))


def _blocks(taken: Sequence[_Sample]) -> tuple[tuple[tuple[int, ...], float], ...]:
    blocks = dict.fromkeys(block for each in taken for block in each.counts.at)
    medians = ((block, _middle(taken, "at", block)) for block in blocks)
    return tuple((block, runs) for block, runs in medians if runs)


def _middle(taken: Iterable[_Sample], what: str, key: Any) -> float:
    """The median of what one of the samples' counters has for a packet."""
    return float(median(getattr(each.counts, what)[key] / each.per for each in taken))
