"""The selftests' part of a trial: choose on the patched tree, build each side's own, and write what guests run."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.model import Kernel, Toolchain
from harness.kselftest.build import Wanted, build_selftests, choose_selftests
from harness.kselftest.export import file_of, same_sources
from harness.kselftest.guests import GuestPart, guest_part
from harness.kselftest.model import SELFTESTS, Installed, Plan, Program
from harness.kselftest.select import Selection, denied
from harness.listing import some_of
from harness.machine.model import GuestSpec
from harness.tree.model import Applied, Base

__all__ = ["Selftests", "build_sides", "unpicked", "with_time_for"]

_SHOWN = 4  # names, in a sentence
_CHECKED = re.compile(r"^CONFIG_LOCKDEP=y$", re.MULTILINE)
_CHECKED_SCALE = 4.0  # as the guest's own deadlines: vm/ktrial_pytest.py
# Files of a collection that no program runs.
_NO_CODE = re.compile(r"/(?:Makefile[\w.]*|config[\w.]*|settings|\.gitignore|README[\w.]*|(?:DENY|ALLOW)LIST[\w.]*)$")


@dataclass(frozen=True)
class Selftests:
    """Both sides' selftests. base: None without a base. changed: ids of the patched side's that the series touches.

    checked: a kernel of the two has lockdep in it, so that its guests give every program more time.
    """

    base: Installed | None
    patched: Installed
    changed: frozenset[str]
    version: str
    checked: bool = False

    def parts(self, folder: Path) -> dict[str, GuestPart]:
        """What each side's guests need; the plans are written to the run's folder `folder`."""
        found = {"patched": self._part(folder, "patched", self.patched)}
        if self.base is not None:
            found["base"] = self._part(folder, "base", self.base)
        return found

    def proof(self, folder: Path) -> dict[str, GuestPart]:
        """What the guest needs that runs the series' own tests on the base kernel; nothing where it has none."""
        own = tuple(program for program in self.patched.programs if program.id in self.changed)
        if self.base is None or not any(not program.unbuildable for program in own):
            return {}
        return {"proof": self._part(folder, "proof", replace(self.patched, programs=own))}

    def _part(self, folder: Path, side: str, installed: Installed) -> GuestPart:
        plan = Plan(installed.root, installed.programs, denied(installed.programs, self.version, installed.root))
        return guest_part(folder, side, plan)


def build_sides(
    selection: Selection,
    *,
    repository: Path,
    base: Base,
    applied: Applied,
    kernels: tuple[Kernel | None, Kernel],
    configs: tuple[str, str],
    toolchain: Toolchain,
    say: Callable[[str], None],
    hold: contextlib.ExitStack,
) -> Selftests:
    """Choose programs in the patched tree, and build them there and, those that it has, in the base's.

    repository: holds both commits. kernels, configs: of base and patched. hold: keeps what was built from being pruned.
    Where the series touches nothing that selftests are made from, both sides run the base's own.
    """
    base_kernel, patched_kernel = kernels

    def wanted(commit: str, kernel: Kernel, config: str, trusted: bool) -> Wanted:
        return Wanted(
            repository=repository,
            commit=commit,
            named=selection.named,
            touched=selection.touched,
            vmlinux=kernel.vmlinux,
            kernel_key=kernel.key,
            config=config,
            toolchain=toolchain,
            trusted=trusted,
        )

    own = wanted(applied.commit, patched_kernel, configs[1], False)
    chosen = choose_selftests(own)
    say(f"{len(chosen)} chosen: {some_of([program.id for program in chosen], _SHOWN)}" if chosen else "none chosen")
    there = [path for path in selection.touched if file_of(repository, applied.commit, path) is not None]
    if remark := unpicked(chosen, there):
        say(remark)
    named = tuple((f"{program.collection}/{program.name}", program.why) for program in chosen)
    same = same_sources(repository, base.commit, applied.commit)
    on_base = wanted(base.commit, base_kernel or patched_kernel, configs[0], True)
    base_side = None
    if base_kernel is not None or same:
        base_side = build_selftests(replace(on_base, named=named, touched=()), lambda text: say(f"base: {text}"), hold)
    patched_side = base_side
    if not same or patched_side is None:
        patched_side = build_selftests(
            replace(own, named=named, touched=()), lambda text: say(f"patched: {text}"), hold
        )
    touched = set(applied.changed)
    changed = frozenset(program.id for program in chosen if touched & set(program.sources))
    checked = any(_CHECKED.search(config) for config in configs)
    return Selftests(base_side if base_kernel else None, patched_side, changed, base.version, checked)


def with_time_for(guest: GuestSpec, selftests: Selftests) -> GuestSpec:
    """The guest with a session longer by the longest program, so that one that hangs takes no time from the others.

    A collection may ask for an hour for each of its programs (net/settings), which is a whole session.
    """
    programs = (program for side in (selftests.base, selftests.patched) if side for program in side.programs)
    longest = max((program.timeout for program in programs if not program.unbuildable), default=0.0)
    deadlines = guest.deadlines
    scale = deadlines.scale * (_CHECKED_SCALE if selftests.checked else 1.0)
    return replace(guest, deadlines=replace(deadlines, session=deadlines.session + longest * scale))


def unpicked(chosen: Iterable[Program], touched: Iterable[str]) -> str:
    """A sentence on the touched files of the selftests that are no program's own; "" where there are none."""
    own = {path for program in chosen for path in program.sources}
    shared = [path.removeprefix(f"{SELFTESTS}/") for path in touched if path not in own and not _NO_CODE.search(path)]
    if not shared:
        return ""
    return f"shared by many, so none is picked for: {some_of(shared, _SHOWN)}; --suite kselftest:NAME does"
