"""Build the programs of our own that suites run in the guest (`vm/NAME/`, C), on the host, once per source.

A guest finds them through KTRIAL_TOOLS_DIR, as `NAME` (suites/af_xdp/xdpsock.py). A suite's manifest names those it
needs (`tools = ["xdpsock"]`), and only these are built: who runs other suites needs none of their headers.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.bpf_objects import place
from harness.command import Command, CommandFailed, Jail, run
from harness.errors import ToolchainError, UsageError
from harness.places import cache_dir, vm_dir
from harness.suites import Suite

__all__ = ["TOOLS_DIR_VARIABLE", "build_tool", "build_tools"]

TOOLS_DIR_VARIABLE = "KTRIAL_TOOLS_DIR"
_SOURCE_DIR = Path("/ktrial/tool")
_OUTPUT_DIR = Path("/ktrial/out")
_HEADERS = ("xdp/xsk.h", "linux/if_xdp.h", "linux/bpf.h", "bpf/bpf.h", "bpf/libbpf.h", "bpf/bpf_helpers.h")
_COMPILERS = ("gcc", "clang")
_SOURCES = (".c", ".h", ".S")
_DEADLINE = 120.0


def build_tools(suites: Iterable[Suite], out: Path, *, cache: Path | None = None, log: Path | None = None) -> Path:
    """Put every tool that the suites name at `out`/NAME; gives `out`, the value for KTRIAL_TOOLS_DIR.

    Programs are kept in `cache` (the cache's `tools` folder) under the digest of all that goes into them. Raises
    ToolchainError: no compiler, no header, a source that does not compile; UsageError: there is no such tool.
    out: made, also when empty.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in sorted({tool for suite in suites for tool in suite.tools}):
        build_tool(name, out, cache=cache, log=log)
    return out


def build_tool(
    name: str, out: Path, *, variables: Sequence[str] = (), cache: Path | None = None, log: Path | None = None
) -> Path:
    """Put one tool at `out`/NAME, and give that; everything else as build_tools() does it. variables: for make."""
    source = vm_dir() / name
    if not (source / "Makefile").is_file():
        raise UsageError(f"a suite names the tool {name!r}, and there is none in {vm_dir()}")
    kept = (cache or cache_dir() / "tools") / _digest(source, variables) / name
    if not kept.is_file():
        _build(source, kept, variables, log)
    place(kept, out / name)
    return out / name


def _digest(source: Path, variables: Sequence[str]) -> str:
    """Of the source's files, the headers it includes, the compilers and make's variables."""
    digest = hashlib.sha256("\0".join(variables).encode())
    headers = (Path("/usr/include") / name for name in _HEADERS)
    for file in (*sorted(path for path in source.iterdir() if path.suffix in _SOURCES), source / "Makefile", *headers):
        digest.update(f"{file.name}\0".encode())
        if file.is_file():
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    for compiler in _COMPILERS:
        digest.update(run(Command((compiler, "--version"), deadline=_DEADLINE)).output)
    return digest.hexdigest()[:32]


def _build(source: Path, kept: Path, variables: Sequence[str], log: Path | None) -> None:
    """Run make in a jail and put the program in the cache, whole or not at all."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=kept.parent) as scratch:
        jail = Jail(read_only=((source, _SOURCE_DIR),), read_write=((Path(scratch), _OUTPUT_DIR),))
        argv = (
            "make",
            "--silent",
            "--file",
            str(_SOURCE_DIR / "Makefile"),
            f"SRC={_SOURCE_DIR}",
            *variables,
            source.name,
        )
        try:
            run(Command(argv, cwd=_OUTPUT_DIR, deadline=_DEADLINE, jail=jail, log=log))
        except CommandFailed as error:
            raise ToolchainError(
                f"{source} does not build",
                detail=error.detail,
                hint="ktrial doctor checks gcc, clang, libbpf and libxdp",
                log=log,
            ) from error
        (Path(scratch) / source.name).replace(kept)
