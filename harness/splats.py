"""Find the kernel's complaints in its log.

A WARN or a sanitizer's report leaves a test's exit status at 0, so the log is where a kernel says that it is unwell.
What makes two complaints the same is the kind, the guilty function and the innermost frames; addresses, offsets, file
and line change with any patch and stay out. Userspace may print what it likes: where a log carries the kernel's time
stamps, only lines with one are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.results import Splat
from harness.splat_rules import CONSEQUENCE, HEADLINES, Headline, is_noise, plain_symbol

__all__ = [
    "SPLAT_REASON",
    "brief",
    "find_splats",
    "is_timely",
    "same_splat",
    "silent_splat",
    "splat_reason",
]

SPLAT_REASON = "kernel log: "
"""How the reason of a test begins that failed only for what the kernel logged while it ran."""

_NOT_IN_TIME = "not up in time"
_SILENT = {"reset": "reset before it was up", "powered-off": "off before it was up", "boot-timeout": _NOT_IN_TIME}
_KEY_FRAMES = 5
_MOST_FRAMES = 40
_LONGEST = 400  # lines of one report
_NEAR = 150  # lines between a headline and its call trace: lockdep explains itself at length
_REACH = 250  # lines between a fatal complaint and the panic it leads to
_CUT = 30  # lines of a report that was cut off before its call trace
_LONGEST_LINE = 2000

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]{0,200}(?:\x07|\x1b\\)|[@-Z\\-_])")
_STAMP = re.compile(
    r"(?:^\d+,\d+,\d+,[^;]{0,80};|\[ {0,9}\d{1,9}\.\d{6}\]) ?(?:\[ *[TC]\d+[^\]]{0,60}\] ?)?"  # /dev/kmsg, or console
)
_LEVEL = re.compile(r"^<\d{1,3}>")
_TRACE = re.compile(r"(?:Call [Tt]race:|\s*backtrace(?: \(|:))")
_FRAME = re.compile(
    r"\s*(?:\[<?[0-9a-f]+>?\] +)?(?P<maybe>\? )?(?P<symbol>[A-Za-z_][\w.$]*)\+0x[0-9a-f]+/0x[0-9a-f]+(?:\s|$)"
)
_BESIDE = re.compile(
    r"\s*</?(?:TASK|IRQ|NMI|SOFTIRQ|#\w+|EOI|EOE)>|.*\[inline\]$|(?:RIP|RSP|R[0-9A-D][0-9XIP]|Code|[CDF]S): "
)
_GUILTY = re.compile(r"\s*(?:(?:RIP|EIP): (?:[0-9a-f]{4}:)?|pc : )(?P<symbol>[A-Za-z_][\w.$]*)\+0x")
_PREAMBLE = re.compile(r"-+\[ cut here \]-+|={20,}\s*$")
_DULL = re.compile(
    r"\s*(?:\? |</?(?:TASK|IRQ|NMI)>|Modules linked in|Hardware name|CPU: \d+ |pstate: |PGD |#PF: error|irq event|"
    r"(?:Code|RSP|[CEDFG]S|CR\d|PKRU|R[0-9A-DS][0-9XIP]|x\d+ ?|sp |lr ): |"
    r"-+\[ cut here|[-=]{5,}|---\[ end|Kernel Offset|$)"
)
_VARIABLE = re.compile(r"\b0x[0-9a-f]+\b|\b[0-9a-f]{8,}\b|\d+")


@dataclass(frozen=True)
class _Line:
    """A line of the log. text: as it came, without colours. message: without time stamp, caller and level."""

    text: str
    message: str
    stamped: bool


@dataclass(frozen=True)
class _Found:
    """A headline in the log: its line's index, and the end (exclusive) of the report under it."""

    headline: Headline
    match: re.Match[str]
    start: int
    end: int


