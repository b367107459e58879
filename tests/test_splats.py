"""The kernel's complaints are found in its log, named the same every time, and nothing else is taken for one."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.splats import find_splats, is_timely, same_splat, splat_reason

GOLDEN = Path(__file__).parent / "golden" / "splats"
LOGS = sorted(GOLDEN.glob("*.log"))


def read(name: str) -> str:
    return (GOLDEN / f"{name}.log").read_bytes().decode()


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_each_log_holds_exactly_the_splats_listed_beside_it(path):
    expected = path.with_suffix(".keys").read_text().splitlines()
    assert [splat.key for splat in find_splats(path.read_bytes().decode())] == expected


def test_an_ordinary_boot_raises_nothing():
    assert find_splats(read("ordinary_boot")) == ()


def test_the_key_does_not_change_with_offsets_lines_times_and_compiler_suffixes():
    log = read("warning_old")
    moved = re.sub(r"0x[0-9a-f]+", "0x99", log).replace(":4164 ", ":4201 ").replace(".constprop.0", ".isra.3.cold")
    moved = re.sub(r"\[   41\.", "[  141.", moved)
    assert [splat.key for splat in find_splats(moved)] == [splat.key for splat in find_splats(log)]


@pytest.mark.parametrize(
    "dress",
    [
        lambda line: f"<4>{line}",
        lambda line: line.replace("] ", "][  T214] ", 1),
        lambda line: line.replace("] ", "][    C1] ", 1),
        lambda line: line + "\r",
        lambda line: f"\x1b[31m{line}\x1b[0m",
        lambda line: f"Nov  1 10:00:00 guest kernel: {line}",
        lambda line: line.split("] ", 1)[1],  # leaves the stamps of empty lines
    ],
    ids=["level", "thread", "cpu", "crlf", "colours", "syslog", "bare"],
)
@pytest.mark.parametrize("name", ["warning_old", "kasan_slab_out_of_bounds", "lockdep_circular", "kernel_bug"])
def test_the_key_does_not_change_with_how_the_console_dresses_lines(name, dress):
    log = read(name)
    dressed = "\n".join(dress(line) if "] " in line else line for line in log.splitlines())
    assert [splat.key for splat in find_splats(dressed)] == [splat.key for splat in find_splats(log)]


def test_the_text_of_a_splat_is_its_whole_report_and_no_more():
    (splat,) = find_splats(read("warning_old"))
    lines = splat.text.splitlines()
    assert lines[0].endswith("[ cut here ]------------")
    assert lines[-1].endswith("---[ end trace 0000000000000000 ]---")


def test_a_panic_after_an_oops_is_one_splat_with_both_in_its_text():
    (splat,) = find_splats(read("null_deref_then_panic"))
    assert splat.kind == "NULL pointer dereference"
    assert "Kernel panic - not syncing: Fatal exception in interrupt" in splat.text


def test_a_warning_does_not_swallow_a_later_panic_of_its_own():
    assert [splat.kind for splat in find_splats(read("warning_then_own_panic"))] == [
        "WARNING",
        "panic: Attempted to kill init! exitcode=N",
    ]


def test_a_report_that_a_slice_cuts_off_is_the_same_as_the_whole_one():
    (whole,) = find_splats(read("warning_old"))
    (cut,) = find_splats(read("cut_off"))
    assert cut.key != whole.key
    assert same_splat(cut, whole)
    assert same_splat(whole, cut)


def test_splats_of_different_functions_are_not_the_same():
    (one,) = find_splats(read("warning_old"))
    (other,) = find_splats(read("warning_arm64"))
    assert not same_splat(one, other)


def test_each_repetition_is_reported_once():
    assert len(find_splats(read("warning_old") * 50)) == 1


def test_stalls_depend_on_the_machine_and_a_sanitizer_report_does_not():
    assert all(is_timely(splat) for splat in find_splats(read("stalls_and_lockups")))
    assert not any(is_timely(splat) for splat in find_splats(read("kasan_slab_out_of_bounds")))


def test_the_reason_of_a_failure_names_the_first_and_counts_the_rest():
    splats = find_splats(read("rcu_usage_then_sleeping"))
    assert splat_reason(splats) == "kernel log: lockdep: suspicious RCU usage in xdp_do_redirect (and 1 more)"


@given(st.text())
def test_no_text_breaks_the_search(text):
    find_splats(text)


@given(st.lists(st.sampled_from([line for path in LOGS for line in path.read_bytes().decode().splitlines()])))
def test_no_mixture_of_real_lines_breaks_the_search(lines):
    for splat in find_splats("\n".join(lines)):
        assert splat.key
        assert splat.text


@pytest.mark.parametrize("line", ["[", "[ 1.000000] BUG: KASAN: " + "a" * 100, "Oops: " + "a " * 40, "\x1b]" * 20])
def test_a_huge_log_is_searched_in_moderate_time(line):
    began = time.monotonic()
    find_splats((line * 10 + "\n") * (2_000_000 // (len(line) * 10)) + line * 100_000)
    assert time.monotonic() - began < 10
