"""Diagnostics read out of build logs: each log in data/build/logs beside what is to be found in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.build import new_diagnostics, parse_diagnostics
from harness.build.diagnostics import first_error
from harness.build.model import Diagnostic

LOGS = Path(__file__).parent / "data" / "build" / "logs"


def rendered(diagnostic: Diagnostic) -> str:
    return "\t".join(
        (diagnostic.severity, f"{diagnostic.file}:{diagnostic.line}", diagnostic.flag or "-", diagnostic.message)
    )


@pytest.mark.parametrize("log", sorted(LOGS.glob("*.log")), ids=lambda path: path.stem)
def test_a_log_holds_these_diagnostics(log):
    found = "".join(f"{rendered(diagnostic)}\n" for diagnostic in parse_diagnostics(log.read_text()))
    assert found == log.with_suffix(".expected").read_text()


def test_code_that_only_moved_complains_of_nothing_new():
    base = parse_diagnostics("net/a.c:5:1: warning: the frame size of 1040 bytes is larger than 1024 bytes [-Wframe]")
    moved = parse_diagnostics("net/a.c:9:1: warning: the frame size of 1056 bytes is larger than 1024 bytes [-Wframe]")
    assert new_diagnostics(base, moved) == ()


def test_a_warning_of_a_header_counts_once_however_many_objects_include_it():
    line = "/ktrial/src/include/a.h:5:1: warning: unused [-Wunused]\n"
    assert len(parse_diagnostics(line * 600)) == 1


def test_only_the_second_of_two_equal_warnings_is_new():
    base = parse_diagnostics("a.c:5:1: warning: unused [-Wunused]\n")
    patched = parse_diagnostics("a.c:5:1: warning: unused [-Wunused]\na.c:9:1: warning: unused [-Wunused]\n")
    assert [diagnostic.line for diagnostic in new_diagnostics(base, patched)] == [9]


def test_the_same_words_in_another_file_are_new():
    base = parse_diagnostics("a.c:5:1: warning: unused [-Wunused]\n")
    assert len(new_diagnostics(base, parse_diagnostics("b.c:5:1: warning: unused [-Wunused]\n"))) == 1


def test_as_an_error_the_same_warning_is_new():
    base = parse_diagnostics("a.c:5:1: warning: unused [-Wunused]\n")
    assert len(new_diagnostics(base, parse_diagnostics("a.c:5:1: error: unused [-Werror=unused]\n"))) == 1


def test_the_build_is_stopped_by_the_first_error_that_names_a_line():
    error = first_error(parse_diagnostics((LOGS / "gcc.log").read_text()))
    assert error is not None
    assert (error.file, error.line) == ("net/core/a.c", 7)


def test_the_numbers_of_types_are_no_part_of_what_resolve_btfids_warns_of():
    base, patched = (
        parse_diagnostics(f"WARN: multiple IDs found for 'inet_sock': {ids} - using {ids[:5]}\n")
        for ids in ("50154, 61297", "50148, 61290")
    )
    assert len(base) == 1
    assert new_diagnostics(base, patched) == ()
