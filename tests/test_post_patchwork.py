"""Each suite has its check on each patch of the series; nothing is repeated, and nothing that is known is undone.

Against a real HTTP server on loopback that holds to Patchwork's documented API (patchwork_server).
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mail_samples import HOSTILE, PERFORMANCE, hostile, measured
from patchwork_server import TOKEN, Failure, Patchwork, serving
from report_samples import bare, does_not_apply, no_regression, regression, without_base

from harness.cli_post import post
from harness.compare import compare
from harness.errors import KtrialError, MachineLost, UsageError
from harness.post import rest
from harness.post.checks import CheckState, checks_of
from harness.post.model import PatchworkSettings
from harness.post.patchwork import Action, api_root, post_checks
from harness.post.rest import Rest, Retry
from harness.results import Outcome, SideResults, TestResult
from harness.run_result import PatchInfo, RunResult, SuiteInfo
from harness.store import RunFolder, new_run
from harness.verdict import Verdict, VerdictKind, decide, identical_verdict

SERIES = 7
PATCHES = {101: ("<one@example.org>", "[v2,1/2] xdp: add a helper"), 102: ("<two@example.org>", "[v2,2/2] xdp: use it")}
WHOLE, SUITE = "ktrial", "ktrial-xdp_multibuf"


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def patchwork() -> Patchwork:
    return Patchwork()


@pytest.fixture
def url(patchwork) -> Iterator[str]:
    with serving(patchwork) as url:
        patchwork.add_series(SERIES, PATCHES)
        yield url


@pytest.fixture
def run(tmp_path, monkeypatch) -> RunFolder:
    monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path / "runs"))
    return new_run(None, "shrink")


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """Settings for the command line: a token's file, and more lines of TOML."""
    monkeypatch.delenv("KTRIAL_PATCHWORK_TOKEN", raising=False)

    def configure(*lines: str, token: str = TOKEN) -> None:
        (tmp_path / "token").write_text(f"{token}\n")
        file = tmp_path / "config.toml"
        file.write_text("\n".join(["[patchwork]", f"token_file = '{tmp_path / 'token'}'", *lines, ""]))
        monkeypatch.setenv("KTRIAL_CONFIG", str(file))

    return configure


def ids(result: RunResult) -> RunResult:
    """The same of a series that came by mail."""
    assert result.series is not None
    identifiers = ("<cover@example.org>", "<one@example.org>", "<two@example.org>")
    return replace(result, series=replace(result.series, message_ids=identifiers))


class Pauses(Retry):
    """Waits for nobody, and remembers how long it would have."""

    def __init__(self, patience: float = 120.0) -> None:
        self.waited: list[float] = []
        super().__init__(patience=patience, sleep=self.waited.append)


def posting(url: str, result: RunResult, *, token: str = TOKEN, retry: Retry | None = None, **settings: str):
    server = Rest(api_root(url), token, timeout=5.0, retry=retry or Pauses())
    checks = checks_of(result, PatchworkSettings(**settings))
    return post_checks(server, SERIES, result.series, checks, user=settings.get("user", ""))


def test_each_suite_has_a_check_on_each_patch(patchwork, url, run, configured, capsys):
    configured("target_url = 'https://ci.example.org/{run}/{suite}'")
    post(run, ids(regression()), patchwork=url, series=SERIES)
    for patch in PATCHES:
        whole, suite = patchwork.checks[patch]
        assert (whole["context"], suite["context"]) == (WHOLE, SUITE)
        assert suite["state"] == "fail"
        assert suite["description"].startswith("REGRESSION: 3 of 9 tests broke: xdp_multibuf/test_adjust_tail.py::")
        assert suite["target_url"] == "https://ci.example.org/20260102-030405-shrink/xdp_multibuf"
        assert suite["user"]["username"] == "ktrial"
        assert patchwork.combined(patch) == "fail"
    assert capsys.readouterr().out.splitlines() == [
        f"patch {patch}: {context}: fail (posted)" for patch in PATCHES for context in (WHOLE, SUITE)
    ]


def test_nothing_that_is_unchanged_is_posted_again(patchwork, url):
    posting(url, ids(regression()))
    assert patchwork.posts == 4
    again = posting(url, ids(regression()))
    assert patchwork.posts == 4
    assert {step.action for step in again} == {Action.UNCHANGED}


