"""The memory keeps every finished run once, in a file that many may write, and that an older ktrial's becomes."""

from __future__ import annotations

import multiprocessing
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory_samples import finished, side
from report_samples import SAMPLES

from harness.errors import MachineLost, UsageError
from harness.memory import catch_up, opened, remember_run
from harness.memory.past import Window, matching, past_of_bench, past_of_test
from harness.memory.recall import find, known_runs, previous, recall
from harness.memory.schema import APPLICATION_ID, MIGRATIONS, migrate
from harness.memory.write import remember
from harness.report.json import write_result
from harness.settings import memory_file
from harness.store import RunFolder, new_run

OLD = Path(__file__).parent / "golden" / "memory"


@pytest.fixture(autouse=True)
def own_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("KTRIAL_MEMORY", raising=False)


@pytest.fixture
def memory(tmp_path):
    with opened(tmp_path / "memory.sqlite") as connection:
        yield connection


def outcomes(side_results):
    return [(each.test, each.outcome, each.reason, each.seconds) for each in side_results.results]


def test_it_is_beside_the_runs_unless_another_file_is_named(tmp_path, monkeypatch):
    assert memory_file() == (tmp_path / "runs" / "memory.sqlite").resolve()
    monkeypatch.setenv("KTRIAL_MEMORY", str(tmp_path / "elsewhere.db"))
    assert memory_file() == (tmp_path / "elsewhere.db").resolve()


def test_a_setting_names_it_and_the_variable_goes_before(tmp_path, monkeypatch):
    settings_file = tmp_path / "config.toml"
    settings_file.write_text(f'[memory]\nfile = "{tmp_path}/set.sqlite"\n')
    assert memory_file(settings_file) == (tmp_path / "set.sqlite").resolve()
    monkeypatch.setenv("KTRIAL_MEMORY", str(tmp_path / "elsewhere.db"))
    assert memory_file(settings_file) == (tmp_path / "elsewhere.db").resolve()


@pytest.mark.parametrize(
    ("text", "words"),
    [("file = 7", "memory.file is 7"), ('file = ""', "memory.file is ''"), ("size = 1", "memory.size")],
)
def test_a_wrong_setting_is_said_and_fails_no_run(tmp_path, monkeypatch, text, words):
    settings_file = tmp_path / "config.toml"
    settings_file.write_text(f"[memory]\n{text}\n")
    with pytest.raises(UsageError, match=words):
        memory_file(settings_file)
    monkeypatch.setenv("KTRIAL_CONFIG", str(settings_file))
    assert remember_run(finished(), lambda _: None) is False


