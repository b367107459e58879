"""Read a unified diff into files and hunks, and find the place of a file that a hunk was made for."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

__all__ = ["FileDiff", "Hunk", "closest_place", "read_diff"]

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_PATH = re.compile(r"(?:---|\+\+\+) (?:[ab]/)?(.*?)(?:\t.*)?$")
_CODE = 16  # votes of each character of a line that is in the file once; a blank line or a lone brace has one vote
_COMPARED = 40  # lines of a hunk compared word by word with each line of the file
_GIT = re.compile(r"diff --git a/(.*) b/(.*)$")


@dataclass(frozen=True)
class Hunk:
    """One hunk of a file's diff. number: from 1. start: line of the old file, as it says. lines: as in the diff."""

    number: int
    start: int
    lines: tuple[str, ...]

    @property
    def before(self) -> tuple[str, ...]:
        """The lines that the hunk expects to find."""
        return tuple(line[1:] for line in self.lines[1:] if line[:1] in (" ", "-", ""))


@dataclass(frozen=True)
class FileDiff:
    """What a patch does to one file. path: relative to the tree. creates, deletes, binary: from the diff's headers."""

    path: str
    hunks: tuple[Hunk, ...]
    creates: bool = False
    deletes: bool = False
    binary: bool = False


def read_diff(diff: bytes) -> tuple[FileDiff, ...]:
    """The files of a diff, in order; of a malformed one, as much as can be read."""
    lines = diff.decode("utf-8", "replace").split("\n")
    starts = [number for number, line in enumerate(lines) if _begins_file(lines, number)]
    ends = [*starts[1:], len(lines)]
    return tuple(_file(lines[begin:end]) for begin, end in zip(starts, ends, strict=False))


def _begins_file(lines: list[str], number: int) -> bool:
    if lines[number].startswith("diff --git "):
        return True
    plain = lines[number].startswith("--- ") and any(line.startswith("+++ ") for line in lines[number + 1 : number + 2])
    return plain and not any(line.startswith("diff --git ") for line in lines[max(0, number - 8) : number])


def _file(lines: list[str]) -> FileDiff:
    marks = [number for number, line in enumerate(lines) if _HUNK.match(line)]
    head = lines[: marks[0]] if marks else lines
    return FileDiff(
        path=_path(head),
        hunks=tuple(_hunk(lines, start, number) for number, start in enumerate(marks, 1)),
        creates=any(line.startswith("new file mode") or line.startswith("--- /dev/null") for line in head),
        deletes=any(line.startswith("deleted file mode") or line.startswith("+++ /dev/null") for line in head),
        binary=any(line.startswith(("Binary files ", "GIT binary patch")) for line in head),
    )


def _path(head: list[str]) -> str:
    """The file's name before the patch, or after it for a new file."""
    named = [match[1] for line in head if (match := _PATH.match(line)) and match[1] != "/dev/null"]
    if named:
        return named[0]
    match = next((match for line in head if (match := _GIT.match(line))), None)
    return match[1] if match else ""


def _hunk(lines: list[str], start: int, number: int) -> Hunk:
    match = _HUNK.match(lines[start])
    assert match is not None
    old, new = int(match[2] or 1), int(match[4] or 1)
    end = start + 1
    while end < len(lines) and (old > 0 or new > 0 or lines[end].startswith("\\")):
        sign = lines[end][:1]
        old -= sign in (" ", "-", "")
        new -= sign in (" ", "+", "")
        end += 1
    return Hunk(number=number, start=int(match[1]), lines=tuple(lines[start:end]))


def closest_place(content: list[str], hunk: Hunk) -> tuple[int, int]:
    """(first line, how many lines match) of the place that is most like what the hunk expects; lines count from 1.

    Lines of code vote for the place, long and rare ones most; blank lines and lone braces only break ties, then the
    nearest to the hunk's own line number wins. If no line is alike but for its indent, lines with mostly the same words
    vote. Where nothing is alike, the hunk's line number itself, and 0.
    """
    expected = max(hunk.start, 1) - 1
    votes = _votes(content, hunk)
    if not votes or max(votes.values()) < _CODE:
        votes = _votes_of_words(content, hunk)
    if not votes:
        return min(expected, max(len(content) - 1, 0)) + 1, 0
    best = max(votes, key=lambda place: (votes[place], -abs(place - expected)))
    place = max(best, 0)
    return place + 1, sum(map(str.__eq__, content[best:] if best >= 0 else content, hunk.before[max(-best, 0) :]))


def _votes(content: list[str], hunk: Hunk) -> Counter[int]:
    """For each place, how many of the hunk's lines are there, whatever their indent."""
    where: dict[str, list[int]] = {}
    for number, line in enumerate(content):
        where.setdefault(line.strip(), []).append(number)
    votes: Counter[int] = Counter()
    for offset, line in enumerate(hunk.before):
        places = where.get(line.strip(), ())
        weight = 1 + _CODE * len(line.strip()) // len(places) if places and re.search(r"\w", line) else 1
        for number in places:
            votes[number - offset] += weight + (content[number] == line)
    return votes


def _votes_of_words(content: list[str], hunk: Hunk) -> Counter[int]:
    """For each place, how many lines share at least half of all their words with the hunk's."""
    words = [frozenset(re.findall(r"\w+", line)) for line in content]
    votes: Counter[int] = Counter()
    for offset, line in enumerate(hunk.before[:_COMPARED]):
        wanted = frozenset(re.findall(r"\w+", line))
        if len(wanted) >= 2:
            alike = (number for number, here in enumerate(words) if 2 * len(wanted & here) >= len(wanted | here))
            votes.update(number - offset for number in alike)
    return votes
