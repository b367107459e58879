"""Read, write and compare .config files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from harness.kconfig.model import Difference

__all__ = ["config_digest", "diff", "holds", "lines_of", "merged", "values"]

_LINE = re.compile(r"^(?:CONFIG_(\w+)=(.*)|# CONFIG_(\w+) is not set)$")


def values(text: str) -> dict[str, str]:
    """Each symbol a .config mentions, with its value; one that `is not set` is `n`. The last mention counts."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if match := _LINE.match(line.strip()):
            found[match[1] or match[3]] = match[2] if match[1] else "n"
    return found


def lines_of(settings: Mapping[str, str]) -> str:
    """The .config lines of settings, in order."""
    return "".join(f"CONFIG_{name}={value}\n" for name, value in settings.items())


def merged(base: str, settings: Mapping[str, str]) -> str:
    """A .config with settings put over it: their symbols' lines are taken out of the base."""
    kept = [line for line in base.splitlines() if not ((m := _LINE.match(line)) and (m[1] or m[3]) in settings)]
    return "".join(f"{line}\n" for line in kept) + lines_of(settings)


def config_digest(text: str) -> str:
    """SHA-256 of all that is set, sorted, hex. What is not set and what was never asked are the same kernel."""
    settings = sorted(f"{name}={value}" for name, value in values(text).items() if value != "n")
    return hashlib.sha256("\n".join(settings).encode()).hexdigest()


def holds(wanted: str, actual: str | None) -> bool:
    """Whether a .config's value is what was asked for. actual: None where the symbol is not mentioned."""
    if wanted == "n":
        return actual in (None, "n")
    if actual is None or wanted == actual:
        return wanted == actual
    try:
        return int(wanted, 0) == int(actual, 0)
    except ValueError:
        return False


def diff(a: str, b: str) -> tuple[Difference, ...]:
    """The symbols whose values differ between two .config texts, by name. None: not mentioned."""
    before, after = values(a), values(b)
    names = sorted(before.keys() | after.keys())
    return tuple(Difference(n, before.get(n), after.get(n)) for n in names if before.get(n) != after.get(n))
