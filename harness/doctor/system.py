"""The operating system, and the list of packages that ktrial needs of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.places import packages_file

__all__ = ["Package", "System", "packages_for", "read_packages", "this_system"]

_OS_RELEASE = Path("/etc/os-release")


@dataclass(frozen=True)
class System:
    """An operating system, from os-release(5). debian: it has apt and Debian's package names."""

    name: str
    debian: bool


@dataclass(frozen=True)
class Package:
    """One line of packages.debian: a package, the check that it satisfies, and why ktrial needs it."""

    name: str
    check: str
    why: str


def this_system(os_release: Path = _OS_RELEASE) -> System:
    """Read os-release(5): Debian, Ubuntu and what says it is like them have Debian's package names."""
    try:
        lines = os_release.read_text(encoding="utf-8").splitlines()
    except OSError:
        return System("an unknown system", debian=False)
    values = {key: value.strip("\"'") for key, _, value in (line.partition("=") for line in lines)}
    family = {values.get("ID", ""), *values.get("ID_LIKE", "").split()}
    name = values.get("PRETTY_NAME") or values.get("ID") or "an unknown system"
    return System(name, debian=bool(family & {"debian", "ubuntu"}))


def read_packages() -> tuple[Package, ...]:
    """Every package that ktrial needs on Debian and Ubuntu, in the order of packages.debian."""
    lines = packages_file().read_text(encoding="utf-8").splitlines()
    fields = (line.split("|") for line in lines if line.strip() and not line.startswith("#"))
    return tuple(Package(name.strip(), check.strip(), why.strip()) for name, check, why in fields)


def packages_for(check: str) -> tuple[str, ...]:
    """Names of the packages that satisfy a check."""
    return tuple(package.name for package in read_packages() if package.check == check)
