"""What a run was asked to do: the command line as one frozen value, recorded so that it can be resumed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol

from harness.allow_list import AllowList
from harness.build.model import BuildProgress
from harness.perf.model import Instrument, Policy

__all__ = ["Invocation", "Observer", "Silent", "chosen_options", "fuzzing", "listening", "new_seed", "option_of"]

# Where it was started and what it writes changes nothing in what is found. The seed is told apart (Environment.seed).
_BESIDE = frozenset({"series", "cwd", "json", "fuzz_seed"})
_OPTIONS = {
    "fragments": "--config",
    "suites": "--suite",
    "keyword": "-k",
    "tests": "--test",
    "vms": "-n",
    "jobs": "-j",
    "memory_mib": "--memory",
    "accelerator": "--accel",
    "boot_deadline": "--boot-timeout",
    "test_deadline": "--timeout",
    "session_deadline": "--session-timeout",
    "build_deadline": "--build-timeout",
    "fuzz_minutes": "--fuzz",
    "policy": "[perf] in the settings",
}


@dataclass(frozen=True)
class Invocation:
    """The options of `ktrial run`. cwd: where it was started, for relative names.

    tests: names of the only tests to run, as the report gives them; none for all.
    fragments: asked for beyond what the suites need. vms: guests for each side, 0 for as many as fit the processors.
    reruns: how often a test that differs is repeated on both sides before anybody is blamed.
    boot_deadline, test_deadline, session_deadline: seconds; boot and test are those for KVM, and longer without.
    perf: measure the suites' benches as well. quick: those alone that are marked so. per_patch: what a figure that
    changed is after every patch of the series. bisect: look for the patch that broke a test, or changed a figure.
    policy: when a figure counts as changed. instrument: what reads figures. rounds: of boots, for one that varies.
    fuzz_minutes: how long suites that can shall go on with cases of their own. fuzz_seed: what these follow from.
    allow_splats: the lists of the settings, then those of the command line, as they were when the run began.
    """

    series: str
    cwd: str
    tree: str | None = None
    base: str | None = None
    revision: int | None = None
    fragments: tuple[str, ...] = ()
    config_base: str = "allnoconfig"
    suites: tuple[str, ...] = ()
    keyword: str = ""
    tests: tuple[str, ...] = ()
    vms: int = 0
    cpus: int = 1
    memory_mib: int = 1024
    accelerator: str = "auto"
    no_base: bool = False
    llvm: bool = False
    jobs: int = 0
    reruns: int = 2
    boot_deadline: float = 60.0
    test_deadline: float = 30.0
    session_deadline: float = 3600.0
    build_deadline: float = 7200.0
    json: str | None = None
    fuzz_minutes: float = 0.0
    fuzz_seed: int = 0
    perf: bool = False
    quick: bool = False
    per_patch: bool = False
    bisect: bool = False
    instrument: Instrument = Instrument.ICOUNT
    rounds: int = 8
    policy: Policy = Policy()  # noqa: RUF009  # frozen
    allow_splats: tuple[AllowList, ...] = ()


def chosen_options(asked: Invocation) -> tuple[tuple[str, str], ...]:
    """The options that were not left at their defaults, by name."""
    defaults = Invocation(series="", cwd="")
    told = ((field.name, getattr(asked, field.name), getattr(defaults, field.name)) for field in fields(asked))
    return tuple((name, _shown(value)) for name, value, usual in told if name not in _BESIDE and value != usual)


def option_of(name: str) -> str:
    """What a user types for a field of `Invocation`."""
    return _OPTIONS.get(name, f"--{name.replace('_', '-')}")


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def new_seed() -> int:
    """A seed that nobody chose, short enough to be typed."""
    return 1 + secrets.randbelow(999_999)


def fuzzing(minutes: float, seed: int) -> dict[str, str]:
    """Variables that ask suites for so many minutes of generated cases (suites/xdp_multibuf/test_fuzz.py)."""
    return {"KTRIAL_FUZZ_MINUTES": f"{minutes:g}", "KTRIAL_FUZZ_SEED": str(seed)} if minutes else {}


class Observer(Protocol):
    """What a trial tells while it runs. Nothing in the result depends on it."""

    def stage(self, name: str, text: str) -> None:
        """A stage begins, or has something to say."""

    def building(self, side: str, progress: BuildProgress) -> None:
        """A build is this far."""

    def testing(self, side: str, event: str, test: str, outcome: str, worker: str = "") -> None:
        """A journal event of vm/ktrial_pytest.py: `collected` (outcome is the count), `started`, `finished`, `gone`.

        `begun` comes before all: outcome is how many guests there are. worker: pytest-xdist's name of a guest.
        """


class Silent:
    """An observer that keeps it all to itself."""

    def stage(self, name: str, text: str) -> None:
        """Nothing."""

    def building(self, side: str, progress: BuildProgress) -> None:
        """Nothing."""

    def testing(self, side: str, event: str, test: str, outcome: str, worker: str = "") -> None:
        """Nothing."""


def listening(observer: Observer) -> Callable[[str, dict[str, Any]], None]:
    """What passes the events of sessions (harness/machine/session.py) on to an observer."""

    def listen(side: str, event: dict[str, Any]) -> None:
        counts = {"collected": len(event.get("tests", ())), "begun": event.get("guests", 0)}
        outcome = str(counts.get(event["event"], event.get("outcome", "")))
        observer.testing(side, event["event"], event.get("test", ""), outcome, event.get("worker", ""))

    return listen
