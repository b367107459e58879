"""Numbers as every report writes them. Pure."""

from __future__ import annotations

from harness.perf.model import Figure

__all__ = ["certainty", "clock", "delta", "difference", "reading"]


def reading(value: float | None) -> str:
    """A figure, to a tenth: a batch's mean tells no more. `-` where there is none."""
    return "-" if value is None else f"{round(value, 1):.10g}"


def difference(value: float) -> str:
    """With a sign and one decimal, which is more than a count of packets divided by a batch's length can tell."""
    return f"{round(value, 1):+.6g}"


def delta(value: float) -> str:
    """A difference that may be none."""
    return difference(value) if round(value, 1) else "0"


def certainty(figure: Figure) -> str:
    """`-0.2 to +0.3, seen from 0.7`: where the difference lies, and the smallest that could have been seen; "" of exact
    instruments."""
    if figure.interval is None:
        return ""
    low, high = figure.interval
    return f"{low:+.3g} to {high:+.3g}, seen from {figure.seen:.3g}"


def clock(seconds: int) -> str:
    """`4:20`, `1:04:20`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
