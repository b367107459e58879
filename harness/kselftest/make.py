"""make in a tree of selftests, confined: whoever wrote the series wrote these Makefiles too."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.build.failure import compiler_crashed, machine_trouble, memory_ran_out
from harness.command import Command, Completed, Jail, run
from harness.errors import MachineLost
from harness.kernel_make import SOURCE
from harness.kselftest.model import SELFTESTS
from harness.kselftest.within import is_named_within, remove
from harness.listing import some_of

__all__ = ["Broken", "Maker", "broken_targets"]

_VMLINUX = Path("/ktrial/vmlinux")
_FAILED = re.compile(r"^make(?:\[\d+\])?: \*\*\* \[(?:[^\]]*?: )?([^\]]+)\] Error", re.MULTILINE)
_NO_RULE = re.compile(r"^make(?:\[\d+\])?: \*\*\* No rule to make target '([^']+)'", re.MULTILINE)
_HALF_MADE = re.compile(r"^make(?:\[\d+\])?: \*\*\* \[(?:[^\]]*?: )?([^\]]+)\] (?:Error|Killed)", re.MULTILINE)
_ERROR = re.compile(r"(?:fatal )?error: |undefined reference|libbpf: |Error: |No such file|not found")
_SHOWN = 4  # names, in a sentence
_TAIL = 15


@dataclass(frozen=True)
class Broken:
    """A target that could not be made. name: without its folder. why: the compiler's first error, one line."""

    name: str
    why: str


@dataclass(frozen=True)
class Maker:
    """Runs make below `tree`, which it may write to. vmlinux: the kernel whose BTF the BPF programs are built for."""

    tree: Path
    vmlinux: Path
    log: Path
    jobs: int = 0
    deadline: float = 1800.0

    def make(self, folder: str, *words: str, keep_going: bool = True) -> Completed:
        """make in a folder of the tree, named from its root.

        Raises MachineLost where it was not for the tree that something could not be made.
        """
        done = self._run(folder, words, keep_going, self.jobs or os.cpu_count() or 1)
        if not done.ok and _worth_another_try(done):
            self._remove_half_made(folder, done)
            done = self._run(folder, words, keep_going, 1)
        if not done.ok and (trouble := machine_trouble(done)):
            raise MachineLost(
                f"{_asked(folder, words)} could not be made: {trouble}",
                detail=done.tail(_TAIL),
                hint="free some memory or disk (`ktrial cache prune`), then `--resume`",
            )
        return done

    def _run(self, folder: str, words: Sequence[str], keep_going: bool, jobs: int) -> Completed:
        flags = ("--output-sync=target", f"-j{jobs}", *(("-k",) if keep_going else ()))
        command = Command(
            ("make", "-C", str(SOURCE / folder), *flags, f"VMLINUX_BTF={_VMLINUX}", "feature-llvm=0", *words),
            cwd=SOURCE,
            env={"LANG": "C.UTF-8"},
            deadline=self.deadline,
            log=self.log,
            jail=Jail(read_only=((self.vmlinux, _VMLINUX),), read_write=((self.tree, SOURCE),)),
        )
        return run(command, check=False)

    def _remove_half_made(self, folder: str, done: Completed) -> None:
        """Remove what was being made when it failed: few of these Makefiles have .DELETE_ON_ERROR."""
        for match in _HALF_MADE.finditer(done.text):
            inside = os.path.relpath(SOURCE / folder / match[1], SOURCE)
            if is_named_within(self.tree, inside) and (self.tree / inside).is_file():
                remove(self.tree, self.tree / inside)

    def lists(self, collection: str, *names: str) -> dict[str, tuple[str, ...]]:
        """The values of a collection's variables, as its Makefile comes to know them; empty where make fails."""
        show = "".join(f"$(info ktrial:{name}=$({name}))" for name in names)
        done = self.make(f"{SELFTESTS}/{collection}", f"--eval=ktrial-lists: ; @:{show}", "ktrial-lists")
        found = dict(re.findall(r"^ktrial:(\w+)=(.*)$", done.text, re.MULTILINE))
        folder = f"{SOURCE / SELFTESTS / collection}/"
        return {name: tuple(word.removeprefix(folder) for word in found.get(name, "").split()) for name in names}


def broken_targets(done: Completed) -> tuple[Broken, ...]:
    """What make could not make, with the first error that was said about it."""
    text = done.text
    found: dict[str, Broken] = {}
    start = 0
    for match in _FAILED.finditer(text):
        name = match[1].rpartition("/")[2]
        why = _why(text[start : match.start()], name) or _why(text[: match.start()], name)
        start = match.end()
        found.setdefault(name, Broken(name, why or "make failed"))
    for match in _NO_RULE.finditer(text):
        name = match[1].rpartition("/")[2]
        found.setdefault(name, Broken(name, f"there is no {name}, nor a rule to make it"))
    return tuple(found.values())


def _worth_another_try(done: Completed) -> bool:
    """Several compilers at once may be too much for the memory; a crash that repeats is the compiler's own."""
    return not done.timed_out and (memory_ran_out(done) or compiler_crashed(done))


def _asked(folder: str, words: Iterable[str]) -> str:
    """`sender, alone and 3 more of tools/testing/selftests/net`: the targets among make's words."""
    targets = [word.rpartition("/")[2] for word in words if not word.startswith("-") and "=" not in word]
    return f"{some_of(targets, _SHOWN)} of {folder if folder != '.' else 'the kernel'}"


def _why(said: str, name: str) -> str:
    """The first line that is an error, of those that name the target's own source if there are any."""
    errors = [line.strip() for line in said.splitlines() if _ERROR.search(line)]
    stem = name.split(".")[0]
    own = [line for line in errors if stem in line]
    return re.sub(rf"{SOURCE}/(?:{SELFTESTS}/)?", "", (own or errors or [""])[0])[:300]
