"""`ktrial cache` lists what the cache holds and makes it smaller."""

import json
import os
import time

import pytest
from typer.testing import CliRunner

from harness.cli_cache import app, parse_size
from harness.errors import UsageError
from harness.locks import locked


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KTRIAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def builds(cache):
    """Three builds of a megabyte each, last used today, three days and a hundred days ago."""
    for key, days in (("today", 0), ("week", 3), ("old", 100)):
        folder = cache / "builds" / key
        folder.mkdir(parents=True)
        (folder / "vmlinux").write_bytes(os.urandom(1_000_000))
        when = time.time() - days * 86400 - 60
        os.utime(folder, (when, when))
    return cache / "builds"


def ktrial_cache(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


@pytest.mark.parametrize(
    ("text", "size"),
    [("20G", 20 * 10**9), ("500M", 5 * 10**8), ("1.5 GB", 1_500_000_000), ("10kb", 10_000), ("0", 0), ("7", 7)],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1G", "1Q", "1G1", "GB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match="is no size"):
        parse_size(text)


def test_an_empty_cache_says_where_it_is(cache):
    assert ktrial_cache("list").strip() == f"0 kB in {cache}"


def test_entries_are_listed_with_their_last_use(builds):
    shown = ktrial_cache("list")
    assert [line.split()[0] for line in shown.splitlines()[1:4]] == ["builds"] * 3
    assert "within a day" in shown
    assert "3 days ago" in shown


def test_what_is_in_use_is_listed_so(builds):
    with locked(builds / "old.lock"):
        assert "in use" in ktrial_cache("list")


def test_the_list_is_there_for_scripts_too(builds):
    assert {entry["key"] for entry in json.loads(ktrial_cache("list", "--json"))} == {"today", "week", "old"}


def test_pruning_removes_what_was_not_used_for_longest(builds):
    said = ktrial_cache("prune", "--max-size", "2500K")
    assert "removed builds old" in said
    assert sorted(path.name for path in builds.iterdir()) == ["today", "week"]


def test_pruning_says_that_the_rest_is_in_use(builds):
    with locked(builds / "old.lock"):
        assert "in use" in ktrial_cache("prune", "--max-size", "0")
    assert (builds / "old").is_dir()
