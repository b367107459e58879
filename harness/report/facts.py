"""What a run was about and what ran it, as names and values: the same in every report that is a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.compare import BrokenBy, Change, Comparison, TestChange
from harness.report.environment import carried
from harness.results import Outcome, SideResults, TestResult
from harness.run_result import KernelInfo, RunResult

__all__ = [
    "Fact",
    "broken_words",
    "change_counts",
    "change_words",
    "config_facts",
    "config_notes",
    "duration",
    "environment_facts",
    "kernel_facts",
    "near",
    "outcome_words",
    "side_words",
    "subject_facts",
]

Fact = tuple[str, str]


def subject_facts(result: RunResult) -> tuple[Fact, ...]:
    """Which series, on which base, and what was run on it."""
    return tuple(fact for fact in _subject(result) if fact[1])


def config_facts(result: RunResult) -> tuple[Fact, ...]:
    """What the kernels' configuration was made of."""
    config = result.config
    if config is None:
        return ()
    told = [("made of", " + ".join((config.config_base, *config.fragments)))]
    if config.base_digest == config.patched_digest:
        told += [("digest", config.patched_digest)]
    else:
        told += [("digest of base", config.base_digest), ("digest of patched", config.patched_digest)]
    return (*told, *config_notes(result))


def config_notes(result: RunResult) -> tuple[Fact, ...]:
    """What was turned on in the configuration, and what did not take."""
    config = result.config
    if config is None:
        return ()
    turned_on = f"{', '.join(config.touched)}: compile what the series touches"
    told = [("turned on", turned_on)] if config.touched else []
    return (*told, *(("absent", f"{symbol}: {reason}") for symbol, reason in config.absent))


def environment_facts(result: RunResult) -> tuple[Fact, ...]:
    """All that went into the run, so that two reports can be held side by side."""
    environment = result.environment
    more = (
        ("attempts at what differs", str(environment.attempts)),
        ("ccache", "used" if environment.ccache else "not used"),
        ("schema of the result", result.schema_version),
    )
    return (*carried(result), *more, *result.extra.items())


def kernel_facts(kernel: KernelInfo) -> str:
    """How a kernel came to be, in a clause."""
    if kernel.reused:
        return f"{kernel.version}, found ready in the cache"
    return f"{kernel.version}, {kernel.compiled} objects compiled in {duration(kernel.seconds)}"


def change_counts(comparison: Comparison) -> tuple[tuple[Change, int], ...]:
    """How many tests have each change that any has, in the order of reports."""
    counts = Counter(test.change for test in comparison.tests)
    return tuple((change, counts[change]) for change in Change if counts[change])


def outcome_words(test: TestChange, side: str) -> str:
    """`failed`, `3x failed`, `2x passed, failed`; `-` where there is no result."""
    return counted(test.base_outcomes if side == "base" else test.patched_outcomes) or "-"


def counted(outcomes: Iterable[Outcome]) -> str:
    """`3x failed`, `2x passed, failed`; "" of none."""
    return ", ".join(f"{count}x {each}" if count > 1 else str(each) for each, count in Counter(outcomes).items())


def attempt_told(side: SideResults | None, test: TestChange) -> TestResult | None:
    """The attempt on patched that `test.patched` tells of."""
    results = side.results if side else ()
    return next((each for each in results if each.test == test.test and each.outcome is test.patched), None)


def change_words(test: TestChange, compared: bool) -> str:
    """`regression: base 2x passed, patched 2x failed`; `passed` of what is the same on both."""
    if not compared or test.change is Change.SAME:
        return outcome_words(test, "patched")
    return f"{test.change}: base {outcome_words(test, 'base')}, patched {outcome_words(test, 'patched')}"


def side_words(side: SideResults) -> str:
    """How many of each outcome a side has, and how its guests ended."""
    counts = Counter({each.test: each.outcome for each in side.results}.values())
    told = [f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome]] or ["no results"]
    ends = Counter(boot.end for boot in side.boots if boot.end != "clean")
    boots = f"{len(side.boots)} boot{'' if len(side.boots) == 1 else 's'}"
    odd = [f"{count} {end}" for end, count in sorted(ends.items())]
    return f"{', '.join(told)}; {', '.join((boots, *odd))}; {duration(side.seconds)}"


def broken_words(broken: BrokenBy) -> str:
    """`patch 2 (SUBJECT): 20 tests`."""
    which = f"patch {broken.last}" if broken.first == broken.last else f"one of patches {broken.first} to {broken.last}"
    return f"{which} ({broken.subject}): {len(broken.tests)} test{'' if len(broken.tests) == 1 else 's'}"


def duration(seconds: float) -> str:
    """`4 min 20 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def near(path: str, folder: str) -> str:
    """A path as a reader needs it: within the run's folder, else from the user's home."""
    if folder and path.startswith(f"{folder}/"):
        return path.removeprefix(f"{folder}/")
    home = str(Path.home())
    return f"~/{path.removeprefix(f'{home}/')}" if home != "/" and path.startswith(f"{home}/") else path


def _subject(result: RunResult) -> Iterator[Fact]:
    series, tree = result.series, result.tree
    if series:
        yield "series", series.title + (f" v{series.version}" if series.version > 1 else "")
        yield "author", series.author
        yield "for", " ".join(series.tags)
        yield "source", series.source
        yield from (("message-id", message) for message in series.message_ids[:1])
        yield from (("note", remark) for remark in series.remarks)
    if tree:
        yield "tree", f"{tree.origin} ({tree.label})" if tree.label != tree.origin else tree.origin
        yield "base", f"{tree.base_commit} ({tree.version})"
        yield "why this base", tree.base_why
        yield "patched", tree.patched_commit
    yield from (("suite", f"{suite.name}: {suite.why}") for suite in result.suites)
    yield from (("not compiled", f"{gap.file}: {gap.why}") for gap in result.uncompiled)
    yield "started", result.started
    yield "finished", result.finished
