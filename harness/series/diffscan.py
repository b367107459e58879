"""Walk through the diff in a mail's text: where it begins and ends, which files it changes, whether it is whole.

The rules are git's apply.c (find_header, parse_fragment, parse_binary_hunk), stricter where git silently drops lines: a
hunk that is followed by more lines than its header counts is a fault here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

__all__ = ["Fault", "Scan", "diff_digest", "holds_diff", "scan"]

_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_FILE = re.compile(rb"^(?:diff --git \S|--- \S[^\n]*\n\+\+\+ \S)", re.MULTILINE)
_EXTENDED = re.compile(
    rb"(?:index|(?:old|new|deleted file|new file) mode|(?:dis)?similarity index|(?:rename|copy) (?:from|to)) "
)
_CHANGES = re.compile(rb"(?:new|deleted file|new file) mode |(?:rename|copy) to ")
_BLOBS = re.compile(rb"index ([0-9a-f]+)\.\.([0-9a-f]+)")
_EMPTY_BLOB = re.compile(rb"0+\Z|e69de29|473a0f4c")
_BINARY_SIZE = re.compile(rb"(?:literal|delta) \d+\s*$")
_GIT_VERSION = re.compile(rb"\d+\.\d+")
_ESCAPE = re.compile(rb'\\([0-7]{3}|[abtnvfr"\\])')
_ESCAPES = {b"a": b"\a", b"b": b"\b", b"t": b"\t", b"n": b"\n", b"v": b"\v", b"f": b"\f", b"r": b"\r"}


@dataclass(frozen=True)
class Fault:
    """What is wrong with a diff. line: index of the line in the text, from 0. path: the file, as far as it is known."""

    what: str
    line: int
    path: str
    hint: str = ""


@dataclass(frozen=True)
class Scan:
    """What a diff says. start, end: the indices of its first line and after its last; both 0 without a diff."""

    start: int
    end: int
    touched: tuple[str, ...]
    fault: Fault | None

    @property
    def found(self) -> bool:
        return self.end > 0


def holds_diff(text: bytes) -> bool:
    """Whether a text has a file's header of a diff at the start of a line (so not in a quotation)."""
    return _FILE.search(text) is not None


def scan(lines: list[bytes]) -> Scan:
    """Walk through a mail's text, given as lines without their LF. The first fault is told; walking goes on to the end
    of the text all the same, so that `touched` is as full as it can be."""
    walker = _Walker(lines)
    walker.walk()
    start = walker.start if walker.start is not None else 0
    return Scan(start, walker.end, tuple(sorted(walker.touched)), walker.fault)


def diff_digest(mail: bytes) -> str:
    """SHA-256, hex, of what a patch changes, wherever in its files: as `git patch-id`, no blob's id and no line number
    counts. "" where there is no diff."""
    lines = mail.split(b"\n")
    found = scan(lines)
    kept = (_HUNK.sub(b"@@", line) for line in lines[found.start : found.end] if not line.startswith(b"index "))
    return hashlib.sha256(b"\n".join(kept)).hexdigest() if found.found else ""


