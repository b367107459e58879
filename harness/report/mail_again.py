"""The command by which the reader of a mail, on another machine, tries a series again. Pure.

What a run's own reproduce.sh names (built kernels, folders) is not there; the message id is what everybody has.
"""

from __future__ import annotations

import re
import shlex

from harness.perf.model import FigureChange
from harness.run_result import RunResult, SeriesInfo, TreeInfo

__all__ = ["try_again"]

_PACKAGED = re.compile(r"debian:[\w.-]+")
_A_CLONE = "~/linux"
_OF_THIS_MACHINE = ("--accel",)  # of the options of a run: what another machine decides for itself


def try_again(result: RunResult) -> tuple[str, ...]:
    """The words of the command, quoted for a shell; none where no series was read."""
    if result.series is None:
        return ()
    source = _source(result.series)
    tree = _tree(result.tree) if result.tree else ()
    return (*source, *tree, *(_asked(result) or _whole(result)))


def _source(series: SeriesInfo) -> tuple[str, ...]:
    answered = series.envelope.message_id if series.envelope else next(iter(series.message_ids), "")
    identifier = answered.strip("<>")
    if not identifier:
        return ("ktrial", "run", "series.mbox")
    return ("b4", "am", "-o", "-", shlex.quote(identifier), "|", "ktrial", "run", "-")


def _tree(tree: TreeInfo) -> tuple[str, ...]:
    """A tree of this machine's is a clone of the reader's."""
    where = tree.origin if _PACKAGED.fullmatch(tree.origin) else _A_CLONE
    return ("--tree", where, "--base", shlex.quote(tree.base_commit))


def _asked(result: RunResult) -> tuple[str, ...]:
    """The options by which `result.reproduce` has the whole trial of the first test that broke; none where none did."""
    line = next((line for line in result.reproduce.splitlines() if line.startswith("ktrial run ")), "")
    try:
        words = shlex.split(line)[3:]
    except ValueError:
        return ()
    pairs = [pair for pair in zip(words[::2], words[1::2], strict=False) if pair[0] not in ("--tree", "--base")]
    kept = [pair for pair in pairs if pair[0] not in _OF_THIS_MACHINE and not _is_file(*pair)]
    return tuple(word for name, value in kept for word in (name, shlex.quote(value)))


def _is_file(option: str, value: str) -> bool:
    """Whether an option's value is a file of this machine's, or what it is without the option."""
    return option in ("--config", "--config-base") and ("/" in value or value == "allnoconfig")


def _whole(result: RunResult) -> tuple[str, ...]:
    """All the suites that were run; the benches too where figures were measured."""
    words = [word for suite in result.suites for word in ("--suite", shlex.quote(suite.name))]
    if result.performance is None:
        return tuple(words)
    worse = {figure.bench.partition("[")[0] for figure in result.performance.of(FigureChange.WORSE)}
    names = ("-k", shlex.quote(worse.pop().rpartition("::")[2])) if len(worse) == 1 else ()
    return (*words, "--perf", *names)
