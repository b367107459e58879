"""Read what compilers, linkers, objtool, modpost and sparse complain about out of a build log.

A diagnostic is compared without its line number, offsets and sizes, so that code which merely moved is not news; and
one place that is compiled into many objects (a header), or compiled again after a kill, complains once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from harness.build.model import Diagnostic
from harness.kernel_make import OBJECTS, SOURCE

__all__ = ["first_error", "new_diagnostics", "parse_diagnostics"]

# `file:line[:column]: [fatal] error: text [-Wflag]`: gcc, clang, sparse (no flag), as (`Error:`, no column).
COMPILER = re.compile(
    r"^(?P<file>[^\s:][^:]*):(?P<line>\d+)(?::\d+)?: "
    r"(?:fatal )?(?P<severity>warning|error|Error|Warning): (?P<message>.*)$"
)
FLAG = re.compile(r"\s*\[(?P<flag>-W[^\]]+)\]$")
OBJTOOL = re.compile(r"^(?P<file>\S+): (?P<severity>warning|error): objtool: (?P<message>.*)$")
MODPOST = re.compile(r"^(?P<severity>WARNING|ERROR): modpost: (?P<message>.*)$")
LD_GNU = re.compile(
    r"^(?:\S*/)?ld(?:\.bfd)?: (?:(?P<object>[^\s:]+\.[oa]\)?): )?(?:(?P<severity>warning|error): )?(?P<message>.*)$"
)
LD_PLACE = re.compile(
    r"^(?:(?:\S*/)?ld(?:\.bfd)?: )?(?:(?P<object>\S+\.o): )?(?:(?P<file>[^\s:()]+):)?(?P<line>\d+|\([^)]*\)): "
    r"(?P<message>(?:undefined reference to|multiple definition of|relocation truncated|more undefined references).*)$"
)
LLD = re.compile(r"^ld\.lld: (?P<severity>warning|error): (?P<message>.*)$")
# lld names the place on the next line: `>>> referenced by b.c:2 (/ktrial/src/net/core/b.c:2)`.
LLD_PLACE = re.compile(r"^>>> (?:referenced by|defined at) (?:\S+ \()?(?P<file>[^\s()]+?)(?::(?P<line>\d+))?\)?$")
LD_FUNCTION = re.compile(r"^(?:\S*/)?ld(?:\.bfd)?: (?P<object>\S+\.o): in function ")
BTF = re.compile(
    r"^(?P<severity>WARN|FAILED|BTF): ?(?P<message>(?:resolve_btfids|load BTF|multiple IDs|\S+: pahole).*)$"
)
KCONFIG = re.compile(r"^WARNING: (?P<message>unmet direct dependencies detected for \w+)$")
NO_RULE = re.compile(
    r"^make(?:\[\d+\])?: \*\*\* "
    r"(?P<message>No rule to make target '(?P<file>[^']+)'(?:, needed by '[^']+')?)\.  Stop\.$"
)
# Lines that follow from an error already told.
ECHOES = re.compile(r"all warnings being treated as errors|^some warnings being treated")
# Numbers that move with unrelated code. The line and column of another place, an offset, a frame's size.
MOVING = (
    (re.compile(r"\+0x[0-9a-f]+(?:/0x[0-9a-f]+)?"), "+0x"),
    (re.compile(r"\b(?:at|near|on) line \d+"), "at line N"),
    (re.compile(r"(?<=\.[chS]):\d+(?::\d+)?"), ":N"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "ADDRESS"),
    (re.compile(r"\b\d+ bytes\b"), "N bytes"),
    (re.compile(r"frame size \(\d+\)"), "frame size (N)"),
    (re.compile(r"(?<=^multiple IDs found for )('\w+').*"), r"\1"),  # BTF's numbers of types
)
QUOTES = str.maketrans({"‘": "'", "’": "'", "`": "'", "“": '"', "”": '"'})


def parse_diagnostics(log: str) -> tuple[Diagnostic, ...]:
    """Every warning and error of a build log, in order, each place once."""
    return tuple(dict.fromkeys(_read(log.splitlines())))


def new_diagnostics(base: Sequence[Diagnostic], patched: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Those of `patched` that `base` does not have, as a multiset: a second warning of the same words is news.

    base: of a whole build. patched: of a whole build, or of what changed only.
    """
    known = Counter(_identity(diagnostic) for diagnostic in base)
    news = []
    for diagnostic in patched:
        if known[_identity(diagnostic)] > 0:
            known[_identity(diagnostic)] -= 1
        else:
            news.append(diagnostic)
    return tuple(news)


