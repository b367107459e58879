"""Any collection but bpf's test_progs: what its Makefile lists, and what a script of it needs beside itself."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import BuildError
from harness.kselftest.make import Maker
from harness.kselftest.model import SELFTESTS, Program
from harness.kselftest.within import is_named_within, text_of

__all__ = ["CARD", "LIBRARY", "Collection", "collection_of", "read_collection", "timeout_of"]

LIBRARY = "net/lib"
"""The collection whose products those of the network share (INSTALL_DEP_TARGETS of selftests/Makefile)."""
CARD = "virtio_net"
"""The emulated network card that driver tests run on, beside the software device that they make themselves."""

_PROGRAMS = ("TEST_PROGS", "TEST_GEN_PROGS", "TEST_CUSTOM_PROGS")
_PRODUCTS = ("TEST_GEN_FILES", "TEST_GEN_PROGS_EXTENDED")
_RUNNER = "ksft_runner.sh"
_DEFAULT_TIMEOUT = 45.0  # kselftest/runner.sh: kselftest_default_timeout
_LONGEST = 3600.0  # seconds; what net/settings asks for, and our word for `timeout=0`, which is for ever
_WORD = re.compile(r"[\w.+-]+")
# drivers/net/README.rst: tests of drivers/net must run on both, those of drivers/net/hw have no device of their own.
_ON_BOTH, _ON_CARDS = "drivers/net", "drivers/net/hw"
_BPFTOOL = "bpf/tools/sbin/bpftool"
_FOLDERS = re.compile(rf"^(?:{LIBRARY}/|(?:bpf/)?tools/sbin/)")
# What net/lib/py/utils.py does with bpftool.
_ASKS_BPFTOOL = re.compile(r"\bimport\b.*\bbpf_(?:map|prog)_\w+")
_TAKES_A_CARD = re.compile(r"\bNetDrv(?:Ep|Cont)?Env\b|\bNETIF\b")


@dataclass(frozen=True)
class Collection:
    """A folder below tools/testing/selftests. scripts, compiled: programs to run.

    extended: scripts that `make run_tests` leaves to others to start. more: what is made, not run.
    library: products of others, named from selftests/. timeout: seconds for each program, of its `settings`.
    """

    name: str
    folder: Path
    scripts: tuple[str, ...]
    compiled: tuple[str, ...]
    extended: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    library: tuple[str, ...] = ()
    timeout: float = _DEFAULT_TIMEOUT
    _texts: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Every program, by the name that it is run under."""
        return tuple(variant for name in (*self.scripts, *self.compiled) for variant in self._variants(name))

    def program(self, called: str, why: str) -> Program:
        """One of `names` as a program, with the files that are its own."""
        name, _, card = called.partition("@")
        is_script = name in (*self.scripts, *self.extended)
        made = self._mentioned(name, (*self.more, *self.compiled)) if is_script else (name,)
        shared = self._mentioned(name, self.library) if is_script else ()
        beside = tuple(path.removeprefix(f"{LIBRARY}/") for path in shared)
        own = dict.fromkeys((name, *made, *self._mentioned(name, self.extended)))
        return Program(
            self.name,
            called,
            (*self._runner(name), f"./{name}"),
            self.timeout,
            sources=(*_sources(self.root, self.name, own), *_sources(self.root, LIBRARY, beside)),
            targets=made,
            shared=shared,
            card=card,
            why=why,
        )

    def _runner(self, name: str) -> tuple[str, ...]:
        """What runs a file that is no program by itself, as kselftest/runner.sh has it; guests know interpreters."""
        is_script = name in (*self.scripts, *self.extended)
        if not is_script or _is_program(self.folder / name) or not _is_program(self.folder / _RUNNER):
            return ()
        return (f"./{_RUNNER}",)

    def _variants(self, name: str) -> tuple[str, ...]:
        """A driver test once on a device that it makes itself, once on a card."""
        if self.name not in (_ON_BOTH, _ON_CARDS) or not _TAKES_A_CARD.search(self._text(name)):
            return (name,)
        on_card = f"{name}@{CARD}"
        return (on_card,) if self.name == _ON_CARDS else (name, on_card)

    def _mentioned(self, name: str, products: Sequence[str]) -> tuple[str, ...]:
        """What make has to make before a script can run: whatever products it mentions."""
        words = set(_WORD.findall(self._text(name)))
        if _ASKS_BPFTOOL.search(self._text(name)):
            words.add("bpftool")
        # Of what lies deeper only the tools are called by their mere name; the rest are flavours (no_alu32/x.bpf.o).
        return tuple(product for product in products if _FOLDERS.sub("", product) in words)

    @property
    def root(self) -> Path:
        """tools/testing/selftests of the tree."""
        return self.folder.parents[self.name.count("/")]

    def _text(self, name: str) -> str:
        """A script's text and that of the scripts of its own folder that it reads in or starts."""
        if name not in self._texts:
            text = self._read(name)
            others = {word for word in _WORD.findall(text) if word.endswith(".sh")} - {name}
            self._texts[name] = "\n".join([text, *(self._read(each) for each in sorted(others))])
        return self._texts[name]

    def _read(self, name: str) -> str:
        return text_of(self.root.parents[len(Path(SELFTESTS).parts) - 1], self.folder / name)


