"""`ktrial test`, `ktrial boot` and `ktrial shell`: guests of kernels that are already built."""

from __future__ import annotations

import subprocess
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from harness.allow_list import keep_lists
from harness.board_run import Wiring, run_on_board, wiring_of
from harness.bpf_objects import compile_objects
from harness.build.model import Kernel
from harness.cli_console import new_console
from harness.cli_progress import observing
from harness.cli_tables import plain_table
from harness.command import start
from harness.errors import ExitCode, MachineLost, UsageError
from harness.kselftest.guests import part_of_plan
from harness.machine.accel import choose_accelerator
from harness.machine.board import Board, board_of
from harness.machine.guest import guest_shell, next_boot
from harness.machine.model import Accelerator, GuestSpec
from harness.passes import Bench, run_passes
from harness.places import cache_dir
from harness.plan import Invocation, Observer, new_seed
from harness.record import load_if
from harness.report import safe
from harness.report.excused import excused_in, excused_words
from harness.report.json import read_result
from harness.results import Outcome, SideResults
from harness.settings import asked_lists
from harness.store import RunFolder, find_run, new_run
from harness.suites import Suite, find_suites, load_suite

__all__ = ["board_options", "boot", "image_of", "shell", "test"]

Many = list[str] | None
_LAST_LINES = 15
_MAGIC_AT, _MAGIC = 0x202, b"HdrS"
_STYLES = {Outcome.PASSED: "green", Outcome.SKIPPED: "yellow", Outcome.XFAILED: "yellow"}


def test(
    kernel: Annotated[Path | None, typer.Argument(help="A bzImage, or a folder that holds one.")] = None,
    suite: Annotated[Many, typer.Option(help="Suite to run; may be repeated. Default: all.")] = None,
    keyword: Annotated[str, typer.Option("-k", help="Only tests that match, as pytest's -k.")] = "",
    test_name: Annotated[
        Many, typer.Option("--test", help="Only this test, by its full name; may be repeated.")
    ] = None,
    vms: Annotated[int, typer.Option("-n", help="Guests; 0: half of the processors.")] = 0,
    cpus: Annotated[int, typer.Option(help="Processors of a guest.")] = 1,
    memory: Annotated[int, typer.Option(help="Memory of a guest, MiB.")] = 1024,
    accel: Annotated[str, typer.Option(help="auto, kvm or tcg.")] = "auto",
    timeout: Annotated[float, typer.Option(help="Seconds for one test (longer without KVM).")] = 30.0,
    selftests: Annotated[
        Path | None, typer.Option(help="Built selftests for the suite kselftest: RUN/kselftest/SIDE/plan.json.")
    ] = None,
    fuzz: Annotated[float, typer.Option(help="Minutes of generated cases, beyond the fixed ones.")] = 0.0,
    fuzz_seed: Annotated[int, typer.Option(help="What the generated cases follow from; 0: a new seed.")] = 0,
    on: Annotated[str, typer.Option(help="Test what runs on a real board instead: ssh:root@board.")] = "",
    iface: Annotated[str, typer.Option(help="With --on: the board's interface to test.")] = "",
    loop: Annotated[str, typer.Option(help="With --on: the board's interface that --iface is cabled to.")] = "",
    peer: Annotated[str, typer.Option(help="With --on: the machine that --iface is cabled to: ssh:root@peer.")] = "",
    ssh_config: Annotated[Path | None, typer.Option(help="With --on: ssh's configuration, as ssh -F.")] = None,
    allow_splats: Annotated[
        list[Path] | None, typer.Option(help="A list of splats that fail no test, with reasons; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for logs and results.")] = None,
) -> None:
    """Run suites on a kernel that is already built, or that runs on a board, and say what passes.

    Example: ktrial test --on ssh:root@board --iface eth1 --loop eth2 --suite drivers

    Exits with 0 when nothing failed, 1 when something did, 7 when the machine was lost.
    """
    board, wiring = board_options(on, iface, loop, peer, ssh_config)
    image = _chosen(kernel, board)
    lists = asked_lists(allow_splats or ())
    suites = tuple(load_suite(name) for name in suite) if suite else find_suites()
    run = new_run(out, f"test-{image.parent.name if image else on}")
    asked = Invocation(
        series="",
        cwd=str(Path.cwd()),
        keyword=keyword,
        tests=tuple(test_name or ()),
        vms=vms,
        cpus=cpus,
        memory_mib=memory,
        accelerator=accel,
        test_deadline=timeout,
        reruns=0,
        fuzz_minutes=fuzz,
        fuzz_seed=fuzz_seed or new_seed(),
        allow_splats=lists,
    )
    keep_lists(run.path, lists)
    with run.active(), observing(new_console(stderr=True)) as observer:
        if board is not None:
            results = run_on_board(asked, board, wiring, suites, run, observer)
        else:
            assert image is not None
            results = _in_guests(asked, image, suites, run, observer, selftests)
    _show(new_console(), results, run)
    raise typer.Exit(_status(results))


def board_options(on: str, iface: str, loop: str, peer: str, ssh_config: Path | None) -> tuple[Board | None, Wiring]:
    """The board of --on, and how it is cabled. Raises UsageError."""
    wiring = wiring_of(iface, loop, peer)
    if on:
        return board_of(on, str(ssh_config.resolve()) if ssh_config else ""), wiring
    if iface or ssh_config:
        raise UsageError("--iface, --loop, --peer and --ssh-config are for a board", hint="--on ssh:root@board")
    return None, wiring


