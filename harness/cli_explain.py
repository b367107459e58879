"""Print what is known of a Kconfig symbol."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from harness.kconfig import Definition, Explanation, Source, Term
from harness.report import safe

__all__ = ["show_explanation"]

_COLOURS = {"y": "green", "m": "yellow", "n": "red"}
_LISTED = 12


def show_explanation(console: Console, found: Explanation) -> None:
    """Print a symbol's definitions, dependencies, sources and what would turn it on. Its texts are a stranger's."""
    console.print(f"[bold]CONFIG_{escape(found.symbol)}[/] ({found.type}) = {_value(found.value)}")
    _section(console, "defined", map(_definition, found.definitions))
    _section(console, "depends on", map(_term, found.depends))
    _section(console, "selected by", map(_source, found.selected_by))
    _section(console, "implied by", map(_source, found.implied_by))
    _section(console, "default", map(_source, found.defaults))
    _section(console, "range", map(_plain, found.ranges))
    _section(
        console, "choice", (f"{_mark(m.chosen)} {_plain(m.symbol)}  [dim]{_plain(m.prompt)}[/]" for m in found.choice)
    )
    if found.loss:
        console.print(f"[bold]why not:[/] {_plain(found.loss.text)}")
    if found.to_enable:
        console.print("[bold]to turn it on[/] (tried with the kernel's own olddefconfig):")
        for line in found.to_enable:
            console.print(f"    {_plain(str(line))}  [dim]{_plain(line.place)}[/]")
    elif found.loss:
        console.print("No lines were found that would turn it on.")


def _section(console: Console, title: str, lines: Iterable[str]) -> None:
    listed = list(lines)
    if not listed:
        return
    console.print(f"[bold]{title}:[/]")
    for line in listed[:_LISTED]:
        console.print(f"    {line}")
    if len(listed) > _LISTED:
        console.print(f"    [dim]and {len(listed) - _LISTED} more[/]")


def _definition(definition: Definition) -> str:
    prompt = f'"{_plain(definition.prompt)}"' if definition.prompt else "no prompt"
    hidden = "" if definition.shown or not definition.prompt else "  [dim](not shown)[/]"
    return f"{_plain(definition.place)}  {prompt}{hidden}"


def _term(term: Term) -> str:
    values = ", ".join(f"{name}={value}" for name, value in term.symbols if name != term.text)
    where = "" if term.value == "y" else "; ".join(term.places).removeprefix(f"{term.text} ")
    return f"{_value(term.value)}  {_plain(term.text)}  [dim]{_plain('  '.join(filter(None, (values, where))))}[/]"


def _source(source: Source) -> str:
    condition = f" if {_plain(source.condition)}" if source.condition else ""
    return f"{_mark(source.active)} {_plain(source.symbol)}{condition}  [dim]{_plain(source.place)}[/]"


def _mark(active: bool) -> str:
    return "[green]*[/]" if active else " "


def _value(value: str) -> str:
    colour = _COLOURS.get(value)
    return f"[{colour}]{value}[/]" if colour else _plain(value)


def _plain(text: str) -> str:
    return escape(safe.line(text))
