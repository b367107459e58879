"""A mail says the verdict first, stays in its thread and in 72 columns, and nothing in it is obeyed by a program."""

from __future__ import annotations

import email
import email.policy
import os
import re
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.utils import getaddresses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mail_samples import ENVELOPE, HOSTILE, MAILS, PERFORMANCE, answering, blamed, hostile, measured, obeyed
from report_samples import SAMPLES, bare, no_regression, regression

from harness.flakiness import KnownFlake
from harness.report.decode import Places
from harness.report.mail import Letterhead, address_of, answered, as_bytes, compose
from harness.report.mail_again import try_again
from harness.report.mail_lines import WIDTH, bar, guarded, prose, shell
from harness.run_result import RunResult
from harness.series.model import Envelope

GOLDEN = Path(__file__).parent / "golden" / "mail"
DATE = datetime(2026, 1, 2, 3, 9, 11, tzinfo=UTC)
HEAD = Letterhead("ktrial <ktrial@ci.example.org>", tester="A Tester <tester@example.org>")
HEADERS = {
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "X-Loop",
    "X-Mailer",
    "X-Ktrial-Run",
    "X-Ktrial-Verdict",
    "X-Ktrial-Exit-Code",
    "Content-Type",
    "Content-Transfer-Encoding",
    "MIME-Version",
}


def written(result: RunResult, head: Letterhead = HEAD, **people) -> bytes:
    return as_bytes(compose(result, head, date=DATE, **people))


def read(data: bytes) -> email.message.EmailMessage:
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, email.message.EmailMessage)
    return message


def text_of(result: RunResult, head: Letterhead = HEAD) -> str:
    return read(written(result, head)).get_content()


@pytest.mark.parametrize("name", MAILS)
def test_the_mail_is_as_it_was(name):
    """KTRIAL_UPDATE_GOLDEN=1 writes the files anew: look at them before committing."""
    shown = written(MAILS[name](), to=["A Developer <dev@example.org>"], cc=["netdev@lists.example.org"]).decode()
    path = GOLDEN / f"{name}.eml"
    if os.environ.get("KTRIAL_UPDATE_GOLDEN"):
        path.write_text(shown)
    assert shown == path.read_text()


@pytest.mark.parametrize("name", MAILS)
def test_the_first_line_is_the_verdict_and_of_it_nothing_is_lost(name):
    result = MAILS[name]()
    paragraph = text_of(result).split("\n\n")[0]
    assert " ".join(paragraph.replace("| ", "").split()) == result.verdict.line.replace(": ", " - ", 1)


@pytest.mark.parametrize("name", MAILS)
def test_nothing_but_logs_names_and_commands_is_wider_than_72_columns(name):
    lines = text_of(MAILS[name]()).splitlines()
    wide = [line for line in lines if len(line) > WIDTH]
    assert not [line for line in wide if not line.startswith("| ") and "::" not in line and "test_" not in line]


def test_it_answers_the_cover_letter_in_its_thread():
    message = read(written(answering(regression())))
    assert message["Subject"] == "Re: [PATCH bpf-next v2 0/2] xdp: shrink fragments in one pass"
    assert message["In-Reply-To"] == "<cover@example.org>"
    assert message["References"].split() == ["<v1-cover@example.org>", "<cover@example.org>"]
    assert message["Message-ID"] == "<20260102-030405-shrink.ktrial@ci.example.org>"


def test_a_reply_is_not_answered_with_two_re():
    again = replace(ENVELOPE, subject="Re: RE: [PATCH] x")
    assert read(written(answering(regression(), again)))["Subject"] == "Re: [PATCH] x"


def test_a_run_of_an_earlier_version_is_answered_by_its_message_ids():
    series = bare().series
    assert series is not None
    ids = replace(series, message_ids=("<0@x>", "<1@x>", "<2@x>"))
    assert answered(ids).subject == "[PATCH bpf-next v2 0/2] xdp: shrink fragments in one pass"
    single = replace(series, message_ids=("<1@x>",), patches=series.patches[:1], version=1, tags=())
    assert answered(single) == Envelope("<1@x>", "[PATCH] xdp: add a helper", "A Developer <dev@example.org>")
    without_cover = replace(series, message_ids=("<1@x>", "<2@x>"))
    assert answered(without_cover).subject == "[PATCH bpf-next v2 1/2] xdp: add a helper"