def _chosen(kernel: Path | None, board: Board | None) -> Path | None:
    """The image to boot; None for a board, which is tested as it runs. Raises UsageError."""
    if (kernel is None) == (board is None):
        raise UsageError("name a kernel to boot, or a board", hint="ktrial test BZIMAGE, or ktrial test --on ssh:...")
    return image_of(kernel) if kernel else None


def _in_guests(
    asked: Invocation,
    image: Path,
    suites: tuple[Suite, ...],
    run: RunFolder,
    observer: Observer,
    selftests: Path | None,
) -> SideResults:
    """What an image does in guests."""
    choice = choose_accelerator(asked.accelerator, image)
    observer.stage("machine", f"{choice.accelerator}: {choice.why}")
    objects = compile_objects(suites, run.path / "bpf")
    bench = Bench.of(asked, choice.accelerator, suites, objects)
    if selftests is not None:
        bench = replace(bench, of_side={"kernel": part_of_plan(selftests.resolve())})
    return run_passes(bench, {"kernel": image}, run, observer)["kernel"]


def _status(results: SideResults) -> ExitCode:
    if any(result.outcome.bad for result in results.results):
        return ExitCode.REGRESSION
    if not results.booted:
        console = Path(results.boots[-1].console) if results.boots else None
        said = console.read_text(errors="replace").splitlines()[-_LAST_LINES:] if console and console.is_file() else []
        raise MachineLost("the kernel did not boot", detail="\n".join(said), log=console)
    if lost := [result for result in results.results if result.outcome is Outcome.LOST]:
        raise MachineLost(f"{len(lost)} tests lost by the machine, {lost[0].test} first", detail=lost[0].reason)
    if not any(result.outcome is Outcome.PASSED for result in results.results):
        raise MachineLost("no test passed, and none failed", hint="-k may select nothing")
    return ExitCode.NO_REGRESSION


def _show(console: Console, results: SideResults, run: RunFolder) -> None:
    counts = Counter(result.outcome for result in results.results)
    table = plain_table()
    for result in results.results:
        if result.outcome is not Outcome.PASSED:
            style = _STYLES.get(result.outcome, "red")
            name, why = escape(safe.line(result.test)), escape(safe.line(result.reason))
            table.add_row(f"[{style}]{result.outcome}[/]", name, why)
    console.print(table)
    console.print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()) + f" in {results.seconds:.1f} s")
    if words := excused_words(excused_in([results])):
        console.print(escape(safe.line(words)), style="yellow", soft_wrap=True)
    console.print(f"logs: {run.path / 'results'}", soft_wrap=True)


def boot(
    kernel: Annotated[Path, typer.Argument(help="A bzImage, or a folder that holds one.")],
    memory: Annotated[int, typer.Option(help="Memory of the guest, MiB.")] = 1024,
    cpus: Annotated[int, typer.Option(help="Processors of the guest.")] = 1,
    accel: Annotated[str, typer.Option(help="auto, kvm or tcg.")] = "auto",
) -> None:
    """Boot a kernel and give a shell in its guest (exit or Ctrl-D ends it)."""
    raise typer.Exit(_interactive(image_of(kernel), accel, cpus, memory, ()))


def shell(
    side: Annotated[str, typer.Argument(help="base or patched.")] = "patched",
    run: Annotated[str, typer.Option(help="The run: its id, folder, or `last`.")] = "last",
    memory: Annotated[int, typer.Option(help="Memory of the guest, MiB.")] = 1024,
    cpus: Annotated[int, typer.Option(help="Processors of the guest.")] = 1,
    accel: Annotated[str, typer.Option(help="auto, kvm or tcg.")] = "auto",
) -> None:
    """Give a shell in a guest of a run's kernel (exit or Ctrl-D ends it)."""
    folder = find_run(run)
    kernels = read_result(folder.result).kernels if folder.result.is_file() else ()
    found = next((kernel for kernel in kernels if kernel.side == side), None)
    if found is None:
        sides = ", ".join(kernel.side for kernel in kernels) or "none"
        raise UsageError(f"run {folder.id} has no {side} kernel", hint=f"kernels of this run: {sides}")
    objects = folder.path / "bpf"
    raise typer.Exit(_interactive(image_of(Path(found.directory)), accel, cpus, memory, (objects,)))


def _interactive(image: Path, accel: str, cpus: int, memory: int, readable: tuple[Path, ...]) -> int:
    choice = choose_accelerator(accel, image)
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="shell-", dir=cache_dir()) as boots:
        spec = GuestSpec(
            image=image,
            boots=Path(boots),
            accelerator=Accelerator(choice.accelerator),
            readable=tuple(path for path in readable if path.is_dir()),
            cpus=cpus,
            memory_mib=memory,
        )
        process: subprocess.Popen[bytes] = start(guest_shell(spec, next_boot(spec.boots)), stdin=0, stdout=1)
        return process.wait()


def image_of(path: Path) -> Path:
    """The bzImage that a path names. Raises UsageError."""
    for image in (path, path / "bzImage", path / "arch/x86/boot/bzImage"):
        if image.is_file():
            return _checked(image.resolve())
    kernel = load_if(path / "kernel.json", Kernel)
    if kernel is not None:
        return kernel.image
    raise UsageError(
        f"{path} is no kernel image, nor a folder with a bzImage", hint="ktrial runs show names the images"
    )


def _checked(image: Path) -> Path:
    """An image that begins as x86 kernels do (Documentation/arch/x86/boot.rst: header). Raises UsageError."""
    with image.open("rb") as file:
        file.seek(_MAGIC_AT)
        if file.read(len(_MAGIC)) == _MAGIC:
            return image
    raise UsageError(
        f"{image} is no bzImage", hint="make builds it as arch/x86/boot/bzImage; vmlinux does not boot here"
    )
