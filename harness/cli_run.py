"""`ktrial run`: put a series on trial."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from harness.allow_list import keep_lists
from harness.cli_console import new_console
from harness.cli_forms import Forms, Html, HtmlFolder, Junit, Ktap, Markdown, write_forms
from harness.cli_progress import observing, tell_what_is_known
from harness.errors import ExitCode, KtrialError, UsageError
from harness.outcome import conclude, resume_command
from harness.perf.model import Instrument
from harness.plan import Invocation, new_seed
from harness.record import atomic_write
from harness.report.decode import places_of
from harness.report.terminal import Verbosity, render
from harness.run_result import RunResult
from harness.settings import asked_lists, perf_policy
from harness.store import RunFolder, find_run, new_run
from harness.trial import Trial

__all__ = ["run"]

Many = list[str] | None


def run(
    series: Annotated[
        str | None,
        typer.Argument(help="An mbox, - (standard input), a Maildir or folder of patches, a quilt series, or A..B."),
    ] = None,
    tree: Annotated[str | None, typer.Option(help="A git checkout of a kernel, or debian:6.12.")] = None,
    base: Annotated[str | None, typer.Option(help="The revision to apply the series on.")] = None,
    revision: Annotated[int | None, typer.Option(help="Take vN of the series, not the newest.")] = None,
    config: Annotated[Many, typer.Option(help="Kconfig fragment, by name or file; may be repeated.")] = None,
    config_base: Annotated[str, typer.Option(help="allnoconfig, defconfig or a .config file.")] = "allnoconfig",
    suite: Annotated[Many, typer.Option(help="Suite to run; may be repeated. Default: by touched paths.")] = None,
    keyword: Annotated[str, typer.Option("-k", help="Only tests that match, as pytest's -k.")] = "",
    test: Annotated[Many, typer.Option(help="Only this test, by its full name; may be repeated.")] = None,
    vms: Annotated[int, typer.Option("-n", help="Guests for each side; 0: half of the processors.")] = 0,
    cpus: Annotated[int, typer.Option(help="Processors of a guest.")] = 1,
    memory: Annotated[int, typer.Option(help="Memory of a guest, MiB.")] = 1024,
    accel: Annotated[str, typer.Option(help="auto, kvm or tcg.")] = "auto",
    no_base: Annotated[bool, typer.Option("--no-base", help="Only the patched kernel; nothing is compared.")] = False,
    llvm: Annotated[bool, typer.Option("--llvm", help="Build with LLVM=1.")] = False,
    jobs: Annotated[int, typer.Option("-j", help="Jobs of make; 0: as many as processors.")] = 0,
    reruns: Annotated[int, typer.Option(help="Repetitions of a test that differs, before any blame.")] = 2,
    timeout: Annotated[float, typer.Option(help="Seconds for one test (longer without KVM).")] = 30.0,
    boot_timeout: Annotated[float, typer.Option(help="Seconds for a boot (longer without KVM).")] = 60.0,
    session_timeout: Annotated[float, typer.Option(help="Seconds for one pass over the tests.")] = 3600.0,
    build_timeout: Annotated[float, typer.Option(help="Seconds for one build.")] = 7200.0,
    fuzz: Annotated[float, typer.Option(help="Minutes of generated cases, beyond the fixed ones.")] = 0.0,
    fuzz_seed: Annotated[int, typer.Option(help="What the generated cases follow from; 0: a new seed.")] = 0,
    perf: Annotated[bool, typer.Option("--perf", help="Measure the suites' benches too, on both kernels.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="--perf, with the benches of the quick selection.")] = False,
    instrument: Annotated[Instrument, typer.Option(help="What reads figures.")] = Instrument.ICOUNT,
    rounds: Annotated[int, typer.Option(min=3, help="Rounds of four boots, for cycles and wall.")] = 8,
    per_patch: Annotated[
        bool, typer.Option("--per-patch", help="--perf, and the figures that changed after every patch.")
    ] = False,
    bisect: Annotated[
        bool,
        typer.Option("--bisect", help="Find the patch that broke a test, or changed a figure, by halving the series."),
    ] = False,
    allow_splats: Annotated[
        list[Path] | None, typer.Option(help="A list of splats that fail no test, with reasons; may be repeated.")
    ] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with a run: its id, folder, or `last`.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for this run.")] = None,
    html: Html = None,
    html_folder: HtmlFolder = None,
    junit: Junit = None,
    ktap: Ktap = None,
    markdown: Markdown = None,
    json: Annotated[str | None, typer.Option(help="Write the result as JSON to this file, or - .")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the verdict, and what broke.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print everything, uncut.")] = False,
) -> None:
    """Build the kernel without and with SERIES, boot both, test both, and give a verdict.

    Example: ktrial run series.mbox --tree ~/linux

    Exit status: 0 no regression, 1 regression, 2 bad usage, 3 does not apply, 4 does not configure, 5 does not
    build, 6 tree or toolchain unusable, 7 machine lost, 8 not a series. docs/exit-codes.md has them all.
    """
    forms = Forms(html, junit, ktap, markdown, json, html_folder)
    verbosity = Verbosity.QUIET if quiet else Verbosity.VERBOSE if verbose else Verbosity.NORMAL
    if resume:
        folder = find_run(resume)
        invocation = folder.invocation(Invocation)
    elif series is None:
        raise UsageError("no series was named", hint="ktrial run SERIES, or ktrial run --resume RUN; see --help")
    else:
        invocation = Invocation(
            series=series,
            cwd=str(Path.cwd()),
            tree=tree,
            base=base,
            revision=revision,
            fragments=tuple(config or ()),
            config_base=config_base,
            suites=tuple(suite or ()),
            keyword=keyword,
            tests=tuple(test or ()),
            vms=vms,
            cpus=cpus,
            memory_mib=memory,
            accelerator=accel,
            no_base=no_base,
            llvm=llvm,
            jobs=jobs,
            reruns=reruns,
            boot_deadline=boot_timeout,
            test_deadline=timeout,
            session_deadline=session_timeout,
            build_deadline=build_timeout,
            json=json,
            fuzz_minutes=fuzz,
            fuzz_seed=fuzz_seed or new_seed(),
            perf=perf or quick or per_patch,
            quick=quick,
            per_patch=per_patch,
            bisect=bisect,
            instrument=instrument,
            rounds=rounds,
            policy=perf_policy(),
            allow_splats=asked_lists(allow_splats or ()),
        )
        if (per_patch or bisect) and instrument is not Instrument.ICOUNT:
            raise UsageError(f"--per-patch and --bisect need exact figures, and {instrument} varies")
        if invocation.perf and no_base:
            raise UsageError("--perf compares with the base kernel, and --no-base builds none")
        folder = new_run(out, Path(series).stem if series != "-" else "stdin")
        keep_lists(folder.path, invocation.allow_splats)
        folder.save_invocation(invocation)
    forms = replace(forms, json=json or invocation.json)
    result = _run(folder, invocation, quiet)
    if not forms.to_stdout:
        render(result, new_console(), verbosity=verbosity, places=places_of(result))
    write_forms(folder, result, forms)
    raise typer.Exit(result.verdict.exit_code)


def _run(folder: RunFolder, invocation: Invocation, quiet: bool) -> RunResult:
    stdin = _standard_input(folder, invocation)
    console = new_console(stderr=True)
    with folder.active(), observing(console, quiet=quiet) as observer:
        observer.stage("run", f"{folder.id}, in {folder.path}")
        trial = Trial(folder, invocation, observer, stdin)
        try:
            trial.go()
        except KtrialError as error:
            return conclude(trial, error)
        except KeyboardInterrupt:
            tell_what_is_known(observer, console)
            line = f"Interrupted. Nothing is lost: [bold]{escape(resume_command(trial))}[/] goes on."
            console.print(line, soft_wrap=True)
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        return conclude(trial, None)


def _standard_input(folder: RunFolder, invocation: Invocation) -> bytes | None:
    """What came on standard input, kept in the run's folder at once: a killed run must not ask for it again."""
    if invocation.series != "-":
        return None
    kept = folder.path / "stdin.mbox"
    if not kept.exists():
        atomic_write(kept, sys.stdin.buffer.read())
    return kept.read_bytes()
