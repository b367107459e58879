"""Splats that an allow-list excuses: they fail no test on either side, and are never out of sight."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_journal import WARNING, boot, finished, gone

from harness import record, repro
from harness.allow_list import Allowed, as_toml, entries_of, excuse, keep_lists, kept_lists, read_lists
from harness.compare import Change, compare
from harness.errors import UsageError
from harness.machine.journal import collect
from harness.machine.model import BootEnd
from harness.machine.session import _collect, _Running
from harness.passes import Bench, _session
from harness.plan import Invocation, chosen_options, option_of
from harness.report.json import read_result
from harness.results import Boot, Excused, Outcome, SideResults, TestResult
from harness.settings import splat_lists
from harness.splats import find_splats
from harness.store import new_run

SPLATS = Path(__file__).parent / "golden" / "splats"
PLANTED = Allowed("^WARNING in xdp_planted", "planted by a test module")
EVERYTHING = Allowed("(?s).+", "this machine is odd")
SPLAT = find_splats(WARNING)[0]


def read(name: str) -> str:
    return (SPLATS / f"{name}.log").read_bytes().decode()


def written(folder: Path, *allowed: Allowed, name: str = "quirks.toml") -> Path:
    (folder / name).write_text(as_toml(allowed))
    return folder / name


def gathered(boots: Path, *events, allowed=(PLANTED,)) -> SideResults:
    return collect("patched", events, boots, find_splats, attempt=1, seconds=9.0, allowed=allowed)


def test_an_allowed_splat_is_set_apart_with_its_entry(tmp_path):
    path = tmp_path / "allowed.toml"
    path.write_text('[[allow]]\npattern = "^RCU stall"\nreason = "no KVM: the guest is slow"\n')
    (each,) = read_lists([path])
    counting, excused = excuse(find_splats(read("stalls_and_lockups")), each.entries)
    assert [splat.kind for splat in counting] == ["soft lockup"]
    assert [(each.splat.kind, each.reason) for each in excused] == [("RCU stall", "no KVM: the guest is slow")]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[[allow]]\npattern = "x"\n', "splat 1 has no reason"),
        ('[[allow]]\npattern = "x"\nreason = " "\n', "splat 1 has no reason"),
        ('[[allow]]\nreason = "x"\n', "splat 1 has no pattern"),
        ('[[allow]]\npattern = "a"\nreason = "b"\n[[allow]]\npattern = "("\nreason = "b"\n', "splat 2"),
        ('[[allow]]\npattern = "a"\nreason = "b"\nuntil = "c"\n', "unknown keys: until"),
        ('[[allow]]\npattern = ".*"\nreason = "b"\n', "splat 1: '.*' allows every splat"),
        ('[[allow]]\npattern = "a|"\nreason = "b"\n', "allows every splat"),
        ('[[allowed]]\npattern = "a"\nreason = "b"\n', "allowed: no such thing in an allow-list"),
        ('allow = "x"\n', "not a list"),
        ("[[allow", "cannot read"),
        ("\\xff", "cannot read"),
    ],
)
def test_a_bad_allow_list_is_refused_naming_the_file_and_the_entry(tmp_path, text, complaint):
    path = tmp_path / "allowed.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=re.escape(complaint)) as refused:
        read_lists([path])
    assert str(path) in refused.value.summary


def test_a_list_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read the allow-list .*nowhere\.toml"):
        read_lists([tmp_path / "nowhere.toml"])


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)).map(lambda pair: Allowed(*pair))))
def test_any_entries_read_as_they_were_written(entries):
    told = tomllib.loads(as_toml(entries)).get("allow", [])
    assert [Allowed(**each) for each in told] == entries


def test_the_copy_in_the_runs_folder_is_the_same_list(tmp_path):
    lists = read_lists([written(tmp_path, PLANTED, Allowed('RCU\tstall "x" é\x7f', "slow\nhost"))])
    keep_lists(tmp_path / "run", lists)
    (copy,) = read_lists(kept_lists(tmp_path / "run", lists))
    assert (copy.entries, copy.digest) == (lists[0].entries, lists[0].digest)


def test_the_digest_is_of_the_entries_and_not_of_comments_or_names(tmp_path):
    one, other = written(tmp_path, PLANTED), tmp_path / "other.toml"
    other.write_text(f"# why we have these\n{one.read_text()}")
    assert len({each.digest for each in read_lists([one, other])}) == 1
    assert read_lists([written(tmp_path, EVERYTHING)])[0].digest != read_lists([other])[0].digest


@pytest.mark.parametrize("log", ["null_deref_then_panic", "warning_then_own_panic"])
def test_a_panic_is_never_excused(log):
    splats = find_splats(read(log))
    counting, _ = excuse(splats, [EVERYTHING])
    assert counting[-1] == splats[-1]


def test_a_test_passes_with_an_allowed_splat_and_keeps_it(tmp_path):
    boot(tmp_path)
    (result,) = gathered(tmp_path, finished("s/t.py::a", log=WARNING)).results
    assert (result.outcome, result.reason, result.splats) == (Outcome.PASSED, "", ())
    assert result.excused == (Excused(SPLAT, PLANTED.pattern, PLANTED.reason),)
    assert WARNING in result.log


def test_another_splat_in_the_same_log_fails_it_still(tmp_path):
    boot(tmp_path)
    both = f"{WARNING}\n{WARNING.replace('xdp_planted', 'xdp_real')}"
    (result,) = gathered(tmp_path, finished("s/t.py::a", log=both)).results
    assert (result.outcome, result.reason) == (Outcome.FAILED, "kernel log: WARNING in xdp_real")
    assert [each.splat.function for each in result.excused] == ["xdp_planted"]


def test_an_assertion_that_failed_is_not_excused(tmp_path):
    boot(tmp_path)
    (result,) = gathered(tmp_path, finished("s/t.py::a", "failed", log=WARNING, reason="assert 1 == 2")).results
    assert (result.outcome, result.reason) == (Outcome.FAILED, "assert 1 == 2")


@pytest.mark.parametrize("where", ["before", "after", "kmemleak"])
def test_it_is_excused_between_tests_and_at_the_end_too(tmp_path, where):
    boot(tmp_path)
    words = {"kmemleak": {"s/t.py::a": WARNING}} if where == "kmemleak" else {"after": WARNING}
    down = {"event": "node-down", "worker": "gw0", "error": "", "boot": "000", **words}
    later = finished("s/t.py::b", before=WARNING) if where == "before" else down
    result = gathered(tmp_path, finished("s/t.py::a"), later).results[0]
    assert (result.outcome, len(result.excused)) == (Outcome.PASSED, 1)


def test_it_is_excused_while_the_kernel_comes_up(tmp_path):
    boot(tmp_path, console=f"{WARNING}\n[   10.0] ktrial: ready\n")
    side = gathered(tmp_path)
    assert (side.boots[0].splats, len(side.boots[0].excused)) == ((), 1)
    assert compare(None, side).kernel_log == ()


def test_what_took_a_guest_down_is_never_excused(tmp_path):
    boot(tmp_path, end=BootEnd.RESET, running="s/t.py::a", console=WARNING)
    (result,) = gathered(tmp_path, gone("s/t.py::a"), allowed=(EVERYTHING,)).results
    assert (result.outcome, result.splats[0].key, result.excused) == (Outcome.CRASHED, SPLAT.key, ())


def test_what_went_before_the_crash_is(tmp_path):
    log = f"{WARNING}\n{WARNING.replace('xdp_planted', 'xdp_real')}"
    boot(tmp_path, end=BootEnd.PANIC, last="s/t.py::a", console=log)
    (result,) = gathered(tmp_path, finished("s/t.py::a"), allowed=(EVERYTHING,)).results
    assert result.outcome is Outcome.CRASHED
    assert [splat.function for splat in result.splats] == ["xdp_real"]
    assert [each.splat.function for each in result.excused] == ["xdp_planted"]


def side(name: str, *results: TestResult) -> SideResults:
    return SideResults(name, results, (Boot("000", "clean", "c", 1.0, "tcg"),), 1.0, True)


EXCUSED = (Excused(SPLAT, PLANTED.pattern, PLANTED.reason),)


def test_an_allowed_splat_is_blamed_on_neither_side():
    quiet, loud = TestResult("t", Outcome.PASSED), TestResult("t", Outcome.PASSED, excused=EXCUSED)
    for base, patched in ((quiet, loud), (loud, quiet), (loud, loud)):
        found = compare(side("base", base), side("patched", patched))
        assert found.tests[0].change is Change.SAME
        assert (found.kernel_log, found.gone) == ((), ())


def test_a_splat_that_base_was_excused_for_is_known_of_base():
    crashed = TestResult("t", Outcome.CRASHED, splats=(SPLAT,))
    found = compare(side("base", TestResult("t", Outcome.PASSED, excused=EXCUSED)), side("patched", crashed))
    assert (found.tests[0].change, found.tests[0].new_splats) == (Change.REGRESSION, ())


def test_results_of_a_ktrial_without_them_are_read():
    told = record.encode(side("base", TestResult("t", Outcome.PASSED))).replace(b'"excused": []', b'"extra_": 1')
    assert b"excused" not in told
    assert record.decode(told, SideResults).results[0].excused == ()


def test_the_settings_name_lists_from_their_own_folder(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('[splats]\nallow = ["quirks.toml", "/etc/more.toml"]\n')
    assert splat_lists(file) == (tmp_path / "quirks.toml", Path("/etc/more.toml"))
    file.write_text("[perf]\nunits = 4\n")
    assert splat_lists(file) == ()


@pytest.mark.parametrize("told", ['allow = "quirks.toml"', "allow = [1]", 'allow = [""]', 'deny = ["x"]'])
def test_settings_that_name_no_lists_are_refused(tmp_path, told):
    file = tmp_path / "config.toml"
    file.write_text(f"[splats]\n{told}\n")
    with pytest.raises(UsageError, match=r"config\.toml: splats\."):
        splat_lists(file)


def test_the_run_keeps_its_lists_and_names_them_among_its_options(tmp_path):
    lists = read_lists([written(tmp_path, PLANTED), written(tmp_path, EVERYTHING, name="more.toml")])
    asked = Invocation(series="s", cwd="/", allow_splats=lists)
    assert record.decode(record.encode(asked), Invocation) == asked
    assert entries_of(asked.allow_splats) == (PLANTED, EVERYTHING)
    named = ", ".join(f"{each.file.rpartition('/')[2]} {each.digest[:12]}" for each in lists)
    assert dict(chosen_options(asked)) == {"allow_splats": named}
    assert option_of("allow_splats") == "--allow-splats"


def test_every_guest_of_a_run_has_them(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.passes.build_tools", lambda suites, folder: folder)
    asked = Invocation(series="s", cwd="/", allow_splats=read_lists([written(tmp_path, PLANTED)]))
    bench = Bench.of(asked, "tcg", (), tmp_path / "bpf")
    session = _session(bench, "patched", tmp_path / "bzImage", new_run(tmp_path / "run", "x"), 1, None)
    boot(session.boots)
    session.journal.write_text(json.dumps(finished("s/t.py::a", log=WARNING)) + "\n")
    (result,) = _collect(_Running(session, None, 0.0, 0), find_splats).results
    assert (result.outcome, len(result.excused)) == (Outcome.PASSED, 1)


def test_the_commands_that_reproduce_name_the_runs_own_copies(tmp_path):
    here = Path("/r")
    told = repro.Reproduction("s/t.py::a", here / "s", "tree", here, "c0ffee", here / "c", here / "p", here, here / "b")
    told = replace(told, allow_splats=(here / "allow-splats-1.toml",))
    assert repro.commands(told).count("--allow-splats /r/allow-splats-1.toml") == 3


@pytest.mark.parametrize("words", [("run", "series.mbox"), ("test", "bzImage")])
def test_a_bad_list_stops_a_command_before_it_begins(ktrial, tmp_path, words):
    (tmp_path / "bad.toml").write_text('[[allow]]\npattern = "x"\n')
    (tmp_path / "bzImage").write_bytes(b"\0" * 0x202 + b"HdrS")
    ended = ktrial(words[0], str(tmp_path / words[1]), "--allow-splats", str(tmp_path / "bad.toml"))
    assert ended.status == 2
    assert "bad.toml: allowed splat 1 has no reason" in " ".join(ended.errors.split())


def test_a_bad_list_of_the_settings_stops_it_too(ktrial, tmp_path, monkeypatch):
    (tmp_path / "bad.toml").write_text('[[allow]]\npattern = "("\nreason = "x"\n')
    (tmp_path / "config.toml").write_text('[splats]\nallow = ["bad.toml"]\n')
    monkeypatch.setitem(ktrial.environment, "KTRIAL_CONFIG", str(tmp_path / "config.toml"))
    ended = ktrial("run", "series.mbox", "--out", str(tmp_path / "run"))
    assert ended.status == 2
    assert "bad.toml: allowed splat 1: '(' is no regular expression" in " ".join(ended.errors.split())
    assert not (tmp_path / "run").exists()


def test_a_run_has_its_lists_from_its_first_moment_and_when_it_is_resumed(ktrial, tmp_path, monkeypatch):
    ours = written(tmp_path, EVERYTHING, name="ours.toml")
    (tmp_path / "config.toml").write_text(f'[splats]\nallow = ["{written(tmp_path, PLANTED).name}"]\n')
    monkeypatch.setitem(ktrial.environment, "KTRIAL_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "no.mbox").write_text("no series\n")
    run = tmp_path / "run"
    ended = ktrial("run", str(tmp_path / "no.mbox"), "--allow-splats", str(ours), "--out", str(run))
    assert ended.status == 8, ended.errors
    ours.unlink()
    (tmp_path / "config.toml").write_text("")
    assert ktrial("run", "--resume", str(run)).status == 8
    told = [
        record.load(run / "invocation.json", Invocation).allow_splats,
        read_result(run / "result.json").allow_splats,
    ]
    assert [entries_of(lists) for lists in told] == [(PLANTED, EVERYTHING)] * 2
    assert entries_of(read_lists(kept_lists(run, told[0]))) == (PLANTED, EVERYTHING)
