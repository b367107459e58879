"""Suites are found, read and picked by what a series touches."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.places import configs_dir
from harness.suites import Suite, find_suites, load_suite, pick_suites

GOOD = 'name = "first"\nsummary = "One"\nfragments = ["boot"]\npaths = ["net/core/*.c"]\n'


def _suite(folder: Path, name: str, manifest: str) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "suite.toml").write_text(manifest)
    return folder


def test_every_shipped_suite_has_a_good_manifest():
    suites = find_suites()
    assert "xdp_multibuf" in [suite.name for suite in suites]
    for suite in suites:
        assert suite.summary
        assert list(suite.directory.glob("test_*.py"))
        for fragment in suite.fragments:
            assert (configs_dir() / f"{fragment}.config").is_file()


def test_a_manifest_is_read_whole(tmp_path):
    folder = _suite(tmp_path, "first", GOOD)
    (folder / "first" / "bpf").mkdir()
    source = folder / "first" / "bpf" / "a.bpf.c"
    source.touch()
    assert load_suite("first", folder) == Suite(
        "first", "One", folder / "first", fragments=("boot",), paths=("net/core/*.c",), bpf_sources=(source,)
    )


def test_an_unknown_suite_names_those_there_are(tmp_path):
    folder = _suite(tmp_path, "first", GOOD)
    with pytest.raises(UsageError) as error:
        load_suite("second", folder)
    assert "second" in error.value.summary
    assert "first" in error.value.hint


@pytest.mark.parametrize("name", ["", "..", "../first", "first/.."])
def test_a_suite_name_is_never_a_path(tmp_path, name):
    _suite(tmp_path, "first", GOOD)
    with pytest.raises(UsageError):
        load_suite(name, tmp_path)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("name = ", "Invalid value"),
        ('summary = "One"', "name is missing"),
        ('name = "first"', "summary is missing"),
        (GOOD.replace("first", "second"), "the folder is called 'first'"),
        (GOOD + "path = []", "unknown key 'path'"),
        (GOOD + 'devices = "veth"', "devices must be a list"),
        (GOOD + "devices = [1]", "devices must be a list of strings"),
        (GOOD + 'default = "yes"', "default must be a bool"),
    ],
)
def test_a_bad_manifest_is_named_with_what_is_wrong(tmp_path, manifest, said):
    _suite(tmp_path, "first", manifest)
    with pytest.raises(UsageError) as error:
        find_suites(tmp_path)
    assert str(tmp_path / "first" / "suite.toml") in error.value.summary
    assert said in error.value.summary


FIRST = Suite("first", "", Path("/x"), paths=("net/core/filter.c", "drivers/net/*"))
SECOND = Suite("second", "", Path("/x"), paths=("fs/*",), default=False)


def test_suites_are_picked_by_the_files_a_series_touches():
    (picked,) = pick_suites([FIRST, SECOND], ["net/core/filter.c"])
    assert (picked.suite, picked.why) == (FIRST, "touches net/core/filter.c")


def test_the_reason_counts_the_other_files():
    (picked,) = pick_suites([FIRST, SECOND], ["net/core/filter.c", "drivers/net/veth.c", "README"])
    assert picked.why == "touches drivers/net/veth.c and 1 more"


def test_a_star_crosses_folders():
    (picked,) = pick_suites([FIRST, SECOND], ["drivers/net/ethernet/intel/igb/igb_main.c"])
    assert picked.suite is FIRST


def test_an_unknown_file_runs_the_default_suites():
    (picked,) = pick_suites([FIRST, SECOND], ["MAINTAINERS"])
    assert picked.suite is FIRST
    assert "no suite covers" in picked.why


def test_no_files_run_the_default_suites():
    assert [(p.suite, p.why) for p in pick_suites([FIRST, SECOND], [])] == [(FIRST, "default")]


def test_the_multibuffer_suite_is_picked_for_the_code_it_covers():
    for file in ("net/core/filter.c", "net/core/xdp.c", "net/bpf/test_run.c", "include/net/xdp.h"):
        picked = pick_suites(find_suites(), [file])
        assert ("xdp_multibuf", f"touches {file}") in [(p.suite.name, p.why) for p in picked]
