"""The user's settings: what a change of a figure is, for all benches and for some."""

import pytest

from harness.errors import UsageError
from harness.perf.figures import figures_of
from harness.perf.model import Boot, Policy, Reading
from harness.settings import perf_policy

SETTINGS = """
[perf]
units = 4
[[perf.bench]]
name = "drivers/bench_stream.py::*"
share = 0.02
units = 50
[[perf.bench]]
name = "*get_buff_len[size=64]"
units = 0.5
"""


def write(folder, text):
    (folder / "config.toml").write_text(text)
    return folder / "config.toml"


def test_without_a_file_the_defaults_hold(tmp_path, monkeypatch):
    monkeypatch.delenv("KTRIAL_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert perf_policy() == Policy(2.0, 0.005, ())


def test_the_first_pattern_that_matches_holds(tmp_path):
    policy = perf_policy(write(tmp_path, SETTINGS))
    assert policy.of("drivers/bench_stream.py::bench_tcp_forwarded[program=none]") == (50, 0.02)
    assert policy.of("xdp_multibuf/bench_test_run.py::bench_get_buff_len[size=64]") == (0.5, 0.005)
    assert policy.of("xdp_multibuf/bench_test_run.py::bench_get_buff_len[size=512]") == (4, 0.005)


def test_what_counts_for_a_bench_decides_over_its_figure(tmp_path):
    policy = perf_policy(write(tmp_path, SETTINGS))
    names = ("x::get_buff_len[size=64]", "x::other")
    roles = (("base", 1000.0), ("patched", 1001.0), ("control", 1000.0))
    boots = [Boot(role, 1, tuple(Reading(name, "insns", (value,)) for name in names)) for role, value in roles]
    assert [str(figure.change) for figure in figures_of(boots, policy)] == ["worse", "same"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[perf", "config.toml: Expected"),
        ("[perf]\nunit = 2", "perf.unit is no setting"),
        ("[perform]\n", "perform is no setting"),
        ("[perf]\nunits = 'two'", "perf.units is 'two', not a number"),
        ("[perf]\nshare = -1", "perf.share is -1, not a number"),
        ("[[perf.bench]]\nunits = 1", "perf.bench: name is missing"),
        ("perf = 3", "perf is no table"),
    ],
)
def test_a_setting_that_cannot_be_is_named(tmp_path, text, words):
    with pytest.raises(UsageError) as error:
        perf_policy(write(tmp_path, text))
    assert words in error.value.summary


def test_a_file_that_was_named_must_be_there(tmp_path, monkeypatch):
    monkeypatch.setenv("KTRIAL_CONFIG", str(tmp_path / "no.toml"))
    with pytest.raises(UsageError, match=r"no\.toml is not there"):
        perf_policy()
