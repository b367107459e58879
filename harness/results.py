"""What one side's tests did: outcomes, kernel log slices, machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["LEFT_REASON", "Boot", "Excused", "Left", "Outcome", "SideResults", "Splat", "TestResult", "left_reason"]

LEFT_REASON = "left behind: "
"""How the reason of a test begins that failed only for what it left in the kernel."""

_NAMED = 4  # things, in a reason


class Outcome(StrEnum):
    """What became of one test in one guest. Exactly one holds."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    CRASHED = "crashed"  # the guest's kernel went down under it
    TIMED_OUT = "timed-out"  # the guest was ended at the test's deadline
    LOST = "lost"  # our machine failed: retried, never blamed on the series

    @property
    def good(self) -> bool:
        """Nothing is wrong with the kernel as far as this test can tell."""
        return self in (Outcome.PASSED, Outcome.SKIPPED, Outcome.XFAILED)

    @property
    def bad(self) -> bool:
        return self in (Outcome.FAILED, Outcome.CRASHED, Outcome.TIMED_OUT)


HARM = (
    Outcome.LOST,
    Outcome.PASSED,
    Outcome.XFAILED,
    Outcome.SKIPPED,
    Outcome.FAILED,
    Outcome.TIMED_OUT,
    Outcome.CRASHED,
)
"""Outcomes by how much they say against a kernel, the least first."""


@dataclass(frozen=True)
class Splat:
    """A complaint of the kernel in its own log.

    kind: `WARNING`, `KASAN: slab-out-of-bounds`, `panic`, ... function: the guilty one, or "".
    frames: the call trace, innermost first, normalised. key: what makes two splats the same (kind, function, frames).
    text: its lines of the log.
    """

    kind: str
    function: str
    frames: tuple[str, ...]
    key: str
    text: str


@dataclass(frozen=True)
class Excused:
    """A splat that an allow-list's entry lets pass (harness/allow_list.py): told of, and no failure."""

    splat: Splat
    pattern: str
    reason: str


@dataclass(frozen=True)
class Left:
    """Something that a test made and that was there yet when all fixtures were gone (vm/health.py).

    kind: `link`, `namespace`, `bpf program`, `bpf map`, `bpf link`, `process`, `page pool`.
    name: as people call it, the same on every boot.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def left_reason(left: Sequence[Left]) -> str:
    """One line: why a test failed whose assertions passed."""
    named = ", ".join(str(each) for each in left[:_NAMED])
    return f"{LEFT_REASON}{named}" + (f" (and {len(left) - _NAMED} more)" if len(left) > _NAMED else "")


@dataclass(frozen=True)
class TestResult:
    """One test on one side, one attempt.

    test: its name, stable across sides: `xdp_multibuf/test_adjust_tail.py::test_shrink[9000]`.
    reason: one line: the assertion, the skip's reason, the splat, the deadline. details: pytest's whole report.
    log: the kernel log's lines while it ran. seconds: wall time on the host's clock. attempt: 1 for the first.
    boot: the boot it ran in (`Boot.name`). left: what it left behind in the kernel.
    extra: an attempt beyond the ordinary ones, for a test that flaked on base kernels before (harness/flakiness.py).
    excused: splats that an allow-list lets pass; none of them is among `splats`.
    """

    __test__ = False

    test: str
    outcome: Outcome
    reason: str = ""
    details: str = ""
    log: str = ""
    splats: tuple[Splat, ...] = ()
    seconds: float = 0.0
    attempt: int = 1
    boot: str = ""
    left: tuple[Left, ...] = ()
    extra: bool = False
    excused: tuple[Excused, ...] = ()


@dataclass(frozen=True)
class Boot:
    """One guest. end: `clean`, `panic`, `hang`, `reset`, `powered-off`, `boot-timeout`, `test-timeout`, `lost`.

    console: file name of its whole console, in the run's folder. seconds_to_ready: host wall time.
    """

    name: str
    end: str
    console: str
    seconds_to_ready: float
    accelerator: str
    splats: tuple[Splat, ...] = ()
    excused: tuple[Excused, ...] = ()


@dataclass(frozen=True)
class SideResults:
    """All that one side's kernel did. results: one for each test and attempt, in order of finishing."""

    side: str
    results: tuple[TestResult, ...]
    boots: tuple[Boot, ...]
    seconds: float
    booted: bool
