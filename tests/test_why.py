"""`ktrial runs why` finds what differs between two runs, and says first what can explain that their outcomes do."""

from __future__ import annotations

import io
import json
import os
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_samples import SUITE, finished
from report_samples import SAMPLES
from rich.console import Console
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import UsageError
from harness.memory import opened
from harness.memory.write import remember
from harness.report.between import show_explanation
from harness.report.environment import carried
from harness.report.html.page import html_page
from harness.report.json import encode_result, write_result
from harness.report.junit import junit_xml
from harness.report.ktap import ktap_text
from harness.report.mail import Letterhead, compose
from harness.report.markdown import markdown
from harness.report.terminal import Verbosity, render
from harness.results import Outcome
from harness.run_result import Environment, SuiteInfo
from harness.store import new_run
from harness.why import Likelihood, explain_difference

GOLDEN = Path(__file__).parent / "golden" / "why"


def pair(a=None, b=None, *, tests=("p", "f"), **environments):
    """Two runs of the same, but for the test `t` on patched and fields of theirs."""
    runs = [
        finished(f"20260102-0304-run-000{name}", base={"t": "p"}, patched={"t": test}, **(more or {}))
        for name, test, more in zip("ab", tests, (a, b), strict=True)
    ]
    for name, values in environments.items():
        runs = [
            replace(run, environment=replace(run.environment, **{name: value}))
            for run, value in zip(runs, values, strict=True)
        ]
    return [of_tree(of_code(run), run.series.version) for run in runs]


def of_code(run, code="code"):
    """The kernels of both runs are the same code: what `finished` gives them is a run's own."""
    return replace(run, kernels=tuple(replace(each, code_digest=f"{each.side} {code}") for each in run.kernels))


def of_tree(run, version=1):
    return replace(run, tree=replace(run.tree, base_tree="b-tree", patched_tree=f"p-tree v{version}"))


def told(a, b, **more):
    return [(each.what, each.likelihood) for each in explain_difference(a, b, **more).differences]


def test_two_runs_of_the_same_do_not_differ():
    a, b = pair(tests=("p", "p"))
    found = explain_difference(a, b)
    assert found.differences == ()
    assert not found.apart.any
    assert found.conclusion == "Both came to the same end."


def test_where_nothing_differs_but_the_end_something_flakes():
    assert "the same inputs came to two ends" in explain_difference(*pair()).conclusion


def test_patches_are_told_apart_by_what_they_change():
    a, b = pair({"version": 1}, {"version": 2, "patches": ("xdp: add a counter", "xdp: use it", "xdp: drop it")})
    found = {each.what: each for each in explain_difference(a, b).differences}
    assert found["series"].b.endswith(" v2")
    assert found["patches"].details == (
        "1: xdp: add a counter -> another diff",
        "2: xdp: use it -> another diff",
        "3: - -> xdp: drop it",
    )
    assert {each.likelihood for each in found.values()} == {Likelihood.LIKELY}


def test_the_same_files_are_the_same_series_whatever_it_is_called():
    a, b = pair({"title": "one"}, {"title": "another"})
    assert told(a, b) == []


def test_another_base_is_likely_and_the_same_files_are_not():
    a, b = pair()
    other = replace(b.tree, base_commit="f" * 40, base_tree="another", base_why="asked for with --base")
    (found,) = explain_difference(a, replace(b, tree=other)).differences
    assert (found.what, found.likelihood) == ("base", Likelihood.LIKELY)
    assert found.details == ("HEAD of the tree: the series names no base-commit -> asked for with --base",)
    same_files = replace(b.tree, base_commit="f" * 40)
    assert told(a, replace(b, tree=same_files)) == [("base", Likelihood.UNLIKELY)]


def test_a_configuration_explains_nothing_where_the_code_is_the_same():
    a, b = pair()
    config = replace(b.config, base_digest="d" * 64, patched_digest="d" * 64)
    assert told(a, replace(b, config=config)) == [("configuration", Likelihood.UNLIKELY)]
    assert told(a, of_code(replace(b, config=config), "other")) == [("configuration", Likelihood.LIKELY)]


