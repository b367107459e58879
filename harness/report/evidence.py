"""What a run's folder tells beside its result: how the configurations differ, when what happened, where frames are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.kconfig.dotconfig import diff
from harness.kconfig.model import Difference
from harness.report.decode import Places, places_of
from harness.report.timeline import Timeline, read_timeline
from harness.run_result import RunResult
from harness.store import RunFolder

__all__ = ["Evidence", "gather"]


@dataclass(frozen=True)
class Evidence:
    """config: symbols that base and patched have different, None where their .config files are not there.

    folder: the run's own, None where there is none.
    """

    config: tuple[Difference, ...] | None = None
    timeline: Timeline = field(default_factory=Timeline)
    places: Places = field(default_factory=Places)
    folder: Path | None = None


def gather(folder: RunFolder, result: RunResult) -> Evidence:
    """Read what is there yet; whatever is not is left out."""
    return Evidence(
        config=_config(folder.config("base"), folder.config("patched")),
        timeline=read_timeline(folder.path, result),
        places=places_of(result),
        folder=folder.path,
    )


def _config(base: Path, patched: Path) -> tuple[Difference, ...] | None:
    try:
        return diff(base.read_text("utf-8", "replace"), patched.read_text("utf-8", "replace"))
    except OSError:
        return None
