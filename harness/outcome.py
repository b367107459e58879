"""Turn a trial, however far it came, into the one value that every report renders."""

from __future__ import annotations

import platform
import shlex
import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from harness import repro
from harness.allow_list import kept_lists
from harness.bpf_objects import BPF_DIR_VARIABLE, clang_version
from harness.build.model import Kernel
from harness.compare import Comparison
from harness.errors import KtrialError
from harness.flakiness import remarkable
from harness.kconfig.fragment import fragment_digest
from harness.memory import remember_run
from harness.passes import guests_at_once
from harness.perf.measure import seeds_of
from harness.perf.model import FigureChange
from harness.places import suites_dir
from harness.plan import chosen_options, fuzzing
from harness.record import atomic_write
from harness.report.json import write_result
from harness.run_result import (
    ConfigInfo,
    Environment,
    KernelInfo,
    PatchInfo,
    Paths,
    RunResult,
    SeriesInfo,
    SuiteInfo,
    TreeInfo,
)
from harness.series.diffscan import diff_digest
from harness.suites import Suite, suite_digest
from harness.surroundings import load, look_around, qemu_version
from harness.trial import Trial
from harness.verdict import Verdict, decide, failed_verdict, failure_of, identical_verdict

__all__ = ["conclude"]


def conclude(trial: Trial, error: KtrialError | None) -> RunResult:
    """The trial's result: written to its folder, with a script that reproduces the first regression, and remembered."""
    reproduction = _reproduction(trial)
    if reproduction is not None:
        atomic_write(trial.run.reproduce, repro.script(reproduction).encode())
    result = RunResult(
        run=trial.run.id,
        started=trial.run.card.created,
        finished=datetime.now(UTC).isoformat(timespec="milliseconds"),
        verdict=_verdict(trial, error),
        environment=_environment(trial),
        paths=_paths(trial, reproduction is not None),
        failure=failure_of(error) if error else None,
        series=_series(trial),
        tree=_tree(trial),
        config=_config(trial),
        kernels=tuple(_kernel(kernel) for kernel in (trial.base_kernel, trial.patched_kernel) if kernel),
        new_warnings=trial.warnings,
        identical=trial.identity is not None and trial.identity.same,
        suites=tuple(
            SuiteInfo(chosen.suite.name, chosen.why, suite_digest(chosen.suite.directory)) for chosen in trial.picked
        ),
        uncompiled=trial.coverage.left,
        base=trial.results[0] if trial.results else None,
        patched=trial.results[1] if trial.results else None,
        comparison=trial.comparison,
        proofs=trial.proofs,
        performance=trial.performance,
        broken_by=trial.broken_by,
        asked=chosen_options(trial.invocation),
        allow_splats=trial.invocation.allow_splats,
        known_flaky=remarkable(trial.comparison, trial.known_flaky) if trial.comparison else (),
        reproduce="\n".join(
            filter(None, (repro.commands(reproduction) if reproduction else "", _measure_again(trial)))
        ),
    )
    write_result(trial.run.result, result)
    remember_run(result, lambda remark: trial.observer.stage("memory", remark))
    return result


def _verdict(trial: Trial, error: KtrialError | None) -> Verdict:
    if error is not None:
        return failed_verdict(error)
    if trial.comparison is not None:
        return decide(
            trial.comparison,
            new_warnings=len(trial.warnings),
            uncompiled=len(trial.coverage.left),
            proofs=trial.proofs,
            performance=trial.performance,
            broken_by=trial.broken_by,
        )
    return identical_verdict([gap.file for gap in trial.coverage.left])


def _series(trial: Trial) -> SeriesInfo | None:
    series = trial.series
    if series is None:
        return None
    applied = {patch.number: patch for patch in trial.applied.patches} if trial.applied else {}
    patches = []
    for patch in series.patches:
        info = PatchInfo(patch.number, patch.subject, digest=diff_digest(patch.mail))
        done = applied.get(patch.number)
        patches.append(replace(info, commit=done.commit, how=done.how) if done else info)
    return SeriesInfo(
        source=series.source,
        title=series.title,
        version=series.version,
        author=series.author,
        patches=tuple(patches),
        tags=series.tags,
        message_ids=series.message_ids,
        remarks=series.remarks,
        envelope=series.envelope,
        change_id=series.change_id,
    )


def _tree(trial: Trial) -> TreeInfo | None:
    if trial.tree is None or trial.base is None:
        return None
    return TreeInfo(
        origin=trial.tree.origin,
        label=trial.tree.label,
        base_commit=trial.base.commit,
        base_why=trial.base.why,
        version=trial.base.version,
        patched_commit=trial.applied.commit if trial.applied else "",
        base_tree=trial.base.tree_id,
        patched_tree=trial.applied.tree_id if trial.applied else "",
    )


def _config(trial: Trial) -> ConfigInfo | None:
    if trial.configs is None:
        return None
    base, patched = trial.configs
    return ConfigInfo(
        fragments=tuple(fragment.name for fragment in trial.fragments),
        base_digest=base.digest,
        patched_digest=patched.digest,
        config_base=trial.invocation.config_base,
        absent=patched.absent,
        touched=tuple(line.symbol for line in trial.coverage.fragment.settings) if trial.coverage.fragment else (),
        fragment_digests=tuple(fragment_digest(fragment) for fragment in trial.fragments),
    )


