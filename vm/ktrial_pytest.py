"""The pytest plugin that ties a suite, a guest and a trial together.

One module with two halves, because pytest-xdist hands the same command line to both ends:

* in the guest (a pytest-xdist worker) it marks where each test begins and ends in the kernel log, and sends that slice
  of the log along with the test's report;
* on the host (the controller) it appends one JSON line for each finished test to a journal, so that a killed run can be
  resumed and nothing is known only in memory.

Before either, the host collects and writes down the names of all tests (`--ktrial-names`), so that no guest collects
more than it runs (late_items.py).

It imports nothing of `harness`: an import costs whole seconds in an emulated guest.

The protocol on the guest's kernel log (`/dev/kmsg`), which the host's watcher reads from the console:
    ktrial: ready                              the worker is up
    ktrial: begin <deadline, seconds> <test>   a test starts
    ktrial: end                                it is over, and its reports are on the way
    ktrial: leaving <deadline, seconds>        there are no more; what they left behind is looked for
    ktrial: over                               that is done, and its report on the way
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol  # as pytest-rerunfailures and others use it: there is no public name
from health import Health, Left, by_test
from late_items import LateItems

MARK = "ktrial:"
_LAST_WORDS = ("after", "boot", "left", "kmemleak")  # of GuestHalf.pytest_sessionfinish
LAST = "ktrial-seconds"  # a property of a test's last report: the duration of all its phases
_CHECKED_SCALE = 4.0  # a kernel with lockdep, and KASAN most likely, runs the same tests that much slower
_FAREWELL = 60.0  # seconds for all that is done when no test is left; kmemleak's scan takes most of it
_LONGEST_NAME = 700  # bytes; a kernel log record holds 1,024 with its prefix (PRINTKRB_RECORD_MAX)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ktrial")
    group.addoption("--ktrial-plan", help="JSON: the tests to run, by name and in order, and their deadlines")
    group.addoption("--ktrial-names", help="file that gets the names of the collected tests, as a JSON list")
    group.addoption("--ktrial-journal", help="file that gets one JSON line for each finished test")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "deadline(seconds): how long this test may take where KVM works")
    config.addinivalue_line("markers", "crashes: the test is meant to take its guest down")
    if hasattr(config, "workerinput"):
        config.option.basetemp = None  # xdist names a folder of the host's
        config.pluginmanager.register(GuestHalf(config), "ktrial-guest")
    elif config.getoption("--ktrial-journal"):
        config.pluginmanager.register(HostHalf(Path(config.getoption("--ktrial-journal"))), "ktrial-host")
    elif config.getoption("--ktrial-names"):
        config.pluginmanager.register(Names(Path(config.getoption("--ktrial-names"))), "ktrial-names")


def _plan(config: pytest.Config) -> dict[str, Any]:
    where = os.environ.get("KTRIAL_PLAN") or config.getoption("--ktrial-plan")
    if not where:
        return {}
    plan: dict[str, Any] = json.loads(Path(where).read_text())
    return plan


class Names:
    """Writes down what was collected."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._path.write_text(json.dumps([item.nodeid for item in session.items]))


class KernelLog:
    """The kernel log since the last look, read from /dev/kmsg (Documentation/ABI/testing/dev-kmsg)."""

    def __init__(self) -> None:
        try:
            self._fd = os.open("/dev/kmsg", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            self._fd = -1
            return
        os.lseek(self._fd, 0, os.SEEK_END)

    def mark(self, text: str) -> None:
        """Print one line into the kernel log, at level `info`."""
        if self._fd >= 0:
            # Without its newline a record waits for a continuation, and neither console nor reader sees it
            # (vprintk_store() in kernel/printk/printk.c commits it but does not make it final).
            os.write(self._fd, f"<6>{MARK} {text}\n".encode("utf-8", "replace"))

    def take(self) -> str:
        """The lines since the last call, as dmesg prints them, our own marks left out."""
        return "\n".join(line for line in self._lines() if f"] {MARK}" not in line)

    def _lines(self) -> Iterable[str]:
        while self._fd >= 0:
            try:
                record = os.read(self._fd, 8192)
            except BlockingIOError:
                return
            except BrokenPipeError:  # overwritten before we read it: the ring buffer goes on with the oldest it has
                yield "[ktrial: kernel log lines were lost]"
                continue
            yield from _shown(record.decode("utf-8", "replace"))


def _shown(record: str) -> Iterable[str]:
    """The text of one /dev/kmsg record `level,sequence,microseconds,flags;text`; its dictionary lines are left out."""
    head, _, rest = record.partition(";")
    microseconds = int(head.split(",")[2])
    stamp = f"[{microseconds // 1_000_000:5d}.{microseconds % 1_000_000:06d}] "
    text = re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), rest.partition("\n")[0])
    return (stamp + line for line in text.split("\n"))


