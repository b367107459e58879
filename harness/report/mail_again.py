"""The command by which the reader of a mail or a comment, on another machine, tries a series again. Pure.

What a run's own reproduce.sh names (built kernels, folders) is not there; the message id is what everybody has. Options
that another machine decides for itself (the accelerator, guests at once) are left out, and those that change what is
found are not.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from harness.perf.model import FigureChange
from harness.plan import option_of
from harness.run_result import RunResult, SeriesInfo, TreeInfo

__all__ = ["try_again"]

_PACKAGED = re.compile(r"debian:[\w.-]+")
_A_CLONE = "~/linux"
# Of the options of a run: what another machine decides for itself, and files that are not there.
_OF_THIS_MACHINE = ("--accel", "--allow-splats")
_OF_KERNELS = ("llvm", "cpus", "memory_mib", "boot_deadline", "test_deadline")
_OF_ALL = ("fragments", "config_base", "no_base", "tests", "fuzz_minutes")
_OF_FIGURES = ("instrument", "rounds")
_SEVERAL = ("fragments", "tests")


def try_again(result: RunResult) -> tuple[str, ...]:
    """The words of the command, quoted for a shell; none where no series was read."""
    if result.series is None:
        return ()
    source = _source(result.series)
    tree = _tree(result.tree) if result.tree else ()
    return (*source, *tree, *(_first_broken(result) or _whole(result)), *_chosen(result, _OF_KERNELS))


def _source(series: SeriesInfo) -> tuple[str, ...]:
    answered = series.envelope.message_id if series.envelope else next(iter(series.message_ids), "")
    identifier = answered.strip("<>")
    if identifier:
        return ("b4", "am", "-o", "-", shlex.quote(identifier), "|", "ktrial", "run", "-")
    commits = all(patch.how == "commit" for patch in series.patches)
    return ("ktrial", "run", shlex.quote(series.source) if commits and series.patches else "series.mbox")


def _tree(tree: TreeInfo) -> tuple[str, ...]:
    """A tree of this machine's is a clone of the reader's."""
    where = tree.origin if _PACKAGED.fullmatch(tree.origin) else _A_CLONE
    return ("--tree", where, "--base", shlex.quote(tree.base_commit))


def _first_broken(result: RunResult) -> tuple[str, ...]:
    """The options by which `result.reproduce` has the whole trial of the first test that broke; none where none did."""
    line = next((line for line in result.reproduce.splitlines() if line.startswith("ktrial run ")), "")
    try:
        words = shlex.split(line)[3:]
    except ValueError:
        return ()
    pairs = [pair for pair in zip(words[::2], words[1::2], strict=False) if pair[0] not in ("--tree", "--base")]
    kept = [pair for pair in pairs if pair[0] not in _OF_THIS_MACHINE and not _is_file(*pair)]
    options = tuple(word for name, value in kept for word in (name, shlex.quote(value)))
    return options if not options or "--test" in options else (*options, *_chosen(result, ("keyword", "tests")))


def _is_file(option: str, value: str) -> bool:
    """Whether an option's value is a file of this machine's, or what it is without the option."""
    return option in ("--config", "--config-base") and ("/" in value or value == "allnoconfig")


def _whole(result: RunResult) -> tuple[str, ...]:
    """All the suites that were run; the benches too where figures were measured."""
    words = (*_suites(result), *_chosen(result, _OF_ALL))
    keyword = _chosen(result, ("keyword",))
    if result.performance is None:
        return (*words, *keyword)
    worse = {figure.bench.partition("[")[0] for figure in result.performance.of(FigureChange.WORSE)}
    names = ("-k", shlex.quote(worse.pop().rpartition("::")[2])) if len(worse) == 1 else keyword
    measured = "--quick" if "quick" in dict(result.asked) else "--perf"
    return (*words, measured, *names, *_chosen(result, _OF_FIGURES))


def _suites(result: RunResult) -> tuple[str, ...]:
    """Those that were asked for, with what was asked of them; else those that were run."""
    asked = dict(result.asked).get("suites", "")
    names = asked.split(", ") if asked else [suite.name for suite in result.suites]
    return tuple(word for name in names for word in ("--suite", shlex.quote(name)))


def _chosen(result: RunResult, names: Sequence[str]) -> tuple[str, ...]:
    """Those of some options that were not left at their defaults."""
    words: list[str] = []
    for name, value in result.asked:
        for each in value.split(", ") if name in _SEVERAL else (value,):
            if name in names and not _is_file(option_of(name), each):
                words += [option_of(name)] if each == "True" else [option_of(name), shlex.quote(each)]
        if name == "fuzz_minutes" and name in names:
            words += ["--fuzz-seed", str(result.environment.seed)]
    return tuple(words)
