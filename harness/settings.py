"""The user's own settings: $KTRIAL_CONFIG, else `config.toml` in ktrial's folder of the user's configuration.

[perf]
units = 2        # a figure that differs by less than both is the same
share = 0.005
[[perf.bench]]   # the first whose pattern matches a bench's whole name
name = "drivers/bench_stream.py::*"
share = 0.02

[memory]
file = "~/trials/memory.sqlite"   # instead of the one beside the runs

[splats]
allow = ["quirks.toml"]   # lists of splats that fail no test (harness/allow_list.py), named from this file's folder

[mail] and [patchwork]: as harness.post.model and docs/mail.md have them.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import platformdirs

from harness.allow_list import AllowList, read_lists
from harness.errors import UsageError
from harness.perf.model import BenchPolicy, Policy
from harness.places import runs_dir
from harness.post.model import MailSettings, PatchworkSettings

__all__ = [
    "asked_lists",
    "mail_settings",
    "memory_file",
    "patchwork_settings",
    "perf_policy",
    "settings_file",
    "splat_lists",
]

T = TypeVar("T", MailSettings, PatchworkSettings)

_VARIABLE = "KTRIAL_CONFIG"
_LIMITS = ("units", "share")
_MEMORY_VARIABLE = "KTRIAL_MEMORY"
_TABLES = {"perf", "mail", "patchwork", "memory", "splats"}


def settings_file() -> Path:
    """Where settings are read from; it need not be there."""
    given = os.environ.get(_VARIABLE)
    return Path(given).expanduser() if given else platformdirs.user_config_path("ktrial") / "config.toml"


def perf_policy(path: Path | None = None) -> Policy:
    """When a figure that changed counts. Raises UsageError, which names the file and what in it is wrong."""
    file = path or settings_file()
    perf = _table(file, _read(file, path).get("perf", {}), {*_LIMITS, "bench"}, "perf.")
    limits = {"units": Policy().units, "share": Policy().share, **_limits(file, perf, "perf.")}
    benches = tuple(_bench(file, each, limits) for each in perf.get("bench", ()))
    return Policy(limits["units"], limits["share"], benches)


def mail_settings(path: Path | None = None) -> MailSettings:
    """How mail is sent, and to whom: nobody where nothing says so. Raises UsageError as perf_policy does."""
    return _converted(path, "mail", MailSettings)


def patchwork_settings(path: Path | None = None) -> PatchworkSettings:
    """How checks are posted. Raises UsageError as perf_policy does."""
    return _converted(path, "patchwork", PatchworkSettings)


def memory_file(path: Path | None = None) -> Path:
    """The memory of all runs: $KTRIAL_MEMORY, else the setting, else `memory.sqlite` beside the runs' folders.

    Raises UsageError as perf_policy does.
    """
    given = os.environ.get(_MEMORY_VARIABLE)
    if not given:
        file = path or settings_file()
        given = _table(file, _read(file, path).get("memory", {}), {"file"}, "memory.").get("file")
        if given is not None and (not isinstance(given, str) or not given):
            raise UsageError(f"{file}: memory.file is {given!r}, not the name of a file")
    return Path(given).expanduser().resolve() if given else runs_dir() / "memory.sqlite"


def asked_lists(given: Iterable[Path]) -> tuple[AllowList, ...]:
    """The allow-lists of the settings, then those of a command line. Raises UsageError as read_lists does."""
    return read_lists((*splat_lists(), *given))


def splat_lists(path: Path | None = None) -> tuple[Path, ...]:
    """The allow-lists of splats that every run has. Raises UsageError as perf_policy does."""
    file = path or settings_file()
    names = _table(file, _read(file, path).get("splats", {}), {"allow"}, "splats.").get("allow", [])
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise UsageError(f"{file}: splats.allow is {names!r}, not a list of files", hint='allow = ["quirks.toml"]')
    return tuple(file.parent / Path(name).expanduser() for name in names)


def _converted(path: Path | None, name: str, kind: type[T]) -> T:
    file = path or settings_file()
    known = {field.name for field in dataclasses.fields(kind)}
    told = _table(file, _read(file, path).get(name, {}), known, f"{name}.")
    try:
        return msgspec.convert(told, kind)
    except msgspec.ValidationError as error:
        what = str(error).replace(" - at `$.", f": {name}.").rstrip("`")
        raise UsageError(f"{file}: {what}") from None


def _read(file: Path, given: Path | None) -> dict[str, Any]:
    """All tables; none where there is no file and nobody named one."""
    try:
        told = tomllib.loads(file.read_text())
    except FileNotFoundError:
        if given is None and not os.environ.get(_VARIABLE):
            return {}
        raise UsageError(f"{file} is not there", hint=f"{_VARIABLE} names the file of settings") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file}: {error}") from error
    return _table(file, told, _TABLES, "")


def _bench(file: Path, told: Any, otherwise: dict[str, float]) -> BenchPolicy:
    found = _table(file, told, {*_LIMITS, "name"}, "perf.bench.")
    if not isinstance(found.get("name"), str):
        raise UsageError(f"{file}: perf.bench: name is missing", hint='name = "drivers/bench_actions.py::*"')
    limits = otherwise | _limits(file, found, f"perf.bench {found['name']}: ")
    return BenchPolicy(found["name"], limits["units"], limits["share"])


def _table(file: Path, told: Any, known: set[str], where: str) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise UsageError(f"{file}: {where.rstrip('.') or 'the file'} is no table")
    for name in sorted(told.keys() - known):
        raise UsageError(f"{file}: {where}{name} is no setting", hint=f"there are: {', '.join(sorted(known))}")
    return told


def _limits(file: Path, told: dict[str, Any], where: str) -> dict[str, float]:
    limits = {name: told[name] for name in _LIMITS if name in told}
    for name, value in limits.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise UsageError(f"{file}: {where}{name} is {value!r}, not a number from 0 up")
    return {name: float(value) for name, value in limits.items()}
