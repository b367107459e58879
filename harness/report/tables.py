"""Figures in the shapes in which series on XDP and AF_XDP argue about cost. Pure: from Performance to lines of text.

percent: how many more packets the same instructions are good for, base / patched - 1; minus is worse, as in a table of
packets a second. A difference that is not above the noise is shown as none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from harness.perf.letters import BASELINES, VERIFIER, action, devices_of, xdpsock
from harness.perf.model import Figure, Performance

__all__ = ["TextTable", "change_table", "jobs_table", "lines_of", "sizes_table", "tables_of", "verifier_table"]

_WIDTH = 80  # columns of what nobody said a width of
_SIZES = (64, 512, 1024, 1500)
_MODES = (("XDP_SKB", "skb"), ("XDP_DRV", "drv"), ("XDP_DRV_ZC", "zc"))
_JOBS = (("rxdrop", "rxdrop"), ("txpush", "txonly"), ("l2fwd", "l2fwd"))
# Above what floating point makes of equal readings.
_EQUAL = 1e-9


@dataclass(frozen=True)
class TextTable:
    """A table as it stands in a mail. rows: the first cell of each is its name. notes: why cells are NA, numbered.

    by: the instrument, and what of its figures is noise.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    by: str = ""

    @property
    def caption(self) -> str:
        """What stands above it, in one line."""
        return f"{self.title} ({self.by})" if self.by else self.title


def tables_of(performance: Performance, *, every: bool = True) -> tuple[TextTable, ...]:
    """The three tables, of every device of which there is a figure, and the verifier's; those that have a figure.

    every: false leaves out what the verifier does as before.
    """
    devices = devices_of(performance)
    steps = [*_after_patches(performance), ("base -> patched", performance)]
    tables = [change_table(steps)] if devices else []
    tables += [sizes_table(performance, device) for device in devices]
    tables += [jobs_table(performance, device) for device in devices]
    tables += [verifier_table(performance, every=every)]
    return tuple(table for table in tables if table.rows)


def _after_patches(performance: Performance) -> Iterator[tuple[str, Performance]]:
    """The figures after each patch but the last, cumulative, where they were measured."""
    known = {steps.bench: dict(steps.values) for steps in performance.steps}
    counts = sorted({count for values in known.values() for count in values})
    for count in counts[1:-1]:
        figures = (_at(figure, known.get(figure.bench, {}).get(count), count) for figure in performance.figures)
        yield f"base -> patch {count}", replace(performance, figures=tuple(figures), steps=())


def _at(figure: Figure, value: float | None, count: int) -> Figure:
    why = figure.why or ("" if value is not None else f"not measured after patch {count}")
    return replace(figure, patched=value, why=why)


def change_table(steps: Sequence[tuple[str, Performance]]) -> TextTable:
    """(a) percent/insns of `xdpsock -r`, XDP_DROP and XDP_TX. steps: what was done, and what it cost, by step."""
    notes: list[str] = []
    rows = []
    told: list[Figure] = []
    for device in dict.fromkeys(name for _, performance in steps for name in devices_of(performance)):
        for label, performance in steps:
            figures = _Figures(performance)
            mode = "zc" if figures.known(xdpsock("rxdrop", device, "zc", 64)) else "drv"
            names = [xdpsock("rxdrop", device, mode, 64)]
            names += [action(name, device) for _, name in BASELINES]
            if any(figures.known(name) for name in names):
                copies = "zero-copy" if mode == "zc" else "copy"
                row = [figures.change(name, notes) for name in names]
                rows.append((f"{device} ({copies}), {label}:", *row))
                told += figures.those(names)
    title = f"percent of packets / {_unit(told)}, frames of 64 bytes, native XDP"
    by = _by(steps[-1][1], told) if steps else ""
    return TextTable(title, ("", "xdpsock -r", "XDP_DROP", "XDP_TX"), tuple(rows), tuple(notes), by)


def sizes_table(performance: Performance, device: str) -> TextTable:
    """(b) what `xdpsock -t -S -s SIZE` costs, by size."""
    notes: list[str] = []
    figures = _Figures(performance)
    names = [xdpsock("txonly", device, "skb", size) for size in _SIZES]
    rows: tuple[tuple[str, ...], ...] = ()
    if any(map(figures.known, names)):
        rows = (
            ("base", *(figures.side(name, "base", notes) for name in names)),
            ("patched", *(figures.side(name, "patched", notes) for name in names)),
            ("percent", *(figures.percent(name, notes) for name in names)),
        )
    told = figures.those(names)
    title = f"xdpsock -i {device} -t -S -s SIZE, {_unit(told)}"
    return TextTable(title, ("size", *map(str, _SIZES)), rows, tuple(notes), _by(performance, told))


def jobs_table(performance: Performance, device: str) -> TextTable:
    """(c) xdpsock's jobs in every mode, below the cost of XDP_DROP and XDP_TX; base -> patched where they differ."""
    notes: list[str] = []
    figures = _Figures(performance)
    names = {title: [xdpsock(job, device, mode, 64) for _, mode in _MODES] for title, job in _JOBS}
    rows: list[tuple[str, ...]] = []
    if any(figures.known(name) for of_job in names.values() for name in of_job):
        rows += [(title, figures.both(action(name, device), notes)) for title, name in BASELINES]
        rows += [("Benchmark", *(title for title, _ in _MODES))]
        rows += [(title, *(figures.both(name, notes) for name in of_job)) for title, of_job in names.items()]
    told = figures.those([*(action(name, device) for _, name in BASELINES), *chain(*names.values())])
    title = f"{device}, {_unit(told)}, frames of 64 bytes"
    return TextTable(title, (), tuple(rows), tuple(notes), _by(performance, told))


