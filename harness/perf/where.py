"""Boot both kernels once more under the profile plugin, to tell where the figures that changed went."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from harness.errors import KtrialError
from harness.machine.journal import read_journal
from harness.machine.session import Session
from harness.passes import Bench
from harness.perf.attribution import Kernel, attribute
from harness.perf.blame import Blame
from harness.perf.boots import Measured, at_once, run_boots, session_of
from harness.perf.figures import seen_again
from harness.perf.model import CHANGED, QUICK, Attribution, Performance
from harness.perf.profile import Profile, profiling, read_profiles
from harness.perf.source_lines import SourceLines
from harness.perf.symbols import NO_FUNCTIONS, Symbols, find_system_map
from harness.plan import Observer
from harness.store import RunFolder, inputs_digest

__all__ = ["where_it_went"]

# Not those of the figures, which these boots read once more. A function's noise is what they differ by.
_SEEDS = (5, 6)
_QUICK_SEEDS = (5,)  # and nobody knows it


@dataclass(frozen=True)
class _Side:
    """A kernel under the plugin: its symbols, its lines, and the profiles of each boot."""

    image: Path
    symbols: Symbols
    lines: SourceLines
    boots: tuple[tuple[Profile, ...], ...] = ()

    def kernel(self, bench: str) -> Kernel:
        """As attribution wants it, for one bench."""
        profiles = tuple(profile for boot in self.boots for profile in boot if profile.bench == bench)
        return Kernel(profiles, self._has, self.lines.frames, self.symbols.name)

    def _has(self, name: str) -> bool:
        return name in NO_FUNCTIONS or name in self.symbols.functions


def where_it_went(
    performance: Performance,
    clocked: Collection[str],
    bench: Bench,
    images: Mapping[str, Path],
    run: RunFolder,
    observer: Observer,
    blamed: Callable[[], Blame],
) -> Performance:
    """The same, with the functions that each changed figure went to, or with the reason why that is not known.

    A change that these boots do not see is none.

    clocked: the benches that a clock measures; what the verifier did, say, is no path of a packet.
    """
    figures = performance.of(*CHANGED)
    changed = tuple(each.bench for each in figures if each.bench in clocked)
    if not changed:
        return performance
    base, patched = (find_system_map(images[side]) for side in ("base", "patched"))
    if base is None or patched is None:
        missing = images["patched" if base else "base"]
        return replace(performance, nowhere=f"no System.map beside {missing}")
    sides = {"base": _side(images["base"], base, patched), "patched": _side(images["patched"], patched, base)}
    inputs = inputs_digest("where", sorted(images.items()), changed, bench.suites)
    try:
        told = run.once(
            "where", list[Attribution], inputs, lambda: _attributed(changed, sides, bench, run, observer, blamed())
        )
    except KtrialError as error:
        # The figures stand without it.
        return replace(performance, nowhere=error.summary)
    figures = seen_again(performance.figures, told, performance.policy)
    still = {figure.bench for figure in figures if figure.change in CHANGED}
    shown = tuple(each for each in told if each.bench in still)
    return replace(performance, figures=figures, attributions=shown, profiled=len(_seeds(bench)))


def _side(image: Path, system_map: Path, others: Path) -> _Side:
    return _Side(image, Symbols(system_map, others), SourceLines(system_map.parent / "vmlinux"))


def _attributed(
    changed: tuple[str, ...],
    sides: Mapping[str, _Side],
    bench: Bench,
    run: RunFolder,
    observer: Observer,
    blamed: Blame,
) -> list[Attribution]:
    profiles: dict[str, list[tuple[Profile, ...]]] = {side: [] for side in sides}
    for some in at_once(_boots(sides, _seeds(bench))):
        names = ", ".join(boot.name for boot in some)
        observer.stage("perf", f"{names}: where {len(changed)} figures went, logs in {run.path / 'profile'}")
        sessions = [_session(bench, boot, sides[boot.role].symbols, changed, run.path / "profile") for boot in some]
        done = run_boots(sessions, observer)
        for boot, session in zip(some, done, strict=True):
            profiles[boot.role].append(_profiles(session, sides[boot.role].symbols))
    whole = {side: replace(each, boots=tuple(profiles[side])) for side, each in sides.items()}
    return [attribute(name, whole["base"].kernel(name), whole["patched"].kernel(name), blamed) for name in changed]


def _seeds(bench: Bench) -> tuple[int, ...]:
    return _QUICK_SEEDS if bench.mark == QUICK else _SEEDS


def _boots(sides: Mapping[str, _Side], seeds: Sequence[int]) -> Iterator[Measured]:
    return (Measured(role, seed, side.image, f"{role}-profile") for seed in seeds for role, side in sides.items())


def _session(bench: Bench, boot: Measured, symbols: Symbols, only: tuple[str, ...], folder: Path) -> Session:
    """A boot of the changed benches with the plugin in QEMU."""
    also = partial(profiling, symbols=symbols, tools=folder / "tools")
    return session_of(bench, boot, folder / boot.name, only=only, also=also)


def _profiles(session: Session, symbols: Symbols) -> tuple[Profile, ...]:
    finished = [event for event in read_journal(session.journal) if event["event"] == "finished"]
    figures = {event["test"]: event["figure"] for event in finished if event.get("figure")}
    found = read_profiles(session.boots, figures, symbols)
    return (*found, *_unmeasured(session.only or (), figures))


def _unmeasured(asked: Sequence[str], figures: Iterable[str]) -> Iterator[Profile]:
    known = set(figures)
    return (Profile(name, failure="it was not measured under the plugin") for name in asked if name not in known)
