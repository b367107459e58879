"""Runs go from one machine to another; a hostile archive writes nothing, and shows nothing of this machine."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory_samples import finished
from typer.testing import CliRunner

from harness import record
from harness.cli import app
from harness.errors import UsageError
from harness.memory import opened
from harness.memory.past import Window, past_of_test
from harness.memory.recall import known_runs
from harness.report.json import encode_result, read_result, write_result
from harness.results import Boot
from harness.store import RunCard, RunFolder, find_run, new_run, remove_run, run_folders
from harness.transfer import Limits, pack, unpack
from harness.transfer.elsewhere import machine_name
from harness.transfer.model import MANIFEST, Manifest, Packed

ID = "20260102-0304-shrink-0001"
CARD = RunCard(1, ID, "shrink", "2026-01-02T03:04:05.000+00:00", "0.1.0")
CONSOLE = "results/patched-1/boots/000/console.log"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Calling it puts one on a machine of that name."""

    def switch(name):
        monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path / name))
        monkeypatch.delenv("KTRIAL_MEMORY", raising=False)
        monkeypatch.setattr("platform.node", lambda: name)
        return tmp_path / name

    switch("ours")
    return switch


def made(**fields):
    """A finished run of this machine, with logs, a link out of its folder, and what resuming needs."""
    run = new_run(None, "shrink")
    for name in (CONSOLE, "results/patched-1/pytest.log", "build/base/build.log", "config/patched.config"):
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_text(f"{name} of {run.id}\n")
    (run.path / "stages").mkdir()
    (run.path / "stages" / "series.json").write_text("{}")
    (run.path / "invocation.json").write_text("{}")
    (run.path / "results" / "secret.log").symlink_to("/etc/hostname")
    result = finished(run.id, **fields)
    boots = (
        Boot("vm0", "clean", str(run.path / CONSOLE), 6.0, "tcg"),
        Boot("vm1", "clean", "/etc/passwd", 6.0, "tcg"),
    )
    paths = replace(
        result.paths,
        folder=str(run.path),
        logs=(("build", str(run.path / "build/base/build.log")), ("all", str(run.path / "results"))),
    )
    result = replace(
        result, paths=paths, reproduce="ktrial test /cache/bzImage", patched=replace(result.patched, boots=boots)
    )
    write_result(run.result, result)
    return run


def ktrial(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "160"})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_runs_are_listed_shown_and_remembered_where_they_come_to(machine, tmp_path):
    runs = [made(patched={"a": "fff"}), made()]
    ktrial("runs", "export", *[run.id for run in runs], tmp_path / "ours.tar.gz")
    machine("theirs")
    told = ktrial("runs", "import", tmp_path / "ours.tar.gz")
    assert all(f"{run.id}, from ours" in told for run in runs)
    listed = json.loads(ktrial("runs", "list", "--json"))
    assert {row["id"]: row["machine"] for row in listed} == {run.id: "ours" for run in runs}
    assert "from ours" in ktrial("runs", "list")
    assert "REGRESSION" in ktrial("runs", "show", runs[0].id)
    with opened() as connection:
        assert known_runs(connection) == {run.id for run in runs}
        assert len(past_of_test(connection, "suite/f.py::a", Window()).occurrences) == 4


def test_paths_are_those_of_the_other_machine_but_for_logs_that_came_along(machine, tmp_path):
    run = made()
    pack([run], tmp_path / "x.tar.gz")
    there = machine("theirs")
    unpack(tmp_path / "x.tar.gz")
    result = read_result(there / run.id / "result.json")
    assert result.paths.machine == "ours"
    assert result.paths.folder == str(there / run.id)
    assert [boot.console for boot in result.patched.boots] == [str(there / run.id / CONSOLE), "ours:/etc/passwd"]
    assert (there / run.id / CONSOLE).read_text() == f"{CONSOLE} of {run.id}\n"
    assert [kernel.directory for kernel in result.kernels] == ["ours:/cache/base", "ours:/cache/patched"]
    assert dict(result.paths.logs) == {
        "build": str(there / run.id / "build/base/build.log"),
        "all": str(there / run.id / "results"),
    }
    assert result.reproduce.startswith("# on ours, ")


