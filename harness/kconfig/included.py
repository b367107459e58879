"""Which files take another one in by `#include "x.c"`: what no Makefile lists is compiled as a part of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["includers"]

_INCLUDED = re.compile(r'^[ \t]*#[ \t]*include[ \t]+["<](?:\./|\.\./)*([\w./-]+)[">]', re.MULTILINE)
_CODE = (".c", ".h", ".S")
_ARCHITECTURE = "arch/x86"
"""Takes in files from anywhere, for its vDSO and its boot code (arch/x86/entry/vdso, arch/x86/boot)."""


def includers(source: Path, file: str) -> tuple[str, ...]:
    """The files near `file`, or else of the architecture, that include it; paths from the tree's root."""
    found = tuple(_naming(source, file, _near(source, file)))
    return found or tuple(_naming(source, file, _below(source / _ARCHITECTURE)))


def _naming(source: Path, file: str, among: Iterator[Path]) -> Iterator[str]:
    name = PurePosixPath(file).name
    for path in among:
        text = path.read_text("utf-8", "replace")
        if name in text and any(_is(file, named) for named in _INCLUDED.findall(text)):
            yield str(path.relative_to(source))


def _is(file: str, named: str) -> bool:
    return file == named or file.endswith(f"/{named}")


def _near(source: Path, file: str) -> Iterator[Path]:
    """The code of the file's folder and of those below, beside and above it; without the file itself."""
    folder = PurePosixPath(file).parent
    yield from (path for path in _below(source / folder) if path != source / file)
    if len(folder.parts) > 2:
        yield from _code((source / folder.parent).glob("*/*"))
    for above in folder.parents[:-1]:
        yield from _code((source / above).glob("*"))


def _below(folder: Path) -> Iterator[Path]:
    return _code(folder.rglob("*"))


def _code(paths: Iterator[Path]) -> Iterator[Path]:
    yield from (path for path in sorted(paths) if path.suffix in _CODE and path.is_file())