def test_a_machine_can_tell_that_a_machine_sent_it():
    message = read(written(answering(regression())))
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["X-Auto-Response-Suppress"] == "All"
    assert message["X-Loop"] == "ktrial"
    assert message["X-Ktrial-Verdict"] == "regression"
    assert message["X-Ktrial-Exit-Code"] == "1"


def test_it_is_plain_text_that_is_neither_base64_nor_quoted_printable():
    for head in (HEAD, replace(HEAD, opt_out="Schreiben Sie an prüfer@example.org.")):
        message = read(written(answering(regression()), head))
        assert message.get_content_type() == "text/plain"
        assert message["Content-Transfer-Encoding"] in ("7bit", "8bit")


def test_people_with_letters_of_their_own_are_written_as_headers_want_it():
    data = written(answering(regression()), to=['Jürgen "der" Prüfer <pruefer@example.net>', "no address", ""])
    assert data.split(b"\n\n")[0].isascii()
    assert read(data)["To"].addresses[0].display_name == "Jürgen der Prüfer"
    assert len(read(data)["To"].addresses) == 1


@pytest.mark.parametrize(
    "subject",
    [
        "[PATCH bpf-next 0/2] bpf, test_run: check XDP frames before they run",
        "[PATCH 1/2] =?utf-8?q?x=0AX-Forged:_1?=",
        "[PATCH] é " + "=?utf-8?q?x=0D=0A?= " * 6,
        "[PATCH] two  blanks, " + "x" * 80 + " more",
    ],
)
def test_a_subject_is_answered_as_it_was_written(subject):
    """With the same text for who decodes it once, and none of its lines empty."""
    data = written(answering(regression(), replace(ENVELOPE, subject=subject)))
    raw = email.message_from_bytes(data)["Subject"]
    assert str(make_header(decode_header(raw.replace("\n", "")))) == f"Re: {subject.strip()}"
    assert b"Subject: " in data
    assert max(map(len, raw.split("\n"))) <= 82


def test_names_of_people_are_written_as_they_are():
    people = [
        "=?utf-8?q?x=0ABcc=3A_m?= <a@example.org>",
        '"A \\"Q\\", B" <b@example.org>',
        "c@example.org",
        "É <d@example.org>",
    ]
    data = written(regression(), to=people)
    message = email.message_from_bytes(data)
    assert set(message.keys()) <= HEADERS
    people = getaddresses([message["To"].replace("\n", "")])
    shown = [str(make_header(decode_header(name))) for name, _ in people]
    assert [address for _, address in people] == [f"{letter}@example.org" for letter in "abcd"]
    assert shown == ["=?utf-8?q?x=0ABcc=3A_m?=", 'A "Q", B', "", "É"]


def test_a_long_id_stays_whole_so_that_the_thread_holds():
    identifier = f"<{'a' * 120}.{'b' * 60}@{'c' * 50}.example.org>"
    many = tuple(f"<{number}{'x' * 60}@example.org>" for number in range(50))
    data = written(answering(regression(), replace(ENVELOPE, message_id=identifier, references=many)))
    assert f"In-Reply-To: {identifier}\n".encode() in data
    references = read(data)["References"].split()
    assert references[0] == many[0]
    assert references[-2:] == [many[-1], identifier]
    assert max(map(len, data.split(b"\n\n")[0].split(b"\n"))) < 998


@pytest.mark.parametrize("identifier", ["", "no brackets", "<a b@c>", "<ü@example.org>", "<x\n@y>", f"<{'x' * 300}@y>"])
def test_what_is_no_message_id_is_not_answered(identifier):
    message = read(written(answering(regression(), replace(ENVELOPE, message_id=identifier))))
    assert message["In-Reply-To"] is None
    assert message["References"] is None


def test_the_table_of_deltas_is_that_of_cover_letters_and_names_its_instrument():
    text = text_of(measured())
    assert re.search(r"^ +xdpsock -r +XDP_DROP +XDP_TX$", text, re.MULTILINE)
    assert re.search(r"^ +this series: +-0\.1% / \+1\.5 +-0\.4% / \+3 +\+0\.6% / -6$", text, re.MULTILINE)
    assert "What it costs, by icount: instructions by the guest's own clock" in text
    assert re.search(r"adjust_tail\[9000\] +203 -> 274 +\+71 +\+35\.0%", text)
    assert "memset_orig (lines of patch 2)" in text
    assert "on base: binding: EOPNOTSUPP" in " ".join(text.split())


