"""Whole trials of the example series, on a kernel that is really built and really booted."""

import email
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from conftest import PROJECT

from harness.report.json import schema

pytestmark = [pytest.mark.kernel, pytest.mark.vm]

SHRINKING = "xdp_multibuf and test_shrink"
FORMS = {"html": "page.html", "junit": "results.xml", "ktap": "results.ktap", "markdown": "report.md"}


@pytest.fixture(scope="session")
def clean(ktrial):
    """The clean series, on both sides: what needs no device, and of the other suites what runs on veth."""
    return ktrial.run("clean-feature.mbox", "-k", "xdp_multibuf or xdp_metadata or veth")


@pytest.fixture(scope="session")
def broken(ktrial):
    """The series that breaks shrinking."""
    forms = [word for form, name in FORMS.items() for word in (f"--{form}", str(ktrial.folder / name))]
    return ktrial.run("breaks-shrink.mbox", "-k", SHRINKING, "--reruns", "1", *forms)


def outcomes(side):
    counts = {}
    for result in side["results"]:
        counts[result["outcome"]] = counts.get(result["outcome"], 0) + 1
    return counts


def left_behind(ktrial):
    """Processes that mention this test's folder, and what is in the cache that only a running trial needs."""
    mine = str(ktrial.folder)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if mine in words and process.name != str(os.getpid()):
            found.append(words)
    return found


def test_a_clean_series_is_no_regression(clean):
    assert clean.status == 0, clean.output + clean.errors
    assert clean.result["verdict"]["kind"] == "no-regression"
    assert clean.output.startswith("no regression:")


def test_nearly_every_test_passes_on_both_sides_of_it(clean):
    """A test that fails once on a busy host is run again, and blamed on nobody; many of them would be our fault."""
    for side in ("base", "patched"):
        results = clean.result[side]["results"]
        known = ("passed", "skipped", "xfailed")
        failed = [(each["test"], each["reason"]) for each in results if each["outcome"] not in known]
        assert len(failed) <= 2, failed
        assert outcomes(clean.result[side])["passed"] > 300
        assert [boot["end"] for boot in clean.result[side]["boots"]] == ["clean"]


def test_its_result_is_valid_under_the_published_schema(clean):
    jsonschema.validate(clean.result, schema())


def test_the_series_that_breaks_shrinking_is_a_regression_in_shrinking(broken):
    assert broken.status == 1, broken.output + broken.errors
    changed = [test for test in broken.result["comparison"]["tests"] if test["change"] == "regression"]
    assert changed
    assert all("shrink" in test["test"] for test in changed[:3])
    assert broken.output.startswith("REGRESSION:")


def test_every_blamed_test_was_repeated_on_both_sides(broken):
    for test in broken.result["comparison"]["tests"]:
        if test["blamed"]:
            assert test["base_outcomes"] == ["passed"] * 2
            assert test["patched_outcomes"] == ["failed"] * 2


def test_the_commands_that_are_printed_reproduce_it(broken, ktrial):
    whole = broken.output.replace(" \\\n", " ")
    commands = [line.strip() for line in whole.splitlines() if line.strip().startswith("ktrial test ")]
    base, patched = (subprocess.run(["sh", "-c", f"set -- {line}; printf '%s\\n' \"$@\""], capture_output=True, text=True, check=True).stdout.splitlines() for line in commands)  # fmt: skip  # noqa: E501
    assert ktrial(*base[1:]).status == 0
    assert ktrial(*patched[1:]).status == 1


def test_its_report_is_written_in_every_form(broken, ktrial):
    blamed = [test["test"] for test in broken.result["comparison"]["tests"] if test["change"] == "regression"]
    page, xml, ktap, text = ((ktrial.folder / name).read_text() for name in FORMS.values())
    assert "REGRESSION" in page
    assert text.splitlines()[0].endswith("ktrial: regression")
    suites = ElementTree.fromstring(xml)
    assert len(list(suites.iter("failure"))) == len(blamed) == len(re.findall(r"^ *not ok .*test_shrink", ktap, re.M))
    for test in blamed:
        assert test.rpartition("::")[2] in page