def test_without_logs_their_paths_are_those_of_the_other_machine(machine, tmp_path):
    run = made()
    pack([run], tmp_path / "x.tar", logs=False)
    there = machine("theirs")
    unpack(tmp_path / "x.tar")
    result = read_result(there / run.id / "result.json")
    assert result.patched.boots[0].console == f"ours:{run.path / CONSOLE}"
    assert not (there / run.id / "results").exists()
    assert (there / run.id / "config/patched.config").is_file()


def test_what_would_resume_a_run_and_what_is_linked_to_stays_where_it_is(machine, tmp_path):
    run = made()
    pack([run], tmp_path / "x.tar.xz")
    with tarfile.open(tmp_path / "x.tar.xz") as tar:
        names = tar.getnames()
    assert names[0] == MANIFEST
    assert f"{run.id}/{CONSOLE}" in names
    assert not [name for name in names if "stages" in name or "invocation" in name or "secret" in name]
    there = machine("theirs")
    unpack(tmp_path / "x.tar.xz")
    with pytest.raises(UsageError):
        RunFolder(there / run.id).invocation(dict)


def test_a_run_that_is_there_already_is_left_as_it_is(machine, tmp_path):
    run = made()
    pack([run], tmp_path / "x.tar.gz")
    assert unpack(tmp_path / "x.tar.gz").known == (run.id,)
    machine("theirs")
    assert unpack(tmp_path / "x.tar.gz").taken == (run.id,)
    assert unpack(tmp_path / "x.tar.gz").known == (run.id,)


def test_a_run_that_goes_on_to_a_third_machine_and_back_is_the_same(machine, tmp_path):
    run = made()
    pack([run], tmp_path / "1.tar.gz")
    machine("theirs")
    unpack(tmp_path / "1.tar.gz")
    pack([find_run(run.id)], tmp_path / "2.tar.gz")
    third = machine("third")
    assert unpack(tmp_path / "2.tar.gz").taken == (run.id,)
    result = read_result(third / run.id / "result.json")
    assert result.paths.machine == "ours"
    assert result.patched.boots[0].console == str(third / run.id / CONSOLE)
    assert result.patched.boots[1].console == "ours:/etc/passwd"
    pack([find_run(run.id)], tmp_path / "3.tar.gz")
    machine("ours")
    assert unpack(tmp_path / "3.tar.gz").known == (run.id,)


def test_another_run_of_the_same_id_is_refused_and_nothing_is_taken(machine, tmp_path):
    one, other = made(), made()
    pack([one, other], tmp_path / "x.tar.gz")
    write_result(other.result, finished(other.id, title="something else"))
    there = machine("theirs")
    unpack(tmp_path / "x.tar.gz")
    machine("ours")
    with pytest.raises(UsageError, match=f"run {other.id} is here already, and is another"):
        unpack(tmp_path / "x.tar.gz")
    assert set(run_folders()) == {one.id, other.id}
    assert len(list(there.glob("2*"))) == 2


def test_what_cannot_be_exported_is_said(machine, tmp_path):
    with pytest.raises(UsageError, match="is not finished"):
        pack([new_run(None, "unfinished")], tmp_path / "x.tar.gz")
    with pytest.raises(UsageError, match="an archive ends in"):
        pack([made()], tmp_path / "x.zip")
    with pytest.raises(UsageError, match="cannot be written"):
        pack([made()], tmp_path / "nowhere" / "x.tar.gz")
    with pytest.raises(UsageError, match="runs and an archive"):
        ktrial("runs", "export", tmp_path / "x.tar.gz")
    assert list(tmp_path.glob("*.tar.gz")) == list(tmp_path.glob(".x*")) == []


