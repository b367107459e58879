"""Build a kernel, or find it built: `build_kernel`.

One run at a time builds a given key; others wait and then find it ready. A whole build that was killed goes on where it
was. One that began from another kernel's objects begins again (it has old dependency files beside half-written objects,
which would vouch for them), which costs seconds, and ccache has what it had compiled.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.builtin import index_builtin
from harness.build.counting import Counting, objects_depending_on
from harness.build.diagnostics import parse_diagnostics
from harness.build.failure import Blame, build_failure, compiler_crashed, machine_trouble, memory_ran_out
from harness.build.model import BuildProgress, Kernel, Phase, Toolchain
from harness.build.objects import borrow, discard, forget_last, lend
from harness.build.sections import digest_sections, kernel_sections
from harness.build.store import Entry, build_key, entry, entry_of, link_or_copy, made, reading, ready
from harness.command import Completed, run
from harness.errors import TreeError
from harness.kconfig.model import ResolvedConfig
from harness.kernel_make import kernel_make
from harness.locks import locked
from harness.places import cache_dir
from harness.record import atomic_write, load_if, save
from harness.tree.model import Source

__all__ = ["Report", "build_kernel", "in_use"]

Report = Callable[[BuildProgress], None]

# Machine: make's target, and where it leaves it. virtme-ng boots these.
IMAGES = {
    "x86_64": ("bzImage", "arch/x86/boot/bzImage"),
    "aarch64": ("Image", "arch/arm64/boot/Image"),
}
MODULE = re.compile(r"^CONFIG_\w+=m$", re.MULTILINE)
# Objects per symbol that is set, of lean x86 configurations of 6.12: a guess for the first build of a configuration.
OBJECTS_PER_SYMBOL = 2.0
STAGED_MODULES = ".modules"


@dataclass(frozen=True)
class _Job:
    """What one build is made from, and where."""

    side: str
    source: Source
    config: ResolvedConfig
    toolchain: Toolchain
    version: str
    work: Path
    place: Entry
    start_from: Kernel | None
    changed: tuple[str, ...]
    report: Report
    jobs: int
    deadline: float | None
    blame: Blame | None

    @property
    def has_modules(self) -> bool:
        return MODULE.search(self.config.text) is not None


def build_kernel(
    *,
    side: str,
    source: Source,
    config: ResolvedConfig,
    toolchain: Toolchain,
    work: Path,
    version: str,
    start_from: Kernel | None = None,
    progress: Report = lambda _: None,
    jobs: int | None = None,
    deadline: float | None = None,
    changed: Sequence[str] = (),
    blame: Blame | None = None,
    hold: contextlib.ExitStack | None = None,
) -> Kernel:
    """The kernel of this source, configuration and toolchain: found in the cache, else built into it.

    side: `base` or `patched`. work: the run's folder for this side, where build.log goes. version: for the record.
    start_from: the base, whose objects are reused where its source and this one are the same.
    changed: files that differ from start_from's, relative to the tree (for the progress bar only).
    deadline: seconds for all of it but the waiting for another run. blame: which patch touched a file.
    hold: gets a lock that keeps `ktrial cache prune` away from the kernel until it is closed.
    Raises BaseBuildError (a TreeError), SeriesBuildError (a BuildError), MachineLost, ToolchainError.
    """
    place = entry(build_key(source.tree_id, config.digest, toolchain.digest))
    job = _Job(
        side=side,
        source=source,
        config=config,
        toolchain=toolchain,
        version=version,
        work=work,
        place=place,
        start_from=None if side == "base" else start_from,
        changed=tuple(changed),
        report=progress,
        jobs=jobs or os.cpu_count() or 1,
        deadline=deadline,
        blame=blame,
    )
    built: Kernel | None = None
    with contextlib.ExitStack() as own:
        while (found := _found(job, own if hold is None else hold)) is None:
            built = _build_alone(job)
    if built is not None and not built.reused:
        return built
    progress(BuildProgress(Phase.READY, found.compiled, found.compiled, "found in the cache"))
    return found


def in_use(kernel: Kernel) -> contextlib.AbstractContextManager[None]:
    """Keep a kernel from being pruned while it is used."""
    return locked(entry_of(kernel).lock, shared=True)


def _found(job: _Job, keep: contextlib.ExitStack) -> Kernel | None:
    """The finished kernel, with a shared lock on it that lasts as long as `keep`; None where it must be built."""
    with contextlib.ExitStack() as briefly:
        briefly.enter_context(locked(job.place.lock, shared=True, wait_message=lambda: _say_waiting(job)))
        kernel = ready(job.place, side=job.side, work=job.work, beside=job.start_from)
        if kernel is not None:
            keep.enter_context(briefly.pop_all())
    return kernel


def _say_waiting(job: _Job) -> None:
    job.report(BuildProgress(Phase.WAITING, 0, None, f"another run is building this {job.side} kernel"))


def _build_alone(job: _Job) -> Kernel:
    """Build under the key's lock, unless another run has done so while we waited for it."""
    with locked(job.place.lock, wait_message=lambda: _say_waiting(job)):
        if found := ready(job.place, side=job.side, work=job.work, beside=job.start_from):
            return found
        with reading(job.source):
            return _build(job)


