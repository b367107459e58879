"""Where a difference went: function by function, and which patch of the series wrote the instructions. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import median

from harness.perf.blame import Blame
from harness.perf.model import Attribution, FunctionChange, PatchShare
from harness.perf.profile import Profile
from harness.perf.source_lines import Frame
from harness.perf.symbols import canonical

__all__ = ["Kernel", "attribute"]

_EQUAL = 0.05  # insns for a packet: a tick in one batch of fifteen is less

_MOVED = 0.5  # insns for a packet: fewer are no function


@dataclass(frozen=True)
class Kernel:
    """One side's boots of one bench. has: whether its kernel has a function of that name. frames: of instructions."""

    profiles: tuple[Profile, ...]
    has: Callable[[str], bool]
    frames: Callable[[Iterable[int]], Mapping[int, tuple[Frame, ...]]]
    function_of: Callable[[int], str]

    def value(self, name: str, what: str) -> float:
        return median(self._values(name, what))

    def spread(self, name: str) -> float:
        values = self._values(name, "insns")
        return max(values) - min(values)

    def _values(self, name: str, what: str) -> list[float]:
        found = ({cost.name: cost for cost in profile.functions}.get(name) for profile in self.profiles)
        return [getattr(cost, what) if cost else 0.0 for cost in found]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cost.name for profile in self.profiles for cost in profile.functions))

    @property
    def counted(self) -> float:
        return median(sum(cost.insns for cost in profile.functions) for profile in self.profiles)


@dataclass(frozen=True)
class _Ran:
    """The instructions of some functions in a side's first boot: each one's function, runs for a packet, and lines."""

    executed: Mapping[int, tuple[str, float]]
    frames: Mapping[int, tuple[Frame, ...]]


def attribute(bench: str, base: Kernel, patched: Kernel, blamed: Blame = Blame()) -> Attribution:  # noqa: B008  # frozen
    """The functions that differ by more than boots of one kernel do."""
    for side, kernel in (("base", base), ("patched", patched)):
        failed = [profile.failure for profile in kernel.profiles if profile.failure]
        if failed or not kernel.profiles:
            return Attribution(bench, failure=f"on {side}: {failed[0] if failed else 'no profile'}")
    changes = [_change(name, base, patched) for name in dict.fromkeys((*base.names, *patched.names))]
    differ = [change for change in changes if abs(change.delta) > change.noise + _EQUAL]
    names = {change.name for change in differ}
    before, after = _ran(base, names), _ran(patched, names)
    moved = _inlined(names, before, after)
    shared = _shares(before, after, blamed)
    functions = sorted(
        (
            _with_patches(_with_hosts(change, moved.get(change.name, {})), shared.get(change.name, {}))
            for change in differ
        ),
        key=lambda change: (-abs(change.delta), change.name),
    )
    delta = patched.counted - base.counted
    return Attribution(bench, delta, tuple(functions), delta - sum(change.delta for change in functions))


def _change(name: str, base: Kernel, patched: Kernel) -> FunctionChange:
    why = "" if base.has(name) and patched.has(name) else "new" if patched.has(name) else "inlined or gone"
    return FunctionChange(
        name,
        base.value(name, "insns"),
        patched.value(name, "insns"),
        patched.value(name, "lines") - base.value(name, "lines"),
        (base.value(name, "calls"), patched.value(name, "calls")),
        max(base.spread(name), patched.spread(name)),
        why,
    )


def _with_hosts(change: FunctionChange, hosts: Mapping[str, float]) -> FunctionChange:
    """A function that the compiler put into others on one kernel alone. hosts: instructions of it in each that came."""
    into = {host: insns for host, insns in hosts.items() if insns * change.delta < 0 and abs(insns) >= _MOVED}
    if not into:
        return change
    told = ", ".join(f"{host} ({into[host]:+.3g})" for host in sorted(into, key=lambda host: (-abs(into[host]), host)))
    return replace(change, why=f"{'inlined into' if change.delta < 0 else 'no longer inlined into'} {told}")


def _with_patches(change: FunctionChange, shares: Mapping[int, float]) -> FunctionChange:
    told = sorted(
        (PatchShare(number, insns) for number, insns in shares.items()),
        key=lambda each: (-abs(each.insns), each.number),
    )
    return replace(change, patches=tuple(told))


def _inlined(names: set[str], base: _Ran, patched: _Ran) -> dict[str, dict[str, float]]:
    """By function, and by the function it was inlined into: its instructions there on patched, less those on base."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for side, sign in ((patched, 1.0), (base, -1.0)):
        for address, (host, insns) in side.executed.items():
            for name in {canonical(name) for name, _ in side.frames.get(address, ())} & names - {host}:
                found[name][host] += sign * insns
    return found


def _shares(base: _Ran, patched: _Ran, blamed: Blame) -> dict[str, dict[int, float]]:
    """By function and patch: instructions at lines that it added, less those at lines that it took away.

    A patch that touches a function's lines is named even if they come to nothing: it may have moved the others.
    """
    shares: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for side, lines, sign in ((patched, blamed.added, 1.0), (base, blamed.removed, -1.0)):
        if not lines:
            continue
        for address, (name, insns) in side.executed.items():
            number = next((lines[line] for _, line in side.frames.get(address, ()) if line in lines), None)
            if number is not None:
                shares[name][number] += sign * insns
    return shares


def _ran(kernel: Kernel, names: set[str]) -> _Ran:
    executed: dict[int, tuple[str, float]] = {}
    for addresses, runs in kernel.profiles[0].at:
        for address in addresses:
            name = kernel.function_of(address)
            if name in names:
                executed[address] = (name, runs + executed.get(address, ("", 0.0))[1])
    return _Ran(executed, kernel.frames(executed))
