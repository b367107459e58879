"""Which settings compile a file: what the tree's Kbuild Makefiles say, read and never run.

A file `dir/x.c` is compiled where a Makefile of `dir` (or above it) lists `x.o` under `obj-$(CONFIG_X)`, by itself or
as a part of a composite object, and every folder above is entered (Documentation/kbuild/makefiles.rst). One that none
lists is compiled with the files that take it in by `#include`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path, PurePosixPath

from harness.kconfig.included import includers
from harness.kconfig.kbuild_lines import NOT, Condition, Line, parsed, plain

__all__ = ["NOT", "Condition", "Makefiles", "compiled"]

_ENDS_IN_KERNEL = ("obj", "lib")
_MOST = 16  # ways in which one file can be compiled
_DEEPEST = 8  # composite objects within composite objects
_DEEPEST_INCLUDE = 3
_ARCHITECTURE = "arch/x86"
_MAIN = ("Kbuild", "Makefile")  # the first of them that is there counts
_NAMES = ("Makefile*", "Kbuild*", "*.mk")
_COMPOSED = re.compile(r"(?<![\w-])([\w-]{0,80})\$\(\w+\)([\w-]{0,80})\.o\b")
_PATTERN = re.compile(r"(?=.*\w)[\w.*-]{1,80}$")

_Listed = Callable[[str, str], Iterator[Condition]]


class Makefiles:
    """The Kbuild files of one tree, each read once."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self._texts: dict[str, str] = {}
        self._all: dict[str, list[Path]] = {}
        self._read: dict[str, tuple[Line, ...]] = {}

    def conditions(self, path: str) -> tuple[Condition, ...]:
        """Sets of symbols, each of which compiles the file `path` (from the tree's root); () where nothing was found.

        An empty set is a file that is always compiled, or is named in a way that is not understood. What an
        architecture's own Makefile decides is not looked at.
        """
        ways = set(self._compiling(path, 0))
        return tuple(sorted(ways, key=lambda needs: (len(needs), sorted(needs))))[:_MOST]

    def _compiling(self, path: str, depth: int) -> list[Condition]:
        """As Makefiles list it; else as files are that include it; else as they name it in some other way."""
        file = PurePosixPath(path)
        found = self._through(file, (file.parent, *file.parent.parents), self._in_kernel)
        found = found or self._through(file, self._elsewhere(file), self._in_kernel)
        if not found and depth < _DEEPEST_INCLUDE:
            found = [needs for each in includers(self.source, path) for needs in self._compiling(each, depth + 1)]
        found = found or self._through(file, (file.parent, *file.parent.parents), self._unled)
        return found or (self._entered(file.parent) if self._is_named(file) else [])

    def _through(self, file: PurePosixPath, folders: Iterable[PurePosixPath], listed: _Listed) -> list[Condition]:
        """What a file needs where the Makefiles of folders list it, and make goes down to them."""
        ways: dict[Condition, None] = {}
        for folder in folders:
            name = os.path.relpath(file.with_suffix(".o"), folder)
            pairs = product(listed(str(folder), name), self._entered(folder))
            ways.update(dict.fromkeys(one | other for one, other in pairs))
        return list(ways)

    def _elsewhere(self, file: PurePosixPath) -> list[PurePosixPath]:
        """Folders that are not above a file, but whose Makefile lists it as `../misc/x.o`."""
        top = file.parts[0]
        if top not in self._all:
            self._all[top] = sorted(path for name in _MAIN for path in (self.source / top).rglob(name))
        folders = [PurePosixPath(path.parent.relative_to(self.source)) for path in self._all[top] if path.is_file()]
        tail = f"/{file.parent.name}/{file.stem}.o"
        return [each for each in folders if tail in self._text(str(each)) and each not in file.parents]

    def _is_named(self, file: PurePosixPath) -> bool:
        """Whether a makefile names a file in any way: a program of the build itself, a name that make puts together."""
        folders = [folder for folder in (file.parent, *file.parent.parents) if self._text(str(folder))]
        if any(_is_word(str(file.relative_to(above).with_suffix("")), self._text(str(above))) for above in folders):
            return True
        nearest = folders[0] if folders else file.parent
        text = self._text(str(nearest))
        known = nearest == file.parent or _is_word(file.relative_to(nearest).parts[0], text, then="")
        return known and (_is_word(file.stem, text) or _is_put_together(file, text))

    def _unled(self, folder: str, item: str) -> Iterator[Condition]:
        """What the lines need that list an object, wherever make takes it from there."""
        yield from (line.needs for line in self._lines(folder) if item in line.items)

    def _in_kernel(self, folder: str, item: str) -> Iterator[Condition]:
        return self._listed(folder, item, 0)

    def _listed(self, folder: str, item: str, depth: int) -> Iterator[Condition]:
        """What an object or a folder needs to be built by the Makefile of `folder`."""
        for line in self._lines(folder):
            if item not in line.items:
                continue
            if line.target in _ENDS_IN_KERNEL:
                yield line.needs
            elif depth < _DEEPEST:
                wholes = {line.target, f"{line.target}.o", f"$({line.target}-y)", f"$({line.target}-objs)"} - {item}
                found = (more for whole in sorted(wholes) for more in self._listed(folder, whole, depth + 1))
                yield from (line.needs | more for more in found)

    def _entered(self, folder: PurePosixPath) -> list[Condition]:
        """What it needs for make to go down to a folder. The tree's topmost folders are taken to be always entered."""
        if len(folder.parts) < 2 or folder.parts[0] == "arch":
            return [frozenset()]
        ways: dict[Condition, None] = {}
        for above in folder.parents:
            name = f"{folder.relative_to(above)}/"
            pairs = product(self._in_kernel(str(above), name), self._entered(above))
            ways.update(dict.fromkeys(one | other for one, other in pairs))
        return list(ways or self._entered_otherwise(folder))[:_MOST]

    def _entered_otherwise(self, folder: PurePosixPath) -> Iterator[Condition]:
        """A folder that no line lists but the Makefile above it knows: its files go into an object of that one's."""
        above = next((each for each in folder.parents if self._text(str(each))), folder.parents[-1])
        first = folder.relative_to(above).parts[0]
        if _is_word(first, self._text(str(above)), then=""):
            folders = {item for line in self._lines(str(above)) for item in line.items if item.endswith("/")}
            below = sorted(item for item in folders if item.startswith(f"{first}/"))
            beside = [needs for item in below for needs in self._in_kernel(str(above), item)]
            yield from (one | other for one, other in product(beside or [frozenset[str]()], self._entered(above)))
        elif f"{folder}/" in self._text(_ARCHITECTURE) or self._is_for_others(folder):
            yield from self._entered(above)

    def _is_for_others(self, folder: PurePosixPath) -> bool:
        """Whether all that a folder has is a makefile that others read in (virt/kvm/Makefile.kvm)."""
        return bool(self._text(str(folder))) and not self._lines(str(folder))

    def _lines(self, folder: str) -> tuple[Line, ...]:
        if folder not in self._read:
            files = [self.source / folder / name for name in _MAIN]
            text = next((file.read_text("utf-8", "replace") for file in files if file.is_file()), "")
            self._read[folder] = tuple(parsed(plain(text)))
        return self._read[folder]

    def _text(self, folder: str) -> str:
        """All that the makefiles of a folder say, those that others include (Makefile.kvm) as well."""
        if folder not in self._texts:
            files = sorted({file for name in _NAMES for file in (self.source / folder).glob(name) if file.is_file()})
            self._texts[folder] = "\n".join(plain(file.read_text("utf-8", "replace")) for file in files)
        return self._texts[folder]


def compiled(ways: tuple[Condition, ...], config: Mapping[str, str]) -> bool:
    """Whether a configuration (symbol to value, as in .config) compiles a file with these conditions."""
    return any(all(_holds(symbol, config) for symbol in needs) for needs in ways)


def _holds(symbol: str, config: Mapping[str, str]) -> bool:
    on = config.get(symbol.removeprefix(NOT), "n") in ("y", "m")
    return on is not symbol.startswith(NOT)


def _is_word(name: str, text: str, then: str = "/") -> bool:
    """Whether a makefile has a name by itself. then: what may not stand behind it, for there it is a folder's."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w{then}-])", text) is not None


def _is_put_together(file: PurePosixPath, text: str) -> bool:
    """Whether `iommu_$(1).o` with a word of the makefile, or `*.bpf.c`, is the file."""
    for before, after in set(_COMPOSED.findall(text)):
        word = file.stem[len(before) : len(file.stem) - len(after)]
        if word and f"{before}{word}{after}" == file.stem and before + after and _is_word(word, text):
            return True
    words = re.split(r"[\s,()/]+", text)
    return any(fnmatchcase(file.name, word) for word in words if "*" in word and _PATTERN.match(word))