class _Walker:
    """The state of one walk: the next line, the file it is in, what was found.

    promise: the line that says that the present file changes, while no change has been seen.
    """

    def __init__(self, lines: list[bytes]) -> None:
        self.lines = lines
        self.at = 0
        self.path = ""
        self.in_file = False
        self.promise: int | None = None
        self.start: int | None = None
        self.end = 0
        self.touched: set[str] = set()
        self.fault: Fault | None = None

    def walk(self) -> None:
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.startswith(b"diff --git ") and len(line) > 11:
                self._git_header(line)
            elif line.startswith(b"--- ") and self._next().startswith(b"+++ "):
                self._names(line, self._next())
            elif _HUNK.match(line) and self.start is not None:
                self._hunk(line)
            elif self.in_file and self._binary(line):
                pass
            elif self.in_file and _EXTENDED.match(line):
                self._extended(line)
            else:
                self.in_file = False
                self.at += 1
        self._settle()

    def _next(self) -> bytes:
        return self.lines[self.at + 1] if self.at + 1 < len(self.lines) else b""

    def _took(self, count: int) -> None:
        """Step over lines that belong to the diff."""
        self.at += count
        self.end = self.at

    def _blame(self, what: str, line: int, hint: str = "") -> None:
        if self.fault is None:
            self.fault = Fault(what, line, self.path, hint)

    def _touch(self, *paths: str) -> None:
        self.touched.update(path for path in paths if path)
        self.path = next((path for path in reversed(paths) if path), self.path)

    def _settle(self) -> None:
        """Blame the file that ends here if the change that its header promised did not come."""
        if self.promise is not None:
            self._blame("the diff is truncated: below this line a change should follow", self.promise)
        self.promise = None

    def _open_file(self) -> None:
        self.start = self.at if self.start is None else self.start
        self.in_file = True

    def _git_header(self, line: bytes) -> None:
        self._open_file()
        names = line[len(b"diff --git ") :].rstrip(b"\r")
        middle = len(names) // 2
        if names[:middle] == names[middle + 1 :] and names[middle : middle + 1] == b" ":
            self.path = names[:middle].decode("utf-8", "replace")
            self._blame(
                "the diff names its files without a/ and b/ in front",
                self.at,
                "git format-patch --src-prefix=a/ --dst-prefix=b/ (and see diff.noprefix in git's configuration)",
            )
        else:
            self._settle()
            self._touch(_same_name(names))
            self.promise = self.at
        self._took(1)

    def _names(self, old: bytes, new: bytes) -> None:
        self._open_file()
        self.promise = None
        self._touch(_without_prefix(old[4:]), _without_prefix(new[4:]))
        self._took(2)
        if not self.lines[self.at :] or not _HUNK.match(self.lines[self.at]):
            self._blame("the diff ends, or is damaged, where a hunk should begin", min(self.at, len(self.lines) - 1))

    def _extended(self, line: bytes) -> None:
        for prefix in (b"rename from ", b"rename to ", b"copy to "):
            if line.startswith(prefix):
                self._touch(_unquoted(line[len(prefix) :].rstrip(b"\r")))
        blobs = _BLOBS.match(line)
        if _CHANGES.match(line):
            self.promise = None
        elif blobs and not all(_EMPTY_BLOB.match(blob) for blob in blobs.groups()):
            self.promise = self.at
        self._took(1)

    def _hunk(self, header: bytes) -> None:
        begin = self.at
        if not self.in_file:
            self._blame("a hunk stands there without the name of its file above it", begin)
        counts = _HUNK.match(header)
        assert counts is not None
        left = [int(count[:9]) if count is not None else 1 for count in counts.groups()]
        self._took(1)
        while max(left) > 0 and self._hunk_line(left):
            self._took(1)
        if left != [0, 0] or self._took_signature():
            self._blame_hunk(begin, left)
        while self.at < len(self.lines) and self.lines[self.at].startswith(b"\\"):
            self._took(1)
        self._check_surplus(begin)

    def _hunk_line(self, left: list[int]) -> bool:
        """Count the next line of a hunk; False where it is none of a hunk's, or one more than was promised."""
        if self.at >= len(self.lines):
            return False
        mark = self.lines[self.at][:1]
        old, new = mark in (b" ", b"", b"-"), mark in (b" ", b"", b"+")
        if not old and not new:
            return mark == b"\\"
        if left[0] < old or left[1] < new:
            return False
        left[0] -= old
        left[1] -= new
        return True

    def _took_signature(self) -> bool:
        """Whether a mail's signature was counted as the last line of a hunk, so that one of the hunk's own is lost."""
        below = self.lines[self.at : self.at + 1]
        return self.lines[self.at - 1] == b"-- " and bool(below) and _GIT_VERSION.match(below[0]) is not None

    def _blame_hunk(self, begin: int, left: list[int]) -> None:
        promised = self._header(begin)
        if self.at >= len(self.lines) or self._rest_is_footer():
            self._blame(f"the diff is truncated: hunk {promised} promises more lines than there are", begin)
        else:
            self._blame(f"the diff is damaged: this line cannot belong to hunk {promised}", self.at, _WRAPPED)

    def _rest_is_footer(self) -> bool:
        """Whether what stopped a hunk is a signature, or only blank lines are left."""
        before = self.lines[self.at - 1]
        return (
            before == b"-- "
            or self.lines[self.at].startswith(b"-- ")
            or not any(line.strip() for line in self.lines[self.at :])
        )

    def _check_surplus(self, begin: int) -> None:
        line = self.lines[self.at] if self.at < len(self.lines) else b""
        surplus = line[:1] == b"+" or (line[:1] == b"-" and not line.startswith(b"--"))
        if surplus or (line[:1] == b" " and line.strip()):
            what = f"the diff is damaged: hunk {self._header(begin)} goes on after the lines that it promises"
            self._blame(what, self.at, _WRAPPED)

    def _header(self, index: int) -> str:
        """A hunk's header without the function's name."""
        return self.lines[index].split(b" @@")[0].decode("ascii", "replace") + " @@"

    def _binary(self, line: bytes) -> bool:
        if line.startswith(b"Binary files ") and line.rstrip().endswith(b" differ"):
            self._blame("a binary file's change is named, its data is not there", self.at, "git format-patch --binary")
            self.promise = None
            self._took(1)
            return True
        if line.rstrip(b"\r") != b"GIT binary patch":
            return False
        self._took(1)
        self.promise = None
        if not self._binary_data():
            self._blame("a binary file's data is truncated or damaged", min(self.at, len(self.lines) - 1))
        self._binary_data()
        return True

    def _binary_data(self) -> bool:
        """Step over one `literal N` or `delta N` block and the blank line that ends it; False where it is not whole."""
        if self.at >= len(self.lines) or not _BINARY_SIZE.match(self.lines[self.at]):
            return False
        self._took(1)
        while self.at < len(self.lines) and self.lines[self.at].strip():
            self._took(1)
        if self.at >= len(self.lines):
            return False
        self._took(1)
        return True


_WRAPPED = "mailers that wrap lines or eat blanks do this: have it sent again by git send-email"


def _same_name(names: bytes) -> str:
    """The path in `a/PATH b/PATH`; "" where the two differ (the lines below a rename's header say both)."""
    if names.startswith(b'"'):
        match = re.match(rb'"(?:[^"\\]|\\.)*"', names)
        return _without_prefix(match[0]) if match else ""
    middle = len(names) // 2
    old, new = names[:middle], names[middle + 1 :]
    same = old.split(b"/", 1)[1:] == new.split(b"/", 1)[1:] and b"/" in old
    return _without_prefix(old) if same else ""


def _without_prefix(name: bytes) -> str:
    """A path of a `---` or `+++` line without its first component and time stamp; "" for /dev/null."""
    path = _unquoted(name.rstrip(b"\r") if name.startswith(b'"') else name.split(b"\t", 1)[0].rstrip())
    if path == "/dev/null":
        return ""
    return path.split("/", 1)[1] if "/" in path else path


def _unquoted(name: bytes) -> str:
    """Undo git's C-style quoting (quote.c:unquote_c_style)."""
    if len(name) > 1 and name.startswith(b'"') and name.endswith(b'"'):
        name = _ESCAPE.sub(_escaped, name[1:-1])
    return name.decode("utf-8", "replace")


def _escaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8) & 0xFF]) if len(code) == 3 else _ESCAPES.get(code, code)
