"""Build a kernel out of a source and a configuration, once, and say what changed between two of them."""

from __future__ import annotations

from harness.build.builder import Report, build_kernel, in_use
from harness.build.culprit import first_broken
from harness.build.diagnostics import new_diagnostics, parse_diagnostics
from harness.build.failure import BaseBuildError, Blame, SeriesBuildError
from harness.build.model import BuildProgress, Diagnostic, Identity, Kernel, Phase, Toolchain
from harness.build.sections import identical
from harness.build.toolchain import find_toolchain

__all__ = [
    "BaseBuildError",
    "Blame",
    "BuildProgress",
    "Diagnostic",
    "Identity",
    "Kernel",
    "Phase",
    "Report",
    "SeriesBuildError",
    "Toolchain",
    "build_kernel",
    "find_toolchain",
    "first_broken",
    "identical",
    "in_use",
    "new_diagnostics",
    "parse_diagnostics",
]
