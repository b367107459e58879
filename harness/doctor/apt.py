"""Installing what is missing, on Debian and Ubuntu."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable

from harness.command import Command, run
from harness.doctor.model import Check, State
from harness.doctor.system import this_system
from harness.errors import ToolchainError

__all__ = ["install", "install_line", "missing_packages"]

_INSTALL = ("apt-get", "install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300")
_UPDATE = ("apt-get", "update", "-o", "DPkg::Lock::Timeout=300")
_INSTALL_SECONDS = 3600.0
_UPDATE_SECONDS = 600.0
_ABSENT = (State.MISSING, State.OPTIONAL_MISSING)


def missing_packages(checks: Iterable[Check]) -> tuple[str, ...]:
    """The packages, sorted, whose installation may satisfy the checks that failed (of optional things too).

    What is broken may have its package: those that dpkg knows as installed would not help.
    """
    checks = tuple(checks)
    missing = {name for check in checks if check.state in _ABSENT for name in check.packages}
    broken = {name for check in checks if check.state is State.BROKEN for name in check.packages}
    return tuple(sorted(missing | (broken - _installed(broken))))


def _installed(packages: Iterable[str]) -> set[str]:
    """Those of the packages that dpkg has installed; none where there is no dpkg."""
    names = tuple(packages)
    if not names or shutil.which("dpkg-query") is None:
        return set()
    query = ("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n", *names)
    lines = run(Command(query, deadline=60.0), check=False, merge=False).text.splitlines()
    return {line.split()[0] for line in lines if line.endswith(" installed")}


def install_line(packages: Iterable[str]) -> str:
    """The command that a person would type."""
    return " ".join(("sudo apt-get install --no-install-recommends", *packages))


def install(packages: Iterable[str], *, say: Callable[[str], None]) -> None:
    """Install packages with apt-get: as root, or through sudo where it asks no password.

    say: told what is being done, and every line that apt-get prints. The package lists are updated only where
    installing from the present ones fails. Raises ToolchainError.
    """
    wanted = tuple(packages)
    system = this_system()
    if not system.debian:
        raise ToolchainError(
            f"{system.name} is neither Debian nor Ubuntu: ktrial does not know its packages",
            hint="install what `ktrial doctor` lists as missing with the system's own package manager",
        )
    say(f"installing {' '.join(wanted)}")
    if _as_root((*_INSTALL, *wanted), _INSTALL_SECONDS, say, wanted):
        return
    say("the present package lists do not do: updating them")
    _as_root(_UPDATE, _UPDATE_SECONDS, say, wanted)
    if not _as_root((*_INSTALL, *wanted), _INSTALL_SECONDS, say, wanted):
        raise ToolchainError("apt-get cannot install what is missing", hint=install_line(wanted))


def _as_root(argv: tuple[str, ...], seconds: float, say: Callable[[str], None], wanted: tuple[str, ...]) -> bool:
    """Run apt-get as root; whether it succeeded."""
    command = Command(
        (*_sudo(wanted), "env", "DEBIAN_FRONTEND=noninteractive", *argv),
        deadline=seconds,
        inherit=("http_proxy", "https_proxy", "no_proxy"),
    )
    return run(command, check=False, on_line=say).ok


def _sudo(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """What makes a command run as root; the door gives commands no terminal, so sudo must not ask for a password."""
    if os.geteuid() == 0:
        return ()
    try:
        if run(Command(("sudo", "-n", "true"), deadline=30.0), check=False).ok:
            return ("sudo", "-n")
        seen = "sudo asks for a password"
    except ToolchainError:
        seen = "sudo is not installed"
    raise ToolchainError(f"packages can only be installed as root, and {seen}", hint=install_line(wanted))
