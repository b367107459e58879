"""What a trial asks of the selftests: by name on the command line, or by what the series touches.

`--suite kselftest:bpf/xdp_adjust_tail` names programs (choose.py). Otherwise a touched file of the selftests stands for
the programs made from it, and a touched file of the kernel for those of suites/kselftest/relevant.toml.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from harness.errors import UsageError
from harness.kconfig.model import Fragment, Setting
from harness.kselftest.export import file_of
from harness.kselftest.model import SELFTESTS, Program
from harness.kselftest.within import text_of
from harness.places import suites_dir

__all__ = ["Selection", "config_fragments", "denied", "select"]

_TABLE = "relevant.toml"
_SETTING = re.compile(r"CONFIG_(\w+)=(\"(?:[^\"\\]|\\.)*\"|\S+)\s*$")
_UNSET = re.compile(r"# CONFIG_(\w+) is not set\s*$")


@dataclass(frozen=True)
class Selection:
    """Which selftests a trial is to run.

    named: (program, why) pairs. touched: the series' files among the selftests. configured: folders asked for or
    touched, whose own `config` files, where they have one, the kernel is to be built with.
    """

    named: tuple[tuple[str, str], ...] = ()
    touched: tuple[str, ...] = ()
    configured: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.named or self.touched)


def select(asked: Sequence[str], changed: Iterable[str], folder: Path | None = None) -> Selection:
    """asked: names from `--suite kselftest:NAME`; none for what the series' changed files make relevant."""
    if asked:
        named = tuple((name, "asked for with --suite") for name in asked)
        return Selection(named, (), tuple(dict.fromkeys(folder for name in asked for folder in _folders(name))))
    files = sorted(changed)
    touched = tuple(path for path in files if path.startswith(f"{SELFTESTS}/"))
    relevant = _relevant(files, (folder or _suite()) / _TABLE)
    folders = (folder for path in touched for folder in _folders(path.removeprefix(f"{SELFTESTS}/")))
    return Selection(relevant, touched, tuple(dict.fromkeys(folders)))


def config_fragments(
    repository: Path, commit: str, selection: Selection, folder: Path | None = None
) -> tuple[Fragment, ...]:
    """The `config` files of the collections that were asked for, each line one that may be absent, with its reason.

    What asks for a module is built in: a guest has none. Symbols of suites/kselftest/config-ours.txt stay as they are.
    """
    ours = _reasons((folder or _suite()) / "config-ours.txt")
    found = []
    for folder_name in selection.configured:
        path = f"{SELFTESTS}/{folder_name}/config"
        text = file_of(repository, commit, path)
        if text is not None:
            settings = tuple(each for each in _settings(text, path) if each.symbol not in ours)
            found.append(Fragment(f"selftests/{folder_name}", Path(path), settings))
    return tuple(found)


def denied(
    programs: Iterable[Program], version: str, tree: Path | None = None, folder: Path | None = None
) -> tuple[tuple[str, str], ...]:
    """The programs that a deny-list names, with the reason: deny/any.txt and that of the kernel's own `6.12`.

    So are subtests, as PROGRAM/SUBTEST. tree: whose own bpf/DENYLIST counts too.
    Raises UsageError on a line without a reason.
    """
    kernel = ".".join(re.findall(r"\d+", version)[:2])
    lists = ((folder or _suite()) / "deny" / f"{name}.txt" for name in ("any", kernel))
    reasons = {name: why for path in lists for name, why in _reasons(path).items()}
    if tree is not None:
        theirs = _of_the_tree(tree)
        reasons |= {pattern: why for pattern, why in theirs.items() if pattern not in reasons}
    found: dict[str, str] = {}
    for program in programs:
        for pattern, why in reasons.items():
            for name in _matched(program, pattern):
                found.setdefault(name, why)
    return tuple(found.items())


def _of_the_tree(tree: Path) -> dict[str, str]:
    """The tests of test_progs that the kernel's own CI does not run: `TEST[/SUBTEST]  # why`, for all and a machine."""
    found = {}
    for name in ("DENYLIST", f"DENYLIST.{os.uname().machine}"):
        for line in text_of(tree, tree / SELFTESTS / "bpf" / name).splitlines():
            test, _, why = (part.strip() for part in line.partition("#"))
            if test:
                found[f"bpf:test_progs*/{test}"] = f"the tree's own {name}{f': {why}' if why else ''}"
    return found


def _matched(program: Program, pattern: str) -> list[str]:
    """The program's id where the pattern names it; that with a subtest for each way to read it as PROGRAM/SUBTEST."""
    if fnmatchcase(program.id, pattern):
        return [program.id]
    parts = pattern.split("/")
    depth = program.id.count("/") + 1
    head, subtest = "/".join(parts[:depth]), "/".join(parts[depth:])
    return [f"{program.id}/{subtest}"] if subtest and fnmatchcase(program.id, head) else []


def _suite() -> Path:
    return suites_dir() / "kselftest"


def _folders(name: str) -> list[str]:
    """`drivers/net/netdevsim/peer.sh` as `drivers`, `drivers/net` and so on: whichever of them has a `config`."""
    parts = [part for part in name.split("/") if part and "*" not in part]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _relevant(files: Sequence[str], table: Path) -> tuple[tuple[str, str], ...]:
    """Programs for touched files of the kernel, each with the first file that it is picked for."""
    found: dict[str, str] = {}
    for rule in tomllib.loads(table.read_text()).get("rule", ()):
        concerned = [path for path in files if any(fnmatchcase(path, pattern) for pattern in rule["paths"])]
        if concerned:
            for name in rule["tests"]:
                found.setdefault(name, f"touches {concerned[0]}")
    return tuple(found.items())


def _settings(text: str, path: str) -> list[Setting]:
    """The settings of a selftest's `config`; the last of several lines on one symbol holds, as for merge_config.sh."""
    found: dict[str, Setting] = {}
    reason = f"{path} asks for it"
    for number, line in enumerate(text.splitlines(), 1):
        if match := _SETTING.match(line.strip()):
            value = "y" if match[2] == "m" else match[2]
            found[match[1]] = Setting(match[1], value, number, True, reason)
        elif match := _UNSET.match(line.strip()):
            found[match[1]] = Setting(match[1], "n", number, True, reason)
    return list(found.values())


def _reasons(path: Path) -> dict[str, str]:
    """`NAME reason` lines. Raises UsageError where a line has no reason."""
    found = {}
    for number, line in enumerate(path.read_text().splitlines() if path.is_file() else (), 1):
        name, _, why = line.strip().partition(" ")
        if not name or name.startswith("#"):
            continue
        if not why.strip():
            raise UsageError(f"{path}:{number}: {name} is listed without a reason", hint="NAME REASON")
        found[name] = why.strip()
    return found
