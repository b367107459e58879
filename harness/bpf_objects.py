"""Compile the BPF programs of suites, on the host, once per source.

A guest finds them through KTRIAL_BPF_DIR, as `SUITE/NAME.bpf.o` (suites/bpf/libbpf.py:find_object).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from harness.command import Command, CommandFailed, Jail, run
from harness.errors import ToolchainError
from harness.places import cache_dir, suites_dir
from harness.suites import Suite

__all__ = ["BPF_DIR_VARIABLE", "clang_version", "compile_objects", "place"]

BPF_DIR_VARIABLE = "KTRIAL_BPF_DIR"
# -mcpu=v3: 32-bit arithmetic and jumps, known to every kernel that has multi-buffer XDP (5.18).
_FLAGS = ("-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Werror")
_SOURCE_DIR = Path("/ktrial/suite")
_SHARED_DIR = Path("/ktrial/shared")
_OUTPUT_DIR = Path("/ktrial/out")
_HEADERS = ("bpf/bpf_helpers.h", "bpf/bpf_helper_defs.h", "bpf/bpf_tracing.h", "bpf/bpf_core_read.h", "linux/bpf.h")
_DEADLINE = 60.0


def compile_objects(suites: Iterable[Suite], out: Path, *, cache: Path | None = None, log: Path | None = None) -> Path:
    """Put every suite's objects at `out`/SUITE/NAME.bpf.o; gives `out`, the value for KTRIAL_BPF_DIR.

    Objects are kept in `cache` (the cache's `bpf` folder) under the digest of all that goes into them, and compiled
    only where they are not there. Raises ToolchainError: no clang, no libbpf headers, a source that does not compile.
    """
    out.mkdir(parents=True, exist_ok=True)  # also where no suite has a program: guests are shown the folder
    cache = cache or cache_dir() / "bpf"
    compiler = ""
    for suite in suites:
        for source in suite.bpf_sources:
            compiler = compiler or _compiler()
            kept = cache / _digest(source, compiler) / _object_name(source)
            if not kept.is_file():
                _compile(source, kept, log)
            place(kept, out / suite.name / kept.name)
    return out


def _object_name(source: Path) -> str:
    return f"{source.name.removesuffix('.c')}.o"


def _compiler() -> str:
    """clang's version, whole."""
    return run(Command(("clang", "--version"), deadline=_DEADLINE)).text


def _digest(source: Path, compiler: str) -> str:
    """Of the source, the headers beside it and those of all suites, the system's, the compiler and its flags."""
    digest = hashlib.sha256()
    headers = (Path("/usr/include") / name for name in _HEADERS)
    for file in (source, *sorted(source.parent.glob("*.h")), *sorted(_shared().glob("*.h")), *headers):
        digest.update(f"{file.name}\0".encode())
        if file.is_file():
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    digest.update(f"{compiler}\0{_FLAGS}".encode())
    return digest.hexdigest()[:32]


def _shared() -> Path:
    """The headers that programs of every suite may include."""
    return suites_dir() / "bpf" / "include"


def _compile(source: Path, kept: Path, log: Path | None) -> None:
    """Compile in a jail and put the object in the cache, whole or not at all."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".compile-", dir=kept.parent) as scratch:
        jail = Jail(
            read_only=((source.parent, _SOURCE_DIR), *(((_shared(), _SHARED_DIR),) if _shared().is_dir() else ())),
            read_write=((Path(scratch), _OUTPUT_DIR),),
        )
        arguments = (str(_SOURCE_DIR / source.name), "-o", str(_OUTPUT_DIR / kept.name))
        command = Command(
            ("clang", *_FLAGS, "-I", str(_SHARED_DIR), *_architecture(), "-c", *arguments),
            deadline=_DEADLINE,
            jail=jail,
            log=log,
        )
        try:
            run(command)
        except CommandFailed as error:
            raise ToolchainError(
                f"{source} does not compile for BPF",
                detail=error.detail,
                hint="ktrial doctor checks clang and libbpf's headers",
                log=log,
            ) from error
        (Path(scratch) / kept.name).replace(kept)


def _architecture() -> tuple[str, ...]:
    """Where Debian keeps asm/types.h: a folder that clang does not look in for the target bpf."""
    return tuple(
        word for folder in sorted(Path("/usr/include").glob("*-linux-gnu")) for word in ("-idirafter", str(folder))
    )


def clang_version() -> str:
    """The first line of what clang says of itself; "" where there is none."""
    return _compiler().partition("\n")[0] if shutil.which("clang") else ""


def place(kept: Path, path: Path) -> None:
    """The cached object at `path`: a hard link, or a copy where the cache is on another file system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    Path(name).unlink()
    try:
        os.link(kept, name)
    except OSError:
        shutil.copyfile(kept, name)
    try:
        Path(name).replace(path)
    finally:
        # rename(2) of two links to one file leaves both.
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