def test_the_first_failure_is_there_with_what_the_kernel_said():
    text = text_of(blamed())
    assert "| AssertionError: frame 9000 shrunk by 4096: (0, 9000), not (0, 4904)" in text
    assert "|  lockdep_rcu_suspicious+0x154/0x1b0" in text
    assert "RSP: 0018" not in text
    assert "0123456789abcdef0123456789abcdef01234567 (6.12.40," in text
    assert "digest c0ffeec0ffee" in text


def test_a_frame_whose_place_is_known_has_it_beside_it():
    places = Places({"patched": {"xdp_do_redirect+0x3f1/0x4a0-1": (("xdp_do_redirect", ("net/core/filter.c", 4402)),)}})
    text = compose(regression(), HEAD, date=DATE, places=places).get_content()
    assert "|  xdp_do_redirect+0x3f1/0x4a0 (net/core/filter.c:4402)" in text


def test_a_test_that_flaked_before_is_marked():
    known = KnownFlake("xdp_multibuf/test_adjust_tail.py::test_shrink[frame=9000,by=page]", 1, 9, 1)
    text = text_of(replace(regression(), known_flaky=(known,)))
    assert "3x passed -> 3x failed (flaky before)" in text
    assert text.count("(flaky before)") == 1


def test_a_tag_is_offered_only_where_all_is_well_and_a_tester_is_named():
    offer = "| Tested-by: A Tester <tester@example.org>"
    assert offer in text_of(no_regression())
    assert "Tested-by" not in text_of(no_regression(), replace(HEAD, tester=""))
    for result in (*(make() for name, make in MAILS.items() if name != "no_regression"), _uncovered()):
        assert "Tested-by" not in text_of(result)


def _uncovered() -> RunResult:
    return replace(no_regression(), uncompiled=blamed().uncompiled)


def test_it_says_how_to_hear_no_more_of_it():
    assert "To get no more such mail, reply and say so." in text_of(regression())
    text = text_of(
        regression(), replace(HEAD, opt_out="Add X to your mails.", report_url="https://ci.example.org/{run}/")
    )
    assert text.endswith("Add X to your mails.\nrun 20260102-030405-shrink\n")
    assert "https://ci.example.org/20260102-030405-shrink/" in text


def test_the_command_is_one_for_another_machine():
    words = " ".join(try_again(blamed()))
    assert words.startswith("b4 am -o - cover@example.org | ktrial run - --tree debian:6.12 --base 0123456789abcdef")
    assert "/cache/" not in words
    tried = replace(
        blamed(),
        reproduce="ktrial test /cache/bzImage --test x\n"
        "ktrial run /runs/r/series.mbox --tree /home/me/linux --base 01 --config /home/me/my.config --config debug "
        "--config-base allnoconfig --accel tcg --suite kselftest:bpf --test 's/t.py::test[a b]'",
    )
    assert shlex.split(" ".join(try_again(tried)))[9:] == [
        *("--tree", "debian:6.12", "--base", "0123456789abcdef0123456789abcdef01234567"),
        *("--config", "debug", "--suite", "kselftest:bpf", "--test", "s/t.py::test[a b]"),
    ]


def test_the_command_for_figures_measures_them():
    assert try_again(measured())[-3:] == ("--suite", "xdp_multibuf", "--perf")
    one = replace(PERFORMANCE, figures=PERFORMANCE.figures[-1:])
    assert try_again(replace(measured(), performance=one))[-3:] == ("--perf", "-k", "bench_adjust_tail")


def test_the_command_has_the_options_that_change_what_is_found():
    """Of a run in which no test broke, one with --config debug say, there is no other command to take them from."""
    asked = (
        *(("tree", "/home/me/linux"), ("fragments", "debug, ./my.config, kunit"), ("suites", "kselftest:net, drivers")),
        *(("keyword", "a and b"), ("vms", "4"), ("accelerator", "tcg"), ("llvm", "True"), ("cpus", "2")),
        *(("fuzz_minutes", "5"), ("jobs", "8"), ("config_base", "/boot/config"), ("bisect", "True")),
    )
    words = try_again(replace(no_regression(), asked=asked, environment=replace(bare().environment, seed=4711)))
    assert shlex.split(" ".join(words))[13:] == [
        *("--suite", "kselftest:net", "--suite", "drivers", "--config", "debug", "--config", "kunit"),
        *("--fuzz", "5", "--fuzz-seed", "4711", "-k", "a and b", "--llvm", "--cpus", "2"),
    ]
    quick = replace(measured(), asked=(("perf", "True"), ("quick", "True"), ("instrument", "wall"), ("rounds", "3")))
    assert try_again(quick)[-5:] == ("--quick", "--instrument", "wall", "--rounds", "3")
    broken = "ktrial run /runs/r/series.mbox --tree t --base b --suite s --test 's::t'"
    kept = try_again(replace(regression(), reproduce=broken, asked=(("llvm", "True"), ("keyword", "x"))))
    assert kept[-5:] == ("--suite", "s", "--test", "s::t", "--llvm")


