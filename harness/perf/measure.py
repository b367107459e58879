"""Run the benches of suites on both kernels, and on base once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.bpf_objects import compile_objects
from harness.errors import UsageError
from harness.machine.accel import choose_accelerator
from harness.machine.model import Accelerator
from harness.passes import Bench
from harness.perf.blame import Blame
from harness.perf.boots import Measured, at_once, readings, run_boots, session_of
from harness.perf.figures import figures_of
from harness.perf.model import QUICK, Boot, Instrument, Performance
from harness.perf.paired import ORDER, paired_figures, rounds_told, unread
from harness.perf.where import where_it_went
from harness.perf.words import counts_from
from harness.plan import Invocation, Observer
from harness.store import RunFolder, inputs_digest
from harness.suites import Suite

__all__ = ["BATCHES", "has_benches", "measure", "measure_one", "seeds_of"]

BATCHES = 15  # as in suites/meter.py
_BOOTS = 2  # of each role; base and patched boot once where it has to be quick


def has_benches(suite: Suite) -> bool:
    """Whether a suite measures anything."""
    return any(suite.directory.glob("bench_*.py"))


def measure(
    asked: Invocation,
    suites: Sequence[Suite],
    images: Mapping[str, Path],
    run: RunFolder,
    observer: Observer,
    blamed: Callable[[], Blame] = Blame,
) -> Performance:
    """The figures of two kernels. images: by side, `base` and `patched`. Raises UsageError where nothing is measured.

    The benches run in one order in every boot: what came before shifts a figure by an instruction or two.
    blamed: the lines that a series changed; asked where a figure changed, to tell the patch.
    """
    chosen = tuple(suite for suite in suites if has_benches(suite))
    if not chosen:
        names = ", ".join(suite.name for suite in suites)
        raise UsageError(f"no bench in {names}", hint="ktrial suites show NAME lists a suite's benches")
    if asked.instrument is not Instrument.ICOUNT:
        return _timed(asked, chosen, images, run, observer)
    bench = _bench(asked, chosen, run)
    boots = [boot for some in at_once(_boots(images, _each(asked))) for boot in _measured(bench, some, run, observer)]
    times = "one boot" if asked.quick else f"each of {_BOOTS} boots"
    how = (
        f"instructions by the guest's own clock under QEMU's TCG; medians of {BATCHES} batches in {times} a kernel;"
        f" the noise floor is twice what boots of one kernel differ by, of base with {_BOOTS} more with other seeds"
        f"{counts_from(asked.policy)}"
    )
    performance = Performance(Instrument.ICOUNT, how, figures_of(boots, asked.policy), asked.policy)
    clocked = {reading.bench for boot in boots for reading in boot.readings if reading.clock}
    return where_it_went(performance, clocked, bench, images, run, observer, blamed)


_TIMED_BY = {Instrument.CYCLES: "cycles of the kernel by the guest's PMU", Instrument.WALL: "time by the guest's clock"}


def _timed(
    asked: Invocation, suites: Sequence[Suite], images: Mapping[str, Path], run: RunFolder, observer: Observer
) -> Performance:
    """By an instrument that varies: rounds of boots, one after the other, each alone on the machine."""
    accelerator = choose_accelerator(asked.accelerator, images["base"])
    observer.stage("machine", f"{accelerator.accelerator}: {accelerator.why}")
    bench = _bench(asked, suites, run, accelerator.accelerator)
    boots: list[Boot] = []
    for number in range(asked.rounds * len(ORDER)):
        role = ORDER[number % len(ORDER)]
        boot = Measured(role, number + 1, images[role])
        boots += _measured(bench, (boot,), run, observer, instrument=asked.instrument)
        if not any(reading.values for reading in boots[-1].readings):
            break  # no such counter, or a kernel that does not live: a figure needs every boot
    by = f"{_TIMED_BY[asked.instrument]} under {accelerator.accelerator}; medians of {BATCHES} batches a boot"
    if len(boots) < asked.rounds * len(ORDER):
        return Performance(asked.instrument, by, unread(boots), asked.policy)
    return Performance(
        asked.instrument,
        f"{by}; {rounds_told(asked.rounds)}{counts_from(asked.policy)}",
        paired_figures(boots, asked.policy),
        asked.policy,
    )


def measure_one(
    asked: Invocation,
    suites: Sequence[Suite],
    image: Path,
    run: RunFolder,
    observer: Observer,
    *,
    role: str,
    only: tuple[str, ...],
) -> tuple[Boot, ...]:
    """The readings of some benches on one more kernel, in as many boots, with the seeds of the first two."""
    bench = _bench(asked, tuple(suite for suite in suites if has_benches(suite)), run)
    boots = [Measured(role, seed, image) for seed in range(1, _each(asked) + 1)]
    return tuple(boot for some in at_once(boots) for boot in _measured(bench, some, run, observer, only))


def seeds_of(asked: Invocation) -> tuple[int, ...]:
    """QEMU's seeds of the boots that `measure` makes, in their order; time has none."""
    return tuple(range(1, _each(asked) + _BOOTS + 1)) if asked.instrument is Instrument.ICOUNT else ()


def _bench(
    asked: Invocation, suites: Sequence[Suite], run: RunFolder, accelerator: Accelerator = Accelerator.TCG
) -> Bench:
    objects = compile_objects(suites, run.path / "bpf", log=run.path / "bpf" / "compile.log")
    bench = Bench.of(asked, accelerator, [suite.for_benches for suite in suites], objects)
    return replace(bench, mark=QUICK) if asked.quick else bench


def _each(asked: Invocation) -> int:
    """Boots of either kernel; base boots twice more, for the noise."""
    return 1 if asked.quick else _BOOTS


def _boots(images: Mapping[str, Path], each: int) -> Iterator[Measured]:
    """Base and patched with the same seeds, side by side; then base again with other ones."""
    for seed in range(1, each + 1):
        yield Measured("base", seed, images["base"])
        yield Measured("patched", seed, images["patched"])
    for seed in range(each + 1, each + _BOOTS + 1):
        yield Measured("control", seed, images["base"])


def _measured(
    bench: Bench,
    boots: Sequence[Measured],
    run: RunFolder,
    observer: Observer,
    only: tuple[str, ...] | None = None,
    instrument: Instrument = Instrument.ICOUNT,
) -> list[Boot]:
    """Some boots at the same time."""
    observer.stage("perf", f"{instrument}: {', '.join(each.name for each in boots)}, logs in {run.path / 'perf'}")
    sessions = [
        session_of(bench, boot, run.path / "perf" / boot.name, instrument=instrument, only=only) for boot in boots
    ]

    def make() -> list[Boot]:
        done = run_boots(sessions, observer)
        return [Boot(boot.role, boot.seed, readings(each)) for boot, each in zip(boots, done, strict=True)]

    inputs = inputs_digest(
        [(boot.name, boot.image) for boot in boots], bench.suites, bench.keyword, bench.mark, only, instrument
    )
    return run.once(f"perf-{'-'.join(boot.name for boot in boots)}", list[Boot], inputs, make)