def test_a_run_is_recalled_with_every_attempt(memory):
    result = finished(base={"a": "p", "b": "pfp"}, patched={"a": "fff", "b": "ptl"}, figures={"drop": (100, 107)})
    remember(memory, result)
    again = recall(memory, result.run)
    assert outcomes(again.base) == outcomes(result.base)
    assert outcomes(again.patched) == outcomes(result.patched)
    for name in ("run", "verdict", "series", "tree", "config", "environment", "kernels", "suites", "performance"):
        assert getattr(again, name) == getattr(result, name), name
    assert again.comparison.of(*{test.change for test in again.comparison.tests}) == tuple(
        test for test in result.comparison.tests if test.change != "same"
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_whatever_a_run_ended_with_is_remembered(memory, name):
    result = SAMPLES[name]()
    remember(memory, result)
    again = recall(memory, result.run)
    assert again.verdict == result.verdict
    assert again.failure == result.failure
    assert (again.base is None) == (result.base is None)


def test_a_run_that_was_resumed_is_there_once(memory):
    remember(memory, finished(patched={"a": "f"}))
    remember(memory, finished(patched={"a": "p", "b": "p"}))
    assert memory.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    assert [each.outcome for each in recall(memory, finished().run).patched.results] == ["passed", "passed"]
    assert memory.execute("SELECT count(*) FROM results").fetchone() == (3,)


def test_a_result_takes_few_bytes(memory, tmp_path):
    """The bench has the figure for large runs; this one keeps an index or a log from slipping in."""
    tests = {f"test_of_some_name[size={number}]": "p" for number in range(2000)}
    for number in range(3):
        remember(memory, finished(f"run-{number}", base=tests, patched=tests))
    memory.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    once = (tmp_path / "memory.sqlite").stat().st_size
    for number in range(3, 6):
        remember(memory, finished(f"run-{number}", base=tests, patched=tests))
    memory.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert ((tmp_path / "memory.sqlite").stat().st_size - once) / (3 * 4000) < 25


def write_some(path, first):
    with opened(path) as connection:
        for number in range(first, first + 12):
            remember(connection, finished(f"run-{number:04}", base={"a": "p"}, patched={"b": "pf"}))


def test_several_processes_write_at_a_time(tmp_path):
    path = tmp_path / "memory.sqlite"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_some, args=(path, 100 * number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    with opened(path) as connection:
        assert len(known_runs(connection)) == 48
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM tests").fetchone() == (2,)


def test_a_reader_does_not_wait_for_a_writer(tmp_path):
    path = tmp_path / "memory.sqlite"
    with opened(path) as one:
        remember(one, finished())
        one.execute("BEGIN IMMEDIATE")
        one.execute("DELETE FROM runs")
        with opened(path) as other:
            assert known_runs(other) == {finished().run}
        one.execute("ROLLBACK")


def test_a_write_that_fails_half_way_leaves_nothing(memory):
    remember(memory, finished(patched={"a": "f"}))
    broken = finished(patched={"b": "p"})
    broken = replace(broken, patched=replace(broken.patched, side="base"))  # two sides of one name
    with pytest.raises(sqlite3.IntegrityError):
        remember(memory, broken)
    assert [each.test for each in recall(memory, broken.run).patched.results] == ["suite/f.py::a"]


def test_a_new_file_has_all_migrations(memory):
    assert memory.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert memory.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert memory.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def old_file(path, schema):
    connection = sqlite3.connect(path)
    connection.executescript((OLD / f"schema-{schema}.sql").read_text())
    connection.close()


@pytest.mark.parametrize("schema", range(1, len(MIGRATIONS)))
def test_a_file_of_every_older_schema_is_migrated_with_all_that_is_in_it(tmp_path, schema):
    old_file(tmp_path / "old.sqlite", schema)
    with opened(tmp_path / "old.sqlite") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        again = recall(connection, "20260102-0304-shrink-0001")
        assert [each.outcome for each in again.patched.results] == ["passed", "failed", "failed", "failed"]
        assert past_of_test(connection, "suite/f.py::b", Window()).last_bad.reason == "b is wrong"
        bench = past_of_bench(connection, "suite/bench_f.py::drop", Window())
        assert [(each.base, each.patched, each.change) for each in bench.measurements] == [(100.0, 107.0, "worse")]
        remember(connection, finished("20260103-0304-shrink-0002"))
        assert len(known_runs(connection)) == 2


def test_every_schema_that_was_released_has_its_file(tmp_path):
    """A migration that was changed later would make files that no test has seen."""
    for schema in range(1, len(MIGRATIONS)):
        old_file(tmp_path / f"{schema}.sqlite", schema)
        with opened(tmp_path / f"{schema}.sqlite") as old, opened(tmp_path / f"new-{schema}.sqlite") as new:
            shapes = [
                sorted((kind, name, " ".join((sql or "").split())) for kind, name, sql in connection.execute(SHAPE))
                for connection in (old, new)
            ]
        assert shapes[0] == shapes[1]


SHAPE = "SELECT type, name, sql FROM sqlite_schema"


def test_a_newer_file_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "memory.sqlite"
    with opened(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 4}")
    with pytest.raises(UsageError, match="was written by a newer ktrial") as caught, opened(path):
        pass
    assert "KTRIAL_MEMORY" in caught.value.hint
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 4,)


def test_a_migration_that_fails_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "memory.sqlite"
    with opened(path) as connection:
        remember(connection, finished())
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, path, (*MIGRATIONS, ("CREATE TABLE more (id)", "CREATE TABLE runs (id)")))
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'more'").fetchone() == (0,)
        assert recall(connection, finished().run).run == finished().run


