"""The result as JUnit XML, in the dialect that Jenkins and GitLab read (and pytest writes).

What counts as a failure is harness.report.cases' to say. GitLab tells cases apart by `classname` and `name` alone and
drops the second of two that have both in common; Jenkins makes packages of the dots in `classname`. There is no element
and no attribute but those of Jenkins's own schema (xunit-plugin: junit-10.xsd), which refuses a report for one more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from harness.report import safe
from harness.report.cases import Case, Standing, cases_of
from harness.report.facts import Fact, config_notes, environment_facts
from harness.run_result import RunResult

__all__ = ["junit_xml"]

_LINES = 400  # of one text
_ELEMENTS = {
    Standing.FAILED: "failure",
    Standing.ERROR: "error",
    Standing.SKIPPED: "skipped",
    Standing.EXPECTED: "skipped",
}


def junit_xml(result: RunResult) -> bytes:
    """A `testsuites` document, UTF-8, one `testsuite` for each file of tests."""
    cases = cases_of(result)
    counts = {name: count for name, count in _counts(cases).items() if name != "skipped"}  # each suite tells its own
    root = ET.Element("testsuites", {"name": "ktrial", **counts})
    by_file: dict[str, list[Case]] = {}
    for case in cases:
        by_file.setdefault(case.file, []).append(case)
    for number, (file, of_file) in enumerate(by_file.items()):
        root.append(_suite(file, of_file, result, _carried(result) if number == 0 else ()))
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + document + b"\n"


def _suite(file: str, cases: Sequence[Case], result: RunResult, more: Iterable[Fact]) -> ET.Element:
    suite = ET.Element(
        "testsuite", {"name": safe.line(file), "timestamp": _timestamp(result.started), **_counts(cases)}
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in (*_run(result), *more):
        ET.SubElement(properties, "property", name=safe.line(name), value=safe.line(value))
    for case, name in zip(cases, _distinct(cases), strict=True):
        suite.append(_case(case, name))
    return suite


def _case(case: Case, name: str) -> ET.Element:
    element = ET.Element("testcase", classname=_classname(case.file), name=name, time=f"{case.seconds:.3f}")
    if tag := _ELEMENTS.get(case.standing):
        kind = "timeout" if case.timed_out and tag == "failure" else str(case.standing)
        told = ET.SubElement(element, tag, message=safe.line(case.message), type=kind)
        told.text = _text(case.details)
    if case.log:
        ET.SubElement(element, "system-out").text = _text(case.log)
    return element


def _distinct(cases: Iterable[Case]) -> list[str]:
    """Names that are not twice in one file: the second `a` is `a (2)`."""
    seen: Counter[str] = Counter()
    names = []
    for case in cases:
        name = safe.line(case.name)
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def _classname(file: str) -> str:
    """`xdp_multibuf.test_adjust_tail` of `xdp_multibuf/test_adjust_tail.py`."""
    return safe.line(file).removesuffix(".py").replace("/", ".")


def _counts(cases: Sequence[Case]) -> dict[str, str]:
    tags = Counter(_ELEMENTS.get(case.standing) for case in cases)
    seconds = sum(case.seconds for case in cases)
    return {
        "tests": str(len(cases)),
        "failures": str(tags["failure"]),
        "errors": str(tags["error"]),
        "skipped": str(tags["skipped"]),
        "time": f"{seconds:.3f}",
    }


def _run(result: RunResult) -> tuple[Fact, ...]:
    """Which run a suite is of: every suite says so."""
    return (
        ("ktrial.run", result.run),
        ("ktrial.verdict", result.verdict.line),
        ("ktrial.exit_code", str(int(result.verdict.exit_code))),
    )


def _carried(result: RunResult) -> tuple[Fact, ...]:
    """All that went into the run: the first suite says it for all."""
    series = (("series", result.series.title),) if result.series else ()
    return (*series, *config_notes(result), *environment_facts(result))


def _timestamp(started: str) -> str:
    """UTC, without an offset, as the format has it."""
    try:
        return datetime.fromisoformat(started).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return safe.line(started)


def _text(value: str) -> str:
    """Lines without what XML 1.0 cannot hold; the last of them where there are too many, for that is where it ended."""
    lines = value.splitlines()
    left_out = max(len(lines) - _LINES, 0)
    kept = "\n".join(line for each in lines[left_out:] for line in safe.block(each))
    return f"... ({left_out} lines before)\n{kept}" if left_out else kept