class GuestHalf:
    """Marks each test in the kernel log and sends its slice home."""

    def __init__(self, config: pytest.Config) -> None:
        plan = _plan(config)
        self.scale = float(plan.get("scale", 1.0)) * (_CHECKED_SCALE if Path("/proc/lockdep").exists() else 1.0)
        self.default = float(plan.get("deadline", 30.0))
        self.boot = os.environ.get("KTRIAL_BOOT", "")
        self.tests: list[str] = plan.get("tests", [])
        self.health = Health() if self.boot and plan.get("health", True) else None
        self.log = KernelLog()
        self.config = config

    def pytest_sessionstart(self) -> None:
        self.log.mark("ready")

    def pytest_collection(self, session: pytest.Session) -> bool:
        """Go as far as the modules' names; the tests themselves are made when their turn comes."""
        self.late = LateItems(session, self.tests)
        session.perform_collect(genitems=False)
        session.testscollected = len(self.tests)
        return True

    def pytest_collection_modifyitems(self, items: list[pytest.Item | pytest.Collector]) -> None:
        """Here, for when pytest's collection is over it forgets about a conftest.py whose folder nobody looked into."""
        self.late.look_around(items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Before pytest-xdist's own, which reads the names off `items`."""
        session.items = self.late  # type: ignore[assignment]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Run one test between its marks, and report no more of it than tells something.

        Every report costs an emulated guest milliseconds: of a test that plainly passed only the call's is sent.
        """
        before = self._said()
        marker = item.get_closest_marker("deadline")
        seconds = float(marker.args[0]) if marker else self.default
        name = item.nodeid.encode()[:_LONGEST_NAME].decode("utf-8", "ignore")
        self.log.mark(f"begin {seconds * self.scale:.0f} {name}")
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        if self.health:
            self.health.begin(item.nodeid)
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        if self.health:
            self.health.end(item.nodeid)
        telling = [report for report in reports if report.when == "call"] if all(map(_plain, reports)) else reports
        telling[-1].user_properties = [
            *telling[-1].user_properties,
            (LAST, sum(report.duration for report in reports)),
            ("ktrial-log", self._said()),
            ("ktrial-before", before),
            ("ktrial-boot", self.boot),
        ]
        for report in telling:
            item.ihook.pytest_runtest_logreport(report=report)
        self.log.mark("end")
        return True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        output = getattr(self.config, "workeroutput", None)
        if output is not None:
            left, told, after = self._finish()
            output["ktrial-after"] = after
            output["ktrial-boot"] = self.boot
            output["ktrial-left"], output["ktrial-kmemleak"] = left, told

    def _finish(self) -> tuple[list[Left], dict[str, str], str]:
        """What was left behind; log lines that are some earlier test's doing; what else the kernel said in the end."""
        self.log.mark(f"leaving {_FAREWELL * self.scale:.0f}")
        left, told = self.health.finish() if self.health else ([], {})
        self.log.mark("over")
        after = self._said()
        return left, by_test((*told.items(), *(self.health.late if self.health else ()))), after

    def _said(self) -> str:
        """What the kernel has logged since the last look, but for what belongs to some test before."""
        said = self.log.take()
        return self.health.dated(said) if self.health else said

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Leave at once: all is sent, and execnet's worker would wait 5 s for a thread pool that has nothing to do."""
        os._exit(0)


class HostHalf:
    """Writes the journal: one JSON object a line, in order of finishing, each line written whole."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._phases: dict[tuple[str, str], list[pytest.TestReport]] = {}
        self._starting = ""

    def write(self, event: str, **values: Any) -> None:
        os.write(self._fd, _line({**values, "event": event, "time": time.time()}))

    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self.write("collected", worker=node.gateway.id, tests=list(ids))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Learn which worker a test starts on, which xdist knows and does not pass on (DSession.worker_logstart)."""
        scheduler = session.config.pluginmanager.getplugin("dsession")
        pass_on = getattr(scheduler, "worker_logstart", None)
        if pass_on is None:
            return

        def worker_logstart(node: Any, nodeid: str, location: Any) -> None:
            self._starting = node.gateway.id
            pass_on(node, nodeid, location)

        scheduler.worker_logstart = worker_logstart

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.write("started", test=nodeid, worker=self._starting)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        worker = getattr(getattr(report, "node", None), "gateway", None)
        name = worker.id if worker else ""
        if str(report.when) == "???":  # xdist's report for a test whose worker went away
            self._phases.pop((name, _text(report.nodeid)), None)
            self.write("gone", test=report.nodeid, worker=name)
            return
        place = (name, _text(report.nodeid))
        phases = self._phases.setdefault(place, [])
        phases.append(report)
        if LAST in _properties(report):
            del self._phases[place]
            self.write("finished", test=report.nodeid, worker=name, **_finished(phases))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.write("not-collected", what=report.nodeid, details=_text(report.longrepr))

    def pytest_handlecrashitem(self, report: pytest.TestReport, sched: Any) -> None:
        """A guest that went down under a test counts for `-x` as a failure does, which xdist leaves out."""
        sched.config.pluginmanager.getplugin("dsession")._handlefailures(report)

    def pytest_testnodedown(self, node: Any, error: object | None) -> None:
        output = getattr(node, "workeroutput", None) or {}
        if not isinstance(output, dict):
            output = dict.fromkeys(f"ktrial-{name}" for name in _LAST_WORDS)
        told = {name: output[f"ktrial-{name}"] for name in _LAST_WORDS if f"ktrial-{name}" in output}
        self.write("node-down", worker=node.gateway.id, error=_text(error or ""), **told)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.write("over", status=int(exitstatus))

    def pytest_unconfigure(self) -> None:
        os.close(self._fd)


def _line(values: dict[str, Any]) -> bytes:
    """An event as a line of the journal. What a guest sends and JSON has not is written as Python shows it."""
    try:
        return _json(values)
    except (ValueError, RecursionError):  # nested without end, or a number without end: harness.machine.events tells
        return _json({name: value if _has_json(value) else None for name, value in values.items()})


def _json(value: Any) -> bytes:
    return (json.dumps(value, default=repr, skipkeys=True) + "\n").encode()


def _has_json(value: Any) -> bool:
    try:
        return bool(_json(value))
    except (ValueError, RecursionError):
        return False


def _text(value: object) -> str:
    """A text as it is, and anything else as Python shows it; what even that cannot be done with says so."""
    try:
        return str(value)
    except (ValueError, RecursionError):
        return f"[ktrial: a {type(value).__name__} that cannot be shown]"


def _properties(report: pytest.TestReport) -> dict[str, Any]:
    """What a report carries besides, without what are no pairs of a name and a value."""
    given: Any = report.user_properties
    pairs = given if isinstance(given, list) else []
    return {
        pair[0]: pair[1]
        for pair in pairs
        if isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)
    }