def test_what_changed_is_posted_and_counts(patchwork, url):
    posting(url, ids(regression()))
    posting(url, ids(no_regression()))
    assert patchwork.posts == 8
    assert patchwork.combined(101) == "success"


def lost() -> RunResult:
    """A run whose results our machine lost."""
    base = SideResults("base", (TestResult("xdp_multibuf/t.py::test_a", Outcome.PASSED),), (), 1.0, True)
    gone = (TestResult("xdp_multibuf/t.py::test_a", Outcome.LOST),)
    comparison = compare(base, replace(base, side="patched", results=gone))
    return ids(replace(no_regression(), comparison=comparison, verdict=decide(comparison)))


def test_what_is_not_known_is_pending(patchwork, url):
    posting(url, lost())
    assert patchwork.shown(101) == {("ktrial", WHOLE): "pending", ("ktrial", SUITE): "pending"}


@pytest.mark.parametrize("result", [regression, no_regression], ids=["fail", "success"])
def test_pending_never_takes_the_place_of_what_was_known(patchwork, url, result):
    posting(url, ids(result()))
    before = patchwork.shown(101)
    steps = posting(url, lost())
    assert {step.action for step in steps} == {Action.KEPT}
    assert patchwork.shown(101) == before
    assert patchwork.posts == 4


def test_what_was_pending_is_made_known(patchwork, url):
    posting(url, lost())
    posting(url, ids(no_regression()))
    assert patchwork.combined(101) == "success"


def test_the_newest_check_is_found_beyond_the_first_page(patchwork, url):
    for number in range(250):
        patchwork.add_check(101, "other-ci", state="success", context=f"build-{number}")
    patchwork.page = 100
    posting(url, ids(no_regression()))
    patchwork.add_check(101, "ktrial", state="fail", context=SUITE)
    steps = posting(url, ids(no_regression()))
    assert [step.action for step in steps] == [Action.UNCHANGED, Action.POSTED, Action.UNCHANGED, Action.UNCHANGED]
    assert any("page=3" in path for _, path, _ in patchwork.requests)


def test_another_user_s_check_of_the_same_name_is_none_of_ours_where_the_settings_say_who_we_are(patchwork, url):
    patchwork.add_check(101, "somebody", state="success", context=WHOLE)
    steps = posting(url, lost(), user="ktrial")
    assert steps[0].action is Action.POSTED
    assert patchwork.shown(101)["somebody", WHOLE] == "success"


def test_who_we_are_is_known_without_regard_to_case(patchwork, url):
    """Patchwork finds users so, and answers with the name as it is spelled there."""
    posting(url, ids(regression()), user="KTrial")
    posts = patchwork.posts
    assert {step.action for step in posting(url, ids(regression()), user="KTrial")} == {Action.UNCHANGED}
    assert {step.action for step in posting(url, lost(), user="KTRIAL")} == {Action.KEPT}
    assert patchwork.posts == posts


def test_a_token_of_another_user_is_told_at_once(patchwork, url):
    """What stands would not be found, and be posted anew each time."""
    patchwork.users["other"] = ("maintainer", True)
    with pytest.raises(UsageError, match="the token is ktrial's") as caught:
        posting(url, ids(regression()), user="maintainer")
    assert patchwork.posts == 1
    assert 'patchwork.user = "ktrial"' in caught.value.hint


def test_a_user_that_patchwork_does_not_know_is_told(patchwork, url):
    with pytest.raises(UsageError, match="400") as caught:
        posting(url, ids(regression()), user="nobody")
    assert "nobody" in caught.value.detail
    assert patchwork.posts == 0


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 0], ids=str)
def test_a_server_that_is_busy_is_asked_again_later(patchwork, url, status):
    patchwork.failures = [
        Failure(status),
        Failure(status),
        None,
        Failure(status),
        None,
        Failure(status),
        Failure(status),
    ]
    retry = Pauses()
    posting(url, ids(regression()), retry=retry)
    assert patchwork.posts >= 4
    assert [len(checks) for checks in patchwork.checks.values()] == [2, 2]
    assert retry.waited == [1.0, 2.0, 1.0, 1.0, 1.0]


