"""What a run's folder tells beside its result: frames as lines of the source, when things happened, configurations."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from report_samples import kernel, no_regression, regression

from harness import record
from harness.errors import BuildError
from harness.report.decode import places_of
from harness.report.evidence import gather
from harness.report.logs import LineKind, detail_lines, log_lines
from harness.report.timeline import SpanKind, Timeline, read_timeline
from harness.results import Outcome, SideResults, TestResult
from harness.splats import find_splats
from harness.store import RunFolder

SOURCE = """\
static inline __attribute__((always_inline)) void inner(void)
{
	__asm__ volatile("nop");
}

__attribute__((noinline)) void outer(void)
{
	__asm__ volatile("nop");
	inner();
}

int main(void)
{
	outer();
	return 0;
}
"""
SPLATS = Path(__file__).parent / "golden" / "splats"


@pytest.fixture(scope="module")
def build(tmp_path_factory) -> Path:
    """A program in the place of a kernel: vmlinux with DWARF, and its System.map."""
    if not all(map(shutil.which, ("gcc", "nm", "addr2line", "bwrap"))):
        pytest.skip("gcc, binutils or bubblewrap are missing")
    folder = tmp_path_factory.mktemp("build")
    (folder / "small.c").write_text(SOURCE)
    argv = ["gcc", "-g", "-O1", "-fno-pie", "-no-pie", "-fcf-protection=none", "-o", "vmlinux", "small.c"]
    subprocess.run(argv, cwd=folder, check=True)
    symbols = subprocess.run(["nm", "-n", "vmlinux"], cwd=folder, check=True, capture_output=True, text=True).stdout
    (folder / "System.map").write_text("".join(f"{line}\n" for line in symbols.splitlines() if line[:1] != " "))
    return folder


def size_of(build: Path, name: str) -> int:
    """As kallsyms has it: up to the next symbol."""
    lines = [line.split() for line in (build / "System.map").read_text().splitlines()]
    starts = sorted({int(line[0], 16) for line in lines})
    start = next(int(line[0], 16) for line in lines if line[2] == name)
    return starts[starts.index(start) + 1] - start


def looked_up(build: Path, log: str):
    failed = TestResult("s/t.py::test_it", Outcome.FAILED, log=log)
    side = SideResults("patched", (failed,), (), 1.0, True)
    kernels = (replace(kernel("patched", reused=True), directory=str(build)),)
    return places_of(replace(no_regression(), base=None, patched=side, kernels=kernels))


def test_a_frame_is_a_line_of_the_source_with_what_was_inlined_there(build):
    size = size_of(build, "outer")
    frames = [f"[    1.0] RIP: 0010:outer+0x0/{size:#x}", f"[    1.0] RIP: 0010:outer+0x1/{size:#x}"]
    places = looked_up(build, "\n".join(frames))
    assert told(places.of("patched", frames[0])) == [("outer", "small.c", 8)]
    assert told(places.of("patched", frames[1])) == [("inner", "small.c", 3), ("outer", "small.c", 9)]


def told(frames) -> list[tuple[str, str, int]]:
    return [(function, Path(file).name, number) for function, (file, number) in frames]


def test_a_return_address_is_the_line_of_its_call_and_a_faulting_one_its_own(build):
    size = size_of(build, "outer")
    frames = [f" outer+0x1/{size:#x}", f"RIP: 0010:outer+0x1/{size:#x}"]
    places = looked_up(build, "\n".join(frames))
    assert [told(places.of("patched", frame))[0] for frame in frames] == [
        ("outer", "small.c", 8),
        ("inner", "small.c", 3),
    ]


def test_nothing_is_said_of_a_symbol_of_another_size_or_of_none(build):
    size = size_of(build, "outer")
    wrong = [f" outer+0x1/{size + 16:#x}", " nowhere+0x1/0x10", f" outer+{size + 1:#x}/{size:#x}", " no frame here"]
    places = looked_up(build, "\n".join(wrong))
    assert [places.of("patched", line) for line in wrong] == [(), (), (), ()]


def test_nothing_is_said_where_the_kernel_is_gone(tmp_path):
    assert looked_up(tmp_path, " outer+0x1/0x10").lines == {"patched": {}}
    (tmp_path / "System.map").write_text("this is no System.map\n")
    assert looked_up(tmp_path, " outer+0x1/0x10").lines == {"patched": {}}


def test_a_splat_is_marked_in_a_log_from_its_headline_on():
    log = (SPLATS / "warning_old.log").read_text()
    kinds = [line.kind for line in log_lines(log, find_splats(log))]
    assert kinds.count(LineKind.HEADLINE) == 1
    first, last = kinds.index(LineKind.SPLAT), len(kinds) - kinds[::-1].index(LineKind.SPLAT) - 1
    assert LineKind.PLAIN not in kinds[first:last]
    assert kinds[0] is LineKind.PLAIN


def test_a_report_of_pytests_has_its_statement_and_its_error_marked():
    lines = detail_lines("[gw0] linux -- Python 3.11.2 /a/python\n\n    def test():\n>   assert x\nE   assert 1\n")
    assert [line.kind for line in lines] == [LineKind.PLAIN, LineKind.STATEMENT, LineKind.ERROR]


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """A run's folder with an hour in it: a build, two guests, a test that failed."""
    (tmp_path / "events.log").write_text(
        "2026-01-02T03:04:10+00:00 tests-1: begins\nnonsense\n2026-01-02T03:05:10+00:00 tests-1: done\n"
        "2026-01-02T03:05:11+00:00 tests-2: already done\n"
    )
    session = tmp_path / "results" / "patched-1"
    began = 1767323060.0  # 2026-01-02T03:04:20Z
    events = [
        {"event": "collected", "time": began, "tests": ["a", "b"]},
        {"event": "finished", "time": began + 3, "test": "a", "outcome": "passed", "seconds": 2.0, "boot": "000"},
        {"event": "finished", "time": began + 9, "test": "b", "outcome": "failed", "seconds": 4.0, "boot": "000"},
    ]
    session.mkdir(parents=True)
    (session / "journal.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))
    boot = {
        "name": "000",
        "end": "clean",
        "why": "",
        "accelerator": "tcg",
        "seconds_to_ready": 6.0,
        "seconds": 20.0,
        "running": "",
        "last": "b",
        "qemu_status": 0,
    }
    record.save(session / "boots" / "000" / "boot.json", boot)
    for side in ("base", "patched"):
        config = tmp_path / "config" / f"{side}.config"
        config.parent.mkdir(exist_ok=True)
        config.write_text("CONFIG_NET=y\n" + ("CONFIG_XDP_SOCKETS=y\n" if side == "patched" else ""))
    build = tmp_path / "build" / "patched"
    build.mkdir(parents=True)
    os.utime(build, (began - 5, began - 5))
    return RunFolder(tmp_path)


def test_the_timeline_has_the_stages_the_builds_the_guests_and_what_went_wrong(run):
    kernels = (replace(kernel("patched", reused=False), seconds=4.0),)
    found = read_timeline(run.path, replace(regression(), kernels=kernels))
    assert found.seconds == 306.0
    told = {(span.kind, span.what): (round(span.begin, 3), round(span.end, 3)) for span in found.spans}
    assert told == {
        (SpanKind.STAGE, "tests-1"): (5.0, 65.0),
        (SpanKind.BUILD, "build patched: 37 objects"): (6.0, 10.0),
        (SpanKind.BOOT, "boot of guest 000"): (10.0, 16.0),
        (SpanKind.TESTS, "2 tests"): (16.0, 24.0),
        (SpanKind.BAD, "failed: b"): (20.0, 24.0),
    }


def test_a_stage_that_was_begun_and_not_done_goes_on_to_the_end(run):
    with (run.path / "events.log").open("a") as log:
        log.write("2026-01-02T03:06:05+00:00 tests-2: begins\n")
    (found,) = [span for span in read_timeline(run.path, regression()).spans if span.kind is SpanKind.STOPPED]
    assert (found.what, found.begin, found.end) == ("tests-2, not done", 120.0, 306.0)


def test_builds_are_told_as_they_were_noted_those_that_failed_too(run):
    with (run.path / "events.log").open("a") as log:
        log.write("2026-01-02T03:04:06.250+00:00 build base: begins\n2026-01-02T03:04:06.750+00:00 build base: done\n")
        log.write(
            "2026-01-02T03:04:07.000+00:00 build patch-1: begins\n2026-01-02T03:04:17.500+00:00 build patch-1: done\n"
        )
        log.write(
            "2026-01-02T03:04:18+00:00 build patched: begins\n2026-01-02T03:04:20.125+00:00 build patched: failed\n"
        )
        log.write("2026-01-02T03:04:21+00:00 build patch-2: begins\n")
    kernels = (replace(kernel("base", reused=True), seconds=0.0),)
    found = read_timeline(run.path, replace(regression(), kernels=kernels))
    assert [(each.kind, each.what, each.begin, each.end) for each in found.spans if each.lane == "builds"] == [
        (SpanKind.BUILD, "build patch-1", 2.0, 12.5),
        (SpanKind.STOPPED, "build patched, failed", 13.0, 15.125),
        (SpanKind.STOPPED, "build patch-2, not done", 16.0, 306.0),
    ]
    assert {each.what for each in found.spans if each.lane == "stages"} == {"tests-1"}


def test_what_a_run_does_is_noted_with_how_it_ended(run):
    with run.noted("build base"):
        pass
    with pytest.raises(BuildError), run.noted("build patched"):
        raise BuildError("no")
    with pytest.raises(KeyboardInterrupt), run.noted("build patch-1"):
        raise KeyboardInterrupt
    told = [line.partition(" ")[2] for line in run.events.read_text().splitlines()[-5:]]
    assert told == [
        "build base: begins",
        "build base: done",
        "build patched: begins",
        "build patched: failed",
        "build patch-1: begins",
    ]


def test_sessions_stand_in_the_order_in_which_they_began(run):
    began = 1767323060.0
    for name, when in (("base-2", 100), ("base-1", -10), ("patched-9", 50)):
        session = run.path / "results" / name
        session.mkdir()
        event = {"event": "finished", "time": began + when, "test": "a", "outcome": "passed", "seconds": 2.0}
        (session / "journal.jsonl").write_text(f"{json.dumps(event)}\n")
    lanes = dict.fromkeys(span.lane for span in read_timeline(run.path, regression()).spans)
    assert [*lanes][-4:] == ["base-1", "patched-1", "patched-9", "base-2"]


def test_a_folder_that_tells_nothing_has_no_timeline(tmp_path):
    assert read_timeline(tmp_path, regression()).spans == ()
    assert read_timeline(tmp_path, replace(regression(), started="some day")) == Timeline()


def test_configurations_are_compared_symbol_by_symbol(run):
    found = gather(run, regression())
    assert found.config is not None
    assert [(each.symbol, each.before, each.after) for each in found.config] == [("XDP_SOCKETS", None, "y")]
    run.config("base").unlink()
    assert gather(run, regression()).config is None
