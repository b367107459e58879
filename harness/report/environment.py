"""What every report carries, so that two people can see whether theirs are of the same thing. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from harness.plan import option_of
from harness.report.excused import list_words
from harness.run_result import ConfigInfo, Environment, RunResult

__all__ = ["carried", "host_words"]

Row = tuple[str, str]


def carried(result: RunResult) -> tuple[Row, ...]:
    """(name, value) of all that went into a run, in the order of the flow; without what is not known.

    Values may hold a stranger's text: they go through the form's own escaping.
    """
    rows = (*_inputs(result), *_built(result), *_ran(result.environment), *_host(result.environment))
    return tuple((name, value) for name, value in rows if value)


def _inputs(result: RunResult) -> Iterator[Row]:
    tree, series = result.tree, result.series
    yield "options", ", ".join(_option(name, value) for name, value in result.asked if name != "allow_splats")
    yield "allowed splats", list_words(result.allow_splats)
    if series:
        yield "change-id", series.change_id
    if tree:
        yield "base", f"{tree.base_commit} ({tree.version}, {tree.label})"
        yield "patched", tree.patched_commit
    suites = (f"{each.name} {each.digest[:12]}" for each in result.suites if each.digest)
    yield "version of the tests", ", ".join(suites)


def _option(name: str, value: str) -> str:
    """`-k shrink`, `--perf`."""
    return option_of(name) if value == "True" else f"{option_of(name)} {value}"


def _built(result: RunResult) -> Iterator[Row]:
    environment = result.environment
    if result.config:
        yield from _configuration(result.config)
    yield "compiler", environment.compiler
    yield "linker", environment.linker
    yield "pahole", environment.pahole
    yield "clang", environment.clang
    codes = (f"{kernel.side} {kernel.code_digest[:16]}" for kernel in result.kernels if kernel.code_digest)
    yield "code", ", ".join(codes)


def _configuration(config: ConfigInfo) -> Iterator[Row]:
    yield "fragments", " + ".join((config.config_base, *config.fragments))
    same = config.base_digest == config.patched_digest
    yield "configuration", config.patched_digest if same else f"{config.patched_digest}, base {config.base_digest}"


def _ran(environment: Environment) -> Iterator[Row]:
    why = f" ({environment.accelerator_why})" if environment.accelerator_why else ""
    yield "QEMU", environment.qemu
    yield "virtme-ng", environment.virtme_ng
    yield "accelerator", f"{environment.accelerator}{why}" if environment.accelerator else ""
    yield "instrument", environment.instrument
    yield "QEMU's seeds", ", ".join(map(str, environment.perf_seeds))
    yield "seed", str(environment.seed) if environment.seed else ""
    if environment.guest_cpus:
        at_once = f", {environment.vms} at once for each side" if environment.vms else ""
        size = f"{_processors(environment.guest_cpus)}, {environment.guest_memory_mib} MiB"
        yield "guests", f"{size}{at_once}; {environment.test_deadline:g} s a test"


def _host(environment: Environment) -> Iterator[Row]:
    processors = _processors(environment.processors) if environment.processors else ""
    memory = f"{environment.memory_mib} MiB" if environment.memory_mib else ""
    known = (environment.host, environment.distribution, environment.processor, processors, memory)
    yield "host", ", ".join(filter(None, known))
    yield "host load", _load(environment)
    yield "python", environment.python
    yield "ktrial", environment.ktrial


def host_words(environment: Environment) -> str:
    """`2 processors, load 0.5 to 2.1, seed 4711, icount with seeds 1, 2`: the same in a clause, for brief reports."""
    load = _load_in_brief(environment)
    seeds = f" with seeds {', '.join(map(str, environment.perf_seeds))}" if environment.perf_seeds else ""
    told = (
        _processors(environment.processors) if environment.processors else "",
        f"load {load}" if load else "",
        f"seed {environment.seed}" if environment.seed else "",
        f"{environment.instrument}{seeds}" if environment.instrument else "",
    )
    return ", ".join(filter(None, told))


def _load_in_brief(environment: Environment) -> str:
    """`0.5 to 2.1`; of a run that has but one, which it is."""
    before, after = environment.load_before, environment.load_after
    if before is not None and after is not None:
        return f"{before:.1f} to {after:.1f}"
    return f"{before:.1f} before" if before is not None else f"{after:.1f} at the end" if after is not None else ""


def _load(environment: Environment) -> str:
    told = []
    if environment.load_before is not None:
        told.append(f"{environment.load_before:g} before")
    if environment.load_after is not None:
        told.append(f"{environment.load_after:g} at the end")
    if told and environment.processors:
        told.append(f"on {_processors(environment.processors)}")
    return ", ".join(told)


def _processors(count: int) -> str:
    return f"{count} processor{'' if count == 1 else 's'}"
