"""KUnit's results: built-in tests ran while the kernel booted and printed KTAP to its log (lib/kunit/executor.c).

Each case is a result of its own; the test itself fails only for what no case tells: results that were lost.
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import asdict

import pytest


@pytest.mark.parametrize("when", ["boot"])
def test(when: str, request: pytest.FixtureRequest) -> None:
    """All that KUnit told while this guest came up."""
    reader = os.environ.get("KTRIAL_KSELFTEST_READER")
    if not reader:
        pytest.skip("no unit tests were built in: ktrial run does it, for the folders that a series touches")
    sys.path.insert(0, reader)
    try:
        ktap = importlib.import_module("harness.ktap")
    finally:
        sys.path.pop(0)
    log = _kernel_log()
    begin = log.find("KTAP version")
    if begin < 0:
        pytest.skip("the kernel ran no unit tests: none of those that were asked for is built into it")
    report = ktap.parse_ktap(log[begin:])
    request.node.user_properties.append(("ktrial-subtests", [asdict(case) for case in report.cases]))
    assert not report.problems, "; ".join(report.problems)


def _kernel_log() -> str:
    """The whole kernel log, without time stamps (Documentation/ABI/testing/dev-kmsg)."""
    handle = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    lines = []
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        while True:
            try:
                record = os.read(handle, 8192).decode("utf-8", "replace")
            except BlockingIOError:
                return "\n".join(lines)
            except BrokenPipeError:  # overwritten: go on with the oldest that is there
                continue
            lines.append(record.partition(";")[2].partition("\n")[0])
    finally:
        os.close(handle)