def test_the_settings_that_differ_are_told_where_both_configurations_are_at_hand():
    a, b = pair()
    b = of_code(replace(b, config=replace(b.config, patched_digest="d" * 64)), "other")
    found = explain_difference(a, b, symbols={"patched": ("KASAN: n -> y",)}).differences[0]
    assert (found.what, found.details) == ("configuration of patched", ("KASAN: n -> y",))


def test_a_fragment_of_the_same_name_with_other_settings_is_told():
    a, b = pair()
    one, other = (replace(run.config, fragment_digests=(digest, "x")) for run, digest in ((a, "1"), (b, "2")))
    found = explain_difference(replace(a, config=one), replace(b, config=other)).differences[0]
    assert (found.what, found.details) == ("fragments", ("boot has other settings",))


def test_a_compiler_explains_nothing_where_the_code_is_the_same():
    a, b = pair(compiler=("gcc 12.2.0", "gcc 14.2.0"))
    assert told(a, b) == [("compiler", Likelihood.UNLIKELY)]
    assert told(a, of_code(b, "other")) == [("compiler", Likelihood.POSSIBLE)]


def test_other_code_from_the_same_inputs_is_told():
    a, b = pair()
    assert ("code of base", Likelihood.LIKELY) in told(a, of_code(b, "other"))


@pytest.mark.parametrize(
    "name_and_values",
    [
        ("accelerator", ("kvm", "tcg")),
        ("test_deadline", (30.0, 10.0)),
        ("vms", (1, 4)),
    ],
    ids=lambda each: each[0],
)
def test_time_is_likely_where_a_test_ran_out_of_it_and_not_where_one_failed(name_and_values):
    name, values = name_and_values
    assert told(*pair(tests=("p", "t"), **{name: values}))[0][1] is Likelihood.LIKELY
    assert told(*pair(tests=("p", "f"), **{name: values}))[0][1] is not Likelihood.LIKELY


def test_a_busy_host_is_told_by_the_processor():
    busy = {"load_before": (0.3, 12.0), "processors": (16, 16)}
    assert told(*pair(tests=("p", "t"), **busy)) == [("load of the host", Likelihood.LIKELY)]
    assert told(*pair(tests=("p", "f"), **busy)) == [("load of the host", Likelihood.UNLIKELY)]
    assert told(*pair(tests=("p", "t"), load_before=(0.3, 0.6), processors=(16, 16))) == []


def test_options_that_choose_tests_explain_tests_that_only_one_ran():
    a, b = pair(tests=("p", "p"), processors=(8, 8))
    b = replace(b, asked=(("keyword", "nothing"), ("reruns", "5")), patched=replace(b.patched, results=()))
    b = replace(b, base=replace(b.base, results=()))
    found = explain_difference(a, b)
    assert [(each.what, each.a, each.b, each.likelihood) for each in found.differences] == [
        ("-k", "not given", "nothing", Likelihood.LIKELY)
    ]
    assert found.apart.only_a == ("suite/f.py::t",)


def test_another_kernel_is_no_reason_to_run_other_tests():
    a, b = pair(tests=("p", "p"))
    b = of_code(replace(b, base=None, patched=None, config=replace(b.config, base_digest="d" * 64)), "other")
    assert ("configuration of base", Likelihood.POSSIBLE) in told(a, b)


def test_the_version_of_the_tests_is_likely_where_theirs_ended_otherwise():
    other = SuiteInfo("suite", "", "another")
    assert told(*pair({"suite": SUITE}, {"suite": other})) == [("version of the tests", Likelihood.LIKELY)]
    assert told(*pair({"suite": SUITE}, {"suite": other}, tests=("p", "p"))) == [
        ("version of the tests", Likelihood.UNLIKELY)
    ]


def test_a_series_is_not_why_tests_differ_on_base_alone():
    a, b = pair({"base_commit": "a" * 40}, {"version": 2, "base_commit": "b" * 40}, tests=("p", "p"))
    b = replace(b, base=replace(b.base, results=tuple(replace(r, outcome=Outcome.FAILED) for r in b.base.results)))
    b = replace(b, tree=replace(b.tree, base_tree="another"))
    found = dict(told(a, b))
    assert found["patches"] is Likelihood.UNLIKELY
    assert found["base"] is Likelihood.LIKELY


def test_more_attempts_are_likely_where_a_test_flaked():
    assert told(*pair(tests=("ppp", "pfp"), attempts=(1, 3)))[0] == ("attempts", Likelihood.LIKELY)