def verifier_table(performance: Performance, *, every: bool = True) -> TextTable:
    """What the verifier walks through and keeps for every BPF object, as veristat compares it: base, patched, percent.

    every: false for the objects that differ alone.
    """
    notes: list[str] = []
    figures = _Figures(performance)
    found = [match for figure in performance.figures if (match := VERIFIER.fullmatch(figure.bench))]
    objects = dict.fromkeys((match["suite"], match["object"]) for match in found)
    rows = []
    for suite, name in objects:
        names = [f"{suite}/bench_verifier.py::bench_verified_{what}[object={name}]" for what in ("insns", "states")]
        if every or any(figures.differs(each) for each in names):
            rows.append((f"{suite}/{name}", *(cell for each in names for cell in figures.compared(each, notes))))
    head = ("object", "insns: base", "patched", "", "states: base", "patched", "")
    if len(rows) < len(objects) and rows:
        rest = len(objects) - len(rows)
        notes.append(f"{rest} other {'object' if rest == 1 else 'objects'} as before")
    title = "instructions and states of the verifier, base and patched"
    return TextTable(title, head, tuple(rows), tuple(notes), "counted by the kernel, exact")


def lines_of(table: TextTable, width: int = _WIDTH) -> tuple[str, ...]:
    """Its lines: columns to the right of each other, the first to the left; nearer where the width needs it."""
    every = [row for row in (table.head, *table.rows) if row]
    widths = [max(len(row[at]) for row in every if at < len(row)) for at in range(max(map(len, every)))]
    by = (f"({table.by})",) if table.by else ()
    gap = next((gap for gap in (3, 2) if 2 + sum(widths) + gap * (len(widths) - 1) <= width), 1)
    rows = (f"  {_aligned(row, widths, gap)}" for row in every)
    return (table.title, *by, *rows, *(f"  {note}" for note in table.notes))


def _aligned(row: tuple[str, ...], widths: Sequence[int], gap: int) -> str:
    cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=False))]
    return (" " * gap).join(cells).rstrip()


class _Figures:
    """Figures by the names of their benches, as cells."""

    def __init__(self, performance: Performance) -> None:
        self._by_name = {figure.bench: figure for figure in performance.figures}

    def known(self, name: str) -> bool:
        """Whether both kernels have it."""
        found = self._by_name.get(name)
        return found is not None and found.base is not None and found.patched is not None and not found.why

    def those(self, names: Iterable[str]) -> list[Figure]:
        """Those that both kernels have."""
        return [self._by_name[name] for name in names if self.known(name)]

    def change(self, name: str, notes: list[str]) -> str:
        """`-2.0%/+31`."""
        if not self.known(name):
            return self._missing(name, notes)
        figure = self._by_name[name]
        return f"{_percent(figure):+.1%}/{figure.delta:+.4g}" if _changed(figure) else "0%/0"

    def percent(self, name: str, notes: list[str]) -> str:
        """`3.0%`."""
        return f"{_percent(self._by_name[name]):.1%}" if self.known(name) else self._missing(name, notes)

    def side(self, name: str, side: str, notes: list[str]) -> str:
        """One kernel's, `base` or `patched`."""
        figure = self._by_name.get(name)
        value = None if figure is None else figure.base if side == "base" else figure.patched
        return _number(value) if value is not None else self._missing(name, notes)

    def both(self, name: str, notes: list[str]) -> str:
        """`3105`, or `3105 -> 3136`."""
        if not self.known(name):
            return self._missing(name, notes)
        figure = self._by_name[name]
        assert figure.base is not None
        assert figure.patched is not None
        return f"{_number(figure.base)} -> {_number(figure.patched)}" if _changed(figure) else _number(figure.base)

    def differs(self, name: str) -> bool:
        """Whether it is another one on patched, or cannot be told."""
        return not self.known(name) or _changed(self._by_name[name])

    def compared(self, name: str, notes: list[str]) -> tuple[str, str, str]:
        """`120`, `138` and `+15.0%`; no percent of what is not there."""
        sides = self.side(name, "base", notes), self.side(name, "patched", notes)
        if self.known(name):
            percent = f"{self._by_name[name].share:+.1%}" if self.differs(name) else "0%"
        else:
            percent = "" if any(side.startswith("NA") for side in sides) else self._missing(name, notes)
        return *sides, percent

    def _missing(self, name: str, notes: list[str]) -> str:
        found = self._by_name.get(name)
        why = found.why if found else "not among the benches of this run"
        known = [note.partition("] ")[2] for note in notes]
        if why not in known:
            notes.append(f"[{len(notes) + 1}] {why}")
            known.append(why)
        return f"NA [{known.index(why) + 1}]"


def _unit(figures: Sequence[Figure]) -> str:
    """`insns per packet`, or of what else the figures are."""
    return " and ".join(dict.fromkeys(figure.unit.replace("/", " per ") for figure in figures)) or "nothing"


def _by(performance: Performance, figures: Sequence[Figure]) -> str:
    """`icount, noise at most 1.4`: what read the figures, and how much of them is no difference."""
    if not figures:
        return ""
    noise = f"{performance.instrument}, noise at most {max(figure.noise for figure in figures):.3g}"
    varies = any(figure.interval for figure in figures)
    return f"{noise}, seen from {max(figure.seen for figure in figures):.3g}" if varies else noise


def _changed(figure: Figure) -> bool:
    return abs(figure.delta) > figure.noise + _EQUAL


def _percent(figure: Figure) -> float:
    """More packets for the same instructions; 0 where the difference is not above the noise."""
    if not _changed(figure) or not figure.base or not figure.patched:
        return 0.0
    return figure.base / figure.patched - 1


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
