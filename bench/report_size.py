"""How large a report is, and how long a browser takes to show it: 20,000 subtests, and what an ordinary run has.

Opens the page in headless Chromium that is up already, and waits until it has been laid out and painted once. The time
is the browser's own (performance.now() runs from the navigation's start), the median of several openings. It says how
many other tasks the machine had, for these are its time as well.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness.compare import compare
from harness.report.evidence import Evidence, gather
from harness.report.html import html_page
from harness.report.json import read_result
from harness.results import Boot, Outcome, SideResults, TestResult
from harness.run_result import Environment, Paths, RunResult
from harness.store import find_run
from harness.verdict import decide

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_LIMIT_SECONDS = 1.0
_LIMIT_BYTES = 2_000_000
_LOG = "\n".join(f"[{at / 1000:12.6f}] veth{at % 7}: entered promiscuous mode" for at in range(40))
_DETAILS = "\n".join(
    ("    def test_it(machine):", *("        line" for _ in range(30)), ">       assert x", "E   assert 1 == 2")
)


@dataclass(frozen=True)
class Opened:
    """One opening. interactive: the document is parsed; painted: and was on the screen. Milliseconds."""

    interactive: float
    painted: float
    elements: int


_START = """<!DOCTYPE html><title>up</title><script>
addEventListener("load", () => setTimeout(() => location.replace("/page.html"), 1500));
</script>"""


def made_up(count: int, broken: int) -> RunResult:
    """A run of so many subtests, of which some broke, with names and logs as kselftest's are."""
    names = [f"kselftest/test_{at % 40}.py::test_selftest[bpf:test_{at % 400}]/case_{at}" for at in range(count)]
    every = max(1, count // max(broken, 1))
    base = tuple(TestResult(name, Outcome.PASSED, log=_LOG, seconds=0.1, boot="000") for name in names)
    bad = {name for at, name in enumerate(names) if at % every == 0}
    patched = tuple(
        replace(each, outcome=Outcome.FAILED, reason="assert 1 == 2", details=_DETAILS) if each.test in bad else each
        for each in base
    )
    boots = (Boot("000", "clean", "console.log", 5.0, "tcg"),)
    sides = (SideResults("base", base, boots, 60.0, True), SideResults("patched", patched, boots, 60.0, True))
    comparison = compare(*sides)
    return RunResult(
        run="20260101-0000-made-up-0000",
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T01:00:00+00:00",
        verdict=decide(comparison),
        environment=Environment("0"),
        paths=Paths("/nowhere"),
        base=sides[0],
        patched=sides[1],
        comparison=comparison,
    )


def opened(page: str, times: int) -> Iterator[Opened]:
    """Open a page in a browser of its own, again and again."""
    browser = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise SystemExit("no Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="ktrial-report-") as folder:
        place = Path(folder)
        place.joinpath("page.html").write_text(_watched(page))
        place.joinpath("start.html").write_text(_START)
        for _ in range(times):
            yield _open(browser, place)


def _watched(page: str) -> str:
    """The page, which tells when it was painted. The policy is taken out of it, for it would not let it tell."""
    head, _, rest = page.partition('<meta http-equiv="Content-Security-Policy"')
    rest = rest.partition(">")[2]
    watch = """<script>
    addEventListener("load", () => requestAnimationFrame(() => setTimeout(() => fetch("/told", {method: "POST",
        body: JSON.stringify({interactive: performance.getEntriesByType("navigation")[0].domInteractive,
        painted: performance.now(), elements: document.getElementsByTagName("*").length})}))));
    </script>"""
    return f"{head}{watch}{rest}"


def _open(browser: str, folder: Path) -> Opened:
    told: list[Opened] = []
    done = threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def do_POST(self) -> None:
            told.append(Opened(**json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(204)
            self.end_headers()
            done.set()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/start.html"
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            argv = [browser, *options, f"--user-data-dir={profile}", "--remote-debugging-port=0", address]
            process = subprocess.Popen(
                argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
            try:
                if not done.wait(120):
                    raise SystemExit(f"{browser} did not show the page within two minutes")
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        server.shutdown()
    return told[0]


def _measure(what: str, result: RunResult, evidence: Evidence, times: int) -> bool:
    """Print size and times of one result's page; whether it keeps to the limits."""
    began = time.perf_counter()
    page = html_page(result, evidence)
    written = time.perf_counter() - began
    size = len(page.encode())
    found = list(opened(page, times))
    painted = statistics.median(each.painted for each in found) / 1000
    interactive = statistics.median(each.interactive for each in found) / 1000
    tests = len(result.comparison.tests) if result.comparison else 0
    print(
        f"{what}: {tests} tests, {size / 1e6:.2f} MB, {found[0].elements} elements; written in {written:.2f} s; "
        f"parsed after {interactive:.2f} s, painted after {painted:.2f} s (median of {times}, "
        f"{min(each.painted for each in found) / 1000:.2f} to {max(each.painted for each in found) / 1000:.2f}), "
        f"with {os.getloadavg()[0]:.1f} tasks on {os.cpu_count()} processors"
    )
    return painted < _LIMIT_SECONDS and (tests > 5000 or size < _LIMIT_BYTES)


def main() -> None:
    """Measure a made-up run of 20,000 subtests, and runs that are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", help="finished runs to measure too, as for `ktrial report`")
    parser.add_argument("--tests", type=int, default=20_000, help="subtests of the made-up run")
    parser.add_argument("--broken", type=int, default=100, help="how many of them broke")
    parser.add_argument("--times", type=int, default=5, help="openings of each page")
    asked = parser.parse_args()
    good = _measure("made up", made_up(asked.tests, asked.broken), Evidence(), asked.times)
    for name in asked.runs:
        run = find_run(name)
        result = read_result(run.result)
        good &= _measure(run.id, result, gather(run, result), asked.times)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