def _build(job: _Job) -> Kernel:
    began = time.monotonic()
    until = None if job.deadline is None else began + job.deadline
    resumed = _prepare(job)
    completed, compiled = _make_all(job, until)
    if not completed.ok and resumed and not machine_trouble(completed):
        # A kill can leave half a file that make takes for whole (tools/ keeps no record beside its programs).
        discard(job.place)
        _prepare(job)
        completed, compiled = _make_all(job, until)
    if not completed.ok:
        raise build_failure(completed, side=job.side, source=job.source, blame=job.blame, log=_show_log(job))
    job.report(BuildProgress(Phase.COLLECTING, compiled, compiled, "bzImage, vmlinux, modules"))
    return _collect(job, compiled, began)


def _prepare(job: _Job) -> bool:
    """Have an object folder to build in; whether it holds a part of an earlier, killed build."""
    place = job.place
    if place.borrowed.exists() or (place.record.exists() and not place.objects.exists()):
        discard(place)
    place.directory.mkdir(parents=True, exist_ok=True)
    resumed = place.objects.is_dir()
    if resumed and place.log.exists():
        forget_last(place)
    if not resumed:
        place.log.unlink(missing_ok=True)
        if not _borrow(job):
            place.objects.mkdir()
    place.log.touch()
    _show_log(job)
    return resumed


def _borrow(job: _Job) -> bool:
    """Begin from the other kernel's objects, where they are still there and of the same kind."""
    if job.start_from is None:
        return False
    lender = entry_of(job.start_from)
    with locked(lender.lock, shared=True):
        if not lender.objects.is_dir() or not lender.record.exists() or lender == job.place:
            return False
        job.report(BuildProgress(Phase.COPYING, 0, None, "the base kernel's objects"))
        borrow(lender, job.place)
    return True


def _make_all(job: _Job, until: float | None) -> tuple[Completed, int]:
    """Configure and compile; what the last make did, and how many objects were compiled."""
    if _needs_configuring(job):
        configured = _make(job, ["olddefconfig"], until)
        if not configured.ok:
            return configured, 0
    counting = Counting(_expected(job), job.report)
    completed = _make(job, _targets(job), until, counting.line)
    if not completed.ok and _worth_another_try(completed):
        completed = _make(job, _targets(job), until, counting.line, jobs=1)
    if completed.ok and job.has_modules:
        shutil.rmtree(job.place.objects / STAGED_MODULES, ignore_errors=True)
        installed = _make(job, ["modules_install", f"INSTALL_MOD_PATH={STAGED_MODULES}"], until)
        completed = completed if installed.ok else installed
    return completed, counting.compiled


def _worth_another_try(completed: Completed) -> bool:
    """Two compilers at once may be too much for the memory; a crash that repeats is the compiler's own."""
    return not completed.timed_out and (memory_ran_out(completed) or compiler_crashed(completed))


def _needs_configuring(job: _Job) -> bool:
    """Put the configuration in place; False where it is there already, and make need not look at it again."""
    path = job.place.objects / ".config"
    wanted = job.config.text.encode()
    if path.exists() and path.read_bytes() == wanted:
        return False
    job.report(BuildProgress(Phase.CONFIGURING, 0, None, ".config"))
    atomic_write(path, wanted)
    return True


def _targets(job: _Job) -> list[str]:
    # --output-sync keeps a compiler's lines together where several run at once.
    return ["--output-sync=target", _image()[0]] + (["modules"] if job.has_modules else [])