def test_it_is_answered_by_mail(broken, ktrial):
    mail = email.message_from_string(ktrial("report", broken.result["run"], "--mail").output)
    assert mail["In-Reply-To"] == broken.result["series"]["message_ids"][0]
    assert mail.get_payload().startswith("REGRESSION - 20 of 57 tests broke:")


def test_it_is_remembered(broken, clean, ktrial):
    test = next(test["test"] for test in broken.result["comparison"]["tests"] if test["change"] == "regression")
    (past,) = json.loads(ktrial("history", test, "--json").output)["tests"]
    assert past["test"] == test
    assert {"base", "patched"} <= {each["side"] for each in past["occurrences"]}
    why = ktrial("runs", "why", clean.result["run"], broken.result["run"])
    assert why.status == 0, why.errors
    assert why.output.startswith("They differ in series, patches and -k")


def test_a_second_run_builds_nothing(broken, ktrial):
    again = ktrial.run("breaks-shrink.mbox", "--test", "xdp_multibuf/test_frames.py::test_no_such", "--reruns", "0")
    assert [kernel["reused"] for kernel in again.result["kernels"]] == [True, True]


def test_nothing_tested_is_never_called_good(ktrial, broken):
    again = ktrial.run("breaks-shrink.mbox", "--test", "xdp_multibuf/test_frames.py::test_no_such", "--reruns", "0")
    assert again.status == 7, again.output


def test_a_series_that_does_not_build_names_the_patch_the_file_and_the_line(ktrial, clean):
    done = ktrial.run("does-not-build.mbox")
    assert done.status == 5, done.output + done.errors
    failure = done.result["failure"]
    assert "patch 2/3" in failure["summary"]
    assert "net/core/" in failure["summary"] + failure["detail"]
    assert done.result["verdict"]["line"].lower().count("not build") == 1
    folder = Path(done.result["paths"]["folder"])
    assert " build patched: failed\n" in (folder / "events.log").read_text()
    assert dict(done.result["paths"]["logs"])["build, patched"] == str(folder / "build" / "patched" / "build.log")


def test_a_series_that_does_not_apply_names_the_patch_and_shows_the_tree(ktrial):
    done = ktrial.run("does-not-apply.mbox")
    assert done.status == 3, done.output + done.errors
    assert "2/2" in done.result["failure"]["summary"]
    assert done.result["verdict"]["kind"] == "does-not-apply"


def test_a_killed_run_goes_on_and_ends_as_it_would_have(ktrial, broken):
    out = ktrial.folder / "killed"
    options = ("--tree", "debian:6.12", "--accel", "tcg", "--out", str(out), "-k", SHRINKING, "--reruns", "1")
    argv = ktrial.argv("run", str(PROJECT / "examples" / "breaks-shrink.mbox"), *options)
    for seconds in (2.0, 12.0, 20.0):
        process = subprocess.Popen(argv, env=ktrial.environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_for_nothing(ktrial)
        argv = ktrial.argv("run", "--resume", str(out))
    done = ktrial("run", "--resume", str(out))
    assert done.status == 1, done.output + done.errors
    assert done.output.startswith("REGRESSION:")
    wait_for_nothing(ktrial)


def wait_for_nothing(ktrial):
    for _ in range(100):
        if not (left := left_behind(ktrial)):
            return
        time.sleep(0.1)
    raise AssertionError(f"left running: {left}")


def test_an_interrupted_run_ends_everything_and_says_how_to_go_on(ktrial, broken):
    out = ktrial.folder / "interrupted"
    options = ("--tree", "debian:6.12", "--accel", "tcg", "--out", str(out), "-k", SHRINKING)
    argv = ktrial.argv("run", str(PROJECT / "examples" / "breaks-shrink.mbox"), *options)
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    # A shell starts what it puts into the background with SIGINT ignored, and so everything below it.
    process = subprocess.Popen(argv, env=ktrial.environment, preexec_fn=_heed_interrupts, **pipes)
    time.sleep(12)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors.decode()
    assert b"--resume" in errors
    wait_for_nothing(ktrial)


def _heed_interrupts():
    signal.signal(signal.SIGINT, signal.default_int_handler)
