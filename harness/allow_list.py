"""Allow-lists: complaints of the kernel that fail no test, each with the reason why it may be there.

[[allow]]
pattern = "^RCU stall"                      # a regular expression, searched in a splat's key and text
reason = "no KVM here: the guest is slow"
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.record import atomic_write
from harness.results import Excused, Splat

__all__ = ["AllowList", "Allowed", "as_toml", "entries_of", "excuse", "keep_lists", "kept_lists", "read_lists"]

_PANIC = "Kernel panic - not syncing"  # kernel/panic.c: vpanic()


@dataclass(frozen=True)
class Allowed:
    """A complaint that is no failure. pattern: searched in a splat's key and text. reason: why it may be."""

    pattern: str
    reason: str


@dataclass(frozen=True)
class AllowList:
    """A file of them, as it was when the run began.

    digest: SHA-256 of the entries, hex: comments and the file's name are not in it.
    """

    file: str
    digest: str
    entries: tuple[Allowed, ...]

    def __str__(self) -> str:
        """The same for the same list, wherever it is kept."""
        return f"{Path(self.file).name} {self.digest[:12]}"


def read_lists(files: Iterable[Path]) -> tuple[AllowList, ...]:
    """Read allow-lists. Raises UsageError naming the file, and the entry that is none: one without a reason, say."""
    return tuple(_read(file) for file in files)


def entries_of(lists: Iterable[AllowList]) -> tuple[Allowed, ...]:
    """All entries, in order: the first that matches a splat is the one that excuses it."""
    return tuple(entry for each in lists for entry in each.entries)


def excuse(splats: Iterable[Splat], allowed: Sequence[Allowed]) -> tuple[tuple[Splat, ...], tuple[Excused, ...]]:
    """Those that count, and those that an entry allows. A panic counts whatever an entry says."""
    counting: list[Splat] = []
    excused: list[Excused] = []
    for splat in splats:
        entry = None if _is_panic(splat) else next((entry for entry in allowed if _allows(entry, splat)), None)
        if entry is None:
            counting.append(splat)
        else:
            excused.append(Excused(splat, entry.pattern, entry.reason))
    return tuple(counting), tuple(excused)


def as_toml(allowed: Sequence[Allowed]) -> str:
    """A file that reads as these entries."""
    return "\n".join(
        f"[[allow]]\npattern = {_quoted(entry.pattern)}\nreason = {_quoted(entry.reason)}\n" for entry in allowed
    )


def kept_lists(folder: Path, lists: Sequence[AllowList]) -> tuple[Path, ...]:
    """Where a run's folder keeps its lists."""
    return tuple(folder / f"allow-splats-{number}.toml" for number in range(1, len(lists) + 1))


def keep_lists(folder: Path, lists: Sequence[AllowList]) -> None:
    """Write them there: what the user names may be another list tomorrow."""
    for path, each in zip(kept_lists(folder, lists), lists, strict=True):
        atomic_write(path, as_toml(each.entries).encode())


def _read(file: Path) -> AllowList:
    try:
        told = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"cannot read the allow-list {file}: {error}") from error
    if unknown := told.keys() - {"allow"}:
        raise UsageError(f"{file}: {', '.join(sorted(unknown))}: no such thing in an allow-list", hint=_HINT)
    entries = told.get("allow", [])
    if not isinstance(entries, list):
        raise UsageError(f"{file}: `allow` is not a list of tables", hint=_HINT)
    allowed = tuple(_entry(file, number, entry) for number, entry in enumerate(entries, 1))
    return AllowList(str(file.resolve()), _digest(allowed), allowed)


_HINT = "begin each entry with [[allow]]"


def _digest(allowed: Sequence[Allowed]) -> str:
    return hashlib.sha256(json.dumps([[entry.pattern, entry.reason] for entry in allowed]).encode()).hexdigest()


def _entry(file: Path, number: int, entry: object) -> Allowed:
    where = f"{file}: allowed splat {number}"
    if not isinstance(entry, dict) or not isinstance(pattern := entry.get("pattern"), str) or not pattern.strip():
        raise UsageError(f"{where} has no pattern", hint='pattern = "a regular expression"')
    if not isinstance(reason := entry.get("reason"), str) or not reason.strip():
        raise UsageError(f"{where} has no reason", hint=f'say why {pattern!r} is no bug: reason = "..."')
    if unknown := set(entry) - {"pattern", "reason"}:
        raise UsageError(f"{where} has unknown keys: {', '.join(sorted(unknown))}")
    try:
        matches_all = re.compile(pattern, re.MULTILINE).search("") is not None
    except re.error as error:
        raise UsageError(f"{where}: {pattern!r} is no regular expression: {error}") from error
    if matches_all:
        raise UsageError(f"{where}: {pattern!r} allows every splat", hint="name what is allowed")
    return Allowed(pattern, reason)


def _is_panic(splat: Splat) -> bool:
    return splat.kind.startswith("panic") or _PANIC in splat.text


def _allows(entry: Allowed, splat: Splat) -> bool:
    pattern = re.compile(entry.pattern, re.MULTILINE)
    return pattern.search(splat.key) is not None or pattern.search(splat.text) is not None


def _quoted(text: str) -> str:
    """A basic string of TOML: JSON's, but for DEL, which it has to escape."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
