"""Build selftests of one side's own tree, once: what was built is kept by what it was built from.

kselftest/<key>/installed.json   the programs; written last
kselftest/<key>/tree/            the kernel's tree as far as the programs need it, at its own relative paths
kselftest/<key>/build.log        make's output
kselftest/tooling-<key>/         libbpf, bpftool and resolve_btfids of one tree, for other builds to begin with
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from harness.build.model import Toolchain
from harness.command import Command, run
from harness.errors import UsageError
from harness.kernel_make import SOURCE
from harness.kselftest.build_bpf import build_bpf
from harness.kselftest.choose import Chooser
from harness.kselftest.collection import LIBRARY
from harness.kselftest.export import TOOLING, export, source_ids
from harness.kselftest.make import Maker, broken_targets
from harness.kselftest.model import SELFTESTS, Installed, Program
from harness.kselftest.within import within
from harness.locks import locked
from harness.places import cache_dir
from harness.record import load_if, save
from harness.store import inputs_digest

__all__ = ["Wanted", "build_selftests", "choose_selftests"]

# Raised when what is stored, or how it is made, changes.
_LAYOUT = "9"
_BPF_TOOLS = f"{SELFTESTS}/bpf/tools"
# What stays of a tree that was built: the tests, and what its Python tests import.
_KEPT = ("tools/net/ynl", "tools/bpf/bpftool/Makefile", "Documentation/netlink")
_SHARED = (
    "kselftest",
    "lib",
    "net/lib",
    "net/forwarding",
    "net/lib.sh",
    "net/net_helper.sh",
    "drivers/net/lib",
    "bpf/tools/sbin",
)
# Folders whose scripts those of their neighbours read in (drivers/net/team: ../bonding/lag_lib.sh), by links too.
_SCRIPTS = f"{SELFTESTS}/drivers/net"
# Collections whose scripts start those of another: ../ftrace/ftracetest.
_STARTS = {"verification": ("ftrace",)}
# It says what is installed: a header that a program lacked may be there now.
_PACKAGES = Path("/var/lib/dpkg/status")
_PRODUCTS = re.compile(r"(?<!\.bpf)\.o$|\.d$|\.(?:l|sub)?skel\.h$|\.a$")


@dataclass(frozen=True)
class Wanted:
    """Which programs of a tree. repository, commit: the tree. named: (name, why) pairs. touched: files of a series.

    vmlinux: the kernel for whose types BPF programs are compiled. config: its .config, as text.
    trusted: the tree is no stranger's, so that what it builds may serve others.
    """

    repository: Path
    commit: str
    named: tuple[tuple[str, str], ...]
    touched: tuple[str, ...]
    vmlinux: Path
    kernel_key: str
    config: str
    toolchain: Toolchain
    trusted: bool


def build_selftests(
    wanted: Wanted, say: Callable[[str], None] = lambda _: None, hold: contextlib.ExitStack | None = None
) -> Installed:
    """The programs that are wanted, built; found in the cache where they were built before.

    hold: gets a lock that keeps `ktrial cache prune` away from them until it is closed.
    What cannot be built is a program with its reason, never an error. Raises ToolchainError, CommandFailed (git),
    MachineLost where it is not for the tree, and BuildError where the tree has links out of itself in its places.
    """
    place = cache_dir() / "kselftest" / _key(wanted)
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = place.with_name(f"{place.name}.lock")
    while True:  # what was built may be pruned between the two locks
        with contextlib.ExitStack() as briefly:
            briefly.enter_context(locked(lock, shared=True, wait_message=lambda: say("another run is building them")))
            if installed := _found(place):
                if hold is not None:
                    hold.enter_context(briefly.pop_all())
                return installed
        with locked(lock, wait_message=lambda: say("another run is building or using them")):
            if _found(place) is None:
                _build_at(wanted, place, say)


def _found(place: Path) -> Installed | None:
    """What was built there; what could not be is tried again once other packages are installed."""
    installed = load_if(place / "installed.json", Installed)
    if installed is None or not (place / "tree").is_dir():
        return None
    return installed if installed.packages in ("", _packages()) else None


def _packages() -> str:
    """What changes whenever a package of this machine does; "" where nothing here tells."""
    return inputs_digest(_PACKAGES.read_bytes()) if _PACKAGES.is_file() else ""


def _build_at(wanted: Wanted, place: Path, say: Callable[[str], None]) -> None:
    shutil.rmtree(place, ignore_errors=True)
    # The name says whose lock keeps it from being pruned as left over (harness/cache.py).
    with tempfile.TemporaryDirectory(prefix=f"{place.name}.partial-", dir=place.parent) as scratch:
        _build(wanted, Path(scratch), place, say)


def choose_selftests(wanted: Wanted) -> tuple[Program, ...]:
    """The programs that `wanted` stands for in its tree, not built. Raises UsageError where a name stands for none."""
    folder = cache_dir() / "kselftest"
    folder.mkdir(parents=True, exist_ok=True)
    with (
        locked(folder / "choose.lock", shared=True),
        tempfile.TemporaryDirectory(prefix="choose.partial-", dir=folder) as scratch,
    ):
        tree = export(wanted.repository, wanted.commit, Path(scratch))
        chooser = Chooser(Maker(tree, wanted.vmlinux, Path(scratch) / "make.log"))
        for name, why in wanted.named:
            if why.startswith("asked") and not chooser.named(name, why):
                raise UsageError(f"this tree has no selftest {name!r}", hint=chooser.hint(name))
        return chooser.choose(wanted.named, wanted.touched)


def _key(wanted: Wanted) -> str:
    ids = source_ids(wanted.repository, wanted.commit)
    parts = (_LAYOUT, *ids, *wanted.named, wanted.touched, wanted.kernel_key, wanted.toolchain.digest, _clang())
    return inputs_digest(*(str(part) for part in parts))[:32]


def _clang() -> str:
    return run(Command(("clang", "--version"), deadline=30)).text.partition("\n")[0]


def _build(wanted: Wanted, scratch: Path, place: Path, say: Callable[[str], None]) -> None:
    tree = export(wanted.repository, wanted.commit, scratch)
    log = scratch / "build.log"
    log.touch()
    maker = Maker(tree, wanted.vmlinux, log)
    _write_autoconf(tree, wanted.config)
    tooling = cache_dir() / "kselftest" / f"tooling-{_tooling_key(wanted)}"
    _borrow(tooling, tree)
    programs = _make_all(maker, wanted, say)
    if wanted.trusted:
        _lend(tree, tooling)
    packages = _packages() if any(_lacks_something(tree, program) for program in programs) else ""
    _strip(tree, {program.collection for program in programs})
    installed = Installed(place / "tree", programs, place / "build.log", packages)
    (scratch / "kept").mkdir()
    tree.rename(scratch / "kept" / "tree")
    log.rename(scratch / "kept" / "build.log")
    save(scratch / "kept" / "installed.json", installed)
    (scratch / "kept").rename(place)


def _make_all(maker: Maker, wanted: Wanted, say: Callable[[str], None]) -> tuple[Program, ...]:
    """Choose, and make collection by collection."""
    chooser = Chooser(maker)
    chosen = sorted(chooser.choose(wanted.named, wanted.touched), key=lambda program: program.collection)
    say(f"{len(chosen)} programs to build from {wanted.commit[:12]}")
    if any((program.targets and program.collection != "bpf") or program.shared for program in chosen):
        maker.make(".", "headers")
    chosen = _with_library(maker, chosen)
    made: list[Program] = []
    for collection, group in groupby(chosen, key=lambda program: program.collection):
        programs = tuple(group)
        made += build_bpf(maker, programs, chooser.tests) if collection == "bpf" else _plain(maker, programs)
    clang = _clang().replace("Debian ", "").partition("-")[0].replace(" version ", " ")
    return tuple(_worded(program, clang) for program in made)


def _worded(program: Program, clang: str) -> Program:
    """The reason with the compiler that it is about: what this clang does not know is the commonest of all."""
    if not program.unbuildable:
        return program
    target = program.unbuildable.partition(":")[0]
    compiler = clang if target.endswith((".bpf.o", "skel.h")) else "the compilers"
    return replace(program, unbuildable=f"cannot be built with {compiler} here: {program.unbuildable}")


def _with_library(maker: Maker, programs: Sequence[Program]) -> list[Program]:
    """Make what these programs need of other collections."""
    needed = {each for program in programs for each in program.shared}
    missing: dict[str, str] = {}
    for collection in (LIBRARY, "bpf"):
        own = sorted(each.removeprefix(f"{collection}/") for each in needed if each.startswith(f"{collection}/"))
        missing |= {f"{collection}/{name}": why for name, why in _make_in(maker, collection, own).items()}
    return [_without(program, program.shared, missing) for program in programs]


def _plain(maker: Maker, programs: Sequence[Program]) -> tuple[Program, ...]:
    """Make what these programs of one collection need, each product on its own feet."""
    missing = _make_in(maker, programs[0].collection, (each for program in programs for each in program.targets))
    return tuple(_without(program, program.targets, missing) for program in programs)


def _make_in(maker: Maker, collection: str, products: Iterable[str]) -> dict[str, str]:
    """Make products of one collection; those that are not there in the end, and why."""
    targets = tuple(dict.fromkeys(products))
    if not targets:
        return {}
    folder = f"{SELFTESTS}/{collection}"
    done = maker.make(folder, f"OUTPUT={SOURCE / folder}", *(str(SOURCE / folder / target) for target in targets))
    missing = [target for target in targets if not (maker.tree / folder / target).exists()]
    if done.ok and not missing:
        return {}
    broken = {each.name: each.why for each in broken_targets(done)}
    other = next((f"{name}: {why}" for name, why in broken.items()), "make failed")
    return {target: broken.get(target, other) for target in missing}


def _without(program: Program, needed: Sequence[str], missing: Mapping[str, str]) -> Program:
    """A compiled program that is not there cannot run; a script that lacks one of several products says so itself."""
    lacking = [target for target in needed if target in missing]
    if program.unbuildable or not lacking or (program.name not in lacking and len(lacking) < len(needed)):
        return program
    return replace(program, unbuildable=f"{lacking[0]}: {missing[lacking[0]]}")


def _lacks_something(tree: Path, program: Program) -> bool:
    """Whether a product that a program needs is not there."""
    needed = (*(f"{program.collection}/{each}" for each in program.targets), *program.shared)
    return bool(program.unbuildable) or not all((tree / SELFTESTS / each).exists() for each in needed)


def _write_autoconf(tree: Path, config: str) -> None:
    """include/generated/autoconf.h of the kernel: tests look there for what it can do (GENHDR in bpf/Makefile)."""
    lines = []
    for name, value in re.findall(r"^(CONFIG_\w+)=(.*)$", config, re.MULTILINE):
        lines.append(f"#define {name}_MODULE 1" if value == "m" else f"#define {name} {'1' if value == 'y' else value}")
    header = within(tree, tree / "include" / "generated" / "autoconf.h")
    header.parent.mkdir(parents=True, exist_ok=True)
    header.write_text("\n".join(lines) + "\n")


def _tooling_key(wanted: Wanted) -> str:
    ids = source_ids(wanted.repository, wanted.commit, TOOLING)
    return inputs_digest(_LAYOUT, *ids, wanted.toolchain.digest, _clang())[:32]


def _borrow(tooling: Path, tree: Path) -> None:
    """Begin with the libbpf and bpftool of an earlier build, newer than any file they are made from."""
    if not tooling.is_dir():
        return
    target = within(tree, tree / _BPF_TOOLS)
    run(Command(("cp", "-a", "--reflink=auto", "--", str(tooling), str(target))))
    now = time.time()
    for folder, _, names in os.walk(target):
        for name in (*names, "."):
            os.utime(Path(folder) / name, (now, now), follow_symlinks=False)


def _lend(tree: Path, tooling: Path) -> None:
    """Keep them for others, less what is this kernel's own. Whole or not at all."""
    made = within(tree, tree / _BPF_TOOLS)
    if tooling.exists() or not (made / "sbin" / "bpftool").is_file():
        return
    with (
        locked(tooling.with_name(f"{tooling.name}.lock"), shared=True),
        tempfile.TemporaryDirectory(prefix=f"{tooling.name}.partial-", dir=tooling.parent) as scratch,
    ):
        copy = Path(scratch) / "tools"
        run(Command(("cp", "-a", "--reflink=auto", "--", str(made), str(copy))))
        (copy / "include" / "vmlinux.h").unlink(missing_ok=True)
        if not tooling.exists():
            copy.rename(tooling)