def test_commits_of_a_tree_are_named_where_no_mail_has_them():
    series = replace(regression().series, envelope=None, message_ids=(), source="origin/main..topic")
    assert try_again(replace(regression(), series=series))[:3] == ("ktrial", "run", "series.mbox")
    patches = tuple(replace(patch, how="commit") for patch in series.patches)
    again = try_again(replace(regression(), series=replace(series, patches=patches)))
    assert again[:4] == ("ktrial", "run", "origin/main..topic", "--tree")


def test_a_command_is_broken_between_options_so_that_a_shell_joins_it():
    words = ("b4", "am", "-o", "-", "x" * 60, "|", "ktrial", "run", "-", "--tree", "y" * 40, "--test", "'a b'")
    lines = shell(words)
    joined = "\n".join(lines).replace("\\\n", "").replace("|\n", "|")
    assert shlex.split(joined, comments=False) == shlex.split(" ".join(words))
    assert max(map(len, lines)) <= WIDTH + 8


@pytest.mark.parametrize("word", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_of_a_stranger_is_obeyed(word):
    data = written(hostile(word), to=[word, f"{word} <a@example.org>"], cc=[word])
    message = read(data)
    assert set(message.keys()) <= HEADERS
    assert len(message.keys()) == len(set(message.keys()))
    text = message.get_content()
    assert list(obeyed(text)) == []
    assert text.startswith(("REGRESSION - ", "NOTHING TESTED - "))
    assert all(line.isprintable() for line in text.replace("\u200d", "").split("\n"))
    assert max(map(len, data.split(b"\n"))) <= 998


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300) | st.sampled_from(HOSTILE), st.sampled_from(HOSTILE))
def test_no_text_at_all_makes_a_header_or_a_line_that_is_obeyed(one, two):
    data = written(hostile(f"{one}{two}"), to=[one, two], cc=[f"{two} <a@example.org>"])
    message = read(data)
    assert set(message.keys()) <= HEADERS
    assert list(obeyed(message.get_content())) == []


def test_a_line_of_prose_is_narrower_where_that_spares_a_bar():
    words = "no regression - 120 of 121 tests same on both, 1 fixed; its own selftests: 1 of 6 fail without the series"
    lines = prose(words, "", "  ")
    assert not any("|" in line for line in lines)
    assert " ".join(" ".join(lines).split()) == words
    assert prose("selftests: x") == ["| selftests: x"]


@given(st.text(max_size=200))
def test_a_stranger_s_lines_stand_behind_bars_and_lose_nothing(value):
    lines = bar(value)
    assert all(line.startswith("|") for line in lines)
    assert len(lines) == len(value.replace("\r\n", "\n").rstrip("\n").split("\n"))
    kept = "".join(lines).replace(" ", "")
    assert all(char in kept for char in value if char.isascii() and char.isprintable() and char != " ")


@given(st.text(st.sampled_from("ab:-@.>8%<#+ /T") | st.characters(), max_size=200))
def test_prose_is_never_obeyed(value):
    assert list(obeyed("\n".join(prose(value, "", "  ")))) == []
    assert list(obeyed(guarded(value.split("\n")[0]))) == []


@pytest.mark.parametrize(
    ("person", "address"),
    [
        ("A <a@Example.org>", "a@example.org"),
        ("a@example.org", "a@example.org"),
        ("a@example.org, b@example.org", "a@example.org"),
        ("A <a@example..org>", ""),
        ("A <a b@example.org>", ""),
        ("<@example.org>", ""),
        ("a@exämple.org", ""),
        ("", ""),
        ("root", ""),
    ],
)
def test_an_address_is_one_that_mail_can_be_sent_to(person, address):
    assert address_of(person) == address


def test_every_kind_of_run_has_a_mail():
    for make in SAMPLES.values():
        assert text_of(replace(make(), series=None)).endswith("run 20260102-030405-shrink\n")
