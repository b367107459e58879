"""A run's folder keeps what was done, and is one process's at a time."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness import record
from harness.errors import UsageError
from harness.store import (
    RunFolder,
    RunState,
    find_run,
    inputs_digest,
    list_runs,
    new_run,
    remove_run,
    summary,
)

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Kernel:
    version: str
    image: Path
    note: bytes = b""


@dataclass(frozen=True)
class Asked:
    series: str
    suites: tuple[str, ...]


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def test_an_id_says_when_and_what(runs):
    run = new_run(None, "[PATCH bpf-next v2 0/3] xdp: shrink frags, and a very long title that goes on")
    assert run.path.parent == runs
    date, time, *words, tail = run.id.split("-")
    assert (len(date), len(time), len(tail)) == (8, 4, 4)
    assert "-".join(words) == "patch-bpf-next-v2-0-3-xdp-shrink-frags-a"


def test_a_label_without_letters_still_gives_an_id():
    assert "-run-" in new_run(None, "…").id


def test_two_runs_of_one_minute_do_not_meet():
    assert new_run(None, "same").id != new_run(None, "same").id


def test_a_stage_is_made_once():
    run = new_run(None, "x")
    calls = []

    def make():
        calls.append(1)
        return Kernel("6.12", Path("/boot"), b"\x00\xff")

    first = run.once("build", Kernel, "inputs", make)
    again = RunFolder(run.path).once("build", Kernel, "inputs", make)
    assert (first, len(calls)) == (again, 1)


def test_a_stage_is_made_again_from_other_inputs():
    run = new_run(None, "x")
    run.once("build", Kernel, "one", lambda: Kernel("6.1", Path()))
    assert run.once("build", Kernel, "two", lambda: Kernel("6.12", Path())).version == "6.12"


def test_a_stage_whose_value_no_longer_holds_is_made_again():
    run = new_run(None, "x")
    run.once("build", Kernel, "one", lambda: Kernel("6.1", Path("/no/such/image")))
    made = run.once(
        "build", Kernel, "one", lambda: Kernel("6.1", Path("/")), still_good=lambda kernel: kernel.image.exists()
    )
    assert made.image == Path("/")


def test_a_stage_that_fails_is_not_recorded():
    run = new_run(None, "x")
    with pytest.raises(ZeroDivisionError):
        run.once("build", int, "one", lambda: 1 // 0)
    assert run.stages() == ()


def test_a_stage_that_another_version_recorded_is_made_again():
    run = new_run(None, "x")
    run.stage_done("build", "one", {"version": 6})
    assert run.stage_value("build", Kernel, "one") is None


@pytest.mark.parametrize("damage", [b"", b"{", b'{"inputs": "one"}', b"\x00" * 100])
def test_a_damaged_journal_is_as_good_as_none(damage):
    run = new_run(None, "x")
    run.stage_done("build", "one", Kernel("6.1", Path()))
    (run.path / "stages" / "build.json").write_bytes(damage)
    assert run.stage_value("build", Kernel, "one") is None


def test_stages_of_many_kinds_can_be_recorded():
    run = new_run(None, "x")
    run.once("list", tuple[Kernel, ...], "i", lambda: (Kernel("6.1", Path()),))
    assert run.stage_value("list", tuple[Kernel, ...], "i") == (Kernel("6.1", Path()),)


def test_stages_are_told_in_the_order_of_their_doing():
    run = new_run(None, "x")
    for stage in ("series", "apply", "build"):
        run.stage_done(stage, "i", 1)
    assert run.stages() == ("series", "apply", "build")


def test_a_kill_in_the_middle_of_a_stage_leaves_the_stages_before_it(runs):
    script = textwrap.dedent("""
        import os, signal
        from harness.store import new_run
        run = new_run(None, "killed")
        with run.active():
            run.once("series", int, "i", lambda: 1)
            run.once("build", int, "i", lambda: os.kill(os.getpid(), signal.SIGKILL))
    """)
    killed = subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert killed.returncode == -signal.SIGKILL
    run = find_run("last")
    assert (run.stages(), summary(run).state) == (("series",), RunState.UNFINISHED)
    with run.active():
        assert run.once("series", int, "i", lambda: 2) == 1


def test_digests_tell_apart_what_differs():
    digests = {
        inputs_digest("ab", "c"),
        inputs_digest("a", "bc"),
        inputs_digest(Kernel("1", Path("ab"))),
        inputs_digest(1),
    }
    assert len(digests) == 4
    assert inputs_digest(Kernel("1", Path("ab"))) == inputs_digest(Kernel("1", Path("ab")))


def test_the_invocation_is_read_back():
    run = new_run(None, "x")
    asked = Asked("-", ("xdp_multibuf",))
    run.save_invocation(asked)
    assert run.invocation(Asked) == asked


def test_a_run_without_an_invocation_cannot_be_resumed():
    with pytest.raises(UsageError, match="does not say"):
        new_run(None, "x").invocation(Asked)


def test_only_one_process_works_on_a_run():
    run = new_run(None, "x")
    with run.active():
        assert run.is_active
        with pytest.raises(UsageError, match="another ktrial"), RunFolder(run.path).active():
            pass
    assert not run.is_active


def test_no_lock_is_left_behind():
    run = new_run(None, "x")
    with run.active():
        pass
    assert sorted(path.name for path in run.path.iterdir()) == ["run.json"]


def test_a_folder_of_ones_own_is_the_run_and_is_found_by_its_id(tmp_path):
    run = new_run(tmp_path / "mine" / "out", "x")
    assert run.path == tmp_path / "mine" / "out"
    assert find_run(run.id) == run == find_run(tmp_path / "mine" / "out")
    assert [entry.run for entry in list_runs()] == [run]


def test_a_folder_that_was_emptied_and_used_again_is_the_later_run_alone(tmp_path):
    first = new_run(tmp_path / "out", "shrink")
    before = first.id
    shutil.rmtree(first.path)
    second = new_run(tmp_path / "out", "shrink")
    assert [entry.card.id for entry in list_runs()] == [second.id]
    with pytest.raises(UsageError):
        find_run(before)


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        new_run(tmp_path / "out", "x")


def test_a_folder_that_is_a_run_says_how_to_resume_it(tmp_path):
    run = new_run(tmp_path / "out", "x")
    with pytest.raises(UsageError) as caught:
        new_run(tmp_path / "out", "x")
    assert caught.value.hint == f"ktrial run --resume {run.path}"


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made"):
        new_run(tmp_path / "file" / "out", "x")


def test_a_run_is_found_by_the_beginning_and_by_the_end_of_its_id():
    run = new_run(None, "x")
    new_run(None, "y")
    assert find_run(run.id[:-5]) == run
    assert find_run(run.id[-4:]) == run


def test_an_ambiguous_beginning_lists_the_runs():
    first, second = new_run(None, "x"), new_run(None, "x")
    with pytest.raises(UsageError) as caught:
        find_run(first.id[:8])
    assert {first.id, second.id} == set(caught.value.detail.splitlines())


@pytest.mark.parametrize("reference", ["nothing", "last", "../..", ""])
def test_an_unknown_run_is_a_clear_error(reference):
    with pytest.raises(UsageError, match="no run"):
        find_run(reference)


def test_runs_are_listed_newest_first_with_their_state():
    done, halfway = new_run(None, "done"), new_run(None, "halfway")
    done.result.write_text("{}")
    halfway.stage_done("series", "i", 1)
    for run, when in ((done, "2026-01-01T00:00:00+00:00"), (halfway, "2026-01-02T00:00:00+00:00")):
        record.save(run.path / "run.json", replace(run.card, created=when))
    listed = list_runs()
    assert [entry.card.label for entry in listed] == ["halfway", "done"]
    assert [(entry.state, entry.stage) for entry in listed] == [
        (RunState.UNFINISHED, "series"),
        (RunState.FINISHED, ""),
    ]
    assert find_run("last") == halfway


def test_a_folder_that_is_no_run_is_not_listed(runs):
    run = new_run(None, "x")
    (runs / "stray").mkdir()
    (runs / "gone").symlink_to(runs / "nowhere")
    other = new_run(None, "future")
    (other.path / "run.json").write_text('{"format": 99}')
    assert [entry.run for entry in list_runs()] == [run]


def test_removing_a_run_removes_its_folder_and_its_link(tmp_path, runs):
    run = new_run(tmp_path / "out", "x")
    run.stage_done("series", "i", 1)
    remove_run(run)
    assert not list(runs.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_run_that_is_being_worked_on_is_not_removed():
    run = new_run(None, "x")
    with run.active(), pytest.raises(UsageError, match="another ktrial"):
        remove_run(run)
    assert run.path.is_dir()


def test_events_are_kept_with_their_time():
    run = new_run(None, "x")
    run.once("series", int, "i", lambda: 1)
    run.once("series", int, "i", lambda: 1)
    lines = run.events.read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["series: begins", "series: done", "series: already done"]
    assert lines[0].split()[0].endswith("+00:00")
