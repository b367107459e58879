"""What tests leave behind in a kernel: links, namespaces, BPF objects, processes, pages and memory.

A look after each test costs a few system calls: it notes what is new, and so which test made it. Whether it was left
behind is only known when every fixture is gone, for a session's fixture may well keep what its first test made; so it
is judged once, at the end of the session, and after a while: BPF objects are freed by work queues and grace periods.

    kind             looked up by
    link             /sys/class/net as it was opened at the start, wherever the worker's threads are now
    namespace        the names that `ip netns` gives
    bpf program, bpf map, bpf link    BPF_*_GET_NEXT_ID (kernel/bpf/syscall.c:bpf_obj_get_next_id)
    process          /proc, with our variable in its environment
    page pool        the tracepoint page_pool_release (net/core/page_pool.c:page_pool_release_retry), once a second
                     for a pool that was destroyed with pages out
    memory           kmemleak (mm/kmemleak.c), where the kernel has it
    reference        to a device of a namespace that is gone: cleanup_net() stands still, and the kernel's log says so
                     after ten seconds (net/core/dev.c:netdev_wait_allrefs_any)

It imports little: an import costs whole seconds in an emulated guest.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

MARK = "KTRIAL_BOOT"  # in the environment of everything that the worker starts
PATIENCE = 10.0  # seconds until what is still there was left behind; an emulated, loaded guest takes its time

Thing = tuple[str, str]  # kind, and what tells it from others of its kind while it lives
Left = tuple[str, str, str]  # test, kind, name

_DEADLINE_POLL = 0.02
_REFERENCES = 12.0  # seconds: more than netdev_unregister_timeout_secs, after which the kernel's log tells of them
_STALLED = re.compile(r"^\[ *(?P<at>\d+\.\d+)\] .*unregister_netdevice: waiting for (?P<device>\S+) to become free")
_WAITS = 10.0  # seconds between two of these (net/core/dev.c: netdev_unregister_timeout_secs)
_SCANNED = re.compile(r"^\[ *\d+\.\d+\] kmemleak: \d+ new suspected memory leaks")
_COARSE = 6  # CLOCK_MONOTONIC_COARSE (include/uapi/linux/time.h), whose resolution is a jiffy
_NETNS = "/run/netns"
_LAST_IN, _LAST_OUT = "ktrial-in", "ktrial-out"


class Health:
    """The books of one session: which test made what, and when each test ran. late: see dated()."""

    def __init__(self, kernel: Path = Path("/sys/kernel")) -> None:
        self._bpf = Bpf()
        self._links = _open("/sys/class/net")
        self._owners: dict[Thing, str] = {}
        self._last_pid = ""
        self._times: list[tuple[float, str]] = []
        self._held: dict[str, tuple[float, str]] = {}
        self.late: list[tuple[str, str]] = []
        self._pools = PagePools(kernel / "tracing")
        self._memory = Kmemleak(kernel / "debug" / "kmemleak")
        self._look("")

    def begin(self, test: str) -> None:
        """A test starts."""
        self._times.append((time.monotonic(), test))

    def end(self, test: str) -> None:
        """A test is over: what is new is its doing."""
        self._look(test)

    def finish(self, patience: float = PATIENCE) -> tuple[list[Left], dict[str, str]]:
        """What was left behind, once every fixture is gone; and kmemleak's reports, as log lines, by test ("": none).

        Waits for what is still there, at most `patience` seconds; kmemleak needs 5 more (its MSECS_MIN_AGE), and a
        device that somebody holds a reference to 12. Where no test ran it does not look: a guest that takes the place
        of one whose farewell hung would hang like it, and the next.
        """
        if not self._times:
            return [], {}
        self._wait_for_namespaces()
        until = time.monotonic() + patience
        while (left := self._remaining()) and time.monotonic() < until:
            time.sleep(_DEADLINE_POLL)
        found = [(self._owners[thing], thing[0], name) for thing, name in left.items()]
        found += [(self._test_at(at), "page pool", what) for at, what in self._pools.stalled()]
        return found, by_test((self._test_at(at), text) for at, text in self._memory.scan())

    def dated(self, log: str) -> str:
        """A log without the kernel's complaints of devices that are still held. `late` gets those, with the tests that
        ran when it began to wait for them: it complains every ten seconds, so mostly while others run. Nor is there
        in it how many objects kmemleak found, for finish() has each with its test.
        """
        kept: list[str] = []
        for line in log.splitlines():
            stalled = _STALLED.match(line)
            test = self._holder(stalled["device"], float(stalled["at"])) if stalled else ""
            if test:
                self.late.append((test, line))
            elif not (self._memory.is_scanned and _SCANNED.match(line)):
                kept.append(line)
        return "\n".join(kept)

    def _holder(self, device: str, at: float) -> str:
        """The test that ran when the kernel began to wait for a device that it complains of; "" before the first."""
        last, test = self._held.get(device, (float("-inf"), ""))
        if at - last > _WAITS * 1.5:
            test = self._test_at(at - _WAITS)
        self._held[device] = at, test
        return test

    def _wait_for_namespaces(self) -> None:
        """Until every namespace that is to go is gone, or the kernel has said why not.

        cleanup_net() takes them in turn: one of ours goes only after the others.
        """
        if self._links is None:
            return
        make = f"ip link add {_LAST_OUT} type veth peer name {_LAST_IN} && ip link set {_LAST_OUT} netns 1"
        until = time.monotonic() + _REFERENCES
        nowhere = subprocess.DEVNULL
        try:
            # One that hangs in the kernel cannot be waited for: subprocess.run() would, for ever, after its timeout.
            making = subprocess.Popen(["unshare", "-n", "sh", "-c", make], stdout=nowhere, stderr=nowhere)
        except OSError:
            return
        while making.poll() is None and time.monotonic() < until:
            time.sleep(_DEADLINE_POLL)
        while making.poll() == 0 and _LAST_OUT in os.listdir(self._links) and time.monotonic() < until:  # noqa: PTH208
            time.sleep(_DEADLINE_POLL)
        making.kill()

    def _test_at(self, at: float) -> str:
        """The test that ran at a time of the monotonic clock, or had been the last to run; "" before the first."""
        return next((test for begun, test in reversed(self._times) if begun <= at), "")

    def _look(self, owner: str) -> None:
        """Note whose everything new is; forget what is gone, for names come again.

        What was there before all tests is nobody's for ever: a card may be bound anew, or come back from a namespace.
        """
        present = dict.fromkeys((*self._listed(), *self._processes()))
        for thing in [thing for thing, by in self._owners.items() if by and thing[0] in _LISTED]:
            if thing not in present:
                del self._owners[thing]
        for thing in (*present, *self._bpf.new()):
            self._owners.setdefault(thing, owner)

    def _listed(self) -> list[Thing]:
        """Links, and the namespaces that have a name (ip-netns(8))."""
        links = [] if self._links is None else os.listdir(self._links)  # noqa: PTH208
        try:
            namespaces = os.listdir(_NETNS)  # noqa: PTH208
        except OSError:
            namespaces = []
        return [*(("link", name) for name in links), *(("namespace", name) for name in namespaces)]

    def _processes(self) -> Iterator[Thing]:
        """Processes; those of the last look where none was started since (/proc/loadavg ends with the last pid)."""
        last = _read("/proc/loadavg").rpartition(" ")[2]
        if last == self._last_pid:
            yield from (thing for thing in self._owners if thing[0] == "process")
            return
        self._last_pid = last
        yield from (("process", name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208

    def _remaining(self) -> dict[Thing, str]:
        """What tests made and what is there yet, with names that are the same on every boot."""
        listed = set(self._listed())
        made = [thing for thing, owner in self._owners.items() if owner]
        named = ((thing, self._name(thing, thing in listed)) for thing in made)
        return {thing: name for thing, name in named if name}

    def _name(self, thing: Thing, listed: bool) -> str:
        """What people call it; "" where it is gone, or was no test's after all."""
        kind, identity = thing
        if kind == "process":
            return _command_of(identity)
        if kind in _LISTED:
            return identity if listed else ""
        return self._bpf.name(thing)