def test_another_programs_database_and_what_is_none_are_refused(tmp_path):
    theirs = sqlite3.connect(tmp_path / "theirs.sqlite")
    theirs.execute("CREATE TABLE bookmarks (id)")
    theirs.commit()
    with pytest.raises(UsageError, match="another program"), opened(tmp_path / "theirs.sqlite"):
        pass
    (tmp_path / "text").write_text("not a database, and longer than a header of one would be\n" * 3)
    with pytest.raises(UsageError, match="no database"), opened(tmp_path / "text"):
        pass
    assert theirs.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (1,)


def test_a_file_that_cannot_be_written_fails_no_run(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KTRIAL_MEMORY", str(tmp_path / "file" / "memory.sqlite"))
    said = []
    assert remember_run(finished(), said.append) is False
    assert len(said) == 1
    assert said[0].startswith("this run is not remembered: ")
    with pytest.raises(MachineLost), opened():
        pass


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(min_size=1, max_size=40).map(lambda text: f"{text}\ud800\0\x1b[31m‮"),
    reason=st.text(min_size=1, max_size=60),
)
def test_whatever_stands_in_a_name_or_a_reason_is_kept(tmp_path, name, reason):
    with opened(tmp_path / "memory.sqlite") as connection:
        result = finished(title=name, author=f"{name} <{reason}>", patches=(name, reason), change_id=reason)
        result = replace(result, patched=side("patched", {name: "f", f"{name}2": "p"}, reason=reason))
        remember(connection, result)
        again = recall(connection, result.run)
        assert len(again.patched.results) == 2
        assert again.patched.results[0].test == f"suite/f.py::{name}".encode("utf-8", "backslashreplace").decode()
        assert again.patched.results[0].reason == reason.encode("utf-8", "backslashreplace").decode()[:300]
        assert again.series.title == name.encode("utf-8", "backslashreplace").decode()


def test_runs_that_were_there_before_are_taken_in_once(memory):
    for number in range(2):
        folder = new_run(None, f"early {number}")
        write_result(folder.result, finished(folder.id))
    new_run(None, "unfinished")
    unreadable = new_run(None, "unreadable")
    unreadable.result.write_text('{"schema_version": "99"}')
    said = []
    assert catch_up(memory, said.append) == 2
    assert said == ["2 runs that were there already: remembered now"]
    assert catch_up(memory, said.append) == 0
    assert len(said) == 1


def test_a_link_to_a_folder_that_another_run_used_again_is_no_run_of_its_own(memory, tmp_path):
    folder = new_run(tmp_path / "out", "first")
    write_result(folder.result, finished(folder.id))
    (tmp_path / "runs" / "20200101-0000-old-0000").symlink_to(folder.path)
    assert catch_up(memory, print) == 1
    assert catch_up(memory, print) == 0
    assert RunFolder(folder.path).id in known_runs(memory)


