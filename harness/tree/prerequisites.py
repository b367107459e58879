"""Look for a series' prerequisites in the recent history of its base."""

from __future__ import annotations

from harness.series.model import Series
from harness.tree.git import git
from harness.tree.model import Base, Tree

__all__ = ["missing_prerequisites"]

_COMMITS = 1000  # how far back; about 5 s of a kernel's history
_DEADLINE = 30.0  # seconds


def missing_prerequisites(tree: Tree, base: Base, series: Series) -> tuple[str, ...]:
    """Remarks on the patches that the series says it needs (`prerequisite-patch-id:`) and the base seems not to have.

    A remark, never an error: a prerequisite may be older than the history that is looked at, or reworded when merged.
    """
    wanted = set(series.prerequisite_patch_ids)
    if not wanted:
        return ()
    found = _recent_patch_ids(tree, base)
    if found is None:
        return (
            f"the series names {len(wanted)} prerequisite patches; they were not looked for (history too slow to read)",
        )
    missing = [patch_id for patch_id in series.prerequisite_patch_ids if patch_id not in found]
    if not missing:
        return ()
    named = ", ".join(patch_id[:12] for patch_id in missing)
    return (
        f"{len(missing)} of {len(wanted)} prerequisite patches are not in the base's last {_COMMITS} commits: {named}",
    )


def _recent_patch_ids(tree: Tree, base: Base) -> frozenset[str] | None:
    """Stable patch ids of the base's last commits, None where that takes too long.

    The root commit is left out (log.showRoot): the diff of a whole kernel is 1.5 GB.
    """
    history = ("log", "-p", "--no-merges", "--no-textconv", "--no-ext-diff", f"-{_COMMITS}", base.commit)
    log = git(tree.repository, *history, check=False, deadline=_DEADLINE)
    if not log.ok:
        return None
    ids = git(tree.repository, "patch-id", "--stable", stdin=log.output, check=False, deadline=_DEADLINE)
    return frozenset(line.split()[0] for line in ids.text.splitlines() if line) if ids.ok else None