def find_splats(log: str) -> tuple[Splat, ...]:
    """The complaints in a kernel log or a slice of one, in order, each key once.

    A slice that begins in the middle of a report does not hold its headline: that report belongs to whoever has it. A
    report that a slice cuts off is named by what is there (see `same_splat`). A panic that follows a fatal complaint is
    a part of it.
    """
    lines = _lines(log)
    splats: dict[str, Splat] = {}
    for found in _reports(lines):
        splat = _splat(lines, found)
        splats.setdefault(splat.key, splat)
    return tuple(splats.values())


def same_splat(one: Splat, other: Splat) -> bool:
    """Same key; or, where one trace was cut off, same kind and function with one trace a beginning of the other."""
    if one.key == other.key:
        return True
    if (one.kind, one.function) != (other.kind, other.function) or not one.function:
        return False
    common = min(len(one.frames), len(other.frames))
    return common < _KEY_FRAMES and one.frames[:common] == other.frames[:common]


def is_timely(splat: Splat) -> bool:
    """Whether a slow or loaded host can be the cause (lockups, stalls, hung tasks)."""
    if splat.kind == _NOT_IN_TIME:
        return True
    return any(headline.timely and headline.kind == splat.kind for headline in HEADLINES)


def silent_splat(end: str, console: str) -> Splat | None:
    """What stands for a complaint where a guest never came up and its kernel did not say why; None for other ends.

    end: as harness.machine.model.BootEnd has it. A triple fault leaves no word.
    """
    kind = _SILENT.get(end)
    return Splat(kind, "", (), kind, console) if kind else None


def brief(splat: Splat) -> tuple[str, ...]:
    """The lines of its report that tell what and where, each once: no stamps, registers, code or guessed frames."""
    messages = (_line(text).message for text in splat.text.split("\n"))
    return tuple(dict.fromkeys(message for message in messages if not _DULL.match(message)))


def splat_reason(splats: Sequence[Splat]) -> str:
    """One line: why a test failed whose assertions passed."""
    first = splats[0]
    where = f" in {first.function}" if first.function else ""
    more = f" (and {len(splats) - 1} more)" if len(splats) > 1 else ""
    return f"{SPLAT_REASON}{first.kind}{where}{more}"


def _lines(log: str) -> tuple[_Line, ...]:
    """The kernel's lines: where it stamps them (a few stamped ones may be quoted ones), only those with a stamp."""
    lines = tuple(_line(text) for text in _ANSI.sub("", log).replace("\r", "\n").split("\n") if text)
    stamped = tuple(line for line in lines if line.stamped)
    return stamped if len(stamped) * 4 >= len(lines) else lines


def _line(text: str) -> _Line:
    text = text[:_LONGEST_LINE]
    stamp = _STAMP.search(text, 0, 400)
    if stamp is None:
        return _Line(text, _LEVEL.sub("", text), False)
    return _Line(text, text[stamp.end() :], True)


def _reports(lines: Sequence[_Line]) -> list[_Found]:
    """Every headline with the lines under it, none inside another's report."""
    reports: list[_Found] = []
    for at, line in enumerate(lines):
        for headline in HEADLINES:
            match = headline.pattern.match(line.message)
            if match is None or (headline.stamped and not line.stamped):
                continue
            found = _Found(headline, match, at, at + 1)
            if reports and _belongs(lines, reports[-1], found):
                reports[-1] = replace(reports[-1], end=at + 1)
            else:
                reports.append(found)
            break
    starts = [*(report.start for report in reports), len(lines)][1:]
    return [replace(report, end=_end(lines, report, limit)) for report, limit in zip(reports, starts, strict=True)]


