"""Say why a kernel did not build, and whose fault it is: the series', the tree's, or this machine's."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from harness.build.diagnostics import first_error, parse_diagnostics
from harness.build.model import Diagnostic
from harness.command import Completed
from harness.errors import BuildError, KtrialError, MachineLost, TreeError
from harness.kernel_make import SOURCE
from harness.tree.model import Source

__all__ = [
    "BaseBuildError",
    "Blame",
    "SeriesBuildError",
    "build_failure",
    "compiler_crashed",
    "machine_trouble",
    "memory_ran_out",
]

# The file of a tree (`net/core/filter.c`) to the patch that touched it, as a reader knows it, or "".
Blame = Callable[[str], str]

NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded")
KILLED = re.compile(
    r"Killed signal terminated program|internal compiler error: Killed|fatal error: Killed|virtual memory exhausted"
    r"|Cannot allocate memory|out of memory allocating|\*\*\* \[[^\]]*\] Killed$|unable to execute command: Killed"
    r"|LLVM ERROR: out of memory|\*\*\* \[[^\]]*\] Error 137$",
    re.MULTILINE,
)
COMPILER_CRASHED = re.compile(r"internal compiler error|PLEASE submit a bug report to .*llvm", re.IGNORECASE)
# `make[3]: *** [/ktrial/src/scripts/Makefile.build:229: net/core/filter.o] Error 1`
STOPPED = re.compile(r"^make(?:\[\d+\])?: \*\*\* \[(?:[^\]]*?:\d+: )?(?P<target>[^\]\s]+)\] Error \d+", re.MULTILINE)
INCLUDED = re.compile(r"^(?:In file included| +) +from (?P<file>[^:\s]+):(?P<line>\d+)[:,]$")

CONTEXT = 3
TAIL = 15


class SeriesBuildError(BuildError):
    """The series' kernel does not build.

    diagnostic: the first error. target: the object that make could not make (`net/core/filter.o`), or "".
    patch: the patch that touched a file in error, or "" where none did. said: the error alone, in one line.
    """

    def __init__(
        self,
        summary: str,
        *,
        diagnostic: Diagnostic | None,
        target: str,
        patch: str,
        said: str = "",
        **rest: object,
    ) -> None:
        super().__init__(summary, **rest)  # type: ignore[arg-type]
        self.diagnostic = diagnostic
        self.target = target
        self.patch = patch
        self.said = said


class BaseBuildError(TreeError):
    """The kernel does not build even without the series."""


def machine_trouble(completed: Completed) -> str:
    """What went wrong with this machine rather than with the source, as a sentence, or ""."""
    if completed.timed_out:
        return f"make ran past its deadline of {completed.command.deadline:.0f} s"
    if NO_SPACE.search(completed.text):
        return "the disk is full"
    if memory_ran_out(completed):
        return "the compiler was killed, which is what a machine without enough memory does"
    if completed.status in (-9, 137):
        return "make was killed"
    return ""


def memory_ran_out(completed: Completed) -> bool:
    """Whether a compiler was killed or found no memory."""
    return KILLED.search(completed.text) is not None


def compiler_crashed(completed: Completed) -> bool:
    """Whether the compiler met a bug of its own (or bad memory)."""
    return COMPILER_CRASHED.search(completed.text) is not None


def build_failure(completed: Completed, *, side: str, source: Source, blame: Blame | None, log: Path) -> KtrialError:
    """The error to raise for a make that failed."""
    if trouble := machine_trouble(completed):
        return MachineLost(
            f"the {side} kernel could not be built: {trouble}",
            detail=completed.tail(TAIL),
            hint="free some memory or disk (`ktrial cache prune`), allow more time, or use fewer jobs, then `--resume`",
            log=log,
        )
    diagnostics = parse_diagnostics(completed.text)
    error = first_error(diagnostics)
    said = _where(error) if error else _last_words(completed)
    detail = _detail(error, completed, source)
    if side == "base":
        return BaseBuildError(
            f"the base kernel does not build: {said}",
            detail=detail,
            hint="choose another --base or another configuration: nothing can be said about the series on this one",
            log=log,
        )
    patch, file = _guilty([error.file for error in diagnostics if error.severity == "error"], completed, blame)
    summary = f"the patched kernel does not build: {said}" + (f" ({patch} touches {file})" if patch else "")
    hint = "" if patch else "no patch touches the files in error: look at what they include, or link with"
    return SeriesBuildError(
        summary,
        diagnostic=error,
        target=_target(completed),
        patch=patch,
        said=said,
        detail=detail,
        hint=hint,
        log=log,
    )


def _where(error: Diagnostic) -> str:
    place = f"{error.file}:{error.line}" if error.line else error.file
    return f"{place}: {error.message}"


def _last_words(completed: Completed) -> str:
    target = _target(completed)
    return f"make could not make {target}" if target else f"make exited with status {completed.status}"


def _target(completed: Completed) -> str:
    match = STOPPED.search(completed.text)
    return match["target"].removeprefix("./") if match else ""


def _detail(error: Diagnostic | None, completed: Completed, source: Source) -> str:
    """What the compiler printed, then the tree's own lines there; without a diagnostic, the log's last lines."""
    if error is None:
        return completed.tail(TAIL)
    return "\n\n".join(part for part in (_printed(error, completed.text), _source_lines(error, source)) if part)


def _printed(error: Diagnostic, log: str) -> str:
    """The error's own line, with the include chain above it."""
    lines = log.splitlines()
    at = next((n for n, line in enumerate(lines) if _inside(line).endswith(error.text)), None)
    if at is None:
        return error.text
    above = at
    while above > 0 and (INCLUDED.match(lines[above - 1]) or ": In function " in lines[above - 1]):
        above -= 1
    return "\n".join(_inside(line) for line in lines[above : at + 1])


def _source_lines(error: Diagnostic, source: Source) -> str:
    """The source around the error, numbered, its line marked."""
    path = source.directory / error.file
    if not error.line or not path.is_file():
        return ""
    lines = path.read_text("utf-8", "replace").splitlines()
    first = max(0, error.line - 1 - CONTEXT)
    return "\n".join(
        f"{'>' if number == error.line else ' '} {number:5} | {line}"
        for number, line in enumerate(lines[first : error.line + CONTEXT], first + 1)
    )


def _guilty(in_error: list[str], completed: Completed, blame: Blame | None) -> tuple[str, str]:
    """The likeliest patch and the file it touched; empty where no patch touched any of the suspects."""
    suspects = _suspects(in_error, completed) if blame is not None else []
    return next(((patch, file) for file in suspects if blame and (patch := blame(file))), ("", ""))


def _suspects(in_error: list[str], completed: Completed) -> list[str]:
    """Files that may be at fault, likeliest first: in error, including those, the sources of objects, Makefiles."""
    files = list(in_error)
    files += [_inside(match["file"]) for line in completed.text.splitlines() if (match := INCLUDED.match(line))]
    files.append(_target(completed))
    for name in tuple(files):
        stem, dot, ending = name.rpartition(".")
        if dot and ending in ("o", "ko"):
            files += [f"{stem}.c", f"{stem}.S"]
    files += [f"{name.rpartition('/')[0]}/Makefile" for name in tuple(files) if "/" in name]
    return list(dict.fromkeys(file for file in files if file))


def _inside(text: str) -> str:
    """Without the folder that the build's jail shows the tree in."""
    return text.replace(f"{SOURCE}/", "")
