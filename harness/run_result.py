"""The whole outcome of a run as one value: what every report renders and what `--json` writes.

Its JSON schema is published as docs/result.schema.json. A field is only ever added, with a default; anything else is a
new SCHEMA_VERSION. All that comes after `verdict` may be missing: a series that does not apply has no kernels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from harness.allow_list import AllowList
from harness.build.model import Diagnostic
from harness.compare import BrokenBy, Comparison
from harness.coverage import Uncompiled
from harness.flakiness import KnownFlake
from harness.kselftest.proof import Proof
from harness.perf.model import Performance
from harness.results import SideResults
from harness.series.model import Envelope
from harness.verdict import Failure, Verdict

__all__ = [
    "SCHEMA_VERSION",
    "ConfigInfo",
    "Environment",
    "KernelInfo",
    "PatchInfo",
    "Paths",
    "RunResult",
    "SeriesInfo",
    "SuiteInfo",
    "TreeInfo",
]

SCHEMA_VERSION: Final = "1"


@dataclass(frozen=True)
class PatchInfo:
    """One patch. commit: its id in our worktree, "" if it was not applied. how: `clean`, `3-way`, `fuzz`, `commit`.

    digest: SHA-256 of what it changes, hex: the same for the same diff, whatever mail brought it.
    """

    number: int
    subject: str
    commit: str = ""
    how: str = ""
    digest: str = ""


@dataclass(frozen=True)
class SeriesInfo:
    """The series on trial. source: what the user named. message_ids: of the cover first, then of the patches.

    envelope: of the message that a mail about the run answers. change_id: what all its versions have in common, as b4
    writes it; "" where it has none.
    """

    source: str
    title: str
    version: int
    author: str
    patches: tuple[PatchInfo, ...]
    tags: tuple[str, ...] = ()
    message_ids: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    envelope: Envelope | None = None
    change_id: str = ""


@dataclass(frozen=True)
class TreeInfo:
    """The tree and the base. base_why: one sentence. version: of the kernel, `make kernelversion`.

    base_tree, patched_tree: git's ids of their files. A commit's id has dates in it; these are the same for all who
    have the same files.
    """

    origin: str
    label: str
    base_commit: str
    base_why: str
    version: str
    patched_commit: str = ""
    base_tree: str = ""
    patched_tree: str = ""


@dataclass(frozen=True)
class ConfigInfo:
    """The kernels' configuration. fragments: in order of merging. *_digest: SHA-256 of the resolved symbols, hex.

    absent: optional symbols that did not take, each with its reason. touched: symbols turned on so that what the series
    touches is compiled. fragment_digests: SHA-256 of the settings of each fragment, in the same order.
    """

    fragments: tuple[str, ...]
    base_digest: str
    patched_digest: str
    config_base: str = "allnoconfig"
    absent: tuple[tuple[str, str], ...] = ()
    touched: tuple[str, ...] = ()
    fragment_digests: tuple[str, ...] = ()


@dataclass(frozen=True)
class KernelInfo:
    """A kernel that was built. compiled: objects. seconds: of make. warnings: diagnostics of the whole build."""

    side: str
    version: str
    key: str
    reused: bool
    compiled: int
    seconds: float
    directory: str
    code_digest: str
    warnings: int = 0
    log: str = ""


@dataclass(frozen=True)
class SuiteInfo:
    """A suite that was run. why: what picked it (`asked for with --suite`, `touches net/core/xdp.c`).

    digest: SHA-256 of its files and of what suites share, hex: which version of the tests ran.
    """

    name: str
    why: str
    digest: str = ""


@dataclass(frozen=True)
class Environment:
    """What ran the trial. Versions are the first line of what each program says of itself; "" where it was not used.

    ktrial: its version, with the commit where it runs from a checkout. processors, memory_mib: of this machine.
    load_before, load_after: how many tasks ran or wanted to, the mean of a minute, before the trial and at its end.
    clang: what compiled the suites' BPF programs. seed: what generated cases follow from, 0 where none were.
    instrument: what read figures; perf_seeds: QEMU's, in the order of boots. guest_*, *_deadline (seconds, before they
    are stretched for a slow accelerator): what each guest and test had.
    """

    ktrial: str
    python: str = ""
    host: str = ""
    compiler: str = ""
    linker: str = ""
    pahole: str = ""
    ccache: bool = False
    llvm: bool = False
    qemu: str = ""
    virtme_ng: str = ""
    accelerator: str = ""
    accelerator_why: str = ""
    vms: int = 0
    attempts: int = 1
    distribution: str = ""
    processor: str = ""
    processors: int = 0
    memory_mib: int = 0
    load_before: float | None = None
    load_after: float | None = None
    clang: str = ""
    seed: int = 0
    instrument: str = ""
    perf_seeds: tuple[int, ...] = ()
    guest_cpus: int = 0
    guest_memory_mib: int = 0
    boot_deadline: float = 0.0
    test_deadline: float = 0.0


@dataclass(frozen=True)
class Paths:
    """Where things are, as on the machine that ran the trial. logs: (what, path) pairs.

    machine: the name of that machine, where the run was brought here from another; "" for this one.
    """

    folder: str
    logs: tuple[tuple[str, str], ...] = ()
    reproduce: str = ""
    machine: str = ""


@dataclass(frozen=True)
class RunResult:
    """A run from beginning to end.

    started, finished: ISO 8601 with offset. identical: both kernels are the same code, and nothing was run.
    uncompiled: touched files of kernel code that the configuration leaves out, so that nothing is known about them.
    new_warnings: compiler diagnostics that only the patched build has. reproduce: shell commands for the first
    regression. proofs: what the selftests that the series adds or changes show. performance: what it costs; None where
    that was not measured. asked: the options of `ktrial run` that were not left at their defaults. known_flaky: of the
    tests that are not the same on both sides, those that failed now and then on base kernels before. allow_splats: the
    lists of complaints of the kernel that fail no test; `excused` of each test and boot has those that did not.
    """

    run: str
    started: str
    finished: str
    verdict: Verdict
    environment: Environment
    paths: Paths
    schema_version: Literal["1"] = SCHEMA_VERSION
    failure: Failure | None = None
    series: SeriesInfo | None = None
    tree: TreeInfo | None = None
    config: ConfigInfo | None = None
    kernels: tuple[KernelInfo, ...] = ()
    new_warnings: tuple[Diagnostic, ...] = ()
    identical: bool = False
    suites: tuple[SuiteInfo, ...] = ()
    uncompiled: tuple[Uncompiled, ...] = ()
    base: SideResults | None = None
    patched: SideResults | None = None
    comparison: Comparison | None = None
    reproduce: str = ""
    proofs: tuple[Proof, ...] = ()
    performance: Performance | None = None
    broken_by: tuple[BrokenBy, ...] = ()
    asked: tuple[tuple[str, str], ...] = ()
    known_flaky: tuple[KnownFlake, ...] = ()
    allow_splats: tuple[AllowList, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)
