"""Say why a setting is not in the kernel's .config."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

import kconfiglib  # type: ignore[import-untyped]

from harness.kconfig.grammar import Expression, Node, Symbol
from harness.kconfig.held import Held, names_in, place_of, places_of, render, terms_of
from harness.kconfig.model import Loss, Reason, Source, Term

__all__ = ["loss_of", "selectors", "term_of"]

_LETTER = ("n", "m", "y")
_SHOWN = 5


def loss_of(held: Held, name: str, wanted: str) -> Loss:
    """Why `name` does not have the value `wanted`."""
    symbol = held.kconfig.syms.get(name)
    if symbol is None or not symbol.nodes:
        return _no_such_symbol(held, name, wanted)
    rules = (_transitional, _wrong_type, _clash, _forced, _no_prompt, _unmet, _choice_lost, _out_of_range)
    for rule in rules:
        if found := rule(held, symbol, wanted):
            return found
    return _loss(held, symbol, wanted, Reason.UNKNOWN, "the kernel's conf chose otherwise, and nothing here says why")


def _loss(
    held: Held,
    symbol: Symbol,
    wanted: str,
    reason: Reason,
    text: str,
    terms: tuple[Term, ...] = (),
    others: tuple[str, ...] = (),
) -> Loss:
    actual = held.values.get(symbol.name, "n")
    return Loss(symbol.name, wanted, actual, reason, text, places_of(symbol), terms, others)


def _no_such_symbol(held: Held, name: str, wanted: str) -> Loss:
    known = [symbol.name for symbol in held.kconfig.unique_defined_syms]
    close = tuple(get_close_matches(name, known, n=3, cutoff=0.8)) or _containing(name, known)
    version = os.environ.get("KERNELVERSION", "")
    elsewhere = _other_architectures(Path(held.kconfig.srctree or "."), name)
    text = f"no such symbol in this kernel{f' ({version})' if version else ''}"
    if elsewhere:
        text += f"; it is for another architecture ({elsewhere[0]})"
    elif close:
        text += f"; similar names: {', '.join(close)}"
    return Loss(name, wanted, "n", Reason.NO_SUCH_SYMBOL, text, places=elsewhere, others=close)


def _containing(name: str, known: list[str]) -> tuple[str, ...]:
    """Names with the same words in another order or with one more: XDP_SOCKET_DIAG, BPF_JIT_ALWAYS."""
    words = set(name.split("_"))
    return tuple(sorted((other for other in known if words < set(other.split("_"))), key=len)[:3])


def _other_architectures(tree: Path, name: str) -> tuple[str, ...]:
    entry = re.compile(rf"(?:menu)?config\s+{re.escape(name)}\s*$")
    for path in sorted((tree / "arch").rglob("Kconfig*")) if (tree / "arch").is_dir() else []:
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1):
            if entry.match(line):
                return (f"{path.relative_to(tree)}:{number}",)
    return ()


def _transitional(held: Held, symbol: Symbol, wanted: str) -> Loss | None:
    if symbol.name not in held.kconfig.transitional:
        return None
    users = sorted(s.name for s in held.kconfig.unique_defined_syms if _default_of(s, symbol))
    text = f"an old name, read but never written; ask for {' or '.join(users) or 'its successor'}"
    return _loss(held, symbol, wanted, Reason.NO_SUCH_SYMBOL, text, others=tuple(users))


def _default_of(symbol: Symbol, old: Symbol) -> bool:
    return any(old in kconfiglib.expr_items(value) for value, _ in symbol.defaults)


def _wrong_type(held: Held, symbol: Symbol, wanted: str) -> Loss | None:
    kind = kconfiglib.TYPE_TO_STR[symbol.orig_type]
    form = {
        "bool": r"[nmy]",
        "tristate": r"[nmy]",
        "int": r"-?\d+|n",
        "hex": r"(0[xX])?[0-9a-fA-F]+|n",
        "string": r'".*"|n',
    }.get(kind, ".*")
    if re.fullmatch(form, wanted, re.DOTALL):
        return None
    example = {"int": "a number", "hex": "0x and digits", "string": "text in quotes"}.get(kind, "y or n")
    return _loss(held, symbol, wanted, Reason.WRONG_TYPE, f"it is of type {kind}: {example}, not {wanted}")


def _clash(held: Held, symbol: Symbol, wanted: str) -> Loss | None:
    if wanted != "m":
        return None
    if symbol.orig_type is kconfiglib.BOOL:
        return _loss(held, symbol, wanted, Reason.TRISTATE_CLASH, "it is a bool and cannot be m; ask for y")
    if not held.modules:
        modules = held.kconfig.modules
        where = places_of(modules)
        text = f"m needs CONFIG_{modules.name}=y{f' ({where[0]})' if where else ''}; or ask for y"
        return _loss(held, symbol, wanted, Reason.TRISTATE_CLASH, text)
    return None


def _forced(held: Held, symbol: Symbol, wanted: str) -> Loss | None:
    """Asked to be off, or a module, and higher than that."""
    if wanted not in ("n", "m") or held.level(symbol) <= _LETTER.index(wanted):
        return None
    active = [source for source in selectors(held, symbol) if source.active]
    names = tuple(source.symbol for source in active)
    if active:
        text = f"selected by {_listed([f'{s.symbol} ({s.place})' for s in active])}; turn that off, or ask for y"
        return _loss(held, symbol, wanted, Reason.FORCED, text, others=names)
    if symbol.choice:
        text = "it is what its choice falls back to; ask for another member with y"
        others = tuple(s.name for s in symbol.choice.syms if s is not symbol)
        return _loss(held, symbol, wanted, Reason.CHOICE_LOST, text, others=others)
    if not any(node.prompt for node in symbol.nodes):
        return _loss(held, symbol, wanted, Reason.NO_PROMPT, "it has no prompt, and its default turns it on")
    return _hidden(held, symbol, wanted)


def _no_prompt(held: Held, symbol: Symbol, wanted: str) -> Loss | None:
    if any(node.prompt for node in symbol.nodes):
        return None
    sources = selectors(held, symbol)
    if sources:
        text = f"no prompt: only {_listed([f'{s.symbol} ({s.place})' for s in sources])} can select it"
    elif symbol.defaults:
        text = f"no prompt: its value follows from {_listed(_defaults(symbol))}"
    else:
        text = "no prompt, no default, and nothing selects it"
    return _loss(held, symbol, wanted, Reason.NO_PROMPT, text, others=tuple(s.symbol for s in sources))


def _defaults(symbol: Symbol) -> list[str]:
    return [f"default {render(value)} if {render(condition)}" for value, condition in symbol.defaults]


def _unmet(held: Held, symbol: Symbol, wanted: str) -> Loss | None:
    """The prompt is not shown, or only as far as m."""
    needed = 2 if wanted == "y" and symbol.orig_type is kconfiglib.TRISTATE and held.modules else 1
    if held.shown(symbol) >= needed:
        return None
    terms = _missing(held, symbol, needed, lambda node: node.dep)
    if not terms:
        return _hidden(held, symbol, wanted)
    text = "depends on " + _listed([_described(term) for term in terms], " and ")
    if all(term.value == "m" for term in terms):
        text = f"it can only be m, for it {text}; ask for m, or make that y"
        return _loss(held, symbol, wanted, Reason.TRISTATE_CLASH, text, terms=terms)
    return _loss(held, symbol, wanted, Reason.UNMET_DEPENDENCY, text, terms=terms)


def _hidden(held: Held, symbol: Symbol, wanted: str) -> Loss | None:
    """What it depends on holds, but its prompt has a condition of its own (`if EXPERT`, `visible if`)."""
    terms = _missing(held, symbol, 1, lambda node: node.prompt[1])
    if not terms:
        return None
    text = "its prompt is only shown if " + _listed([_described(term) for term in terms], " and ")
    return _loss(held, symbol, wanted, Reason.HIDDEN_PROMPT, text, terms=terms)


def _missing(held: Held, symbol: Symbol, needed: int, condition: Callable[[Node], Expression]) -> tuple[Term, ...]:
    """The terms that do not hold at the definition that lacks the fewest."""
    lacking = [
        [term for term in terms_of(condition(node), held.kconfig) if held.level(term) < needed]
        for node in symbol.nodes
        if node.prompt
    ]
    return tuple(term_of(held, term) for term in min(lacking, key=len, default=[]))


def _choice_lost(held: Held, symbol: Symbol, wanted: str) -> Loss | None:
    if not symbol.choice or wanted != "y":
        return None
    winners = tuple(s.name for s in symbol.choice.syms if held.values.get(s.name) == "y")
    if not winners:
        return None
    where = place_of(symbol.choice.nodes[0])
    text = f"{winners[0]} is chosen instead ({render(symbol.choice)}, {where}): only one of them can be"
    return _loss(held, symbol, wanted, Reason.CHOICE_LOST, text, others=winners)


def _out_of_range(held: Held, symbol: Symbol, wanted: str) -> Loss | None:
    for low, high, condition in symbol.ranges:
        if held.level(condition):
            least, most = held.value(low), held.value(high)
            text = f"it must be from {least} to {most}"
            return _loss(held, symbol, wanted, Reason.OUT_OF_RANGE, text)
    return None


def selectors(held: Held, symbol: Symbol, expression: Expression | None = None) -> tuple[Source, ...]:
    """What can select a symbol (or imply it, given `weak_rev_dep`), those that do now first."""
    terms = kconfiglib.split_expr(symbol.rev_dep if expression is None else expression, kconfiglib.OR)
    sources = [_selector(held, symbol, term) for term in terms if term is not held.kconfig.n]
    return tuple(sorted(dict.fromkeys(sources), key=lambda source: not source.active))


def _selector(held: Held, target: Symbol, term: Expression) -> Source:
    first, *conditions = kconfiglib.split_expr(term, kconfiglib.AND)
    places = [
        place_of(node)
        for node in getattr(first, "nodes", ())
        if any(other is target for other, _ in (*node.selects, *node.implies))
    ]
    wanted = [c for c in conditions if c is not held.kconfig.y]
    return Source(
        render(first), " && ".join(render(c) for c in wanted), held.level(term) > 0, places[0] if places else ""
    )


def term_of(held: Held, term: Expression) -> Term:
    """A dependency's term with the values and places of its symbols."""
    symbols = names_in(term)
    places = [f"{s.name} at {places_of(s)[0]}" for s in symbols if s.nodes and held.level(s) < 2]
    unknown = [f"{s.name} is defined nowhere" for s in symbols if not s.nodes]
    shown = tuple((str(s.name), held.value(s) if s.nodes else "n") for s in symbols)
    return Term(render(term), _LETTER[held.level(term)], shown, tuple(places + unknown))


def _described(term: Term) -> str:
    where = f", {'; '.join(term.places[:_SHOWN])}" if term.places else ""
    if len(term.symbols) == 1 and term.symbols[0][0] == term.text:
        return f"{term.text} (={term.value}{where.replace(f'{term.text} at', 'at')})"
    values = ", ".join(f"{name}={value}" for name, value in term.symbols)
    return f"{term.text} ({values}{where})"


def _listed(words: list[str], last: str = ", ") -> str:
    rest = len(words) - _SHOWN
    return last.join(words[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
