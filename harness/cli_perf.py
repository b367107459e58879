"""`ktrial perf`: what two kernels that are already built cost, bench by bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.cli_guest import image_of
from harness.cli_progress import observing
from harness.errors import ExitCode, MachineLost
from harness.perf.measure import has_benches, measure
from harness.perf.model import FigureChange, Instrument
from harness.plan import Invocation
from harness.report.figures import performance_table
from harness.settings import perf_policy
from harness.store import new_run
from harness.suites import find_suites, load_suite

__all__ = ["perf"]


def perf(
    base: Annotated[Path, typer.Argument(help="The kernel to compare with: a bzImage, or a folder that holds one.")],
    patched: Annotated[Path, typer.Argument(help="The kernel to measure.")],
    suite: Annotated[list[str] | None, typer.Option(help="Suite whose benches to run; may be repeated.")] = None,
    keyword: Annotated[str, typer.Option("-k", help="Only benches that match, as pytest's -k.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Only the benches of the quick selection.")] = False,
    instrument: Annotated[Instrument, typer.Option(help="What reads figures.")] = Instrument.ICOUNT,
    rounds: Annotated[int, typer.Option(min=3, help="Rounds of four boots, for cycles and wall.")] = 8,
    accel: Annotated[str, typer.Option(help="auto, kvm or tcg, for cycles and wall.")] = "auto",
    memory: Annotated[int, typer.Option(help="Memory of a guest, MiB.")] = 1024,
    out: Annotated[Path | None, typer.Option(help="Folder for logs and readings.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Print the figures that did not change as well.")] = False,
) -> None:
    """Count what two kernels cost, on both and once more on BASE for the noise, and print the differences.

    Example: ktrial perf ~/linux-base/bzImage ~/linux/arch/x86/boot/bzImage -k adjust_tail

    Exits with 0 when no figure got worse, 1 when one did, 7 when none could be compared.
    """
    images = {"base": image_of(base), "patched": image_of(patched)}
    suites = tuple(load_suite(name) for name in suite) if suite else tuple(filter(has_benches, find_suites()))
    run = new_run(out, "perf")
    asked = Invocation(
        series="",
        cwd=str(Path.cwd()),
        keyword=keyword,
        memory_mib=memory,
        quick=quick,
        accelerator=accel,
        instrument=instrument,
        rounds=rounds,
        policy=perf_policy(),
    )
    with run.active(), observing(Console(stderr=True, highlight=False)) as observer:
        performance = measure(asked, suites, images, run, observer)
    console = Console(highlight=False)
    console.print(performance_table(performance, every=every))
    console.print(f"logs: {run.path / 'perf'}", soft_wrap=True)
    if not performance.of(FigureChange.WORSE, FigureChange.BETTER, FigureChange.SAME):
        why = performance.figures[0].why if performance.figures else "no bench was run"
        raise MachineLost("no figure could be compared", detail=why, log=run.path / "perf")
    raise typer.Exit(ExitCode.REGRESSION if performance.of(FigureChange.WORSE) else ExitCode.NO_REGRESSION)
