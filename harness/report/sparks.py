"""Many runs in one line: a letter for each outcome, a block for each number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.text import Text

from harness.history import Ending, Occurrence

__all__ = ["legend", "letters", "sparkline"]

_LETTERS = {
    Ending.PASSED: (".", "green"),
    Ending.FLAKY: ("~", "yellow"),
    Ending.FAILED: ("F", "bold red"),
    Ending.CRASHED: ("C", "bold red"),
    Ending.TIMED_OUT: ("T", "bold red"),
    Ending.SKIPPED: ("s", "dim"),
    Ending.XFAILED: ("x", "dim"),
    Ending.LOST: ("?", "dim"),
}
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-~=+*#"


def legend(endings: Iterable[Ending]) -> str:
    """What the letters of some endings mean."""
    known = set(endings)
    return "  ".join(f"{letter} {ending}" for ending, (letter, _) in _LETTERS.items() if ending in known)


def letters(occurrences: Sequence[Occurrence], most: int) -> Text:
    """A letter for each occurrence, the newest at the right; beyond `most` the oldest are left out."""
    shown = occurrences[-most:]
    text = Text("…" if len(shown) < len(occurrences) else "")
    for each in shown:
        text.append(*_LETTERS[each.ending])
    return text


def sparkline(values: Sequence[float | None], most: int, *, among: Sequence[float] = (), plain: bool = False) -> str:
    """A block for each value, the lowest and the highest of those shown as the two ends; a blank where there is none.

    among: values that are on the same scale. plain: in ASCII. Equal values are all at the low end.
    """
    shown = values[-most:]
    known = [value for value in (*shown, *among) if value is not None]
    if not known:
        return ""
    low, blocks = min(known), _ASCII if plain else _BLOCKS
    step = (max(known) - low) / (len(blocks) - 1)
    return "".join(" " if each is None else blocks[round((each - low) / step) if step else 0] for each in shown)
