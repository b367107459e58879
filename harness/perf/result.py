"""What `ktrial perf` found, as the document that `ktrial run --json` writes."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime

from harness.errors import KtrialError
from harness.machine.model import Accelerator
from harness.perf.measure import seeds_of
from harness.perf.model import Instrument, Performance
from harness.plan import Invocation, chosen_options
from harness.run_result import Environment, Paths, RunResult
from harness.store import RunFolder
from harness.surroundings import Surroundings, load, qemu_version
from harness.verdict import failed_verdict, failure_of, figures_verdict

__all__ = ["figures_result"]


def figures_result(
    run: RunFolder,
    asked: Invocation,
    found: Performance | KtrialError,
    measured: Mapping[str, str],
    before: Surroundings,
    *,
    board: bool,
) -> RunResult:
    """The result of a measurement of kernels that were there: no series, no tree, no tests.

    found: the figures, or what stopped it. measured: what was, by name, for people (`extra`). before: look_around().
    """
    stopped, performance = (found, None) if isinstance(found, KtrialError) else (None, found)
    verdict = failed_verdict(found) if isinstance(found, KtrialError) else figures_verdict(found)
    return RunResult(
        run=run.id,
        started=run.card.created,
        finished=datetime.now(UTC).isoformat(timespec="milliseconds"),
        verdict=verdict,
        environment=_environment(asked, before, board=board),
        paths=Paths(str(run.path), (("perf", str(run.path / "perf")),)),
        failure=failure_of(stopped) if stopped else None,
        performance=performance,
        asked=chosen_options(asked),
        extra=dict(measured),
    )


def _environment(asked: Invocation, before: Surroundings, *, board: bool) -> Environment:
    counts = asked.instrument is Instrument.ICOUNT
    return Environment(
        ktrial=before.ktrial,
        python=platform.python_version(),
        host=f"{platform.system()} {platform.release()} {platform.machine()}",
        qemu="" if board else qemu_version(),
        accelerator=Accelerator.BOARD if board else Accelerator.TCG if counts else "",
        distribution=before.distribution,
        processor=before.processor,
        processors=before.processors,
        memory_mib=before.memory_mib,
        load_before=before.load,
        load_after=load(),
        instrument=str(asked.instrument),
        perf_seeds=() if board else seeds_of(asked),
        guest_cpus=0 if board else asked.cpus,
        guest_memory_mib=0 if board else asked.memory_mib,
    )
