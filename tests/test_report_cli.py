"""`ktrial report`: every form at once, each where it was asked to go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from report_samples import no_regression, regression

from harness.report.json import write_result
from harness.run_result import Paths
from harness.store import new_run

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished run among the runs."""
    monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path / "runs"))
    folder = new_run(None, "shrink")
    write_result(folder.result, replace(regression(), run=folder.id, paths=Paths(str(folder.path))))
    return folder


def ktrial(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    argv = [sys.executable, "-m", "harness.cli", *words]
    return subprocess.run(argv, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60)


def test_all_forms_are_written_at_once(run, tmp_path):
    names = (
        ("--html", "a.html"),
        ("--junit", "a.xml"),
        ("--ktap", "a.ktap"),
        ("--markdown", "a.md"),
        ("--json", "a.json"),
    )
    words = [word for pair in (*names, ("--html-folder", "pages")) for word in pair]
    done = ktrial("report", run.id, *words, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")
    assert ET.parse(tmp_path / "a.xml").getroot().get("failures") == "4"
    assert (tmp_path / "a.ktap").read_text().startswith("KTAP version 1\n")
    assert (tmp_path / "a.md").read_text().startswith("## ")
    assert json.loads((tmp_path / "a.json").read_bytes())["run"] == run.id
    assert (tmp_path / "pages" / "index.html").is_file()


@pytest.mark.parametrize("form", ["html", "junit", "ktap", "markdown", "json"])
def test_a_dash_is_standard_output(run, tmp_path, form):
    done = ktrial("report", "last", f"--{form}", "-", cwd=tmp_path)
    assert done.returncode == 0
    assert "REGRESSION" in done.stdout


def test_two_cannot_go_to_standard_output(run, tmp_path):
    done = ktrial("report", "last", "--html", "-", "--json", "-", cwd=tmp_path)
    assert done.returncode == 2
    assert "only one report can go to standard output" in done.stderr


def test_without_a_form_it_is_the_terminals(run, tmp_path):
    done = ktrial("report", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("REGRESSION: ")
    assert len(ktrial("report", "-q", cwd=tmp_path).stdout) < len(done.stdout)


def test_a_file_that_cannot_be_written_is_named(run, tmp_path):
    (tmp_path / "file").write_text("")
    done = ktrial("report", "last", "--html", "file/below.html", cwd=tmp_path)
    assert done.returncode == 2
    assert "file/below.html cannot be written" in done.stderr


def test_a_run_that_is_not_finished_has_no_report(run, tmp_path):
    run.result.unlink()
    done = ktrial("report", run.id, "--html", "-", cwd=tmp_path)
    assert done.returncode == 2
    assert f"run {run.id} is not finished" in done.stderr
    assert f"ktrial run --resume {run.id}" in done.stderr


def test_a_result_of_another_version_is_refused(run, tmp_path):
    write_result(run.result, no_regression())
    run.result.write_bytes(run.result.read_bytes().replace(b'"schema_version": "1"', b'"schema_version": "7"'))
    done = ktrial("report", run.id, "--junit", "-", cwd=tmp_path)
    assert done.returncode == 2
    assert "is not a result that this ktrial can read" in done.stderr
