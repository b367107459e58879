"""What holds: Kconfig expressions evaluated with the values of the kernel's own .config, not Kconfiglib's."""

from __future__ import annotations

from collections.abc import Mapping

import kconfiglib  # type: ignore[import-untyped]

from harness.kconfig.grammar import Expression, KernelKconfig, Node, Symbol

__all__ = ["Held", "names_in", "place_of", "places_of", "render", "terms_of"]

_LEVEL = {"n": 0, "m": 1, "y": 2}


class Held:
    """Values of symbols and expressions under one .config. Levels: 0 is n, 1 is m, 2 is y."""

    def __init__(self, kconfig: KernelKconfig, values: Mapping[str, str]) -> None:
        self.kconfig = kconfig
        self.values = values
        self.modules = values.get(kconfig.modules.name) == "y"

    def value(self, symbol: Symbol) -> str:
        """A symbol's value as text, without quotes."""
        if symbol.is_constant or not symbol.nodes:
            return str(symbol.name)
        given = self.values.get(symbol.name)
        if given is None:
            return "n" if symbol.orig_type in (kconfiglib.BOOL, kconfiglib.TRISTATE) else ""
        return kconfiglib.unescape(given[1:-1]) if given.startswith('"') else given

    def level(self, expression: Expression) -> int:
        """The level of a symbol, a choice or an expression."""
        if not isinstance(expression, tuple):
            return self._item(expression)
        operator = expression[0]
        if operator is kconfiglib.AND:
            return min(self.level(expression[1]), self.level(expression[2]))
        if operator is kconfiglib.OR:
            return max(self.level(expression[1]), self.level(expression[2]))
        if operator is kconfiglib.NOT:
            return 2 - self.level(expression[1])
        return 2 * self._relation(*expression)

    def shown(self, item: Expression) -> int:
        """How far a symbol's or choice's prompt lets it be set; what is no tristate is shown whole or not at all."""
        level = max((self.level(node.prompt[1]) for node in item.nodes if node.prompt), default=0)
        is_tristate = item.orig_type is kconfiglib.TRISTATE and self.modules
        return level if is_tristate else 2 * bool(level)

    def _item(self, item: Expression) -> int:
        if isinstance(item, kconfiglib.Choice):
            chosen = max((self.level(symbol) for symbol in item.syms), default=0)
            return chosen or self.shown(item)
        if item.is_constant:
            return _LEVEL.get(item.name, 0)
        return _LEVEL.get(self.values.get(item.name, "n"), 0)

    def _relation(self, operator: Expression, left: Expression, right: Expression) -> bool:
        a, b = self.value(left), self.value(right)
        try:
            order = self._number(left) - self._number(right)
        except ValueError:
            order = (a > b) - (a < b)
        return {
            kconfiglib.EQUAL: order == 0,
            kconfiglib.UNEQUAL: order != 0,
            kconfiglib.LESS: order < 0,
            kconfiglib.LESS_EQUAL: order <= 0,
            kconfiglib.GREATER: order > 0,
        }.get(operator, order >= 0)

    def _number(self, symbol: Symbol) -> int:
        value = self.value(symbol)
        return _LEVEL[value] if value in _LEVEL else int(value, 16 if symbol.orig_type is kconfiglib.HEX else 0)


def render(expression: Expression) -> str:
    """An expression as in a Kconfig file; a choice by its prompt."""
    return str(kconfiglib.expr_str(expression, _name))


def _name(item: Expression) -> str:
    if isinstance(item, kconfiglib.Choice):
        prompt = next((node.prompt[0] for node in item.nodes if node.prompt), item.name or "")
        return f'<choice "{prompt}">'
    return str(kconfiglib.standard_sc_expr_str(item))


def terms_of(expression: Expression, kconfig: KernelKconfig) -> list[Expression]:
    """The operands of the top-level `&&`, each once, constants left out; a choice stands for what it depends on."""
    terms: list[Expression] = []
    for term in kconfiglib.split_expr(expression, kconfiglib.AND):
        if isinstance(term, kconfiglib.Choice):
            inner = [t for node in term.nodes if node.prompt for t in terms_of(node.prompt[1], kconfig)]
        else:
            inner = [term]
        terms += [t for t in inner if t is not kconfig.y and t not in terms]
    return terms


def names_in(expression: Expression) -> list[Expression]:
    """The symbols of an expression by name; no choices, no constants (a bare number is one too)."""
    items = kconfiglib.expr_items(expression)
    symbols = [i for i in items if isinstance(i, kconfiglib.Symbol) and not i.is_constant and not i.name.isdigit()]
    return sorted(symbols, key=lambda symbol: str(symbol.name))


def place_of(node: Node) -> str:
    """`file:line` of a menu node, from the tree's root."""
    return f"{node.filename}:{node.linenr}"


def places_of(item: Expression) -> tuple[str, ...]:
    """Where a symbol is defined."""
    return tuple(dict.fromkeys(place_of(node) for node in item.nodes))
