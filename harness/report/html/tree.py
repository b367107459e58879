"""The tests of a run as a reader unfolds them: files, in them functions, in these their cases and subtests. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.compare import Change, TestChange

__all__ = ["File", "Group", "Row", "file_of", "tree_of"]


@dataclass(frozen=True)
class Row:
    """One test. name: less that of its file. anchor: of the place that tells more of it, or "". seconds: on patched."""

    name: str
    test: TestChange
    anchor: str
    seconds: float


@dataclass(frozen=True)
class Group:
    """The cases of one function, or the subtests of one test. name: "" for functions that have one case."""

    name: str
    rows: tuple[Row, ...]

    @property
    def counts(self) -> tuple[tuple[Change, int], ...]:
        return _counts(self.rows)


@dataclass(frozen=True)
class File:
    """A file of tests."""

    name: str
    groups: tuple[Group, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(row for group in self.groups for row in group.rows)

    @property
    def counts(self) -> tuple[tuple[Change, int], ...]:
        return _counts(self.rows)


def tree_of(tests: Iterable[TestChange], anchors: Mapping[str, str], seconds: Mapping[str, float]) -> tuple[File, ...]:
    """anchors, seconds: by the test's whole name; what is not there has none."""
    files: dict[str, list[TestChange]] = {}
    for test in tests:
        files.setdefault(file_of(test.test), []).append(test)
    return tuple(File(name, _groups(name, of_file, anchors, seconds)) for name, of_file in files.items())


def _groups(
    file: str, tests: Iterable[TestChange], anchors: Mapping[str, str], seconds: Mapping[str, float]
) -> tuple[Group, ...]:
    """Functions with more than one case in their order, those with one gathered before them."""
    by_function: dict[str, list[Row]] = {}
    for test in tests:
        name = test.test.removeprefix(f"{file}::")
        row = Row(name, test, anchors.get(test.test, ""), seconds.get(test.test, 0.0))
        by_function.setdefault(_function_of(name), []).append(row)
    alone = tuple(rows[0] for rows in by_function.values() if len(rows) == 1)
    several = (Group(name, tuple(rows)) for name, rows in by_function.items() if len(rows) > 1)
    return (*((Group("", alone),) if alone else ()), *several)


def file_of(test: str) -> str:
    """The file that a test is in, "" where its name has none."""
    file, colons, _ = test.partition("::")
    return file if colons else ""


def _function_of(name: str) -> str:
    """`test_shrink` of `test_shrink[frame=60]`, and `test_selftest[net:x]` of its subtest `test_selftest[net:x]/y`."""
    head, bracket, below = name.partition("]/")
    return f"{head}]" if bracket and below else name.partition("[")[0]


def _counts(rows: Iterable[Row]) -> tuple[tuple[Change, int], ...]:
    counts = Counter(row.test.change for row in rows)
    return tuple((change, counts[change]) for change in Change if counts[change])
