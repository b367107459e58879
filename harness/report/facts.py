"""What a run was about and what ran it, as names and values: the same in every report that is a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from harness.compare import BrokenBy, Change, Comparison, TestChange
from harness.results import Outcome, SideResults
from harness.run_result import KernelInfo, RunResult

__all__ = [
    "Fact",
    "broken_words",
    "change_counts",
    "change_words",
    "config_facts",
    "duration",
    "environment_facts",
    "kernel_facts",
    "near",
    "outcome_words",
    "side_words",
    "subject_facts",
]

Fact = tuple[str, str]

_TOLD_ELSEWHERE = ("accelerator_why",)
_YES_NO = {True: "yes", False: "no"}


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
    if config.touched:
        told.append(("turned on", f"{', '.join(config.touched)}: compile what the series touches"))
    told += [("absent", f"{symbol}: {reason}") for symbol, reason in config.absent]
    return tuple(told)


def environment_facts(result: RunResult) -> tuple[Fact, ...]:
    """All that is known of what ran the trial: every field, so that two reports can be held side by side."""
    found = result.environment
    told = []
    for field in fields(found):
        value = getattr(found, field.name)
        if field.name == "accelerator" and value and found.accelerator_why:
            value = f"{value} ({found.accelerator_why})"
        if field.name not in _TOLD_ELSEWHERE:
            told.append((field.name.replace("_", "-" if field.name == "virtme_ng" else " "), _value(value)))
    told.append(("schema of the result", result.schema_version))
    told += [(name, value) for name, value in result.extra.items()]
    return tuple(fact for fact in told if fact[1])


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
    outcomes: tuple[Outcome, ...] = test.base_outcomes if side == "base" else test.patched_outcomes
    counts = Counter(outcomes)
    return ", ".join(f"{count}x {each}" if count > 1 else str(each) for each, count in counts.items()) or "-"


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


def _value(value: object) -> str:
    if isinstance(value, bool):
        return _YES_NO[value]
    if isinstance(value, int | float):
        return f"{value:.10g}" if value else ""
    if isinstance(value, tuple | list):
        return ", ".join(map(_value, value))
    return str(value) if value is not None else ""
