"""Let the kernel make its own configuration: C's conf in a jail, on a base, with settings put over it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.command import Command, Completed, Jail, run
from harness.errors import ConfigError, KtrialError, ToolchainError, TreeError
from harness.kconfig.dotconfig import lines_of, merged
from harness.kernel_make import kernel_make
from harness.record import atomic_write

__all__ = ["ALLNOCONFIG", "Bench", "configure", "kconfig_environment"]

ALLNOCONFIG = "allnoconfig"
_INPUT = Path("/ktrial/conf")
_DEADLINE = 300.0
_LARGEST = 8 << 20
# C's conf runs this while it parses: the variables are those that the kernel's own Makefiles export to Kconfig.
_PROBE = 'mainmenu "probe"\nvariables := $(shell,env -0 > /ktrial/obj/kconfig.env)\n'


@dataclass(frozen=True)
class Bench:
    """Where configurations of one source are made.

    source: the tree, read-only. work: an existing folder of ours; what is in it afterwards was written by the tree's
    Makefiles and is not to be trusted. base: `allnoconfig`, another `*config` target, or the text of a .config.
    """

    source: Path
    work: Path
    base: str = ALLNOCONFIG
    llvm: bool = False
    log: Path | None = None

    @property
    def objects(self) -> Path:
        return _folder(self.work / "obj")

    @property
    def given(self) -> Path:
        return _folder(self.work / "conf")

    @property
    def base_is_text(self) -> bool:
        return "\n" in self.base


def configure(bench: Bench, settings: Mapping[str, str]) -> str:
    """The .config that the kernel's conf makes of the base and the settings. Raises ConfigError, ToolchainError."""
    if bench.base == ALLNOCONFIG:
        atomic_write(bench.given / "all.config", lines_of(settings).encode())
        _make(bench, ALLNOCONFIG, {"KCONFIG_ALLCONFIG": str(_INPUT / "all.config")})
    else:
        if not bench.base_is_text:
            _make(bench, bench.base, {})
        base = bench.base if bench.base_is_text else _read(bench.objects / ".config")
        atomic_write(bench.objects / ".config", merged(base, settings).encode())
        _make(bench, "olddefconfig", {})
    return _read(bench.objects / ".config")


def kconfig_environment(bench: Bench) -> dict[str, str]:
    """The variables that Kconfig files may read ($(CC), $(KERNELVERSION), …), as the kernel's Makefiles set them."""
    atomic_write(bench.given / "Kconfig", _PROBE.encode())
    _make(bench, "listnewconfig", {"KBUILD_KCONFIG": str(_INPUT / "Kconfig"), "KCONFIG_CONFIG": "/tmp/none"})
    pairs = (entry.partition("=") for entry in _read(bench.objects / "kconfig.env").split("\0") if "=" in entry)
    ours = ("PATH", "HOME", "PWD", "OLDPWD", "MAKEFLAGS", "MFLAGS", "KCONFIG_CONFIG", "KBUILD_KCONFIG")
    return {name: value for name, _, value in pairs if name not in ours}


def _make(bench: Bench, target: str, env: Mapping[str, str]) -> Completed:
    plain = kernel_make(
        bench.source, bench.objects, (target,), llvm=bench.llvm, env=env, log=bench.log, deadline=_DEADLINE
    )
    done = run(_with_input(plain, bench.given), check=False)
    if not done.ok:
        raise _failure(bench, target, done)
    return done


def _with_input(command: Command, given: Path) -> Command:
    jail = command.jail or Jail()
    return replace(command, jail=replace(jail, read_only=(*jail.read_only, (given, _INPUT))))


def _failure(bench: Bench, target: str, done: Completed) -> KtrialError:
    """What stopped make: a Kconfig file that cannot be read, a missing program, or a tree that is not clean."""
    detail, log = done.tail(), bench.log
    if match := re.search(r"^((?:\S*Kconfig\S*|\.config):\d+): ?(.*)$", done.text, re.MULTILINE):
        summary = f"{match[1]}: {match[2]}"
        return ConfigError(summary, detail=detail, hint="the kernel's own Kconfig files do not parse", log=log)
    if match := re.search(r"(\w[\w.+-]*): (?:command )?not found|(\w[\w.+-]*): No such file or directory", done.text):
        name = match[1] or match[2]
        return ToolchainError(
            f"{name} is not installed (needed by make {target})", detail=detail, hint="ktrial doctor --fix", log=log
        )
    if "source tree is not clean" in done.text:
        return TreeError(f"{bench.source} was built in place", detail=detail, hint="run `make mrproper` there", log=log)
    how = f"ran past {_DEADLINE:.0f} s" if done.timed_out else f"exited with status {done.status}"
    return ConfigError(f"make {target} {how}", detail=detail, hint=f"try it by hand: {done.command}", log=log)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _read(path: Path) -> str:
    """A file that the tree's own programs wrote: it must be a plain file (a link could lead out of the jail)."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"the kernel's make left no readable {path.name}", detail=str(error)) from error
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            raise ConfigError(f"the kernel's make left something other than a {path.name}")
        return file.read().decode("utf-8", "replace")
