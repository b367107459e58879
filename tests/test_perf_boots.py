"""Boots that measure: what our machine lost is measured again, what the kernel did is not."""

from pathlib import Path

import pytest

from harness import record
from harness.machine.model import Accelerator, BootEnd, BootRecord, GuestSpec
from harness.machine.session import Session
from harness.perf import boots
from harness.plan import Silent


@pytest.fixture
def sessions(tmp_path):
    guest = GuestSpec(Path("bzImage"), tmp_path, Accelerator.TCG)
    return [Session(side, guest, tmp_path, (), tmp_path / side, benches=True) for side in ("base-1", "patched-1")]


def ran(monkeypatch, ends):
    """run_sessions() as it would leave boots that end so; what it was asked to run."""
    asked = []

    def run(sessions, *_):
        for session in sessions:
            asked.append(session.folder)
            ended = ends.get(str(session.folder.name), BootEnd.CLEAN)
            if ended is None:
                continue
            folder = session.boots / "000"
            folder.mkdir(parents=True)
            record.save(folder / "boot.json", BootRecord("000", ended, "", Accelerator.TCG, 1.0, 2.0, "", "", 0))
        return []

    monkeypatch.setattr(boots, "run_sessions", run)
    return asked


@pytest.mark.parametrize("end", [BootEnd.LOST, BootEnd.BOOT_TIMEOUT, None])
def test_a_guest_that_our_machine_lost_is_booted_again(monkeypatch, sessions, end):
    asked = ran(monkeypatch, {"patched-1": end})
    base, patched = boots.run_boots(sessions, Silent())
    assert [folder.name for folder in asked] == ["base-1", "patched-1", "again"]
    assert base.folder.name == "base-1"
    assert patched.folder.parent.name == "patched-1"


def test_a_guest_that_the_kernel_took_down_is_not(monkeypatch, sessions):
    asked = ran(monkeypatch, {"patched-1": BootEnd.PANIC})
    assert boots.run_boots(sessions, Silent()) == sessions
    assert len(asked) == 2
