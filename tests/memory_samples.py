"""Finished runs to remember: whole results with as much in them as the memory looks at."""

from __future__ import annotations

from dataclasses import replace

from report_samples import ENVIRONMENT, bare
from trial_values import OUTCOMES

from harness.compare import compare
from harness.perf.model import Figure, FigureChange, Performance
from harness.results import Boot, SideResults, TestResult
from harness.run_result import ConfigInfo, KernelInfo, PatchInfo, RunResult, SeriesInfo, SuiteInfo
from harness.verdict import decide

BASE = "0123456789abcdef0123456789abcdef01234567"
AUTHOR = "A Developer <dev@example.org>"
SUITE = SuiteInfo("suite", "asked for with --suite", "5u17e")


def side(name: str, tests: dict[str, str], *, seconds: float = 0.5, reason: str = "") -> SideResults:
    """`side("base", {"t": "pf"})`: the test suite/f.py::t passed at first, and failed in its second attempt."""
    results = tuple(
        TestResult(
            f"suite/f.py::{test}",
            OUTCOMES[letter],
            reason=(reason or f"{test} is wrong") if OUTCOMES[letter].bad else "",
            seconds=seconds,
            attempt=attempt,
        )
        for test, letters in tests.items()
        for attempt, letter in enumerate(letters, 1)
    )
    return SideResults(name, results, (Boot("vm0", "clean", "vm0.console", 6.0, "tcg"),), 10.0, True)


def finished(
    run: str = "20260102-0304-shrink-0001",
    *,
    base: dict[str, str] | None = None,
    patched: dict[str, str] | None = None,
    version: int = 1,
    title: str = "xdp: shrink fragments in one pass",
    change_id: str = "",
    author: str = AUTHOR,
    started: str = "2026-01-02T03:04:05+00:00",
    kernel: str = "6.12.40",
    base_commit: str = BASE,
    code: str = "c0de",
    suite: SuiteInfo = SUITE,
    accelerator: str = "tcg",
    fragments: tuple[str, ...] = ("boot", "xdp"),
    patches: tuple[str, ...] = ("xdp: add a counter", "xdp: use it"),
    figures: dict[str, tuple[float, float]] | None = None,
) -> RunResult:
    """A run that came to its end. base, patched: outcomes of tests, see `side`."""
    sample = bare()
    assert sample.tree is not None
    before, after = side("base", base or {"a": "p"}), side("patched", patched or {"a": "p"})
    comparison = compare(before, after)
    performance = performance_of(figures) if figures else None
    kernels = (("base", code), ("patched", f"patched-{code}-{run}"))
    return replace(
        sample,
        run=run,
        started=started,
        finished=started,
        verdict=decide(comparison, performance=performance),
        environment=replace(ENVIRONMENT, accelerator=accelerator),
        series=SeriesInfo(
            source="shrink.mbox",
            title=title,
            version=version,
            author=author,
            patches=tuple(
                PatchInfo(number, subject, f"{run}-{number}", "clean", f"digest of {subject} v{version}")
                for number, subject in enumerate(patches, 1)
            ),
            change_id=change_id,
        ),
        tree=replace(sample.tree, base_commit=base_commit, version=kernel),
        config=ConfigInfo(fragments, "c0ff" * 16, "c0ff" * 16),
        kernels=tuple(
            KernelInfo(name, kernel, name, True, 0, 0.0, f"/cache/{name}", digest) for name, digest in kernels
        ),
        suites=(suite,),
        base=before,
        patched=after,
        comparison=comparison,
        performance=performance,
    )


def performance_of(figures: dict[str, tuple[float, float]]) -> Performance:
    """Figures of benches on both kernels, in insns; what costs more is worse."""
    return Performance(
        "icount",
        "by counting",
        tuple(
            Figure(
                f"suite/bench_f.py::{bench}",
                "insns",
                FigureChange.WORSE if after > before else FigureChange.BETTER if after < before else FigureChange.SAME,
                before,
                after,
                0.5,
            )
            for bench, (before, after) in figures.items()
        ),
    )
