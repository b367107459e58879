"""`ktrial perf`: what two kernels that are already built cost, bench by bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from harness.cli_console import new_console
from harness.cli_forms import Forms, write_forms
from harness.cli_guest import board_options, image_of
from harness.cli_progress import observing
from harness.errors import ExitCode, KtrialError, MachineLost, UsageError
from harness.machine.board import Board
from harness.perf.measure import has_benches, measure
from harness.perf.model import FigureChange, Instrument, Performance
from harness.perf.on_board import Turned, measure_on_board
from harness.perf.result import figures_result
from harness.plan import Invocation
from harness.report.figures import performance_table
from harness.settings import perf_policy
from harness.store import RunFolder, new_run
from harness.suites import find_suites, load_suite
from harness.surroundings import look_around

__all__ = ["perf"]


def perf(
    base: Annotated[
        Path | None, typer.Argument(help="The kernel to compare with: a bzImage, or a folder that holds one.")
    ] = None,
    patched: Annotated[Path | None, typer.Argument(help="The kernel to measure.")] = None,
    suite: Annotated[list[str] | None, typer.Option(help="Suite whose benches to run; may be repeated.")] = None,
    keyword: Annotated[str, typer.Option("-k", help="Only benches that match, as pytest's -k.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Only the benches of the quick selection.")] = False,
    instrument: Annotated[
        Instrument | None, typer.Option(help="What reads figures: icount unless on a board, where cycles does.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=3, help="Rounds of four boots, for cycles and wall.")] = 8,
    accel: Annotated[str, typer.Option(help="auto, kvm or tcg, for cycles and wall.")] = "auto",
    memory: Annotated[int, typer.Option(help="Memory of a guest, MiB.")] = 1024,
    on: Annotated[str, typer.Option(help="Measure on a real board instead: ssh:root@board.")] = "",
    switch: Annotated[
        str, typer.Option(help="With --on: the command that boots the board into {role}, base or patched.")
    ] = "",
    iface: Annotated[str, typer.Option(help="With --on: the board's interface to measure.")] = "",
    loop: Annotated[str, typer.Option(help="With --on: the board's interface that --iface is cabled to.")] = "",
    peer: Annotated[str, typer.Option(help="With --on: the machine that sends to --iface: ssh:root@generator.")] = "",
    ssh_config: Annotated[Path | None, typer.Option(help="With --on: ssh's configuration, as ssh -F.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for logs and readings.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Print the figures that did not change as well.")] = False,
    json: Annotated[str | None, typer.Option(help="Write the figures as JSON to this file, or - .")] = None,
) -> None:
    """Count what two kernels cost, on both and once more on BASE for the noise, and print the differences.

    Example: ktrial perf ~/linux-base/bzImage ~/linux/arch/x86/boot/bzImage -k adjust_tail

    Or measure a board: ktrial perf --on ssh:root@board --switch './boot-board {role}' --iface eth1 --peer ssh:root@gen

    Exits with 0 when no figure got worse, 1 when one did, 7 when none could be compared.
    """
    board, wiring = board_options(on, iface, loop, peer, ssh_config)
    images = _images(base, patched, board)
    suites = tuple(load_suite(name) for name in suite) if suite else tuple(filter(has_benches, find_suites()))
    asked = Invocation(
        series="",
        cwd=str(Path.cwd()),
        keyword=keyword,
        memory_mib=memory,
        quick=quick,
        accelerator=accel,
        instrument=instrument or (Instrument.CYCLES if board else Instrument.ICOUNT),
        rounds=rounds,
        policy=perf_policy(),
    )
    if board and asked.instrument is Instrument.ICOUNT:
        raise UsageError("a board's instructions are not counted", hint="--instrument cycles, or wall")
    forms, before, run = Forms(json=json), look_around(), new_run(out, "perf")
    found: Performance | KtrialError
    try:
        with run.active(), observing(new_console(stderr=True)) as observer:
            if board:
                found = measure_on_board(asked, Turned(board, wiring, switch), suites, run, observer)
            else:
                found = measure(asked, suites, images, run, observer)
    except KtrialError as error:
        found = error
    names = {"board": on} if board else {role: str(image) for role, image in images.items()}
    if forms:
        write_forms(run, figures_result(run, asked, found, names, before, board=board is not None), forms)
    if isinstance(found, KtrialError):
        raise found
    if not forms.to_stdout:
        _show(found, run, every=every)
    _end(found, run)


def _show(performance: Performance, run: RunFolder, *, every: bool) -> None:
    console = new_console()
    console.print(performance_table(performance, every=every))
    console.print(f"logs: {run.path / 'perf'}", soft_wrap=True)


def _end(performance: Performance, run: RunFolder) -> NoReturn:
    """Leave with what the figures come to. Raises MachineLost where none could be compared."""
    if not performance.of(FigureChange.WORSE, FigureChange.BETTER, FigureChange.SAME):
        why = performance.figures[0].why if performance.figures else "no bench was run"
        raise MachineLost("no figure could be compared", detail=why, log=run.path / "perf")
    raise typer.Exit(ExitCode.REGRESSION if performance.of(FigureChange.WORSE) else ExitCode.NO_REGRESSION)


def _images(base: Path | None, patched: Path | None, board: Board | None) -> dict[str, Path]:
    """The kernels to boot; none for a board, which somebody else boots. Raises UsageError."""
    if board is None and base and patched:
        return {"base": image_of(base), "patched": image_of(patched)}
    if board is None or base or patched:
        raise UsageError(
            "name two kernels, or a board", hint="ktrial perf BASE PATCHED, or ktrial perf --on ssh:... --switch ..."
        )
    return {}
