"""The unit tests beside what a series touches are found, with the symbol that builds each."""

from __future__ import annotations

import importlib
import os
import sys

import pytest
from selftest_tree import commit_tree

from harness.kunit import find_kunit_tests, kunit_fragment
from harness.places import suites_dir

SUITE = "static struct kunit_suite suite;\nkunit_test_suites(&suite);\n"
FILES = {
    "net/core/Makefile": "obj-y := filter.o\nobj-$(CONFIG_NET_TEST) += \\\n\tnet_test.o\n",
    "net/core/filter.c": "int x;\n",
    "net/core/net_test.c": SUITE,
    "net/mac/Makefile": "obj-$(CONFIG_MAC) += mac.o\n",
    "net/mac/util.c": "",
    "net/mac/tests/Makefile": "mac-tests-y := module.o elems.o\nobj-$(CONFIG_MAC_KUNIT_TEST) += mac-tests.o\n",
    "net/mac/tests/elems.c": "kunit_test_suite(suite);\n",
    "lib/Makefile": "obj-y += always_kunit.o\n",
    "lib/always_kunit.c": SUITE,
    "tools/net_test.c": SUITE,
}


@pytest.mark.parametrize(
    ("touched", "symbols"),
    [
        ("net/core/filter.c", ["NET_TEST"]),
        ("net/core/net_test.c", ["NET_TEST"]),
        ("net/mac/util.c", ["MAC_KUNIT_TEST"]),  # in a folder beside it, part of a composite object
        ("lib/always_kunit.c", []),
        ("tools/net_test.c", []),
        ("Makefile", []),
    ],
)
def test_tests_are_found_in_the_folder_and_beside_it(tmp_path, touched, symbols):
    commit = commit_tree(tmp_path, FILES)
    found = find_kunit_tests(tmp_path, commit, [touched])
    assert [test.symbol for test in found] == symbols
    assert all(test.why == f"touches {touched}" for test in found)


def test_the_fragment_builds_them_in_and_says_why(tmp_path):
    fragment = kunit_fragment(find_kunit_tests(tmp_path, commit_tree(tmp_path, FILES), ["net/core/filter.c"]))
    assert [(each.symbol, each.value, each.optional) for each in fragment.settings] == [
        ("KUNIT", "y", True),
        ("LOG_BUF_SHIFT", "21", True),
        ("NET_TEST", "y", True),
    ]
    assert "net/core/net_test.c: touches net/core/filter.c" in fragment.settings[2].reason


@pytest.fixture
def suite(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(suites_dir()), *sys.path])
    return importlib.import_module("kunit.test_kunit")


def log_of(suite, monkeypatch, *records: str | OSError) -> None:
    """Have the suite read these records, one at a read, as the kernel gives them."""
    left = [*records, BlockingIOError()]

    def read(handle: int, size: int) -> bytes:
        record = left.pop(0)
        if isinstance(record, OSError):
            raise record
        return record.encode()

    monkeypatch.setattr(suite, "_LOG", os.devnull)
    monkeypatch.setattr(suite.os, "read", read)


def test_the_log_of_a_boot_is_read_without_its_stamps_and_dictionaries(suite, monkeypatch):
    log_of(suite, monkeypatch, "6,0,0,-;Linux version 6.12\n SUBSYSTEM=x\n", "6,1,90,-;KTAP version 1\n")
    assert suite._kernel_log() == "Linux version 6.12\nKTAP version 1"


@pytest.mark.parametrize(
    "records",
    [
        ("6,4097,90,-;ok 7 late\n",),  # the boot was overwritten before it was read
        ("6,0,0,-;Linux version\n", BrokenPipeError(), "6,900,90,-;ok 7 late\n"),  # and while it was
    ],
)
def test_a_log_that_no_longer_holds_the_boot_fails(suite, monkeypatch, records):
    log_of(suite, monkeypatch, *records)
    with pytest.raises(pytest.fail.Exception, match="no longer holds the boot"):
        suite._kernel_log()
