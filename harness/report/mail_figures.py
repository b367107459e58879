"""What a series costs, as a mail has it: the table of cover letters first, then the figures that changed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from harness.perf.letters import devices_of
from harness.perf.model import CHANGED, Attribution, Figure, FigureChange, Performance
from harness.report import safe
from harness.report.benches import short_name
from harness.report.mail_lines import WIDTH, guarded, item, prose
from harness.report.numbers import certainty, difference, reading
from harness.report.steps import step_lines
from harness.report.tables import TextTable, change_table
from harness.report.where import SMALL

__all__ = ["cost"]

_FIGURES = 10
_FUNCTIONS = 4
_COLUMN = 14


def cost(performance: Performance) -> list[str]:
    """The table of deltas, the figures that changed most, the functions and patches that did it; the instrument."""
    changed = performance.of(*CHANGED)
    unknown = performance.of(FigureChange.UNKNOWN)
    same = len(performance.of(FigureChange.SAME))
    told = [f"{same} of {len(performance.figures)} figures did not change"] if same else []
    told += [f"{len(unknown)} cannot be told ({unknown[0].why})"] if unknown else []
    rest = prose(f"{', '.join(told)}.", "  ") if told else []
    parts = [_deltas(performance), _changed(changed), _where(performance), _steps(performance), rest]
    head = prose(f"What it costs, by {performance.instrument}: {performance.how}.")
    return [*head, *(line for part in parts if part for line in ("", *part))]


def _deltas(performance: Performance) -> list[str]:
    """`this series:   -2.0%/+31   ...`, for each device with such figures; none where there is no such bench."""
    if not devices_of(performance):
        return []
    table = change_table([("this series:", performance)])
    if not table.rows:
        return []
    lines = [_row("", table.head[1:])]
    for name, cells in _by_device(table):
        lines += [
            guarded(f"  {name}"),
            *(_row(f"    {label}", [cell.replace("/", " / ") for cell in row]) for label, row in cells),
        ]
    notes = [line for note in table.notes for line in prose(note, "  ", "      ")]
    return [*prose(table.caption, "  "), *lines, *notes]


def _by_device(table: TextTable) -> Iterator[tuple[str, list[tuple[str, Sequence[str]]]]]:
    """The rows under their devices: `veth (copy), this series::` is a row of `veth (copy)`."""
    rows = [(*row[0].removesuffix(":").rpartition(", ")[::2], row[1:]) for row in table.rows]
    for device, group in groupby(rows, lambda row: row[0]):
        yield safe.line(device), [(label, cells) for _, label, cells in group]


def _row(label: str, cells: Sequence[str]) -> str:
    return guarded(label.ljust(WIDTH - 2 - _COLUMN * len(cells)) + "".join(cell.rjust(_COLUMN) for cell in cells))


def _changed(figures: Sequence[Figure]) -> list[str]:
    """The figures that changed most, under their files."""
    most = sorted(figures, key=lambda figure: -abs(figure.share))[:_FIGURES]
    shown = [figure for figure in figures if figure in most]
    lines = []
    for (file, unit), group in groupby(shown, lambda figure: (figure.bench.rpartition("::")[0], figure.unit)):
        those = list(group)
        noise = reading(max(figure.noise for figure in those))
        lines += prose(f"{safe.line(file)}, {safe.line(unit)}, noise at most {noise}:", "  ", "    ")
        lines += [line for figure in those for line in item(short_name(figure.bench), _numbers(figure), "    ")]
    return lines + ([f"    ... and {len(figures) - _FIGURES} that changed less"] if len(figures) > _FIGURES else [])


def _numbers(figure: Figure) -> str:
    """`115 -> 158  +43 +37.4%`, each under the other."""
    sides = f"{reading(figure.base)} -> {reading(figure.patched)}"
    between = certainty(figure)
    return f"{sides:>16} {difference(figure.delta):>8} {figure.share:>+7.1%}" + (f" ({between})" if between else "")


def _where(performance: Performance) -> list[str]:
    """The functions that make the largest difference."""
    known = [each for each in performance.attributions if not each.failure and each.functions]
    if not known:
        return []
    largest = max(known, key=lambda each: abs(each.delta))
    rows = [change for change in largest.functions if abs(change.delta) >= SMALL][:_FUNCTIONS]
    lines = [
        guarded(f"    {change.delta:>+8.1f}  {safe.line(change.name)}{_of_patches(largest, change.name)}")
        for change in rows
    ]
    return [*prose(f"Where it goes, insns/packet of {short_name(largest.bench)}:", "  "), *lines] if lines else []


def _of_patches(attribution: Attribution, function: str) -> str:
    shares = next((change.patches for change in attribution.functions if change.name == function), ())
    return f" (lines of patch {', '.join(str(share.number) for share in shares[:3])})" if shares else ""


def _steps(performance: Performance) -> list[str]:
    return [line for told in step_lines(performance.steps) for line in prose(told, "  ", "    ")]
