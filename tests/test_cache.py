"""What the cache holds, and making it smaller."""

from __future__ import annotations

import os

import pytest

from harness.cache import entries, prune
from harness.locks import locked

MEGABYTE = 1 << 20


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KTRIAL_CACHE", str(tmp_path))
    return tmp_path


def make(cache, name, used, megabytes=1):
    """An entry of some size, last used at a time."""
    folder = cache / name
    folder.mkdir(parents=True)
    (folder / "content").write_bytes(os.urandom(MEGABYTE) * megabytes)
    lock = folder.with_name(folder.name + ".lock")
    lock.touch()
    for path in (lock, folder):
        os.utime(path, (used, used))
    return folder


def test_an_empty_cache_holds_nothing(cache):
    assert entries() == ()
    assert prune(0) == ()


def test_entries_are_listed_with_kind_size_and_last_use(cache):
    make(cache, "builds/aa", 1000)
    make(cache, "sources/bb", 3000, megabytes=2)
    make(cache, "ccache", 2000)
    listed = [(e.kind, e.key, round(e.size / MEGABYTE), e.last_used, e.in_use) for e in entries()]
    assert listed == [
        ("sources", "bb", 2, 3000, False),
        ("ccache", "ccache", 1, 2000, False),
        ("builds", "aa", 1, 1000, False),
    ]


def test_pruning_removes_the_longest_unused_until_the_rest_fits(cache):
    old, middle, new = (make(cache, f"builds/{n}", n * 1000) for n in (1, 2, 3))
    assert [entry.key for entry in prune(int(2.5 * MEGABYTE))] == ["1"]
    assert [path.exists() for path in (old, middle, new)] == [False, True, True]
    assert not (cache / "builds" / "1.lock").exists()


@pytest.mark.parametrize("shared", [True, False])
def test_what_is_in_use_stays(cache, shared):
    folder = make(cache, "builds/used", 1000)
    make(cache, "builds/idle", 2000)
    with locked(cache / "builds" / "used.lock", shared=shared):
        assert [entry.key for entry in entries() if entry.in_use] == ["used"]
        assert [entry.key for entry in prune(0)] == ["idle"]
    assert folder.exists()
    assert [entry.key for entry in prune(0)] == ["used"]


def test_taking_a_lock_is_a_use(cache):
    make(cache, "builds/one", 1000)
    make(cache, "builds/two", 2000)
    with locked(cache / "builds" / "one.lock", shared=True):
        pass
    assert [entry.key for entry in prune(int(1.5 * MEGABYTE))] == ["two"]


def test_a_file_with_two_names_counts_once(cache):
    first = make(cache, "builds/first", 1000, megabytes=4)
    second = make(cache, "builds/second", 2000)
    os.link(first / "content", second / "shared")
    assert sum(round(entry.size / MEGABYTE) for entry in entries()) == 5


def test_what_a_killed_run_left_goes_whatever_its_age(cache):
    left = make(cache, "builds/.removing-aa", 9000)
    partial = make(cache, "sources/bb.partial", 9000)
    kept = make(cache, "builds/kept", 1000)
    assert {entry.kind for entry in prune(1 << 40)} == {"left over"}
    assert [path.exists() for path in (left, partial, kept)] == [False, False, True]


def test_what_is_being_made_is_not_taken_for_left_over(cache):
    partial = make(cache, "sources/bb.partial", 1000)
    with locked(cache / "sources" / "bb.lock"):
        assert prune(0) == ()
    assert partial.exists()


def test_a_patched_source_goes_with_its_mark_and_idle_locks_go_too(cache):
    make(cache, "patched/run", 1000)
    (cache / "patched" / "run.tree-id").write_text("id")
    (cache / "builds").mkdir()
    (cache / "builds" / "gone.lock").touch()
    assert [(entry.kind, entry.key) for entry in prune(0)] == [("patched", "run")]
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_folders_of_others_are_left_alone(cache):
    passing = make(cache, "probe-1/boot", 1000)
    assert prune(0) == ()
    assert passing.exists()


def test_a_folder_that_cannot_be_locked_because_it_is_gone_is_no_error(cache):
    make(cache, "builds/aa", 1000)
    assert len(prune(0)) == 1
    assert prune(0) == ()