def test_what_only_one_run_knows_is_no_difference():
    assert told(*pair(pahole=("", "v1.24"), processors=(0, 8), distribution=("", "Debian"))) == []


def test_the_likeliest_comes_first():
    a, b = pair({"version": 1}, {"version": 2}, qemu=("7.2", "9.1"), python=("3.11", "3.13"), seed=(1, 2))
    likelihoods = [likelihood for _, likelihood in told(a, b)]
    assert likelihoods == sorted(likelihoods, key=list(Likelihood).index)
    assert likelihoods[0] is Likelihood.LIKELY
    assert likelihoods[-1] is Likelihood.UNLIKELY


def test_every_field_of_the_environment_is_looked_at():
    """A new field that `why` does not know would be a difference that nobody is told of."""
    beside = {"accelerator_why", "ccache", "llvm", "load_before", "load_after"}  # effects, or told through another
    unlike = {str: ("one", "two"), int: (1, 2), float: (1.0, 2.0), tuple: ((1,), (2,))}
    a, b = pair()
    a, b = (replace(run, environment=replace(run.environment, instrument="icount")) for run in (a, b))
    for field in fields(Environment):
        if field.name in beside:
            continue
        kind = type(getattr(Environment("x"), field.name))
        runs = [
            replace(run, environment=replace(run.environment, **{field.name: value}))
            for run, value in zip((a, b), unlike[kind], strict=True)
        ]
        assert told(*runs), field.name


def shown(explanation, width, *, every=False):
    out = io.StringIO()
    show_explanation(explanation, Console(file=out, width=width), every=every)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def golden_pair():
    """The same series: another base, a busy host without KVM, a newer compiler, and a test that ran out of time."""
    tests = {"drop[9000]": "p", "shrink": "p", "grow": "p"}
    a = finished("20260102-0304-shrink-aaaa", base=tests, patched={**tests, "shrink": "fff"})
    b = finished(
        "20260103-1122-shrink-bbbb",
        base={**tests, "new[1]": "p", "new[2]": "p"},
        patched={**tests, "drop[9000]": "ttt", "new[1]": "p", "new[2]": "p"},
        base_commit="f" * 40,
        started="2026-01-03T11:22:33+00:00",
        kernel="6.12.44",
        accelerator="kvm",
        suite=SuiteInfo("suite", "", "another version"),
    )
    environment = replace(
        b.environment, compiler="gcc (Debian 14.2.0-19) 14.2.0", load_before=31.5, processors=16, test_deadline=10.0
    )
    a = replace(a, environment=replace(a.environment, load_before=0.4, processors=16, test_deadline=30.0))
    config = replace(b.config, patched_digest="d" * 64, base_digest="d" * 64)
    b = replace(b, environment=environment, config=config, asked=(("keyword", "not slow"),))
    b = replace(b, paths=replace(b.paths, machine="their-machine"))
    symbols = dict.fromkeys(("base", "patched"), ("KASAN: n -> y", "PAGE_POOL_STATS: y -> n"))
    return explain_difference(a, b, symbols)


