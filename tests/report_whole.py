"""A result that has something in every place a report shows, and the same with strangers' words in all of them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from report_samples import SPLATS, regression

from harness.allow_list import Allowed, AllowList
from harness.compare import BrokenBy, compare
from harness.coverage import Uncompiled
from harness.kconfig.model import Difference
from harness.kselftest.proof import Proof, ProofKind
from harness.perf.model import (
    Attribution,
    Figure,
    FigureChange,
    FunctionChange,
    PatchShare,
    PatchSteps,
    Performance,
    Step,
)
from harness.report.decode import Places
from harness.report.evidence import Evidence
from harness.report.timeline import Span, SpanKind, Timeline
from harness.results import Excused, Left, Outcome, TestResult
from harness.run_result import RunResult
from harness.splats import find_splats
from harness.verdict import Failure, decide

BENCH = "xdp_multibuf/bench_test_run.py::bench_nothing[size={}]"


def performance() -> Performance:
    """Figures that are worse, better, the same and not known, with where they went and which patch did it."""
    sizes = (("64", 96.0, 121.0), ("1500", 96.0, 90.0), ("9000", 110.0, 110.4), ("linear+1", 110.0, None))
    changes = (FigureChange.WORSE, FigureChange.BETTER, FigureChange.SAME, FigureChange.UNKNOWN)
    figures = tuple(
        Figure(
            bench=BENCH.format(size),
            unit="insns/packet",
            change=change,
            base=base,
            patched=patched,
            noise=0.5,
            boots=(("base", (base, base + 0.5)), ("control", (base, base)), ("patched", (patched or 0.0,))),
            why="on patched: the guest went away" if patched is None else "",
            interval=(20.0, 30.0) if change is FigureChange.WORSE else None,
        )
        for (size, base, patched), change in zip(sizes, changes, strict=True)
    )
    functions = (
        FunctionChange("xdp_test_frame_ok", 0, 21, 1, (0, 1), 0, "new", (PatchShare(1, 21), PatchShare(2, 0))),
        FunctionChange("bpf_test_run", 10, 4, 0, (1, 1), 0),
        FunctionChange("bpf_test_timer_continue", 10, 10.2, 0, (1, 1), 0),
    )
    gone = Attribution(BENCH.format("1500"), failure="it was not measured under the plugin")
    steps = PatchSteps(BENCH.format("64"), "insns/packet", ((0, 96.0), (1, 117.0), (2, 121.0)), (Step(1, 1, 21.0),))
    return Performance(
        "icount",
        "medians of 15 batches",
        figures,
        attributions=(Attribution(BENCH.format("64"), 25.0, functions, 10.0), gone),
        steps=(steps,),
    )


def whole() -> RunResult:
    """A regression in tests and figures, with everything else that a run can bring."""
    result = regression()
    assert result.base is not None
    assert result.patched is not None
    left = TestResult(
        "xdp_multibuf/test_left.py::test_veth", Outcome.FAILED, "left behind: link v0", left=(Left("link", "v0"),)
    )
    stall = find_splats((SPLATS / "stalls_and_lockups.log").read_text())[0]
    excused = (Excused(stall, "^RCU stall", "no KVM here: the guest is slow"),)
    quirk = TestResult("xdp_multibuf/test_quirk.py::test_rcu", Outcome.PASSED, excused=excused)
    patched = replace(result.patched, results=(*result.patched.results, left, quirk))
    base = replace(
        result.base, results=(*result.base.results, replace(left, outcome=Outcome.PASSED, reason="", left=()), quirk)
    )
    comparison = compare(base, patched)
    figures = performance()
    broken = BrokenBy(2, 2, "xdp: use it in bpf_xdp_frags_shrink_tail()", (comparison.blamed[0].test,))
    return replace(
        result,
        base=base,
        patched=patched,
        comparison=comparison,
        performance=figures,
        broken_by=(broken,),
        uncompiled=(Uncompiled("drivers/net/other.c", "another architecture's"),),
        proofs=(
            Proof("kselftest/test_net.py::test[net:x]", ProofKind.PROVEN, Outcome.FAILED, Outcome.PASSED, True, "no"),
        ),
        failure=Failure("a summary", "detail\nof two lines", "a hint", "/runs/r/a.log"),
        extra={"more": "of it"},
        allow_splats=(
            AllowList(
                "/home/me/quirks.toml",
                "0123456789abcdef" * 4,
                (Allowed("^RCU stall", "no KVM here: the guest is slow"),),
            ),
        ),
        asked=(("allow_splats", "quirks.toml 0123456789ab"),),
        verdict=decide(comparison, performance=figures, broken_by=(broken,)),
    )


def evidence() -> Evidence:
    """What a run's folder may tell."""
    frame = ("skb_end_pointer", ("include/linux/skbuff.h", 1701)), ("bpf_xdp_adjust_tail", ("net/core/filter.c", 4121))
    spans = (
        Span("stages", SpanKind.STAGE, "tests-1", 10.0, 60.0),
        Span("builds", SpanKind.BUILD, "build patched: 37 objects", 1.0, 9.0),
        Span("patched-1", SpanKind.BOOT, "boot of guest 000", 11.0, 20.0),
        Span("patched-1", SpanKind.TESTS, "9 tests", 20.0, 60.0),
        Span("patched-1", SpanKind.BAD, "failed: xdp_multibuf/test_adjust_tail.py::test_shrink", 30.0, 31.0),
    )
    places = {"patched": {"bpf_xdp_frags_shrink_tail+0x1e7/0x2a0": frame}}
    return Evidence((Difference("NET_RX_BUSY_POLL", "y", None),), Timeline(spans, 306.0), Places(places))


def poisoned(value: Any, word: str, known: dict[str, str] | None = None) -> Any:
    """The same value with every free text in it replaced: what was the same text before is the same after."""
    known = {} if known is None else known
    if type(value) is str:
        return known.setdefault(value, _poison(value, word, len(known))) if value else value
    if isinstance(value, tuple):
        return tuple(poisoned(item, word, known) for item in value)
    if isinstance(value, dict):
        return {poisoned(key, word, known): poisoned(item, word, known) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        kept = {"schema_version"}
        changed = {
            field.name: poisoned(getattr(value, field.name), word, known)
            for field in fields(value)
            if field.init and field.name not in kept
        }
        return replace(value, **changed)
    return value


def _poison(text: str, word: str, number: int) -> str:
    """Names keep the signs that reports take them apart by, sides their names."""
    if text in ("base", "patched", "control"):
        return text
    for sign in ("::", "=", "\n"):
        head, found, tail = text.partition(sign)
        if found:
            return f"{head if sign == '::' else word}{found}{word}{number}{tail[:3]}"
    return f"{word}{number}"
