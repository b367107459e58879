"""Any collection but bpf's test_progs: what its Makefile lists, and what a script of it needs beside itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from harness.kselftest.make import Maker
from harness.kselftest.model import SELFTESTS, Program

__all__ = ["Collection", "collection_of", "read_collection", "timeout_of"]

_PROGRAMS = ("TEST_PROGS", "TEST_GEN_PROGS", "TEST_CUSTOM_PROGS")
_MORE = ("TEST_PROGS_EXTENDED", "TEST_GEN_PROGS_EXTENDED", "TEST_GEN_FILES", "TEST_FILES")
_DEFAULT_TIMEOUT = 45.0  # kselftest/runner.sh: kselftest_default_timeout
_LONGEST = 600.0  # seconds; `timeout=0` is for ever, and some say an hour
_WORD = re.compile(r"[\w.+-]+")


@dataclass(frozen=True)
class Collection:
    """A folder below tools/testing/selftests. scripts, compiled: programs to run. more: what is made, not run.

    timeout: seconds for each program, of its `settings`.
    """

    name: str
    folder: Path
    scripts: tuple[str, ...]
    compiled: tuple[str, ...]
    more: tuple[str, ...] = ()
    timeout: float = _DEFAULT_TIMEOUT
    _texts: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.scripts, *self.compiled)

    def program(self, name: str, why: str) -> Program:
        """One of `names` as a program, with the files that are its own."""
        made = self.made_for(name)
        own = [name, *made] if name in self.scripts else [name]
        sources = [path for each in own for path in self._sources(each)]
        return Program(
            self.name,
            name,
            (f"./{name}",),
            self.timeout,
            sources=tuple(dict.fromkeys(f"{SELFTESTS}/{self.name}/{path}" for path in sources)),
            targets=tuple(made) if name in self.scripts else (name,),
            why=why,
        )

    def made_for(self, name: str) -> list[str]:
        """What make has to make before a script can run: whatever of the collection's products it mentions."""
        words = set(_WORD.findall(self._text(name)))
        # Of what lies deeper only the tools are called by their mere name; the rest are flavours (no_alu32/x.bpf.o).
        products = (*self.more, *self.compiled)
        return [product for product in products if product.removeprefix("tools/sbin/") in words]

    def _sources(self, name: str) -> list[str]:
        stem = name.removesuffix(".o").removesuffix(".bpf")
        known = (name, f"{stem}.c", f"{stem}.bpf.c", f"progs/{stem}.c", f"{name}.c", f"{name}.sh")
        return [path for path in dict.fromkeys(known) if (self.folder / path).is_file()]

    def _text(self, name: str) -> str:
        """A script's text and that of the scripts of its own folder that it reads in or starts."""
        if name not in self._texts:
            text = _read(self.folder / name)
            others = {word for word in _WORD.findall(text) if word.endswith(".sh")} - {name}
            self._texts[name] = "\n".join([text, *(_read(self.folder / each) for each in sorted(others))])
        return self._texts[name]


def read_collection(maker: Maker, name: str) -> Collection:
    """A collection as its own Makefile lists it."""
    lists = maker.lists(name, *_PROGRAMS, *_MORE)
    folder = maker.tree / SELFTESTS / name
    extended = [each for each in lists["TEST_PROGS_EXTENDED"] if (folder / each).is_file()]
    compiled = (*lists["TEST_GEN_PROGS"], *lists["TEST_CUSTOM_PROGS"])
    more = (*lists["TEST_GEN_FILES"], *lists["TEST_GEN_PROGS_EXTENDED"])
    return Collection(
        name,
        folder,
        scripts=tuple(dict.fromkeys((*lists["TEST_PROGS"], *extended))),
        compiled=tuple(dict.fromkeys(compiled)),
        more=tuple(dict.fromkeys(each for each in more if not each.startswith("/"))),
        timeout=timeout_of(folder),
    )


def collection_of(tree: Path, asked: str) -> tuple[str, str]:
    """`drivers/net/netdevsim/peer.sh` as (`drivers/net/netdevsim`, `peer.sh`): the longest folder with a Makefile.

    ("", asked) where the tree has no such collection.
    """
    parts = asked.strip("/").split("/")
    for count in range(len(parts), 0, -1):
        name = "/".join(parts[:count])
        if (tree / SELFTESTS / name / "Makefile").is_file():
            return name, "/".join(parts[count:])
    return "", asked


def timeout_of(folder: Path) -> float:
    """Seconds that each program of a collection may take (its `settings`; kselftest/runner.sh)."""
    found = re.findall(r"^timeout=(\d+)\s*$", _read(folder / "settings"), re.MULTILINE)
    if not found:
        return _DEFAULT_TIMEOUT
    return min(float(found[-1]) or _LONGEST, _LONGEST)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
