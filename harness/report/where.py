"""Where figures went: the functions that make a difference, and the patches that wrote them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.perf.model import Attribution, FunctionChange, Performance
from harness.report import safe
from harness.report.benches import short_name
from harness.report.numbers import difference
from harness.report.renderables import Hanging

__all__ = ["SMALL", "kinds_of", "remarks", "where_table"]

_GROUPS = 12
_LARGEST = 4
_FUNCTIONS = 8
_BENCHES = 3
SMALL = 0.5  # insns: what is less is no row of its own


def where_table(performance: Performance, *, every: bool = True) -> RenderableType | None:
    """For every kind of difference: how large, in which benches, functions and patches. None where there is none.

    every: false for the largest alone.
    """
    if performance.nowhere:
        return Hanging(Text.assemble(("where it went  ", "bold"), safe.text(f"not known: {performance.nowhere}")), 2)
    if not performance.attributions:
        return None
    groups = kinds_of(performance)
    boots = "one boot a kernel (--quick)" if performance.profiled == 1 else "two boots a kernel"
    head = f"profile: insns/packet of each kernel function, counted by QEMU's TCG plugin, {boots}"
    parts: list[RenderableType] = [Hanging(Text.assemble(("where it went  ", "bold"), safe.text(head)), 2)]
    most = _GROUPS if every else _LARGEST
    for group in groups[:most]:
        parts += [Hanging(safe.text(f"  {difference(group[0].delta)} {_benches(group)}")), _functions(group[0])]
    if len(groups) > most:
        kinds = "kind" if len(groups) - most == 1 else "kinds"
        parts.append(Text(f"  ... and {len(groups) - most} smaller {kinds} of difference", "dim"))
    failed = [each for each in performance.attributions if each.failure]
    parts += [
        Hanging(Text.assemble(("  not known: ", "yellow"), safe.text(f"{each.bench}: {each.failure}")))
        for each in failed[:_BENCHES]
    ]
    if len(failed) > _BENCHES:
        parts.append(Text(f"  ... and {len(failed) - _BENCHES} more that are not known", "dim"))
    return Group(*parts)


def kinds_of(performance: Performance) -> list[list[Attribution]]:
    """Those whose differences are the same, function by function, belong together; the largest first."""
    groups: dict[tuple[tuple[str, int], ...], list[Attribution]] = {}
    for each in performance.attributions:
        if not each.failure:
            key = tuple(sorted((change.name, round(change.delta)) for change in each.functions if round(change.delta)))
            groups.setdefault(key, []).append(each)
    return sorted(groups.values(), key=lambda group: -abs(group[0].delta))


def _benches(group: Sequence[Attribution]) -> str:
    names = [short_name(each.bench) for each in group]
    more = f" and {len(names) - _BENCHES} more" if len(names) > _BENCHES else ""
    return f"in {', '.join(names[:_BENCHES])}{more}"


def _functions(attribution: Attribution) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold", style="dim")
    rows = [change for change in attribution.functions if abs(change.delta) >= SMALL]
    for change in rows[:_FUNCTIONS]:
        table.add_row(
            f"      {difference(change.delta)}", safe.text(change.name), safe.text("; ".join(remarks(change)))
        )
    shown = sum(change.delta for change in rows[:_FUNCTIONS])
    if abs(attribution.delta - shown) >= SMALL:
        small = Text("each less than half an instruction, or below its noise")
        table.add_row(f"      {difference(attribution.delta - shown)}", Text("others"), small)
    return table


def remarks(change: FunctionChange) -> Iterator[str]:
    """What there is to say of a function's difference beside how large it is."""
    if change.why:
        yield change.why
    before, after = change.calls
    if abs(after - before) > 0.01:
        yield f"called {before:.3g} → {after:.3g} times"
    if abs(change.lines) >= SMALL:
        yield f"{difference(change.lines)} data cache lines"
    for share in islice(change.patches, 3):
        yield (
            f"lines of patch {share.number}: {difference(share.insns)}"
            if share.insns
            else f"lines of patch {share.number}"
        )