def test_it_waits_as_long_as_the_server_asks_for(patchwork, url):
    date = "Thu, 01 Jan 1970 00:00:00 GMT"
    patchwork.failures = [Failure(429, {"Retry-After": "17"}), Failure(503, {"Retry-After": date})]
    retry = Pauses()
    posting(url, ids(regression()), retry=retry)
    assert retry.waited == [17.0, 0.1]


def test_its_patience_ends(patchwork, url):
    patchwork.failures = [Failure(503) for _ in range(100)]
    retry = Pauses(patience=40.0)
    with pytest.raises(MachineLost, match="503"):
        posting(url, ids(regression()), retry=retry)
    assert retry.waited == [1.0, 2.0, 4.0, 8.0, 16.0]
    patchwork.failures = [Failure(429, {"Retry-After": "86400"})]
    with pytest.raises(MachineLost, match="429"):
        posting(url, ids(regression()), retry=Pauses(patience=40.0))


def test_a_check_that_was_made_though_the_answer_was_lost_is_not_made_twice(patchwork, url):
    patchwork.failures = [None, None, Failure(502, before=False), None, Failure(0, before=False)]
    steps = posting(url, ids(regression()))
    assert {step.action for step in steps} == {Action.POSTED}
    assert [len(checks) for checks in patchwork.checks.values()] == [2, 2]


def test_what_was_posted_before_the_server_went_away_is_not_posted_again(patchwork, url):
    patchwork.failures = [None, None, None, *(Failure(503) for _ in range(100))]
    with pytest.raises(MachineLost):
        posting(url, ids(regression()))
    patchwork.failures = []
    posting(url, ids(regression()))
    assert [len(checks) for checks in patchwork.checks.values()] == [2, 2]


@pytest.mark.parametrize(
    ("users", "token", "why"),
    [
        ({}, TOKEN, "401"),
        ({TOKEN: ("ktrial", False)}, TOKEN, "403"),
        ({TOKEN: ("ktrial", True)}, "f" * 40, "401"),
    ],
    ids=["no-such-token", "no-permission", "another-token"],
)
def test_who_may_not_post_is_told_why_and_the_token_is_not_shown(patchwork, url, users, token, why):
    patchwork.users = users
    with pytest.raises(UsageError, match=why) as error:
        posting(url, ids(regression()), token=token)
    assert "patchwork.add_check" in error.value.hint
    assert token not in f"{error.value.summary} {error.value.detail} {error.value.hint}"
    assert patchwork.checks == {101: [], 102: []}


def test_another_series_is_not_posted_to(patchwork, url):
    patchwork.add_series(SERIES, {201: ("<x@example.org>", "[1/2] net: x"), 202: ("<y@example.org>", "[2/2] net: y")})
    with pytest.raises(UsageError, match="is not the one that was tried") as error:
        posting(url, ids(regression()))
    assert "net: x" in error.value.detail
    assert patchwork.posts == 0


def test_a_series_without_message_ids_is_known_by_its_subjects(patchwork, url):
    result = regression()
    assert result.series is not None
    patches = (PatchInfo(1, "xdp: add a helper"), PatchInfo(2, "xdp: use it"))
    known = replace(result, series=replace(result.series, message_ids=("", ""), patches=patches))
    posting(url, known)
    assert patchwork.posts == 4
    other = replace(known.series, patches=(patches[0], PatchInfo(2, "xdp: something else")))
    with pytest.raises(UsageError, match="is not the one that was tried"):
        posting(url, replace(known, series=other))


def test_a_series_that_is_not_there_is_told(patchwork, url):
    del patchwork.series[SERIES]
    with pytest.raises(UsageError, match="404"):
        posting(url, ids(regression()))


def test_a_series_that_has_not_arrived_yet_is_told(patchwork, url):
    patchwork.add_series(SERIES, {})
    with pytest.raises(UsageError, match="no patches in Patchwork yet"):
        posting(url, ids(regression()))


def test_a_redirect_is_not_followed_for_it_would_carry_the_token_away(patchwork, url):
    patchwork.failures = [Failure(301, {"Location": "https://elsewhere.example/api/"})]
    with pytest.raises(UsageError, match=r"redirected to https://elsewhere\.example/api/"):
        posting(url, ids(regression()))


