"""The unit tests beside what a series touches are found, with the symbol that builds each."""

from __future__ import annotations

import importlib
import os
import sys

import pytest
from selftest_tree import commit_tree

from harness.choice import choose
from harness.kunit import KunitTest, find_kunit_tests, kunit_fragment, not_built
from harness.kunit_symbol import symbol_of
from harness.places import suites_dir
from harness.plan import Invocation
from harness.tree import Applied, Base, BaseReason

SUITE = "static struct kunit_suite suite;\nkunit_test_suites(&suite);\n"
FILES = {
    "net/core/Makefile": "obj-y := filter.o\nobj-$(CONFIG_NET_TEST) += \\\n\tnet_test.o\n",
    "net/core/filter.c": "int x;\n",
    "net/core/net_test.c": SUITE,
    "net/mac/Makefile": "obj-$(CONFIG_MAC) += mac.o\n",
    "net/mac/util.c": "",
    "net/mac/tests/Makefile": "mac-tests-y := module.o elems.o\nobj-$(CONFIG_MAC_KUNIT_TEST) += mac-tests.o\n",
    "net/mac/tests/elems.c": "kunit_test_suite(suite);\n",
    "lib/Makefile": "obj-y += always_kunit.o\nobj-m += loaded_kunit.o\n",
    "lib/loaded_kunit.c": SUITE,
    "lib/always_kunit.c": SUITE,
    "tools/net_test.c": SUITE,
}


@pytest.mark.parametrize(
    ("touched", "symbols"),
    [
        ("net/core/filter.c", ["NET_TEST"]),
        ("net/core/net_test.c", ["NET_TEST"]),
        ("net/mac/util.c", ["MAC_KUNIT_TEST"]),  # in a folder beside it, part of a composite object
        ("lib/always_kunit.c", ["KUNIT", ""]),  # with the framework alone; as a module only
        ("tools/net_test.c", []),
        ("Makefile", []),
    ],
)
def test_tests_are_found_in_the_folder_and_beside_it(tmp_path, touched, symbols):
    commit = commit_tree(tmp_path, FILES)
    found = find_kunit_tests(tmp_path, commit, [touched])
    assert [test.symbol for test in found] == symbols
    assert all(test.why == f"touches {touched}" for test in found)


IN_DRIVERS = {
    "drivers/a/Makefile": (
        "obj-$(CONFIG_A) += a.o b.o whole.o\nwhole-y := c.o\nwhole-${CONFIG_C_KUNIT_TEST} += test.o\n"
    ),
    "drivers/a/a.c": (
        "#ifdef CONFIG_POLL\nint p;\n#else\nint q;\n#endif\n"
        "#if IS_ENABLED(CONFIG_A_KUNIT_TEST)\n# ifdef CONFIG_B\n# endif\nkunit_test_suite(a);\n#endif\n"
    ),
    "drivers/a/b.c": '#ifdef CONFIG_B_TEST\n#include "b_test.c"\n#endif\n',
    "drivers/a/b_test.c": SUITE,
    "drivers/a/c.c": '#include "tests/c_test.c"\n#ifndef CONFIG_C\nint c;\n#endif\n',
    "drivers/a/tests/c_test.c": SUITE,  # no #if around it: the driver's own symbol
    "drivers/a/test.c": SUITE,
    "drivers/a/dma_test.c": SUITE,  # not test.o
    "mm/Makefile": "obj-$(CONFIG_LAZY_KUNIT_TEST) += \\\n\ttests/lazy_kunit.o\n",
    "mm/tests/lazy_kunit.c": "#if !defined(CONFIG_MMU)\n" + SUITE + "#endif\n",
}