def _belongs(lines: Sequence[_Line], earlier: _Found, found: _Found) -> bool:
    """Whether a headline only goes on with the report before it.

    `Oops: 0000 [#1]` after the fault's own headline; `WARNING:` after `refcount_t:`; the panic after what was fatal.
    """
    near = found.start - earlier.end
    if found.headline.kind.startswith("panic"):
        message = found.match["what"]
        killed = message.startswith("Attempted to kill")
        return near <= _REACH and bool(CONSEQUENCE.match(message)) and (earlier.headline.fatal or not killed)
    if earlier.headline.kind.startswith("refcount_t"):
        return near <= 3 and found.headline.kind == "WARNING"
    oops = found.headline.kind.startswith(("Oops", "general protection"))
    ended = any(_ends(earlier.headline, line) for line in lines[earlier.start + 1 : found.start])
    return earlier.headline.fatal and earlier.headline.fault and not earlier.headline.timely and oops and not ended


def _ends(headline: Headline, line: _Line) -> bool:
    return headline.end is not None and headline.end.match(line.message) is not None


def _end(lines: Sequence[_Line], report: _Found, limit: int) -> int:
    """Where a report ends (exclusive): at its closing line, else after its call trace, else where it begins."""
    if report.headline.alone:
        return report.end
    limit = min(limit, report.end + _LONGEST)
    for at in range(report.end, limit):
        if _ends(report.headline, lines[at]):
            return at + 1
    frames = _trace_lines(lines[report.start : limit])
    if not frames and limit == len(lines) and limit - report.end <= _CUT and not report.headline.stamped:
        return limit  # the guest died, or the slice ended, before the trace
    return max(report.start + frames[-1] + 1 if frames else 0, report.end)


def _trace_lines(lines: Sequence[_Line]) -> list[int]:
    """Indices of the frames of the first call trace: under `Call Trace:`, else the first run of frames."""
    near = lines[:_NEAR]
    begin = next((at + 1 for at, line in enumerate(near) if _TRACE.match(line.message)), None)
    if begin is None:
        begin = next((at for at, line in enumerate(near) if at and _FRAME.match(line.message)), len(lines))
    found: list[int] = []
    for at in range(begin, len(lines)):
        if _FRAME.match(lines[at].message):
            found.append(at)
        elif not _BESIDE.match(lines[at].message):
            break
    return found


def _splat(lines: Sequence[_Line], report: _Found) -> Splat:
    body = lines[report.start : report.end]
    frames = _frames(body, report.headline)
    function = _function(body, report, frames)
    kind = _kind(report)
    callers = frames[1:_KEY_FRAMES] if frames[:1] == (function,) else frames[:_KEY_FRAMES]
    key = " < ".join((f"{kind} in {function}" if function else kind, *callers))
    first = report.start
    while first and report.start - first < 3 and _PREAMBLE.match(lines[first - 1].message):
        first -= 1
    return Splat(kind, function, frames, key, "\n".join(line.text for line in lines[first : report.end]))


def _kind(report: _Found) -> str:
    """The headline's kind, numbers and addresses in a free text replaced by N."""
    what = report.match.groupdict().get("what") or ""
    return report.headline.kind.format(_VARIABLE.sub("N", what).strip(" .:!-"))


def _frames(body: Sequence[_Line], headline: Headline) -> tuple[str, ...]:
    matches = [_FRAME.match(body[at].message) for at in _trace_lines(body)]
    symbols = [plain_symbol(match["symbol"]) for match in matches if match and not match["maybe"]]
    skip = headline.skip
    return tuple(name for name in symbols if not is_noise(name) and not (skip and skip.match(name)))[:_MOST_FRAMES]


def _function(body: Sequence[_Line], report: _Found, frames: Sequence[str]) -> str:
    """The guilty function: named by the headline, else by the faulting address, else the innermost frame."""
    named = report.match.groupdict().get("function")
    candidates = [" / ".join(plain_symbol(name) for name in named.split(" / "))] if named else []
    if report.headline.fault:
        faulting = (_GUILTY.match(line.message) for line in body)
        candidates += [plain_symbol(match["symbol"]) for match in faulting if match]
    candidates = [name for name in candidates if not is_noise(name)]
    return candidates[0] if candidates else (frames[0] if frames else "")