def manifest(*ids, form=1):
    runs = tuple(Packed(name, "digest") for name in ids)
    return (MANIFEST, record.encode(Manifest(form, "theirs", "2026-01-02", "0.1.0", runs)))


def of_run(**fields):
    """The members that a run must have."""
    return [
        (f"{ID}/run.json", record.encode(fields.get("card", CARD))),
        (f"{ID}/result.json", fields.get("result", encode_result(finished(ID)))),
    ]


def special(name, kind, link=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def archive(path, *members):
    """A tar of (name, content) pairs and of members without content."""
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        for each in members:
            if isinstance(each, tarfile.TarInfo):
                tar.addfile(each)
            else:
                member = tarfile.TarInfo(each[0])
                member.size = len(each[1])
                tar.addfile(member, io.BytesIO(each[1]))
    return path


def refused(path, limits=None):
    """The archive is refused, and nothing of it stays."""
    with pytest.raises(UsageError) as caught:
        unpack(path, limits)
    assert run_folders() == {}
    assert list(Path(path).parent.joinpath("ours").iterdir()) == []
    return caught.value.summary


def test_what_is_asked_of_an_archive_is_no_more_than_this(machine, tmp_path):
    """The hostile ones below differ from this one in one thing each."""
    assert unpack(archive(tmp_path / "x.tar.gz", manifest(ID), *of_run())).taken == (ID,)


@pytest.mark.parametrize(
    "member",
    [
        ("/etc/cron.d/x", b"x"),
        ("../outside", b"x"),
        (f"{ID}/../outside", b"x"),
        (f"{ID}/results/../../../outside.log", b"x"),
        (f"{ID}/results/./x.log", b"x"),
        (f"{ID}//result.json", b"x"),
        ("20260102-0304-other-0002/result.json", b"x"),
        (f"{ID}/invocation.json", b"x"),
        (f"{ID}/stages/series.json", b"x"),
        (f"{ID}/.lock", b"x"),
        (f"{ID}/results/.bashrc.log", b"x"),
        (f"{ID}/result.json", b"twice"),
        (f"{ID}", b"x"),
        ("x", b"x"),
        special(f"{ID}/series.mbox", tarfile.SYMTYPE, "/etc/passwd"),
        special(f"{ID}/series.mbox", tarfile.LNKTYPE, f"{ID}/result.json"),
        special(f"{ID}/events.log", tarfile.CHRTYPE),
        special(f"{ID}/events.log", tarfile.FIFOTYPE),
        special(f"{ID}/results", tarfile.DIRTYPE),
    ],
    ids=lambda member: f"{member.name}, type {member.type!r}" if isinstance(member, tarfile.TarInfo) else member[0],
)
def test_what_is_no_file_of_a_run_is_refused(machine, tmp_path, member):
    said = refused(archive(tmp_path / "x.tar.gz", manifest(ID), *of_run(), member))
    name = member.name if isinstance(member, tarfile.TarInfo) else member[0]
    assert repr(name) in said
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([], "does not begin with a list"),
        (of_run(), "does not begin with a list"),
        ([(MANIFEST, b"{}"), *of_run()], "list of runs cannot be read"),
        ([manifest(ID, form=2), *of_run()], "has format 2"),
        ([manifest("../../x"), *of_run()], "no run's id"),
        ([manifest(".hidden")], "no run's id"),
        ([manifest("a/b")], "no run's id"),
        ([manifest("")], "no run's id"),
        ([manifest(ID)], "does not hold the run"),
        ([manifest(ID), *of_run()[1:]], "not a run that this ktrial can read"),
        ([manifest(ID), *of_run(card=replace(CARD, id="20260102-0304-other-0002"))], "does not hold the run"),
        ([manifest(ID), *of_run(result=b"{}")], "cannot be read by this ktrial"),
        ([manifest(ID), *of_run(result=encode_result(finished("another")))], "is of another run"),
        ([manifest(ID), *of_run()[:1]], "cannot be read by this ktrial"),
    ],
)
def test_what_is_no_archive_of_runs_is_refused(machine, tmp_path, members, words):
    assert words in refused(archive(tmp_path / "x.tar.gz", *members))