def test_a_link_to_another_host_is_not_followed_either(patchwork, url):
    patchwork.page = 1
    for number in range(2):
        patchwork.add_check(101, "x", state="success", context=f"c{number}")
    patchwork.root = "http://elsewhere.example"
    posting(url, ids(regression()))
    assert [len(checks) for checks in patchwork.checks.values()] == [4, 2]


@pytest.mark.parametrize("body", ["<html>", "[]", '{"id": "x"}', '{"id": 7, "patches": [{"id": null}]}', "\x00"])
def test_an_answer_that_is_not_patchwork_s_is_told(patchwork, url, body):
    patchwork.failures = [Failure(200, body=body)]
    with pytest.raises(UsageError):
        posting(url, ids(regression()))


def test_a_server_that_is_not_there_is_worth_another_try(url):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(MachineLost, match="refused"):
        posting(f"http://127.0.0.1:{port}", ids(regression()), retry=Pauses(patience=3.0))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    argv += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "key"), "-out", str(folder / "cert")]
    subprocess.run(argv, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "cert").read_text() + (folder / "key").read_text())
    return both


def test_tls_is_verified(patchwork, certificate):
    with serving(patchwork, certificate) as url:
        patchwork.add_series(SERIES, PATCHES)
        with pytest.raises(UsageError, match="its certificate is not trusted"):
            posting(url, ids(regression()))
        server = Rest(api_root(url), TOKEN, str(certificate), retry=Pauses())
        result = ids(regression())
        post_checks(server, SERIES, result.series, checks_of(result, PatchworkSettings()))
    assert patchwork.posts == 4


def test_a_token_is_sent_over_tls_only():
    with pytest.raises(UsageError, match="not sent without TLS"):
        Rest("http://patchwork.example.org/api/1.2/", TOKEN)
    assert TOKEN not in repr(Rest("https://patchwork.example.org/api/1.2/", TOKEN))


@pytest.mark.parametrize(
    "url", ["patchwork.example.org", "file:///etc/passwd", "https://user:pass@example.org", "", "https://"]
)
def test_what_is_no_url_is_told(url):
    with pytest.raises(UsageError, match="is no URL of a server"):
        Rest(api_root(url), "")


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("https://p.example.org", "https://p.example.org/api/1.2/"),
        ("https://p.example.org/", "https://p.example.org/api/1.2/"),
        ("https://example.org/patchwork/", "https://example.org/patchwork/api/1.2/"),
        ("https://p.example.org/api", "https://p.example.org/api/1.2/"),
        ("https://p.example.org/api/1.3/", "https://p.example.org/api/1.3/"),
    ],
)
def test_the_root_of_the_api_follows_from_the_servers_url(url, root):
    assert api_root(url) == root


def test_the_token_comes_from_the_environment_first(patchwork, url, run, configured, monkeypatch):
    configured(token="wrong")
    monkeypatch.setenv("KTRIAL_PATCHWORK_TOKEN", TOKEN)
    post(run, ids(regression()), patchwork=url, series=SERIES)
    assert patchwork.posts == 4
    assert TOKEN not in "".join(file.read_text() for file in run.path.rglob("*") if file.is_file())


def test_without_a_token_nothing_is_asked(patchwork, url, run, configured, tmp_path):
    configured()
    (tmp_path / "config.toml").write_text("[patchwork]\n")
    with pytest.raises(UsageError, match="no token"):
        post(run, ids(regression()), patchwork=url, series=SERIES)
    assert patchwork.requests == []


@pytest.mark.parametrize("half", [{"patchwork": "https://x"}, {"series": 3}])
def test_a_server_and_a_series_belong_together(run, half):
    with pytest.raises(UsageError, match="belong together"):
        post(run, regression(), **half)


def states(result: RunResult) -> dict[str, CheckState]:
    return {check.context: check.state for check in checks_of(result, PatchworkSettings())}


def of_kind(kind: VerdictKind) -> RunResult:
    return replace(bare(), verdict=Verdict(0, kind, f"{kind}: x"))


