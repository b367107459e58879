"""Find the fewest settings that make a symbol take a value.

An alternative is a set of settings; what must hold together is joined, what can hold instead is listed. Searching goes
from the wanted symbol to its prompt's condition, to what selects it or to its defaults, and so on through the
dependencies that do not hold yet. The kernel's own conf has the last word on each alternative found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import kconfiglib  # type: ignore[import-untyped]

from harness.kconfig.grammar import Expression, Symbol
from harness.kconfig.held import Held

__all__ = ["Alternative", "Search"]

Alternative = frozenset[tuple[str, str]]

_NOTHING: list[Alternative] = [frozenset()]
_KEPT = 24
_DEEPEST = 12
_MOST_VISITS = 20_000
_LETTER = ("n", "m", "y")


class Search:
    """Searches under one .config. fixed: settings that are asked for and must not be changed."""

    def __init__(self, held: Held, fixed: Mapping[str, str]) -> None:
        self.held = held
        self.fixed = fixed
        self.busy: set[Symbol] = set()
        self.known: dict[tuple[str, int], list[Alternative]] = {}
        self.visits = 0

    def to_set(self, symbol: Symbol, wanted: str) -> list[Alternative]:
        """Alternatives that let `symbol` take the value `wanted`, fewest settings first; none where it cannot."""
        if wanted == "n":
            found = self._at_most(symbol, 0)
        elif wanted in ("m", "y"):
            found = self._symbol(symbol, _LETTER.index(wanted), depth=0)
        else:
            found = self._shown(symbol, 1, depth=0)
        return _best(option - {(symbol.name, wanted)} for option in found)

    def _at_least(self, expression: Expression, level: int, depth: int) -> list[Alternative]:
        """Alternatives under which an expression is at least m (1) or y (2)."""
        if self.held.level(expression) >= level:
            return _NOTHING
        if depth > _DEEPEST:
            return []
        if not isinstance(expression, tuple):
            return self._item(expression, level, depth)
        operator, *operands = expression
        if operator is kconfiglib.AND:
            first = self._at_least(operands[0], level, depth)
            return joined(first, self._at_least(operands[1], level, depth)) if first else []
        if operator is kconfiglib.OR:
            return _best(option for operand in operands for option in self._at_least(operand, level, depth))
        if operator is kconfiglib.NOT:
            return self._at_most(operands[0], 2 - level, depth)
        return self._relation(operator, operands[0], operands[1], depth)

    def _at_most(self, expression: Expression, level: int, depth: int = 0) -> list[Alternative]:
        """Alternatives under which an expression is at most n (0) or m (1)."""
        if self.held.level(expression) <= level:
            return _NOTHING
        if depth > _DEEPEST:
            return []
        if not isinstance(expression, tuple):
            return self._lowered(expression, level, depth)
        operator, *operands = expression
        if operator is kconfiglib.OR:
            first = self._at_most(operands[0], level, depth)
            return joined(first, self._at_most(operands[1], level, depth)) if first else []
        if operator is kconfiglib.AND:
            return _best(option for operand in operands for option in self._at_most(operand, level, depth))
        if operator is kconfiglib.NOT:
            return self._at_least(operands[0], 2 - level, depth)
        opposite = {kconfiglib.EQUAL: kconfiglib.UNEQUAL, kconfiglib.UNEQUAL: kconfiglib.EQUAL}.get(operator)
        return self._relation(opposite, operands[0], operands[1], depth) if opposite else []

    def _relation(self, operator: Expression, left: Expression, right: Expression, depth: int) -> list[Alternative]:
        """Alternatives for `SYMBOL = value` and `SYMBOL != n`; other comparisons are left to people."""
        symbol, constant = (left, right) if right.is_constant or not right.nodes else (right, left)
        if operator is kconfiglib.EQUAL and constant.name in ("y", "m"):
            return self._symbol(symbol, _LETTER.index(constant.name), depth)
        if operator is kconfiglib.EQUAL and constant.name == "n":
            return self._at_most(symbol, 0, depth)
        if operator is kconfiglib.UNEQUAL and constant.name == "n":
            return self._at_least(symbol, 1, depth)
        if operator is kconfiglib.UNEQUAL and constant.name == "y":
            return self._at_most(symbol, 1, depth)
        return []

    def _item(self, item: Expression, level: int, depth: int) -> list[Alternative]:
        if isinstance(item, kconfiglib.Choice):
            return self._shown(item, level, depth)
        found = self._symbol(item, level, depth)
        return _best([*found, *self._symbol(item, 2, depth)]) if level == 1 else found

    def _symbol(self, symbol: Symbol, level: int, depth: int) -> list[Alternative]:
        """Alternatives that raise a symbol, remembered; a symbol that depends on itself has none on that way."""
        if symbol.is_constant or not symbol.nodes or symbol in self.busy:
            return []
        key = (symbol.name, level)
        if key not in self.known:
            self.visits += 1
            if self.visits > _MOST_VISITS:
                return []
            self.busy.add(symbol)
            found = self._raised(symbol, level, depth + 1)
            self.busy.discard(symbol)
            if self.busy and not found:
                return found
            self.known[key] = found
        return self.known[key]

    def _raised(self, symbol: Symbol, level: int, depth: int) -> list[Alternative]:
        letter = _LETTER[level] if self._is_tristate(symbol) else "y"
        if any(node.prompt for node in symbol.nodes):
            if self.fixed.get(symbol.name, letter) != letter or self._loses_choice(symbol):
                return []
            return joined([frozenset({(symbol.name, letter)})], self._shown(symbol, level, depth))
        selected = [self._selected(term, symbol, level, depth) for term in _operands(symbol.rev_dep)]
        default = [self._at_least(_both(value, when), level, depth) for value, when in symbol.defaults]
        return _best(option for options in (*selected, *default) for option in options)

    def _selected(self, term: Expression, symbol: Symbol, level: int, depth: int) -> list[Alternative]:
        """A select that ignores what the selected symbol depends on is a mistake: both must hold."""
        return joined(self._at_least(term, level, depth), self._at_least(symbol.direct_dep, level, depth))

    def _shown(self, item: Expression, level: int, depth: int) -> list[Alternative]:
        needed = level if self._is_tristate(item) else 1
        conditions = [node.prompt[1] for node in item.nodes if node.prompt]
        return _best(option for when in conditions for option in self._at_least(when, needed, depth))

    def _lowered(self, item: Expression, level: int, depth: int) -> list[Alternative]:
        if isinstance(item, kconfiglib.Choice) or item.is_constant:
            return []
        letter = _LETTER[level] if self._is_tristate(item) else "n"
        if item.choice:
            rivals = [symbol for symbol in item.choice.syms if symbol is not item]
            return _best(option for rival in rivals for option in self._symbol(rival, 2, depth))
        if item in self.busy or self.fixed.get(item.name, letter) != letter:
            return []
        self.busy.add(item)
        freed = self._at_most(item.rev_dep, level, depth + 1)
        if any(node.prompt for node in item.nodes):
            freed = joined(freed, [frozenset({(item.name, letter)})])
        else:
            for value, when in item.defaults:
                freed = joined(freed, self._at_most(_both(value, when), level, depth + 1))
        self.busy.discard(item)
        return freed

    def _is_tristate(self, item: Expression) -> bool:
        return item.orig_type is kconfiglib.TRISTATE and self.held.modules

    def _loses_choice(self, symbol: Symbol) -> bool:
        rivals = symbol.choice.syms if symbol.choice else ()
        return any(rival is not symbol and self.fixed.get(rival.name) == "y" for rival in rivals)


def joined(left: Iterable[Alternative], right: Iterable[Alternative]) -> list[Alternative]:
    """Alternatives for both: every pair that does not ask for two values of one symbol."""
    right = list(right)
    pairs = (a | b for a in left for b in right)
    return _best(option for option in pairs if len({name for name, _ in option}) == len(option))


def _best(options: Iterable[Alternative]) -> list[Alternative]:
    """The shortest few, in a fixed order, without those that contain another."""
    kept: list[Alternative] = []
    for option in sorted(set(options), key=lambda option: (len(option), sorted(option))):
        if not any(other <= option for other in kept):
            kept.append(option)
        if len(kept) == _KEPT:
            break
    return kept


def _operands(expression: Expression) -> list[Expression]:
    return list(kconfiglib.split_expr(expression, kconfiglib.OR))


def _both(value: Expression, condition: Expression) -> Expression:
    return (kconfiglib.AND, value, condition)
