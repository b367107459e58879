"""Splats that an allow-list lets pass, as reports tell of them: which, where, and why they may be. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.allow_list import AllowList
from harness.report import safe
from harness.results import Excused, SideResults
from harness.run_result import RunResult

__all__ = ["ExcusedSplat", "excused_in", "excused_splats", "excused_words", "list_words", "seen_words"]

_NAMED = 3  # splats, in a line
_LONGEST = 200  # characters of a splat or a reason, in a line


@dataclass(frozen=True)
class ExcusedSplat:
    """One splat, and the entry that allows it. seen: by side the tests, and the boots beside them, that had it."""

    key: str
    text: str
    pattern: str
    reason: str
    seen: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def what(self) -> str:
        """`WARNING in xdp_frame_bad`: the key without the frames."""
        return self.key.partition(" < ")[0]


def excused_splats(result: RunResult) -> tuple[ExcusedSplat, ...]:
    """Of both sides of a run, each splat once for each entry that allows it, in order of the first time."""
    return excused_in(side for side in (result.base, result.patched) if side)


def excused_in(sides: Iterable[SideResults]) -> tuple[ExcusedSplat, ...]:
    """As `excused_splats`, of any sides."""
    found: dict[tuple[str, str, str], tuple[Excused, dict[str, dict[str, None]]]] = {}
    for side in sides:
        for name, each in _all(side):
            key = (each.splat.key, each.pattern, each.reason)
            _, seen = found.setdefault(key, (each, {}))
            seen.setdefault(side.side, {})[name] = None
    return tuple(
        ExcusedSplat(
            each.splat.key,
            each.splat.text,
            each.pattern,
            each.reason,
            tuple((side, tuple(names)) for side, names in seen.items()),
        )
        for each, seen in found.values()
    )


def excused_words(found: Sequence[ExcusedSplat]) -> str:
    """`1 splat is allowed: WARNING in xdp_frame_bad (planted; 2 on base, 3 on patched)`; "" of none."""
    if not found:
        return ""
    named = "; ".join(f"{_cut(each.what)} ({_cut(each.reason)}; {seen_words(each)})" for each in found[:_NAMED])
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"{len(found)} {'splat is' if len(found) == 1 else 'splats are'} allowed: {named}{more}"


def seen_words(excused: ExcusedSplat) -> str:
    """`2 on base, 3 on patched`: how many tests and boots had it."""
    return ", ".join(f"{len(names)} on {side}" for side, names in excused.seen)


def list_words(lists: Sequence[AllowList]) -> str:
    """`quirks.toml 0123456789ab (2 entries)`: what two people compare."""
    counts = ((each, len(each.entries)) for each in lists)
    return ", ".join(f"{each} ({count} {'entry' if count == 1 else 'entries'})" for each, count in counts)


def _cut(text: str) -> str:
    return safe.line(text, _LONGEST)


def _all(side: SideResults) -> Iterator[tuple[str, Excused]]:
    yield from ((result.test, each) for result in side.results for each in result.excused)
    yield from ((f"boot {boot.name}", each) for boot in side.boots for each in boot.excused)