@pytest.mark.parametrize("width", [80, 120])
def test_it_is_shown_as_it_was(width):
    """KTRIAL_UPDATE_GOLDEN=1 writes the files anew: look at them before committing."""
    text = shown(golden_pair(), width)
    path = GOLDEN / f"differs-{width}.txt"
    if os.environ.get("KTRIAL_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
    assert max(map(len, text.splitlines())) <= width


@settings(deadline=None)
@given(st.text(max_size=30), st.sampled_from(sorted(SAMPLES)), st.sampled_from(sorted(SAMPLES)))
def test_whatever_two_runs_are_they_can_be_shown(text, one, other):
    hostile = f"\x1b[31m[bold]{text}\x07‮\n"
    a, b = SAMPLES[one](), SAMPLES[other]()
    a = replace(a, environment=replace(a.environment, qemu=hostile, compiler=hostile))
    out = shown(explain_difference(a, b, {"patched": (hostile,)}), 80, every=True)
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "‮" not in out


def in_form(run, form):
    if form in ("verbose", "normal"):
        out = io.StringIO()
        render(run, Console(file=out, width=100), verbosity=Verbosity[form.upper()])
        return out.getvalue()
    if form == "mail":
        date = datetime(2026, 1, 2, tzinfo=UTC)
        return compose(run, Letterhead(), date=date).get_content()
    forms = {"junit": lambda: junit_xml(run).decode(), "ktap": lambda: ktap_text(run)}
    return {
        **forms,
        "markdown": lambda: markdown(run),
        "html": lambda: html_page(run),
        "json": lambda: encode_result(run).decode(),
    }[form]()


class TestTheCommand:
    """Runs are named by id; a folder that is gone is no hindrance."""

    @pytest.fixture(autouse=True)
    def runs(self, tmp_path, monkeypatch):
        monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path / "runs"))
        monkeypatch.delenv("KTRIAL_MEMORY", raising=False)
        a, b = pair(compiler=("gcc 12", "gcc 14"))
        folder = new_run(None, "here")
        folder.config("patched").parent.mkdir()
        folder.config("patched").write_text("CONFIG_A=y\n")
        self.here = folder.id
        write_result(folder.result, replace(a, run=folder.id))
        with opened() as connection:
            remember(connection, of_code(replace(b, run="20260102-0304-gone-cafe"), "other"))

    def why(self, *arguments):
        done = CliRunner().invoke(app, ["runs", "why", *arguments], env={"COLUMNS": "100"})
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.stdout

    def test_a_run_whose_folder_is_gone_is_remembered(self):
        assert "gcc 14" in self.why(self.here, "cafe")

    def test_it_is_there_for_scripts(self):
        told = json.loads(self.why(self.here, "cafe", "--json"))
        assert told["differences"][0]["what"] == "compiler"
        assert told["tests"] == ["suite/f.py::t"]

    def test_what_is_no_run_is_said(self):
        with pytest.raises(UsageError, match="no finished run 'nothing'"):
            self.why(self.here, "nothing")


class TestWhatEveryReportCarries:
    """The names that a report must have, so that two of them can be held side by side."""

    NAMES = (
        "base",
        "patched",
        "fragments",
        "configuration",
        "compiler",
        "pahole",
        "QEMU",
        "virtme-ng",
        "accelerator",
        "instrument",
        "host",
        "host load",
        "seed",
        "ktrial",
    )

    def test_all_are_there_in_a_run_that_has_them(self):
        run = SAMPLES["regression"]()
        environment = replace(
            run.environment, instrument="icount", seed=7, load_before=0.5, load_after=1.25, processors=8, host="Linux"
        )
        rows = dict(carried(replace(run, environment=environment)))
        assert not set(self.NAMES) - rows.keys()
        assert run.tree.base_commit in rows["base"]
        assert run.tree.patched_commit in rows["patched"]
        assert run.config.patched_digest in rows["configuration"]
        assert rows["host load"] == "0.5 before, 1.25 at the end, on 8 processors"

    @pytest.mark.parametrize("form", ["verbose", "normal", "junit", "ktap", "markdown", "html", "json", "mail"])
    def test_they_are_in_every_form_of_a_report(self, form):
        """Brief forms have the beginnings of digests, and of QEMU's version what it begins with."""
        run = SAMPLES["regression"]()
        environment = replace(
            run.environment,
            instrument="icount",
            perf_seeds=(3141, 5926),
            seed=47110815,
            load_before=0.53,
            load_after=1.27,
            processors=17,
        )
        run = replace(run, environment=environment)
        text = "".join(in_form(run, form).split())
        brief = form in ("normal", "mail")
        digits = 12 if brief else None
        for told in (
            run.tree.base_commit[:digits],
            run.tree.patched_commit[:digits],
            run.config.patched_digest[:digits],
            *run.config.fragments,
            environment.compiler,
            environment.pahole,
            environment.qemu.partition(" (")[0],
            environment.virtme_ng,
            environment.accelerator,
            "icount",
            "3141",
            "5926",
            "47110815",
            "0.5to1.3" if brief else "0.53",
            "0.5to1.3" if brief else "1.27",
            "17",
            environment.ktrial,
        ):
            assert "".join(told.split()) in text, told

    def test_what_is_not_known_is_left_out(self):
        rows = dict(carried(SAMPLES["does_not_apply"]()))
        assert "configuration" not in rows
        assert "seed" not in rows
        assert all(rows.values())
