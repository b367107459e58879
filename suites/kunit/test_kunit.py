"""KUnit's results: built-in tests ran while the kernel booted and printed KTAP to its log (lib/kunit/executor.c).

Each case is a result of its own; the test itself fails only for what no case tells: results that were lost.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict

import pytest

_LOG = "/dev/kmsg"
_DISABLED = "kunit: disabled"  # lib/kunit/executor.c:kunit_run_all_tests
_OVERWRITTEN = "the kernel's log no longer holds the boot: results may be lost (CONFIG_LOG_BUF_SHIFT, log_buf_len=)"


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
    if begin < 0 and _DISABLED in log:
        pytest.skip("KUnit is built in and told not to run (CONFIG_KUNIT_DEFAULT_ENABLED, kunit.enable=)")
    if begin < 0:
        pytest.skip("the kernel ran no unit tests: none of those that were asked for is built into it")
    report = ktap.parse_ktap(log[begin:])
    request.node.user_properties.append(("ktrial-subtests", [asdict(case) for case in report.cases]))
    assert not report.problems, "; ".join(report.problems)


def _kernel_log() -> str:
    """The whole kernel log, without time stamps. Fails the test where it does not begin with the boot any more."""
    lines = []
    with contextlib.closing(_records()) as records:
        for number, record in enumerate(records):
            head, _, text = record.partition(";")
            if number == 0 and int(head.split(",")[1]) != 0:
                pytest.fail(_OVERWRITTEN, pytrace=False)
            lines.append(text.partition("\n")[0])
    return "\n".join(lines)


def _records() -> Iterator[str]:
    """`level,sequence,microseconds,flags;text`, from the oldest on (Documentation/ABI/testing/dev-kmsg)."""
    handle = os.open(_LOG, os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.lseek(handle, 0, os.SEEK_SET)  # dev-kmsg: the first record that is still there
        while True:
            try:
                record = os.read(handle, 8192)
            except BlockingIOError:
                return
            except BrokenPipeError:
                pytest.fail(_OVERWRITTEN, pytrace=False)
            yield record.decode("utf-8", "replace")
    finally:
        os.close(handle)