def first_error(diagnostics: Iterable[Diagnostic]) -> Diagnostic | None:
    """The error that stopped the build: the first one that names a place, else the first."""
    errors = [diagnostic for diagnostic in diagnostics if diagnostic.severity == "error"]
    return next((error for error in errors if error.line), errors[0] if errors else None)


def _identity(diagnostic: Diagnostic) -> tuple[str, str, str, str]:
    return (diagnostic.severity, diagnostic.file, diagnostic.message, diagnostic.flag)


def _read(lines: Sequence[str]) -> Iterator[Diagnostic]:
    linked = ""
    for number, line in enumerate(lines):
        if match := LD_FUNCTION.match(line):
            linked = match["object"]
            continue
        following = lines[number + 1] if number + 1 < len(lines) else ""
        diagnostic = _diagnostic(line.rstrip(), following, linked)
        if diagnostic is not None and not ECHOES.search(diagnostic.message):
            yield diagnostic


def _diagnostic(line: str, following: str, linked: str) -> Diagnostic | None:
    """What one line says, or None.

    following: the next line, where lld names the place. linked: the object that GNU ld named last.
    """
    if ":" not in line:
        return None
    if match := OBJTOOL.match(line):
        return _make(match["severity"], match["file"], match["message"], line)
    if match := COMPILER.match(line):
        return _make(match["severity"].lower(), match["file"], match["message"], line, match["line"])
    if match := MODPOST.match(line):
        return _make(_severity(match["severity"]), _modpost_file(match["message"]), match["message"], line)
    if match := LLD.match(line):
        place = LLD_PLACE.match(following)
        return _make(
            match["severity"],
            place["file"] if place else "vmlinux",
            match["message"],
            line,
            (place and place["line"]) or "0",
        )
    if match := LD_PLACE.match(line):
        file = _linked_file(match["file"] or "", match["object"] or linked)
        return _make("error", file, match["message"], line, match["line"])
    if match := NO_RULE.match(line):
        return _make("error", match["file"], match["message"], line)
    if match := BTF.match(line):
        return _make("warning" if match["severity"] == "WARN" else "error", "vmlinux", match["message"], line)
    if match := KCONFIG.match(line):
        return _make("warning", "Kconfig", match["message"], line)
    return _ld(line)


def _ld(line: str) -> Diagnostic | None:
    """A line of GNU ld that names no place in a source file."""
    match = LD_GNU.match(line)
    if match is None:
        return None
    severity = match["severity"] or ("warning" if "warning:" in match["message"] else "error")
    return _make(severity, match["object"] or "vmlinux", match["message"], line)


def _make(severity: str, file: str, message: str, text: str, line: str = "0") -> Diagnostic:
    flag = FLAG.search(message)
    if flag:
        message = message[: flag.start()]
    return Diagnostic(
        severity=severity,
        file=_relative(file),
        message=_normalised(message),
        flag=flag["flag"].replace("-Werror=", "-W").replace("-Werror,", "") if flag else "",
        line=int(line) if line.isdigit() else 0,
        text=_relative(text),
    )


def _relative(text: str) -> str:
    """Without the build's own folders, and so the same wherever it was built."""
    for folder in (SOURCE, OBJECTS):
        text = text.replace(f"{folder}/", "")
    return text.removeprefix("./")


def _normalised(message: str) -> str:
    message = _relative(message.translate(QUOTES))
    for moving, still in MOVING:
        message = moving.sub(still, message)
    return message.strip()


def _severity(word: str) -> str:
    return "warning" if word.startswith("WARN") else "error"


def _modpost_file(message: str) -> str:
    """The object that modpost speaks of: `"symbol" [drivers/a.ko] undefined!`, `vmlinux: section mismatch …`."""
    if module := re.search(r"\[([^\]]+\.ko)\]", message):
        return module[1]
    named = re.search(r"(?:^|in )(\S+?\.(?:o|ko)|vmlinux)\b", message)
    return named[1] if named else "vmlinux"


def _linked_file(file: str, linked: str) -> str:
    """ld prints a source's bare name where there is no debug information; the object beside it tells its folder."""
    if not file:
        return linked or "vmlinux"
    if "/" in file or "/" not in linked:
        return file
    return f"{linked.rpartition('/')[0]}/{file}"