def _strip(tree: Path, collections: set[str]) -> None:
    """Remove what no program looks at when it runs."""
    selftests = tree / SELFTESTS
    started = [other for name in collections for other in _STARTS.get(name, ())]
    kept = {selftests / name for name in (*collections, *_SHARED, *started)} | {tree / name for name in _KEPT}
    _remove_others(tree, kept, tree / _SCRIPTS)
    bpf_tools = tree / _BPF_TOOLS
    for part in ("build/libbpf", "build/resolve_btfids", "include"):
        within(tree, (bpf_tools / part).parent)
        shutil.rmtree(bpf_tools / part, ignore_errors=True)
    for folder, _, names in os.walk(within(tree, selftests / "bpf")):
        for name in names:
            if _PRODUCTS.search(name):
                (Path(folder) / name).unlink()


def _remove_others(folder: Path, kept: set[Path], scripts: Path) -> None:
    """Remove all in a folder that is neither kept nor on the way to what is; links to what is gone stay.

    scripts: the folder below which all scripts are kept.
    """
    for path in list(folder.iterdir()):
        if path in kept:
            continue
        if path.is_dir() and not path.is_symlink():
            if scripts in path.parents or any(path in each.parents for each in kept):
                _remove_others(path, kept, scripts)
            else:
                shutil.rmtree(path)
        elif path.suffix not in (".sh", ".py", ".txt"):
            path.unlink()