@pytest.mark.parametrize(
    ("source", "symbol"),
    [
        ("drivers/a/a.c", "A_KUNIT_TEST"),
        ("drivers/a/b_test.c", "B_TEST"),
        ("drivers/a/tests/c_test.c", "A"),
        ("drivers/a/test.c", "C_KUNIT_TEST"),
        ("drivers/a/dma_test.c", ""),
        ("mm/tests/lazy_kunit.c", "LAZY_KUNIT_TEST"),
    ],
)
def test_the_symbol_is_found_wherever_a_test_is_compiled(tmp_path, source, symbol):
    assert symbol_of(tmp_path, commit_tree(tmp_path, IN_DRIVERS), source) == symbol


def test_tests_that_nothing_builds_are_named(tmp_path):
    tests = find_kunit_tests(tmp_path, commit_tree(tmp_path, IN_DRIVERS), ["drivers/a/a.c"])
    assert not_built(tests) == "unit tests that cannot be built in here: drivers/a/dma_test.c"
    assert {setting.symbol for setting in kunit_fragment(tests).settings[3:]} == {
        "A_KUNIT_TEST", "B_TEST", "A", "C_KUNIT_TEST"
    }  # fmt: skip
    many = [KunitTest(f"{at}.c", "", "") for at in range(6)]
    assert not_built(many).endswith("0.c, 1.c, 2.c, 3.c and 2 more")
    assert not not_built([])


def choice_for(tmp_path, changed, suites=()):
    commit = commit_tree(tmp_path, {**FILES, **IN_DRIVERS})
    base = Base(commit, "tree", BaseReason.HEAD, "why", "6.12")
    asked = Invocation(series="x.mbox", cwd=str(tmp_path), suites=suites)
    found = choose(asked, Applied(base, (), commit, "tree", tuple(changed)), tmp_path)
    return {chosen.suite.name: chosen.why for chosen in found.picked}, [each.name for each in found.fragments]


def test_a_series_in_a_folder_with_unit_tests_gets_them(tmp_path):
    picked, fragments = choice_for(tmp_path, ["net/core/filter.c"])
    assert picked["kunit"] == "touches net/core/filter.c, with unit tests beside it"
    assert "kunit" in fragments


def test_one_elsewhere_does_not_nor_where_other_suites_were_asked_for(tmp_path):
    for changed, suites in ((["net/ipv4/tcp.c"], ()), (["net/core/filter.c"], ("xdp_multibuf",))):
        picked, fragments = choice_for(tmp_path, changed, suites)
        assert "kunit" not in picked
        assert "kunit" not in fragments


def test_why_the_suite_was_picked_names_what_it_lacks(tmp_path):
    picked, _ = choice_for(tmp_path, ["drivers/a/b.c"])
    lacks = "unit tests that cannot be built in here: drivers/a/dma_test.c"
    assert picked["kunit"] == f"touches drivers/a/b.c, with unit tests beside it; {lacks}"
    picked, _ = choice_for(tmp_path, ["drivers/a/b.c"], ("kunit",))
    assert picked["kunit"].endswith(lacks)


def test_the_fragment_builds_them_in_and_says_why(tmp_path):
    fragment = kunit_fragment(find_kunit_tests(tmp_path, commit_tree(tmp_path, FILES), ["net/core/filter.c"]))
    assert [(each.symbol, each.value, each.optional) for each in fragment.settings] == [
        ("KUNIT", "y", True),
        ("KUNIT_DEFAULT_ENABLED", "y", True),
        ("LOG_BUF_SHIFT", "21", True),
        ("NET_TEST", "y", True),
    ]
    assert "net/core/net_test.c: touches net/core/filter.c" in fragment.settings[3].reason


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


def test_unit_tests_that_are_told_not_to_run_are_said_to_be(suite, monkeypatch, request):
    log_of(suite, monkeypatch, "6,0,0,-;Linux version 6.12\n", "6,1,90,-;kunit: disabled\n")
    monkeypatch.setenv("KTRIAL_KSELFTEST_READER", str(suites_dir().parent))
    with pytest.raises(pytest.skip.Exception, match="KUNIT_DEFAULT_ENABLED"):
        suite.test("boot", request)
