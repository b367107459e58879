"""Results to render: one of each sort that a run can end with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.build.model import Diagnostic
from harness.compare import compare
from harness.errors import ApplyError, BuildError
from harness.results import Boot, Outcome, SideResults, TestResult
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
from harness.splats import find_splats, splat_reason
from harness.verdict import decide, failed_verdict, failure_of

SPLATS = Path(__file__).parent / "golden" / "splats"
TAIL = "xdp_multibuf/test_adjust_tail.py::"
ASSERTION = "frame 9000 shrunk by 4096: (0, 9000), not (0, 4904)"
DETAILS = f"""    def test_shrink(machine, limits, frame, by):
        run = machine.run(frame_of(size), adjust_tail(-less), LENGTH)
>       assert run.results == (0, size - less), f"frame {{size}} shrunk by {{less}}: {{run.results}}"
E       AssertionError: {ASSERTION}
E       assert (0, 9000) == (0, 4904)
E         At index 1 diff: 9000 != 4904

test_adjust_tail.py:41: AssertionError"""
ENVIRONMENT = Environment(
    ktrial="0.1.0",
    compiler="gcc (Debian 12.2.0-14) 12.2.0",
    linker="GNU ld (GNU Binutils for Debian) 2.40",
    pahole="v1.24",
    qemu="QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)",
    virtme_ng="virtme-ng 1.40",
    accelerator="tcg",
    accelerator_why="/dev/kvm did not boot a kernel in 20 s",
    vms=2,
    attempts=3,
)


def kernel(side: str, *, reused: bool) -> KernelInfo:
    compiled, seconds = (0, 0.0) if reused else (37, 61.2)
    return KernelInfo(
        side, "6.12.40", f"{side}-key", reused, compiled, seconds, f"/cache/builds/{side}", f"{side}-code"
    )


def bare(**fields) -> RunResult:
    """A run that ended before anything was known."""
    whole = {
        "run": "20260102-030405-shrink",
        "started": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:09:11+00:00",
        "verdict": failed_verdict(ApplyError("patch 1/1: x")),
        "environment": ENVIRONMENT,
        "paths": Paths(
            "/home/me/.local/state/ktrial/runs/20260102-030405-shrink", (("console", "patched/boots/001/console.log"),)
        ),
        "series": SeriesInfo(
            source="shrink.mbox",
            title="xdp: shrink fragments in one pass",
            version=2,
            author="A Developer <dev@example.org>",
            patches=(PatchInfo(1, "xdp: add a helper"), PatchInfo(2, "xdp: use it in bpf_xdp_frags_shrink_tail()")),
            tags=("bpf-next",),
            message_ids=("cover@example.org", "one@example.org", "two@example.org"),
            remarks=("patch 2 applied with a 3-way merge",),
        ),
        "tree": TreeInfo(
            origin="debian:6.12",
            label="linux-source-6.12 6.12.40-1",
            base_commit="0123456789abcdef0123456789abcdef01234567",
            base_why="HEAD of the tree: the series names no base-commit",
            version="6.12.40",
            patched_commit="89abcdef0123456789abcdef0123456789abcdef",
        ),
    }
    return RunResult(**{**whole, **fields})


def sides() -> tuple[SideResults, SideResults]:
    """Base, and a patched kernel in which several things changed."""
    warned = find_splats((SPLATS / "warning_old.log").read_text())
    crashed = find_splats((SPLATS / "null_deref_then_panic.log").read_text())
    boot_splat = find_splats((SPLATS / "rcu_usage_then_sleeping.log").read_text())[:1]
    same = [f"{TAIL}test_grow[frame={size},by=1]" for size in (60, 1500, 9000)]
    base = [TestResult(test, Outcome.PASSED) for test in same]
    patched = list(base)
    for attempt in (1, 2, 3):
        shrink = f"{TAIL}test_shrink[frame=9000,by=page]"
        base.append(TestResult(shrink, Outcome.PASSED, attempt=attempt))
        patched.append(TestResult(shrink, Outcome.FAILED, ASSERTION, DETAILS, attempt=attempt))
        edge = f"{TAIL}test_shrink_to_an_edge_with_a_rather_long_name_that_needs_room[frame=largest,by=linear+page-1]"
        base.append(TestResult(edge, Outcome.PASSED, attempt=attempt))
        patched.append(
            TestResult(edge, Outcome.CRASHED, "the guest's kernel panicked", splats=crashed, attempt=attempt)
        )
        quiet = f"{TAIL}test_shrink[frame=1500,by=1]"
        base.append(TestResult(quiet, Outcome.PASSED, attempt=attempt))
        patched.append(TestResult(quiet, Outcome.FAILED, splat_reason(warned), splats=warned, attempt=attempt))
    base += [
        TestResult("xdp_multibuf/test_device.py::test_veth", Outcome.FAILED, "no veth"),
        TestResult("xdp_multibuf/test_repeat.py::test_repeat", Outcome.PASSED),
        TestResult("xdp_multibuf/test_live_frames.py::test_drop", Outcome.SKIPPED, "no live frames"),
    ]
    patched += [
        TestResult("xdp_multibuf/test_device.py::test_veth", Outcome.PASSED),
        TestResult("xdp_multibuf/test_repeat.py::test_repeat", Outcome.PASSED),
        TestResult("xdp_multibuf/test_repeat.py::test_repeat", Outcome.FAILED, "took too long", attempt=2),
        TestResult("xdp_multibuf/test_live_frames.py::test_drop", Outcome.SKIPPED, "no live frames"),
    ]
    clean = Boot("base-000", "clean", "console.log", 6.5, "tcg")
    ends = (Boot("patched-000", "clean", "c", 6.4, "tcg", boot_splat), Boot("patched-001", "panic", "c", 6.9, "tcg"))
    return SideResults("base", tuple(base), (clean,), 41.0, True), SideResults(
        "patched", tuple(patched), ends, 72.4, True
    )


def built() -> RunResult:
    """A run whose kernels were built, before its tests."""
    return replace(
        bare(),
        config=ConfigInfo(("boot", "xdp"), "c0ffee" * 10, "c0ffee" * 10, absent=(("PAGE_POOL_STATS", "not in 6.1"),)),
        kernels=(kernel("base", reused=True), kernel("patched", reused=False)),
        suites=(SuiteInfo("xdp_multibuf", "the series touches net/core/filter.c"),),
    )


def regression() -> RunResult:
    base, patched = sides()
    comparison = compare(base, patched)
    warning = Diagnostic("warning", "net/core/filter.c", "unused variable 'i'", "-Wunused-variable", 4120, "")
    return replace(
        built(),
        verdict=decide(comparison, new_warnings=1),
        new_warnings=(warning,),
        base=base,
        patched=patched,
        comparison=comparison,
        reproduce="ktrial test /cache/builds/patched/bzImage --accel tcg --suite xdp_multibuf"
        " --test 'xdp_multibuf/test_adjust_tail.py::test_shrink[frame=9000,by=page]'\nsh reproduce.sh hand",
    )


def no_regression() -> RunResult:
    base, _ = sides()
    patched = replace(base, side="patched", boots=(Boot("patched-000", "clean", "c", 6.4, "tcg"),))
    comparison = compare(base, patched)
    return replace(built(), verdict=decide(comparison), base=base, patched=patched, comparison=comparison)


def without_base() -> RunResult:
    _, patched = sides()
    comparison = compare(None, patched)
    return replace(built(), verdict=decide(comparison), patched=patched, comparison=comparison, kernels=())


def does_not_apply() -> RunResult:
    error = ApplyError(
        'patch 2/2 "xdp: use it in bpf_xdp_frags_shrink_tail()" does not apply: net/core/filter.c, hunk 1 (line 4121)',
        detail="@@ -4121,7 +4121,7 @@\n-\tint i, n_frags_free = 0;\n+\tint i, freed = 0;\n\nthe tree:\n\tint n = 0;",
        hint="ktrial run --base REV names another base",
        log=Path("/runs/r/apply.log"),
    )
    return replace(bare(), verdict=failed_verdict(error), failure=failure_of(error))


def does_not_build() -> RunResult:
    error = BuildError(
        "patch 2/2 (xdp: use it in bpf_xdp_frags_shrink_tail()) does not build: "
        "net/core/filter.c:4125: 'freed' undeclared (first use in this function)",
        detail="net/core/filter.c:4125:2: error: 'freed' undeclared\n\n> 4125 | \tfreed++;\n  4126 | \treturn 0;",
        log=Path("/runs/r/build/patched/build.log"),
    )
    return replace(bare(), verdict=failed_verdict(error), failure=failure_of(error))


SAMPLES = {
    "regression": regression,
    "no_regression": no_regression,
    "without_base": without_base,
    "does_not_apply": does_not_apply,
    "does_not_build": does_not_build,
}
