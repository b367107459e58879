"""Read a guest's console as it comes: what it runs, what it is doing too long, how it ended.

Pure: lines and times go in, a state comes out. `harness.machine.gateway` feeds it and kills what is overdue.
The protocol of the `ktrial:` marks is in vm/ktrial_pytest.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from harness.machine.model import BootEnd, Deadlines

__all__ = ["Watched", "ended", "overdue", "see"]

_MARK = re.compile(r"ktrial: (?:(?P<ready>ready)|begin (?P<allowed>\d+) (?P<begun>.+)|leaving (?P<leaving>\d+)|end)$")
_PANIC = re.compile(r"Kernel panic - not syncing(.*)")
_OOM = re.compile(r"Out of memory: Killed process|Out of memory and no killable processes")
# kernel/reboot.c: kernel_power_off(), kernel_restart(), kernel_halt()
_POWER_OFF = re.compile(r"reboot: (?:Power down|System halted)")
_RESTART = re.compile(r"reboot: Restarting system")
# A guest that panicked reboots at once (panic=-1); if its reboot hangs too, that long is enough for its last words.
_PANIC_GRACE = 10.0
# A guest that is up waits for the boots of all others before its first test. One of them may be tried again.
_BOOTS_OF_OTHERS = 4


@dataclass(frozen=True)
class Watched:
    """A boot so far. since: when the present deadline began to count, seconds since the start.

    allowed: seconds for what is `running`, or for the worker's farewell where nothing is; 0.0 between tests.
    """

    ready_at: float | None = None
    running: str = ""
    last: str = ""
    allowed: float = 0.0
    since: float = 0.0
    panic: str = ""
    panic_at: float = 0.0
    out_of_memory: bool = False
    powered_off: bool = False
    restarted: bool = False


def see(state: Watched, line: str, now: float) -> Watched:
    """The state after one more line of the console, `now` seconds after the start."""
    if mark := _MARK.search(line):
        return _marked(state, mark, now)
    if (panic := _PANIC.search(line)) and not state.panic:
        return replace(state, panic=panic[0].strip(), panic_at=now)
    if _OOM.search(line):
        return replace(state, out_of_memory=True)
    if _POWER_OFF.search(line):
        return replace(state, powered_off=True)
    if _RESTART.search(line):
        return replace(state, restarted=True)
    return state


def _marked(state: Watched, mark: re.Match[str], now: float) -> Watched:
    if mark["leaving"]:
        return replace(state, allowed=float(mark["leaving"]), since=now)
    if mark["ready"]:
        return replace(state, ready_at=now, since=now) if state.ready_at is None else state
    if begun := mark["begun"]:
        return replace(state, running=begun, allowed=float(mark["allowed"]), since=now, out_of_memory=False)
    return replace(state, running="", last=state.running or state.last, allowed=0.0, since=now)


def overdue(state: Watched, deadlines: Deadlines, now: float) -> tuple[BootEnd, str] | None:
    """Why this guest must be ended now, or None. Between tests it has the time of a boot."""
    if state.panic:
        return (BootEnd.PANIC, state.panic) if now - state.panic_at > _PANIC_GRACE else None
    boot = deadlines.boot * deadlines.scale
    if state.ready_at is None:
        return (BootEnd.BOOT_TIMEOUT, f"not up {boot:.0f} s after its start") if now > boot else None
    if state.running and now - state.since > state.allowed:
        return BootEnd.TEST_TIMEOUT, f"not done {state.allowed:.0f} s after its start"
    idle = state.allowed or (boot if state.last else boot * _BOOTS_OF_OTHERS)
    if not state.running and now - state.since > idle:
        return BootEnd.TEST_TIMEOUT, f"the guest did nothing for {idle:.0f} s"
    return None


def ended(state: Watched, qemu_status: int | None, last_words: str) -> tuple[BootEnd, str]:
    """How a guest ended that nobody killed. last_words: the last lines QEMU or virtme-ng printed."""
    if state.panic:
        return BootEnd.PANIC, state.panic
    if qemu_status is None or qemu_status != 0:
        what = "was killed" if qemu_status is None or qemu_status > 128 else f"exited with status {qemu_status}"
        return BootEnd.LOST, f"QEMU {what}: {last_words}".rstrip(": ")
    if state.out_of_memory and state.running:
        return BootEnd.OUT_OF_MEMORY, "the guest ran out of memory and killed the test"
    if state.powered_off:
        return _off(state)
    return BootEnd.RESET, "the guest reset without a word" if not state.restarted else "the guest restarted"


def _off(state: Watched) -> tuple[BootEnd, str]:
    if state.running:
        return BootEnd.POWERED_OFF, "the guest powered off while the test ran"
    if state.ready_at is None:
        return BootEnd.POWERED_OFF, "the guest powered off before its worker was up"
    return BootEnd.CLEAN, ""