def test_what_is_no_archive_at_all_is_refused(machine, tmp_path):
    (tmp_path / "x").write_bytes(b"no archive, whatever its name\n" * 50)
    assert "no archive of runs" in refused(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"\x1f\x8b" + b"no gzip either" * 50)
    assert "no archive of runs" in refused(tmp_path / "x")
    assert "cannot be read" in refused(tmp_path / "not-there")


def test_an_archive_that_is_cut_off_is_refused(machine, tmp_path):
    whole = archive(tmp_path / "x.tar.gz", manifest(ID), *of_run()).read_bytes()
    for part in (0.3, 0.6, 0.95):
        (tmp_path / "cut").write_bytes(whole[: int(len(whole) * part)])
        refused(tmp_path / "cut")


def test_more_than_may_come_out_of_it_is_refused(machine, tmp_path):
    bomb = archive(tmp_path / "x.tar.gz", manifest(ID), *of_run(), (f"{ID}/events.log", bytes(30_000_000)))
    assert bomb.stat().st_size < 100_000
    assert "more than it may" in refused(bomb, Limits(size=20_000_000))
    assert "more than it may" in refused(bomb, Limits(files=2))
    assert "2 runs, and 1" in refused(archive(tmp_path / "y", manifest(ID, "b")), Limits(runs=1))


def test_a_header_that_fills_the_memory_is_refused(machine, tmp_path):
    huge = tarfile.TarInfo(f"{ID}/events.log")
    huge.pax_headers = {"comment": "x" * 5_000_000}
    assert "a header that is no run's" in refused(archive(tmp_path / "x.tar.gz", manifest(ID), *of_run(), huge))


def test_a_stream_that_never_ends_is_refused(machine, tmp_path):
    """A gzip of nothing but zeros behind a first member."""
    whole = gzip.decompress(archive(tmp_path / "x", manifest(ID), *of_run()).read_bytes())
    (tmp_path / "x").write_bytes(gzip.compress(whole[:-10240] + b"x" * 512 + bytes(40_000_000)))
    refused(tmp_path / "x", Limits(size=1_000_000, files=10))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60))
def test_whatever_a_member_is_called_nothing_is_written_elsewhere(machine, tmp_path, name):
    members = [manifest(ID), *of_run(), (name, b"x"), (f"{ID}/{name}", b"x")]
    before = {path for path in tmp_path.rglob("*") if "ours" not in path.parts and path.name != "x.tar.gz"}
    refused(archive(tmp_path / "x.tar.gz", *members))
    after = {path for path in tmp_path.rglob("*") if "ours" not in path.parts and path.name != "x.tar.gz"}
    assert before == after


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 8000), byte=st.integers(0, 255))
def test_an_archive_with_a_wrong_byte_is_taken_whole_or_refused(machine, tmp_path, place, byte):
    whole = bytearray(gzip.decompress(archive(tmp_path / "x", manifest(ID), *of_run()).read_bytes()))
    whole[place % len(whole)] = byte
    (tmp_path / "x").write_bytes(whole)
    try:
        taken = unpack(tmp_path / "x").taken
    except UsageError:
        taken = ()
    assert set(run_folders()) == set(taken)
    for name in taken:
        assert read_result(run_folders()[name].result).run == name
        remove_run(run_folders()[name])


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("build-7.example.org", "build-7.example.org"),
        ("../../etc", "etc"),
        ("", "elsewhere"),
        ("a b\n\x1b[31m", "a-b-31m"),
    ],
)
def test_a_machines_name_is_harmless(told, name):
    assert machine_name(told) == name
