"""Ask the process that reads Kconfig files, from outside its jail."""

from __future__ import annotations

import sys
from pathlib import Path

import kconfiglib  # type: ignore[import-untyped]
import msgspec
import platformdirs

import harness
from harness.command import Command, Jail, run
from harness.kconfig.configure import Bench
from harness.kconfig.explain_process import Answer, Question
from harness.kernel_make import SOURCE
from harness.record import decode, encode

__all__ = ["ask"]

_LIBRARY = Path("/ktrial/lib")
_DEADLINE = 120.0


def ask(bench: Bench, question: Question) -> Answer:
    """The answer about the bench's source; one that says why, where the process fails (its input is a stranger's)."""
    done = run(_command(bench), stdin=encode(question), check=False, merge=False)
    if not done.ok:
        last = (done.tail(1) or "no message").strip()
        how = f"took longer than {_DEADLINE:.0f} s" if done.timed_out else f"failed: {last}"
        return Answer(failure=f"reading this kernel's Kconfig files {how}")
    try:
        return decode(done.output, Answer)
    except msgspec.DecodeError as error:
        return Answer(failure=f"reading this kernel's Kconfig files gave nonsense: {error}")


def _command(bench: Bench) -> Command:
    """Our own interpreter in a jail: it sees the source, Python, our modules, and a private /tmp to work in."""
    sites = _site_folders()
    interpreter = Path(sys.executable).resolve()
    base = Path(sys.base_prefix).resolve()
    mounts = [(bench.source, SOURCE), (Path(harness.__file__).resolve().parent, _LIBRARY / "harness")]
    mounts += [(folder, folder) for folder in dict.fromkeys((base, *sites)) if not folder.is_relative_to("/usr")]
    return Command(
        argv=(str(interpreter), "-s", "-m", "harness.kconfig.explain_process"),
        cwd=Path("/tmp"),
        env={
            "PYTHONPATH": ":".join([str(_LIBRARY), *map(str, sites)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "srctree": str(SOURCE),
        },
        deadline=_DEADLINE,
        log=None,
        jail=Jail(read_only=tuple(mounts)),
    )


def _site_folders() -> tuple[Path, ...]:
    """Where the libraries are that the process imports."""
    modules = (kconfiglib, msgspec, platformdirs)
    files = [Path(module.__file__ or "").resolve() for module in modules]
    folders = [file.parent.parent if file.name == "__init__.py" else file.parent for file in files]
    return tuple(dict.fromkeys(folders))
