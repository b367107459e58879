"""Kernel trees: find one, choose a base, apply a series, put the files where the build reads them."""

from harness.tree.apply import applied_repository, apply_series, first_patches
from harness.tree.base import choose_base, kernel_version
from harness.tree.find import find_tree
from harness.tree.model import Applied, AppliedPatch, Base, BaseReason, Source, Tree
from harness.tree.prerequisites import missing_prerequisites
from harness.tree.source import base_source, discard, freshen, patched_source

__all__ = [
    "Applied",
    "AppliedPatch",
    "Base",
    "BaseReason",
    "Source",
    "Tree",
    "applied_repository",
    "apply_series",
    "base_source",
    "choose_base",
    "discard",
    "find_tree",
    "first_patches",
    "freshen",
    "kernel_version",
    "missing_prerequisites",
    "patched_source",
]