def read_collection(maker: Maker, name: str) -> Collection:
    """A collection as its own Makefile lists it. Raises BuildError where that names a program outside of it."""
    lists = maker.lists(name, *_PROGRAMS, *_PRODUCTS, "TEST_PROGS_EXTENDED")
    folder = maker.tree / SELFTESTS / name
    if stray := [each for kind in _PROGRAMS for each in lists[kind] if not is_named_within(folder, each)]:
        raise BuildError(f"{SELFTESTS}/{name}/Makefile names {stray[0]}, which is no program of that folder")
    extended = [each for each in _own(folder, lists["TEST_PROGS_EXTENDED"]) if (folder / each).is_file()]
    compiled = (*lists["TEST_GEN_PROGS"], *lists["TEST_CUSTOM_PROGS"])
    more = tuple(product for each in _PRODUCTS for product in lists[each])
    return Collection(
        name,
        folder,
        scripts=tuple(dict.fromkeys(lists["TEST_PROGS"])),
        compiled=tuple(dict.fromkeys(compiled)),
        extended=tuple(dict.fromkeys(extended)),
        more=_own(folder, more),
        library=_library(maker, name),
        timeout=timeout_of(maker.tree, folder),
    )


def _library(maker: Maker, name: str) -> tuple[str, ...]:
    """What programs of a collection of the network may need beside it: of net/lib, and bpftool."""
    if not name.startswith(("net", "drivers/net")) or name == LIBRARY:
        return ()
    folder = maker.tree / SELFTESTS / LIBRARY
    lists = maker.lists(LIBRARY, *_PRODUCTS) if (folder / "Makefile").is_file() else {}
    return (*(f"{LIBRARY}/{product}" for each in lists for product in _own(folder, lists[each])), _BPFTOOL)


def _is_program(file: Path) -> bool:
    return file.is_file() and os.access(file, os.X_OK)


def _own(folder: Path, products: Iterable[str]) -> tuple[str, ...]:
    """Those that lie in the collection's own folder, and not in another's."""
    return tuple(dict.fromkeys(each for each in products if is_named_within(folder, each)))


def _sources(root: Path, collection: str, names: Iterable[str]) -> tuple[str, ...]:
    """The files of the kernel's tree that scripts and products of a collection are, or are made from."""
    found: list[str] = []
    for name in names:
        stem = name.removesuffix(".o").removesuffix(".bpf")
        known = (name, f"{stem}.c", f"{stem}.bpf.c", f"progs/{stem}.c", f"{name}.c", f"{name}.sh")
        found += [path for path in known if (root / collection / path).is_file()]
    return tuple(dict.fromkeys(f"{SELFTESTS}/{collection}/{path}" for path in found))


def collection_of(tree: Path, asked: str) -> tuple[str, str]:
    """`drivers/net/netdevsim/peer.sh` as (`drivers/net/netdevsim`, `peer.sh`): the longest folder with a Makefile.

    ("", asked) where the tree has no such collection.
    """
    parts = asked.strip("/").split("/")
    for count in range(0 if ".." in parts else len(parts), 0, -1):
        name = "/".join(parts[:count])
        if (tree / SELFTESTS / name / "Makefile").is_file():
            return name, "/".join(parts[count:])
    return "", asked


def timeout_of(tree: Path, folder: Path) -> float:
    """Seconds that each program of a collection may take (its `settings`; kselftest/runner.sh)."""
    found = re.findall(r"^timeout=(\d+)\s*$", text_of(tree, folder / "settings"), re.MULTILINE)
    if not found:
        return _DEFAULT_TIMEOUT
    return min(float(found[-1]) or _LONGEST, _LONGEST)