def _image() -> tuple[str, str]:
    machine = os.uname().machine
    if machine not in IMAGES:
        raise TreeError(f"kernels for {machine} cannot be built here yet", hint=f"known: {', '.join(IMAGES)}")
    return IMAGES[machine]


def _make(
    job: _Job,
    targets: Sequence[str],
    until: float | None,
    on_line: Callable[[str], None] | None = None,
    jobs: int | None = None,
) -> Completed:
    with _ccache(job) as ccache:
        command = kernel_make(
            job.source.directory,
            job.place.objects,
            targets,
            llvm=job.toolchain.llvm,
            jobs=jobs or job.jobs,
            ccache=ccache,
            ccache_read_only=job.side != "base",
            log=job.place.log,
            deadline=None if until is None else max(1.0, until - time.monotonic()),
        )
        return run(command, check=False, on_line=on_line)


@contextlib.contextmanager
def _ccache(job: _Job) -> Iterator[Path | None]:
    """ccache's folder, kept from being pruned; None without ccache."""
    if not job.toolchain.ccache:
        yield None
        return
    folder = cache_dir() / "ccache"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name("ccache.lock"), shared=True):
        yield folder


def _expected(job: _Job) -> int | None:
    """How many objects this build will compile, as far as anybody can know beforehand."""
    if job.place.borrowed.exists():
        return objects_depending_on(job.changed, job.place.objects) or None
    already = sum(1 for _ in job.place.objects.rglob(".*.o.cmd"))
    return max(1, _of_earlier_builds(job) - already)


def _of_earlier_builds(job: _Job) -> int:
    """Objects of a whole build of this configuration, or a guess from the number of its symbols."""
    for path in job.place.directory.parent.glob("*/kernel.json"):
        kernel = load_if(path, Kernel)
        if kernel and kernel.whole and kernel.compiled and kernel.config_digest == job.config.digest:
            return kernel.compiled
    return int(OBJECTS_PER_SYMBOL * len(re.findall(r"^CONFIG_\w+=[ym]$", job.config.text, re.MULTILINE)))


def _collect(job: _Job, compiled: int, began: float) -> Kernel:
    """Put the artifacts beside the objects, record the kernel (the last act), and drop what nobody will need."""
    place = job.place
    whole = not place.borrowed.exists()
    _take_artifacts(job)
    if whole:
        lend(place, job.source.directory)
    kernel = Kernel(
        side=job.side,
        version=job.version,
        tree_id=job.source.tree_id,
        config_digest=job.config.digest,
        key=place.directory.name,
        directory=place.directory,
        diagnostics=parse_diagnostics(place.log.read_text("utf-8", "replace")),
        compiled=_compiled_in(place.log) if whole else compiled,
        seconds=time.monotonic() - began,
        reused=False,
        log=place.log,
        code_digest=digest_sections(kernel_sections(place.directory)),
        whole=whole,
        lender="" if whole else place.borrowed.read_text().strip(),
    )
    save(place.record, kernel)
    if not whole:
        shutil.rmtree(place.objects)
        place.borrowed.unlink()
    return replace(kernel, log=_show_log(job))


def _take_artifacts(job: _Job) -> None:
    """Copy or move what a run needs out of the object folder."""
    place = job.place
    for stale in ("sections.json", "vmlinux"):
        (place.directory / stale).unlink(missing_ok=True)
    link_or_copy(made(place.objects, _image()[1]), place.directory / "bzImage")
    for name in ("vmlinux", "System.map"):
        link_or_copy(made(place.objects, name), place.directory / name)
    shutil.copy2(made(place.objects, ".config"), place.directory / ".config")
    shutil.rmtree(place.directory / "modules", ignore_errors=True)
    if job.has_modules:
        made(place.objects, STAGED_MODULES).rename(place.directory / "modules")
    else:
        index_builtin(place.objects, place.directory / "modules")


def _compiled_in(log: Path) -> int:
    """Objects that all of a build's makes compiled, those before a kill included."""
    counting = Counting(None, lambda _: None)
    for line in log.read_text("utf-8", "replace").splitlines():
        counting.line(line)
    return counting.compiled


def _show_log(job: _Job) -> Path:
    """The whole log under the run's folder: the same file where one file system holds both."""
    return link_or_copy(job.place.log, job.work / "build.log")