class TestFinding:
    """A run is found by its id, or by the series that it tried."""

    @pytest.fixture(autouse=True)
    def runs(self, memory):
        self.memory = memory
        for version, change, title in (
            (7, "20260101-shrink-abc", "xdp: shrink in one go"),
            (8, "20260101-shrink-abc", "xdp: shrink fragments in one pass"),
        ):
            self.add(f"v{version}", version=version, change_id=change, title=title)
        self.add("other", version=1, title="net: something else", author="B <b@example.org>", patches=("net: x",))

    def add(self, name, **fields):
        runs = len(known_runs(self.memory))
        result = finished(f"20260102-0304-{name}-{runs:04}", started=f"2026-01-{runs + 1:02}T00:00:00+00:00", **fields)
        remember(self.memory, result)
        return result

    def found(self, reference):
        return [each.run for each in find(self.memory, reference)]

    def previous(self, **fields):
        told = previous(self.memory, self.add("new", **fields))
        return (told[0].version, told[1]) if told else None

    def test_by_id_its_beginning_and_its_end(self):
        whole = "20260102-0304-v8-0001"
        assert self.found(whole) == self.found("20260102-0304-v8") == self.found("0001") == [whole]

    def test_by_change_id_and_by_subject_the_newest_first(self):
        both = ["20260102-0304-v8-0001", "20260102-0304-v7-0000"]
        assert self.found("20260101-shrink-abc") == self.found("shrink") == both
        assert self.found("[PATCH v8 0/2] XDP: shrink fragments in one pass") == both[:1]

    def test_nothing_is_found_where_there_is_nothing(self):
        assert self.found("20260101-other") == self.found("") == self.found("%") == []

    def test_the_version_before_by_change_id_whatever_its_subject(self):
        change = "20260101-shrink-abc"
        assert self.previous(version=9, change_id=change, title="new", patches=("n",)) == (8, f"change-id {change}")
        assert self.previous(version=8, change_id=change, title="new", patches=("n",)) == (7, f"change-id {change}")

    def test_by_subject_and_author(self):
        assert self.previous(version=9) == (8, "its subject and author")
        assert self.previous(version=9, author="a developer <elsewhere@example.net>") == (8, "its subject and author")
        assert self.previous(version=9, author="C <c@example.org>", patches=("c",)) is None

    def test_by_author_and_patches_where_the_subject_changed(self):
        assert self.previous(version=9, title="xdp: quite new", patches=("xdp: use it", "xdp: more")) == (
            8,
            "its author and most of its patches' subjects",
        )
        assert self.previous(version=9, title="xdp: quite new", patches=("xdp: use it", "2", "3")) is None

    def test_a_first_version_has_none_before_it(self):
        assert self.previous(version=1, change_id="20260101-shrink-abc") is None

    def test_a_run_that_compared_something_is_preferred(self):
        remember(
            self.memory,
            replace(
                SAMPLES["does_not_apply"](),
                run="late",
                started="2026-06-01T00:00:00+00:00",
                series=finished(version=8, change_id="20260101-shrink-abc").series,
            ),
        )
        told, _ = previous(self.memory, finished("n", version=9, change_id="20260101-shrink-abc"))
        assert told.run == "20260102-0304-v8-0001"


class TestMatching:
    """A test is asked for by its name, a part of it, or a pattern."""

    @pytest.fixture(autouse=True)
    def names(self, memory):
        self.memory = memory
        remember(memory, finished(base={"shrink[size=9000]": "p", "shrink[size=90]": "p", "grow": "p"}))

    def test_names_are_found(self):
        shrinks = ("suite/f.py::shrink[size=9000]", "suite/f.py::shrink[size=90]")
        assert set(matching(self.memory, "SHRINK")) == set(shrinks)
        assert set(matching(self.memory, "f.py::s*[size=90*]")) == set(shrinks)
        assert matching(self.memory, "[size=90]") == shrinks[1:]
        assert matching(self.memory, shrinks[0]) == shrinks[:1]
        assert matching(self.memory, "nothing") == ()


def test_the_window_narrows_what_is_asked(memory):
    for number, kernel in enumerate(("6.12.40", "6.12.41", "6.1.120"), 1):
        remember(memory, finished(f"r{number}", started=f"2026-01-0{number}T00:00:00+00:00", kernel=kernel))

    def runs(**window):
        found = past_of_test(memory, "suite/f.py::a", Window(**window))
        return [(each.run, each.side) for each in found.occurrences] if found else []

    assert len(runs()) == 6
    assert runs(version="6.12", side="base") == [("r1", "base"), ("r2", "base")]
    assert runs(version="6.1", side="base") == [("r3", "base")]
    assert runs(last=1) == [("r3", "base"), ("r3", "patched")]
    assert len(runs(series="one pass")) == 6
    assert runs(series="another") == []


def update_golden():
    """Write the file of the newest schema: `python tests/test_memory.py`, before a migration is added."""
    path = Path("schema.sqlite")
    with opened(path) as connection:
        remember(connection, old_run())
        lines = [f"PRAGMA {name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]};" for name in PRAGMAS]
        text = "\n".join([*lines, *connection.iterdump()])
    path.unlink()
    (OLD / f"schema-{len(MIGRATIONS)}.sql").write_text(f"{text}\n")


PRAGMAS = ("application_id", "user_version")


def old_run():
    return finished(base={"a": "p", "b": "ppp"}, patched={"a": "p", "b": "fff"}, figures={"drop": (100.0, 107.0)})


if __name__ == "__main__":
    sys.exit(update_golden())