def test_states_say_what_is_known_and_whose_turn_it_is():
    assert states(regression()) == {WHOLE: CheckState.FAIL, SUITE: CheckState.FAIL}
    assert states(no_regression()) == {WHOLE: CheckState.SUCCESS, SUITE: CheckState.SUCCESS}
    assert states(without_base()) == {WHOLE: CheckState.WARNING, SUITE: CheckState.WARNING}
    assert states(does_not_apply()) == {WHOLE: CheckState.FAIL}
    assert states(replace(bare(), verdict=identical_verdict())) == {WHOLE: CheckState.SUCCESS}
    for kind in (VerdictKind.MACHINE_LOST, VerdictKind.INTERRUPTED, VerdictKind.TREE_UNUSABLE, VerdictKind.BASE_BROKEN):
        assert states(of_kind(kind)) == {WHOLE: CheckState.PENDING}


def test_a_suite_is_not_blamed_for_what_another_broke():
    other = replace(regression(), suites=(*regression().suites, SuiteInfo("drivers", "asked for")))
    assert states(other)["ktrial-drivers"] is CheckState.WARNING  # no test of it was run
    assert states(other)[SUITE] is CheckState.FAIL


def test_flaky_tests_are_worth_a_look():
    base = SideResults("base", (TestResult("xdp_multibuf/a", Outcome.PASSED),) * 2, (), 1.0, True)
    mixed = (*base.results, TestResult("xdp_multibuf/a", Outcome.FAILED))
    comparison = compare(base, replace(base, side="patched", results=mixed))
    result = replace(no_regression(), comparison=comparison, verdict=decide(comparison))
    assert states(result) == {WHOLE: CheckState.SUCCESS, SUITE: CheckState.WARNING} | {WHOLE: CheckState.WARNING}


def test_figures_count_for_the_suite_whose_benches_they_are():
    result = replace(measured(), suites=tuple(SuiteInfo(name, "") for name in ("xdp_multibuf", "drivers", "af_xdp")))
    found = {check.context: check for check in checks_of(result, PatchworkSettings())}
    assert found[SUITE].state is CheckState.FAIL
    assert "1 of 1 figures worse" in found[SUITE].description
    assert found["ktrial-drivers"].state is CheckState.FAIL
    better = replace(PERFORMANCE, figures=(PERFORMANCE.figures[1], PERFORMANCE.figures[5]))
    well = {check.context: check for check in checks_of(replace(result, performance=better), PatchworkSettings())}
    assert well["ktrial-drivers"].state is CheckState.SUCCESS
    assert well["ktrial-drivers"].description == "no regression: 1 figure better"
    assert well["ktrial-af_xdp"].state is CheckState.WARNING


def test_a_url_that_patchwork_would_refuse_is_left_out():
    long = PatchworkSettings(target_url="https://ci.example.org/" + "x" * 300)
    assert checks_of(regression(), long)[0].target_url == ""


@pytest.mark.parametrize("word", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_a_description_and_nothing_else(patchwork, url, word):
    result = replace(hostile(word), suites=(SuiteInfo(word, word),))
    patchwork.add_series(SERIES, PATCHES)
    result = replace(result, series=ids(regression()).series)
    posting(url, result)
    for check in patchwork.checks[101]:
        assert check["description"].isprintable()
        assert len(check["description"]) <= 200


@given(st.text(max_size=400))
def test_a_context_is_always_a_slug(name):
    for check in checks_of(replace(regression(), suites=(SuiteInfo(name, ""),)), PatchworkSettings()):
        assert 1 <= len(check.context) <= 255
        assert check.context.isascii()
        assert all(char.isalnum() or char in "-_" for char in check.context)


def test_every_error_has_an_exit_code_that_says_whose_turn_it_is(patchwork, url):
    for failure, code in ((Failure(429), 7), (Failure(400), 2), (Failure(401), 2), (Failure(302), 2)):
        patchwork.failures = [failure] * 20
        with pytest.raises(KtrialError) as error:
            posting(url, ids(regression()), retry=Pauses(patience=1.0))
        assert error.value.exit_code == code


def test_the_answer_is_not_read_without_end(monkeypatch, patchwork, url):
    monkeypatch.setattr(rest, "_LARGEST", 100)
    with pytest.raises(UsageError, match="the answer is larger"):
        posting(url, ids(regression()))
