"""What the guests of one side get to see of the selftests: the built tree, a plan, and the reader of their output."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UsageError
from harness.kselftest.model import Plan
from harness.record import load_if, save

__all__ = ["PLAN_VARIABLE", "GuestPart", "guest_part", "part_of_plan", "reader_part"]

PLAN_VARIABLE = "KTRIAL_KSELFTEST"
_READER_VARIABLE = "KTRIAL_KSELFTEST_READER"
# The guest reads these two alone, as a `harness` without the rest: importing ours costs seconds there.
_READER = ("ktap.py", "selftest_output.py")


@dataclass(frozen=True)
class GuestPart:
    """What one side's guests have beside the others'. readable: folders of the host. env: variables."""

    readable: tuple[Path, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


def guest_part(folder: Path, side: str, plan: Plan) -> GuestPart:
    """Write the plan of one side to the run's folder `folder`."""
    path = folder / side / "plan.json"
    save(path, plan)
    _write_reader(folder / "reader" / "harness")
    return _part(path, plan.root, folder / "reader")


def reader_part(folder: Path) -> GuestPart:
    """The reader alone, for a suite that reads KTAP of the kernel's own."""
    _write_reader(folder / "reader" / "harness")
    return GuestPart((folder / "reader",), {_READER_VARIABLE: str(folder / "reader")})


def part_of_plan(path: Path) -> GuestPart:
    """The same for a plan that a run wrote earlier (`ktrial test --selftests`). Raises UsageError."""
    plan = load_if(path, Plan)
    if plan is None or not plan.root.is_dir():
        raise UsageError(
            f"{path} is no plan of selftests that are still there", hint="ktrial run --suite kselftest:NAME builds them"
        )
    return _part(path, plan.root, path.parents[1] / "reader")


def _part(path: Path, root: Path, reader: Path) -> GuestPart:
    return GuestPart((path.parent, reader, root), {PLAN_VARIABLE: str(path), _READER_VARIABLE: str(reader)})


def _write_reader(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").write_text('"""What a guest reads selftests with."""\n')
    for name in _READER:
        shutil.copyfile(Path(__file__).parents[1] / name, folder / name)