_LISTED = ("link", "namespace", "process")


def by_test(told: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What was told of each test, a line or more at a time, in one text."""
    found: dict[str, str] = {}
    for test, text in told:
        found[test] = f"{found[test]}\n{text}" if test in found else text
    return found


def _open(folder: str) -> int | None:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None


def _command_of(pid: str) -> str:
    """The name of a process that some test started; "" where it is gone, the worker itself, or none of ours."""
    if int(pid) == os.getpid() or MARK.encode() + b"=" not in _bytes(f"/proc/{pid}/environ"):
        return ""
    status = _read(f"/proc/{pid}/stat")
    return status[status.find("(") + 1 : status.rfind(")")]


def _read(path: str) -> str:
    return _bytes(path).decode("utf-8", "replace")


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


class Bpf:
    """BPF programs, maps and links by id. Ids only grow (idr_alloc_cyclic), so a look begins at the highest known."""

    # kind: its BPF_*_GET_NEXT_ID and BPF_*_GET_FD_BY_ID (include/uapi/linux/bpf.h).
    COMMANDS = (("bpf program", 11, 13), ("bpf map", 12, 14), ("bpf link", 31, 30))
    _INFO_BY_FD = 15
    _NUMBERS = (("x86_64", 321), ("aarch64", 280), ("riscv64", 280), ("armv7l", 386), ("ppc64le", 361), ("s390x", 351))

    def __init__(self) -> None:
        self._number = dict(self._NUMBERS).get(platform.machine())
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        self._highest = dict.fromkeys((kind for kind, _, _ in self.COMMANDS), 0)

    def new(self) -> list[Thing]:
        """What was made since the last call and is there yet; all there is, at the first."""
        found: list[Thing] = []
        for kind, following, _ in self.COMMANDS:
            while (number := self._next(following, self._highest[kind])) is not None:
                self._highest[kind] = number
                found.append((kind, str(number)))
        return found

    def name(self, thing: Thing) -> str:
        """A program's or map's name, a link's program; "" where it is gone."""
        kind, number = thing
        opener = next(opener for known, _, opener in self.COMMANDS if known == kind)
        fd = self._bpf(opener, (ctypes.c_uint32 * 3)(int(number)))
        if fd < 0:
            return ""
        try:
            return self._described(kind, self._info(fd))
        finally:
            os.close(fd)

    def _described(self, kind: str, info: bytes) -> str:
        """From struct bpf_prog_info, bpf_map_info or bpf_link_info."""
        type_number = int.from_bytes(info[:4], "little")
        if kind == "bpf link":
            program = int.from_bytes(info[8:12], "little")
            return f"to {self.name(('bpf program', str(program))) or 'a program'}"
        at = 64 if kind == "bpf program" else 24
        name = info[at : at + 16].split(b"\0")[0].decode("ascii", "replace")
        # systemd loads its own when a service of the board starts.
        return "" if name.startswith("sd_") else name or f"of type {type_number}"

    def _info(self, fd: int) -> bytes:
        buffer = ctypes.create_string_buffer(512)
        attributes = (ctypes.c_uint64 * 2)(fd | len(buffer) << 32, ctypes.addressof(buffer))
        self._bpf(self._INFO_BY_FD, attributes)
        return buffer.raw

    def _next(self, command: int, after: int) -> int | None:
        attributes = (ctypes.c_uint32 * 3)(after)
        return attributes[1] if self._bpf(command, attributes) == 0 else None

    def _bpf(self, command: int, attributes: ctypes.Array[ctypes.c_uint32] | ctypes.Array[ctypes.c_uint64]) -> int:
        if self._number is None:
            return -errno.ENOSYS
        return int(self._call(self._number, command, ctypes.byref(attributes), ctypes.sizeof(attributes)))


class PagePools:
    """Pools that were destroyed and wait for pages that never come back: the kernel warns of it only after a minute."""

    _RECORD = re.compile(r"(\d+\.\d+): page_pool_release: page_pool=(\S+) inflight=(-?\d+) ")
    _ROUNDS = 3.5  # seconds: page_pool_release_retry() comes by every second (DEFER_TIME)

    def __init__(self, tracing: Path) -> None:
        if not (tracing / "events").is_dir():
            ctypes.CDLL(None).mount(b"tracefs", str(tracing).encode(), b"tracefs", 0, None)
        self._clock = tracing / "trace_clock"
        self._event = tracing / "events" / "page_pool" / "page_pool_release" / "enable"
        self._clock_before = re.search(r"\[(\w+)\]", _read(str(self._clock)))
        self._trace = tracing / "trace" if _write(self._clock, "mono") and _write(self._event, "1") else None

    def stalled(self) -> list[tuple[float, str]]:
        """When each pool that still misses pages was destroyed (monotonic clock, seconds), and how many it misses."""
        until = time.monotonic() + self._ROUNDS
        while (open_pools := self._open()) and time.monotonic() < until:
            time.sleep(0.1)
        now = time.monotonic()
        self._restore()
        return [(begun, f"{pages} pages out") for begun, last, pages in open_pools if now - last < self._ROUNDS]

    def _restore(self) -> None:
        """A board lives on."""
        if self._trace and self._clock_before:
            _write(self._event, "0")
            _write(self._clock, self._clock_before[1])

    def _open(self) -> list[tuple[float, float, int]]:
        """(first, last record, pages) of each pool whose last record has pages out."""
        pools: dict[str, tuple[float, float, int]] = {}
        for found in self._RECORD.finditer(_read(str(self._trace)) if self._trace else ""):
            at, pool, pages = float(found[1]), found[2], int(found[3])
            first = pools[pool][0] if pool in pools and pools[pool][2] else at
            pools[pool] = (first, at, pages)
        return [pool for pool in pools.values() if pool[2]]


class Kmemleak:
    """kmemleak, scanned by us and not by its own thread, so that its findings can be dated."""

    _MIN_AGE = 5.5  # seconds; younger objects are not reported (MSECS_MIN_AGE is 5000)
    _JIFFIES = re.compile(r"\bjiffies (\d+)")

    def __init__(self, file: Path) -> None:
        self._file = file if _write(file, "scan=off") else None

    @property
    def is_scanned(self) -> bool:
        """Whether this kernel has it, and we may use it."""
        return self._file is not None

    def scan(self) -> list[tuple[float, str]]:
        """When each leaked object was allocated (monotonic clock, seconds), and the report as lines of a kernel log."""
        if self._file is None:
            return []
        time.sleep(self._MIN_AGE)
        # An object whose content changed since the last scan is in use; the first has none before it (update_checksum).
        _write(self._file, "scan")
        _write(self._file, "scan")
        text = _read(str(self._file))
        _write(self._file, "scan=on")
        reports = re.split(r"^(?=unreferenced object )", text, flags=re.MULTILINE)[1:]
        return [(self._date(report), _stamped(report)) for report in reports]

    def _date(self, report: str) -> float:
        jiffies = self._JIFFIES.search(report)
        return _monotonic_of(int(jiffies[1])) if jiffies else 0.0


def _monotonic_of(jiffies: int) -> float:
    """The monotonic clock, in seconds, when jiffies were that many (/proc/timer_list tells both as of now)."""
    listing = _read("/proc/timer_list")
    now = re.search(r"^now at (\d+) nsecs", listing, re.MULTILINE)
    count = re.search(r"^jiffies: (\d+)", listing, re.MULTILINE)
    if not now or not count:
        return 0.0
    return int(now[1]) / 1e9 - (int(count[1]) - jiffies) * time.clock_getres(_COARSE)


def _stamped(report: str) -> str:
    """A report with a time before each line, as the kernel log has it."""
    now = time.monotonic()
    return "\n".join(f"[{now:12.6f}] {line}" for line in f"kmemleak: {report.rstrip()}".split("\n"))


def _write(path: Path, text: str) -> bool:
    try:
        path.write_text(text)
    except OSError:
        return False
    return True