def _kernel(kernel: Kernel) -> KernelInfo:
    return KernelInfo(
        side=kernel.side,
        version=kernel.version,
        key=kernel.key,
        reused=kernel.reused,
        compiled=kernel.compiled,
        seconds=kernel.seconds,
        directory=str(kernel.directory),
        code_digest=kernel.code_digest,
        warnings=len(kernel.diagnostics),
        log=str(kernel.log),
    )


def _environment(trial: Trial) -> Environment:
    toolchain, choice, asked = trial.toolchain, trial.accelerator, trial.invocation
    here = trial.surroundings or look_around()
    return Environment(
        ktrial=here.ktrial,
        python=platform.python_version(),
        host=f"{platform.system()} {platform.release()} {platform.machine()}",
        compiler=toolchain.compiler if toolchain else "",
        linker=toolchain.linker if toolchain else "",
        pahole=toolchain.pahole if toolchain else "",
        ccache=toolchain.ccache if toolchain else False,
        llvm=toolchain.llvm if toolchain else False,
        qemu=qemu_version() if choice else "",
        virtme_ng=f"virtme-ng {metadata.version('virtme-ng')}" if choice else "",
        accelerator=choice.accelerator if choice else "",
        accelerator_why=choice.why if choice else "",
        vms=guests_at_once(asked) if choice else 0,
        attempts=1 + asked.reruns,
        distribution=here.distribution,
        processor=here.processor,
        processors=here.processors,
        memory_mib=here.memory_mib,
        load_before=here.load,
        load_after=load(),
        clang=clang_version() if choice and any(chosen.suite.bpf_sources for chosen in trial.picked) else "",
        seed=asked.fuzz_seed if asked.fuzz_minutes else 0,
        instrument=str(asked.instrument) if asked.perf else "",
        perf_seeds=seeds_of(asked) if asked.perf else (),
        guest_cpus=asked.cpus,
        guest_memory_mib=asked.memory_mib,
        boot_deadline=asked.boot_deadline,
        test_deadline=asked.test_deadline,
    )


def _paths(trial: Trial, reproducible: bool) -> Paths:
    folder = trial.run.path
    logs = [("build, base", trial.base_kernel.log)] if trial.base_kernel else []
    patched = trial.patched_kernel.log if trial.patched_kernel else trial.run.build_log("patched")
    logs += [("build, patched", patched)] if patched.exists() else []
    logs += [("tests and consoles", folder / "results")] if trial.results else []
    where = str(trial.run.reproduce) if reproducible else ""
    return Paths(str(folder), tuple((what, str(path)) for what, path in logs), where)


def _reproduction(trial: Trial) -> repro.Reproduction | None:
    """How to see the first regression again; None where there is none."""
    if trial.comparison is None or trial.tree is None or trial.base is None or trial.patched_kernel is None:
        return None
    test = _first_blamed(trial.comparison)
    if test is None:
        return None
    asked = trial.invocation
    return repro.Reproduction(
        test=test,
        series=trial.run.series_mbox,
        tree=trial.tree.origin,
        repository=trial.tree.repository,
        base_commit=trial.base.commit,
        config=trial.run.config("patched"),
        patched_image=trial.patched_kernel.image,
        suites_root=suites_dir(),
        base_image=trial.base_kernel.image if trial.base_kernel else None,
        suites=tuple(name for chosen in trial.picked for name in _asked(chosen.suite)),
        selftests=_plans(trial),
        fragments=asked.fragments,
        config_base=asked.config_base,
        llvm=asked.llvm,
        accelerator=trial.accelerator.accelerator if trial.accelerator else "auto",
        python=sys.executable,
        env={BPF_DIR_VARIABLE: str(trial.run.path / "bpf"), **fuzzing(asked.fuzz_minutes, asked.fuzz_seed)},
        cpus=asked.cpus,
        memory_mib=asked.memory_mib,
        fuzz_minutes=asked.fuzz_minutes,
        fuzz_seed=asked.fuzz_seed,
        allow_splats=kept_lists(trial.run.path, asked.allow_splats),
    )


def _measure_again(trial: Trial) -> str:
    """The command that measures the figures again that got worse; "" where none did."""
    worse = trial.performance.of(FigureChange.WORSE) if trial.performance else ()
    if not worse or trial.base_kernel is None or trial.patched_kernel is None:
        return ""
    suites = dict.fromkeys(figure.bench.partition("/")[0] for figure in worse)
    argv = ["ktrial", "perf", str(trial.base_kernel.image), str(trial.patched_kernel.image)]
    argv += [word for suite in suites for word in ("--suite", suite)]
    if len({figure.bench.partition("[")[0] for figure in worse}) == 1:
        argv += ["-k", worse[0].bench.partition("[")[0].rpartition("::")[2]]
    return shlex.join(argv)


def _asked(suite: Suite) -> tuple[str, ...]:
    """A suite as --suite takes it, with what was asked of it."""
    return tuple(f"{suite.name}:{what}" for what in suite.asked) or (suite.name,)


def _plans(trial: Trial) -> tuple[Path, Path] | None:
    folder = trial.run.path / "kselftest"
    return (folder / "base" / "plan.json", folder / "patched" / "plan.json") if trial.selftests else None


def _first_blamed(comparison: Comparison) -> str | None:
    if comparison.blamed:
        return comparison.blamed[0].test
    return "" if comparison.boot == "does-not-boot" or comparison.blamed_log else None


def resume_command(trial: Trial) -> str:
    """What to type to go on with a run that was interrupted."""
    return shlex.join(("ktrial", "run", "--resume", trial.run.id))
