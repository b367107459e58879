"""`ktrial perf --json`: the figures in the document that `ktrial run --json` writes, under the same schema."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
from typer.testing import CliRunner

from harness import cli_perf
from harness.cli import app
from harness.errors import KtrialError, MachineLost
from harness.perf.model import Figure, FigureChange, Performance
from harness.report.json import read_result

SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "result.schema.json").read_text())
SAME = Figure("s/bench_t.py::a", "insns/packet", FigureChange.SAME, 10.0, 10.0)
WORSE = Figure("s/bench_t.py::b", "insns/packet", FigureChange.WORSE, 10.0, 15.0)
BETTER = Figure("s/bench_t.py::c", "insns/packet", FigureChange.BETTER, 10.0, 5.0)
UNKNOWN = Figure("s/bench_t.py::d", "", FigureChange.UNKNOWN, why="on base: no readings")


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Runs `ktrial perf` on two images, whose measurement gives these figures or raises this."""
    monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path / "runs"))
    image = tmp_path / "bzImage"
    image.write_bytes(bytes(0x202) + b"HdrS")

    def measured(found, *arguments):
        def measure(*_, **__):
            if isinstance(found, Exception):
                raise found
            return Performance("icount", "counted", tuple(found))

        monkeypatch.setattr(cli_perf, "measure", measure)
        return CliRunner().invoke(app, ["perf", str(image), str(image), "--suite", "xdp_multibuf", *arguments])

    return measured


def status_of(done) -> int:
    """As harness.cli's main has it: an error brings its own."""
    return done.exception.exit_code if isinstance(done.exception, KtrialError) else done.exit_code


@pytest.mark.parametrize(
    ("figures", "status", "kind", "line"),
    [
        ((SAME, BETTER), 0, "no-regression", "no regression: 2 figures, none worse; 1 figure better"),
        ((SAME,), 0, "no-regression", "no regression: 1 figure, none worse; no figure changed"),
        (
            (SAME, WORSE, UNKNOWN),
            1,
            "regression",
            "REGRESSION: 1 of 3 figures worse: s/bench_t.py::b +5 insns/packet (+50.0%); 1 figure cannot be compared",
        ),
        ((UNKNOWN,), 7, "nothing-tested", "NOTHING TESTED: no figure could be compared: on base: no readings"),
        ((), 7, "nothing-tested", "NOTHING TESTED: no figure could be compared: no bench was run"),
    ],
)
def test_the_file_says_what_the_exit_status_does(measured, tmp_path, figures, status, kind, line):
    target = tmp_path / "figures.json"
    done = measured(figures, "--json", str(target), "-k", "drop")
    told = json.loads(target.read_text())
    jsonschema.validate(told, SCHEMA)
    assert (status_of(done), told["verdict"]) == (status, {"exit_code": status, "kind": kind, "line": line})
    assert [each["bench"] for each in told["performance"]["figures"]] == [each.bench for each in figures]
    assert dict(told["asked"]) == {"keyword": "drop"}
    assert told["extra"] == {"base": str(tmp_path / "bzImage"), "patched": str(tmp_path / "bzImage")}
    assert told["environment"]["perf_seeds"] == [1, 2, 3, 4]
    assert read_result(target).performance.figures == figures


def test_what_stopped_it_is_in_the_file_too(measured, tmp_path):
    target = tmp_path / "figures.json"
    done = measured(MachineLost("the disk is full", hint="make room"), "--json", str(target))
    told = read_result(target)
    assert (status_of(done), told.verdict.exit_code, told.verdict.kind) == (7, 7, "machine-lost")
    assert (told.failure.summary, told.failure.hint, told.performance) == ("the disk is full", "make room", None)


def test_on_standard_output_it_stands_alone(measured):
    done = measured((SAME, WORSE), "--json", "-", "--all")
    assert done.exit_code == 1
    assert msgspec.json.decode(done.stdout)["performance"]["figures"][1]["change"] == "worse"


def test_without_it_the_table_is_printed(measured):
    done = measured((SAME, WORSE))
    assert done.exit_code == 1
    assert "+50.0%" in done.stdout
    assert "logs: " in done.stdout
