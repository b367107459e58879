"""Small builders of results, for tests of what is made of them."""

from __future__ import annotations

from harness.compare import Comparison, compare
from harness.results import Boot, Outcome, SideResults, Splat, TestResult
from harness.splats import splat_reason

OUTCOMES = {
    "p": Outcome.PASSED,
    "f": Outcome.FAILED,
    "s": Outcome.SKIPPED,
    "x": Outcome.XFAILED,
    "c": Outcome.CRASHED,
    "t": Outcome.TIMED_OUT,
    "l": Outcome.LOST,
}
WARN = Splat("WARNING", "xdp_f", ("bpf_test_run",), "WARNING in xdp_f < bpf_test_run", "WARNING: ...")
KASAN = Splat("KASAN: use-after-free", "xsk_g", (), "KASAN: use-after-free in xsk_g", "BUG: KASAN: ...")
PANIC = Splat("NULL pointer dereference", "h", (), "NULL pointer dereference in h", "BUG: kernel NULL ...")
STALL = Splat("RCU stall", "k", (), "RCU stall in k", "rcu: INFO: ...")


def result(test, outcome, attempt=1, splats=(), reason="", boot="vm0"):
    if splats and not reason and outcome is Outcome.FAILED:
        reason = splat_reason(splats)
    return TestResult(test, outcome, reason=reason, splats=tuple(splats), attempt=attempt, boot=boot)


def side(name="base", *results, boots=(), booted=True, **attempts):
    """`side("base", a="pf")`: test a passed in its first attempt and failed in its second."""
    written = [
        result(test, OUTCOMES[letter], attempt)
        for test, letters in attempts.items()
        for attempt, letter in enumerate(letters, 1)
    ]
    boots = boots or (Boot("vm0", "clean", "vm0.console", 6.0, "tcg"),)
    return SideResults(name, (*written, *results), tuple(boots), 10.0, booted)


def compared(base: str, patched: str) -> Comparison:
    """One test `t`, with the outcomes of its attempts on each side as letters; "" where it has none."""
    return compare(
        side("base", **({"t": base} if base else {})), side("patched", **({"t": patched} if patched else {}))
    )