def _finished(phases: list[pytest.TestReport]) -> dict[str, Any]:
    """Merge a test's setup, call and teardown reports: the first that is not plainly passed decides."""
    telling = next((report for report in phases if not _plain(report)), phases[-1])
    properties = _properties(phases[-1])
    return {
        "outcome": _outcome(telling),
        "reason": _reason(telling),
        "details": "\n".join(part for part in (_failure(telling), _sections(phases[-1])) if part),
        "seconds": properties.get(LAST, 0.0),
        "subtests": properties.get("ktrial-subtests", []),
        "figure": properties.get("ktrial-figure", {}),
        "log": properties.get("ktrial-log", ""),
        "before": properties.get("ktrial-before", ""),
        "boot": properties.get("ktrial-boot", ""),
    }


def _sections(report: pytest.TestReport) -> str:
    """What the test printed, or what came in its place."""
    given: Any = report.sections
    if not isinstance(given, list) or not all(isinstance(each, list | tuple) and len(each) == 2 for each in given):
        return _text(given or "")
    texts = ((_text(name), _text(text)) for name, text in given)
    return "\n".join(f"--- {name} ---\n{text}" for name, text in texts if text.strip())


def _failure(report: pytest.TestReport) -> str:
    """pytest's own words for a failure, or what can be shown of what came in their place."""
    try:
        return report.longreprtext
    except (AttributeError, TypeError, ValueError, RecursionError):
        return _text(report.longrepr)


def _plain(report: pytest.TestReport) -> bool:
    return report.passed and not hasattr(report, "wasxfail")


def _outcome(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "passed"
    return _text(report.outcome)  # harness.machine.events knows which there are


def _reason(report: pytest.TestReport) -> str:
    """One line: a skip's reason, or where and how an assertion failed."""
    if hasattr(report, "wasxfail"):
        return _text(report.wasxfail)
    if report.skipped and isinstance(report.longrepr, tuple) and len(report.longrepr) == 3:
        return _text(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    if report.failed and crash is not None:
        where = "" if report.when == "call" else f"in {report.when}: "
        return where + _text(getattr(crash, "message", crash)).removeprefix("Failed: ").strip().split("\n")[0]
    return _failure(report).strip().split("\n")[-1] if report.failed else ""
