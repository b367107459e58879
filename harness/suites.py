"""The test suites: one folder each under `suites/`, with a manifest, pytest files and BPF sources.

A suite's manifest is `suite.toml`: name, summary, covers (what it looks at, a sentence each), fragments (names of files
in `configs/`), devices (network cards of its guest: harness/machine/devices.py), bench_devices (those of them that its
benches use; all, unless told), tools (programs of ours, built on the host: harness/native_tools.py), default (run where
nothing else says what to run), chooses (whether `--suite NAME:WHAT` may ask it for parts), and paths (globs of kernel
files; `*` stands for any characters, `/` among them) that make it relevant to a series.
"""

from __future__ import annotations

import functools
import hashlib
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.machine.devices import device_error
from harness.places import suites_dir

__all__ = ["PickedSuite", "Suite", "asked_suites", "find_suites", "load_suite", "pick_suites", "suite_digest"]

_MANIFEST = "suite.toml"
_LISTS = ("covers", "fragments", "devices", "bench_devices", "tools", "paths")


@dataclass(frozen=True)
class Suite:
    """One suite. directory: its folder. bpf_sources: its programs, compiled on the host before a guest boots."""

    name: str
    summary: str
    directory: Path
    covers: tuple[str, ...] = ()
    fragments: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    bench_devices: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    default: bool = True
    bpf_sources: tuple[Path, ...] = ()
    chooses: bool = False
    asked: tuple[str, ...] = ()

    @property
    def for_benches(self) -> Suite:
        """The suite as a guest that measures needs it: a card takes such a guest a second to find."""
        return replace(self, devices=self.bench_devices or self.devices)


@dataclass(frozen=True)
class PickedSuite:
    """A suite to run, and why: one clause for the report (`touches net/core/filter.c`)."""

    suite: Suite
    why: str


def find_suites(directory: Path | None = None) -> tuple[Suite, ...]:
    """All suites of a folder (ours, unless another is given), by name. Raises UsageError on a bad manifest."""
    found = (directory or suites_dir()).glob(f"*/{_MANIFEST}")
    return tuple(_read(manifest) for manifest in sorted(found))


def load_suite(name: str, directory: Path | None = None) -> Suite:
    """The suite of that name; of `SUITE:WHAT`, with what is asked of it. Raises UsageError, naming the suites."""
    directory = directory or suites_dir()
    name, colon, what = name.partition(":")
    manifest = directory / name / _MANIFEST
    if not name or "/" in name or not manifest.is_file():
        known = ", ".join(sorted(path.parent.name for path in directory.glob(f"*/{_MANIFEST}"))) or "none"
        raise UsageError(f"no suite named {name!r} in {directory}", hint=f"known suites: {known}")
    suite = _read(manifest)
    if colon and not (suite.chooses and what):
        raise UsageError(f"--suite {name}:{what}: nothing can be chosen so in {name}", hint="-k chooses tests")
    return replace(suite, asked=(what,)) if what else suite


def asked_suites(names: Iterable[str], directory: Path | None = None) -> tuple[PickedSuite, ...]:
    """The suites of `--suite NAME` options, each once, with all that is asked of it."""
    found: dict[str, Suite] = {}
    for name in names:
        suite = load_suite(name, directory)
        earlier = found.get(suite.name, suite)
        found[suite.name] = replace(suite, asked=tuple(dict.fromkeys((*earlier.asked, *suite.asked))))
    return tuple(PickedSuite(suite, "asked for with --suite") for suite in found.values())


def pick_suites(suites: Sequence[Suite], touched: Iterable[str]) -> tuple[PickedSuite, ...]:
    """The suites that a series is worth running against, with the reason for each.

    touched: paths of the kernel's files, from its root. Those whose paths match one, else every default suite.
    """
    files = sorted(touched)
    picked = [PickedSuite(suite, why) for suite in suites if (why := _relevance(suite, files))]
    if picked:
        return tuple(picked)
    why = "default: no suite covers what the series touches" if files else "default"
    return tuple(PickedSuite(suite, why) for suite in suites if suite.default)


@functools.lru_cache
def suite_digest(directory: Path) -> str:
    """SHA-256, hex, of a suite's files and of what lies beside the suites for all of them: its version."""
    digest = hashlib.sha256()
    for path in sorted(_files_of(directory)):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(directory.parent)} {content}\n".encode())
    return digest.hexdigest()


def _files_of(directory: Path) -> Iterator[Path]:
    for entry in directory.parent.iterdir():
        if entry.is_file():
            yield entry
        elif entry == directory or not (entry / _MANIFEST).is_file():
            yield from (path for path in entry.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _relevance(suite: Suite, files: Sequence[str]) -> str:
    """`touches FILE (and N more)`, or "" where none of the files concerns the suite."""
    concerned = [file for file in files if any(fnmatchcase(file, pattern) for pattern in suite.paths)]
    if not concerned:
        return ""
    more = f" and {len(concerned) - 1} more" if len(concerned) > 1 else ""
    return f"touches {concerned[0]}{more}"


def _read(manifest: Path) -> Suite:
    values = _values(manifest)
    directory = manifest.parent
    if values["name"] != directory.name:
        raise _bad(manifest, f"name is {values['name']!r}, but the folder is called {directory.name!r}")
    lists = {key: _strings(manifest, key, values.get(key, [])) for key in _LISTS}
    for wrong in filter(None, map(device_error, lists["devices"])):
        raise _bad(manifest, wrong)
    for strange in set(lists["bench_devices"]) - set(lists["devices"]):
        raise _bad(manifest, f"bench_devices has {strange!r}, and devices has not")
    return Suite(
        name=directory.name,
        summary=values["summary"],
        directory=directory,
        default=values.get("default", True),
        chooses=values.get("chooses", False),
        bpf_sources=tuple(sorted((directory / "bpf").glob("*.bpf.c"))),
        **lists,
    )


def _values(manifest: Path) -> dict[str, Any]:
    """The manifest's table, its plain keys checked. Raises UsageError."""
    try:
        values = tomllib.loads(manifest.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _bad(manifest, str(error)) from error
    known = {"name": str, "summary": str, "default": bool, "chooses": bool, **dict.fromkeys(_LISTS, list)}
    for key in ("name", "summary"):
        if not values.get(key):
            raise _bad(manifest, f"{key} is missing")
    for key, value in values.items():
        if key not in known:
            raise _bad(manifest, f"unknown key {key!r}")
        if not isinstance(value, known[key]):
            raise _bad(manifest, f"{key} must be a {known[key].__name__}, not {value!r}")
    return values


def _strings(manifest: Path, key: str, value: list[Any]) -> tuple[str, ...]:
    if not all(isinstance(item, str) for item in value):
        raise _bad(manifest, f"{key} must be a list of strings, not {value!r}")
    return tuple(value)


def _bad(manifest: Path, what: str) -> UsageError:
    return UsageError(f"{manifest}: {what}", hint="docs/suites.md shows a manifest")
