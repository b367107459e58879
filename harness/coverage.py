"""Have the kernel compile what a series touches: a driver whose hardware nobody here has is still built and linked.

A configuration that leaves a touched file out would end in "no regression" about code that was never compiled. So the
settings that compile it are looked up in the tree's Makefiles and turned on, with what they depend on (COMPILE_TEST
among it, where a driver belongs to another architecture's boards); what remains uncompiled is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.kconfig import Addition, Fragment, Setting, values
from harness.kconfig.kbuild import NOT, Condition, Makefiles, compiled
from harness.listing import some_of

__all__ = ["NAME", "Coverage", "Uncompiled", "as_text", "cover", "uncompiled"]

NAME = "touched"
_CODE = (".c", ".S", ".rs")
_LISTED = (".c", ".S")
_NOT_THE_KERNEL = ("Documentation", "LICENSES", "samples", "scripts", "tools", "usr")
_ARCHITECTURE = "x86"
_MOST_SYMBOLS = 12  # a series over the whole tree is not to configure the whole tree

Enable = Callable[[tuple[str, ...]], tuple[Addition, ...]]


@dataclass(frozen=True)
class Uncompiled:
    """A file that a series touches and the configuration leaves out. why: one clause."""

    file: str
    why: str


@dataclass(frozen=True)
class Coverage:
    """fragment: settings that were turned on for what a series touches. left: what is not compiled all the same."""

    fragment: Fragment | None = None
    left: tuple[Uncompiled, ...] = ()


def uncompiled(source: Path, config: str, changed: Iterable[str]) -> tuple[Uncompiled, ...]:
    """The touched files of kernel code that a .config does not compile, or that nothing is known to compile."""
    return tuple(Uncompiled(file, _why(file, missing)) for file, missing in _gaps(source, config, changed))


def cover(source: Path, config: str, changed: Iterable[str], enable: Enable, path: Path) -> Fragment | None:
    """A fragment that has more of the touched files compiled; None where there is nothing to add or nothing helps.

    config: the .config so far. enable: finds the lines that turn symbols on. path: where the fragment will be kept.
    Its settings are optional: a base that does not have a new driver's symbol yet goes without.
    """
    wanted: dict[str, str] = {}
    for file, missing in _gaps(source, config, changed):
        for symbol in sorted(missing):
            if not symbol.startswith(NOT):
                wanted.setdefault(symbol, file)
    found = enable(tuple(wanted)[:_MOST_SYMBOLS]) if wanted else ()
    files = list(dict.fromkeys(wanted.values()))
    whole = some_of(files, 2)
    reasons = {symbol: f"compiles {file}" for symbol, file in wanted.items()}
    settings = (
        Setting(line.symbol, line.value, at, True, reasons.get(line.symbol, f"needed to compile {whole}"))
        for at, line in enumerate(found, 1)
    )
    return Fragment(NAME, path, tuple(settings)) if found else None


def as_text(fragment: Fragment) -> str:
    """The fragment as a file that `--config` takes."""
    return "".join(f"# {line.reason}\nCONFIG_{line.symbol}={line.value} # ?\n" for line in fragment.settings)


def _gaps(source: Path, config: str, changed: Iterable[str]) -> Iterator[tuple[str, Condition]]:
    """The touched files that a .config leaves out, each with what it lacks."""
    makefiles, symbols = Makefiles(source), values(config)
    for file in sorted(set(_with_includers(source, changed))):
        if not _is_code(source, file):
            continue
        ways = makefiles.conditions(file)
        if _other_architecture(file) or (not compiled(ways, symbols) if ways else _must_be_listed(file)):
            yield file, _missing(ways, symbols)


def _with_includers(source: Path, changed: Iterable[str]) -> Iterator[str]:
    """What is touched; and for a header that lies beside code, the files there that include it."""
    for file in changed:
        yield file
        path = source / file
        if path.suffix == ".h" and path.is_file() and not file.startswith("include/"):
            name = f'"{path.name}"'
            beside = sorted(code for code in path.parent.glob("*.c") if code.is_file())
            yield from (str(code.relative_to(source)) for code in beside if name in code.read_text(errors="replace"))


def _why(file: str, missing: Condition) -> str:
    if other := _other_architecture(file):
        return f"is {other}'s, and the kernel here is {_ARCHITECTURE}'s"
    return f"needs {_told(missing)}" if missing else "is in no Makefile that make reads here, and no file includes it"


def _is_code(source: Path, file: str) -> bool:
    path = PurePosixPath(file)
    return path.suffix in _CODE and path.parts[0] not in _NOT_THE_KERNEL and (source / file).is_file()


def _must_be_listed(file: str) -> bool:
    """Not so a linker script, whose image names it, and a module of Rust, which the file above it does."""
    return file.endswith(_LISTED) and not file.endswith(".lds.S")


def _other_architecture(file: str) -> str:
    parts = PurePosixPath(file).parts
    return parts[1] if parts[0] == "arch" and len(parts) > 2 and parts[1] != _ARCHITECTURE else ""


def _missing(ways: tuple[Condition, ...], symbols: Mapping[str, str]) -> Condition:
    """Of the way that lacks least, what it lacks."""
    lacking = (frozenset(s for s in needs if not compiled((frozenset((s,)),), symbols)) for needs in ways)
    return min(lacking, key=lambda needs: (len(needs), sorted(needs)), default=frozenset())


def _told(needs: Condition) -> str:
    names = (f"CONFIG_{symbol}" if not symbol.startswith(NOT) else f"no CONFIG_{symbol[1:]}" for symbol in needs)
    return " and ".join(sorted(names))
