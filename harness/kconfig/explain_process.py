"""A process that reads a kernel's Kconfig files with Kconfiglib and answers one question about them.

It runs confined, in a scratch folder: Kconfig files run programs (`$(shell,…)`), and Kconfiglib leaves `.tmp_*` where
it works. The question comes as JSON on standard input, the answer goes as JSON to standard output.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import kconfiglib  # type: ignore[import-untyped]

from harness.kconfig.dotconfig import holds, lines_of, values
from harness.kconfig.grammar import KernelKconfig, Symbol
from harness.kconfig.held import Held, place_of, places_of, render, terms_of
from harness.kconfig.model import Addition, Definition, Explanation, Loss, Member, Reason, Source
from harness.kconfig.reasons import loss_of, selectors, term_of
from harness.kconfig.search import Alternative, Search, joined
from harness.record import decode, encode

__all__ = ["Answer", "Question", "answer"]

_NOT_MENDED_BY_ADDING = (Reason.NO_SUCH_SYMBOL, Reason.WRONG_TYPE, Reason.OUT_OF_RANGE, Reason.CONFLICT)
_TRIED = 40


@dataclass(frozen=True)
class Question:
    """environment: variables for Kconfig. config: the .config that C's conf made. base: the text it started from, or
    "" for allnoconfig. settings: what was asked for. lost: those of them that did not take. optional: those of the
    lost that may stay so. symbol: to be explained.
    """

    environment: dict[str, str]
    config: str
    base: str
    settings: dict[str, str]
    lost: dict[str, str]
    optional: tuple[str, ...] = ()
    symbol: str = ""


@dataclass(frozen=True)
class Answer:
    """losses: one for each lost setting. mended: those that additions can make right.

    candidates: sets of additions that should do it, best first. failure: why nothing could be said.
    """

    losses: tuple[Loss, ...] = ()
    mended: tuple[str, ...] = ()
    candidates: tuple[tuple[Addition, ...], ...] = ()
    explanation: Explanation | None = None
    failure: str = ""


def answer(question: Question) -> Answer:
    """Parse the Kconfig files under $srctree and answer."""
    try:
        kconfig = KernelKconfig()
    except (kconfiglib.KconfigError, OSError, RecursionError) as error:
        return Answer(failure=f"Kconfiglib cannot read this kernel's Kconfig files: {str(error).strip()}")
    held = Held(kconfig, values(question.config))
    losses = tuple(loss_of(held, name, wanted) for name, wanted in question.lost.items())
    mended, alternatives = _alternatives(held, question, losses)
    candidates = tuple(_additions(kconfig, alternative) for alternative in alternatives)
    explanation = _explanation(held, question.symbol, losses) if question.symbol else None
    return Answer(losses, tuple(mended), candidates, explanation)


def _alternatives(held: Held, question: Question, losses: Sequence[Loss]) -> tuple[dict[str, str], list[Alternative]]:
    """The lost settings that additions can mend together, and sets of additions that should do it, best first."""
    search = Search(held, question.settings)
    trial = _Trial(held.kconfig, question) if losses else None
    together: list[Alternative] = []
    mended: dict[str, str] = {}
    for loss in losses:
        symbol = held.kconfig.syms.get(loss.symbol)
        if loss.symbol in question.optional or not _can_be_mended(held, loss):
            continue
        more = {**mended, loss.symbol: loss.wanted}
        both = joined(together or [frozenset()], search.to_set(symbol, loss.wanted))
        ranked = trial.ranked(both, more) if trial else []
        if ranked:
            together, mended = ranked, more
    return mended, together


def _can_be_mended(held: Held, loss: Loss) -> bool:
    """Whether more settings could help; else the line itself has to change."""
    symbol = held.kconfig.syms.get(loss.symbol)
    if symbol is None or loss.reason in _NOT_MENDED_BY_ADDING:
        return False
    return loss.wanted != "m" or symbol.orig_type is not kconfiglib.BOOL


class _Trial:
    """Kconfiglib's own idea of a configuration: quick, nearly always that of C's conf, which has the last word."""

    def __init__(self, kconfig: KernelKconfig, question: Question) -> None:
        self.kconfig = kconfig
        self.question = question
        self._load()
        kept = {name: value for name, value in question.settings.items() if name not in question.lost}
        self.kept = {name: value for name, value in kept.items() if self._holds(name, value)}

    def ranked(self, alternatives: Sequence[Alternative], wanted: Mapping[str, str]) -> list[Alternative]:
        """The alternatives that work, without what they do not need; for a single loss all of them where none does.

        Where Kconfiglib and conf differ (its DEBUG_INFO_BTF), the only alternative may seem not to work.
        """
        tried = list(islice(alternatives, _TRIED))
        works = [option for option in tried if self._works(option, wanted)]
        lean = dict.fromkeys(self._without_excess(option, wanted) for option in works)
        return sorted(lean, key=len) or (tried if len(self.question.lost) == 1 else [])

    def _load(self) -> None:
        if not self.question.base:
            for symbol in self.kconfig.unique_defined_syms:
                if symbol.orig_type in (kconfiglib.BOOL, kconfiglib.TRISTATE):
                    symbol.set_value(0)
        for text, replace in ((self.question.base, True), (lines_of(self.question.settings), False)):
            if text:
                with tempfile.NamedTemporaryFile("w", suffix=".config") as file:
                    file.write(text)
                    file.flush()
                    self.kconfig.load_config(file.name, replace)

    def _works(self, option: Alternative, wanted: Mapping[str, str]) -> bool:
        symbols = [(self.kconfig.syms[name], value) for name, value in sorted(option)]
        before = [(symbol, symbol.user_value) for symbol, _ in symbols]
        chosen = {symbol.choice: symbol.choice.user_selection for symbol, _ in symbols if symbol.choice}
        for symbol, value in symbols:
            symbol.set_value(value)
        good = all(self._holds(name, value) for name, value in (*wanted.items(), *self.kept.items()))
        for symbol, value in before:
            symbol.unset_value() if value is None else symbol.set_value(value)
        for choice, selection in chosen.items():
            choice.unset_value() if selection is None else selection.set_value(2)
        return good

    def _holds(self, name: str, wanted: str) -> bool:
        symbol = self.kconfig.syms.get(name)
        text = str(symbol.str_value) if symbol else "n"
        return holds(wanted, f'"{text}"' if symbol and symbol.orig_type is kconfiglib.STRING else text)

    def _without_excess(self, option: Alternative, wanted: Mapping[str, str]) -> Alternative:
        for setting in sorted(option):
            if self._works(option - {setting}, wanted):
                option -= {setting}
        return option


def _additions(kconfig: KernelKconfig, alternative: Alternative) -> tuple[Addition, ...]:
    return tuple(
        Addition(name, value, next(iter(places_of(kconfig.syms[name])), "")) for name, value in sorted(alternative)
    )


def _explanation(held: Held, name: str, losses: Sequence[Loss]) -> Explanation | None:
    symbol = held.kconfig.syms.get(name)
    if symbol is None or not symbol.nodes:
        return None
    return Explanation(
        symbol=name,
        type=kconfiglib.TYPE_TO_STR[symbol.orig_type],
        value=held.values.get(name, "n"),
        definitions=tuple(_definition(held, node) for node in symbol.nodes),
        depends=tuple(term_of(held, term) for term in terms_of(symbol.direct_dep, held.kconfig)),
        selected_by=selectors(held, symbol),
        implied_by=selectors(held, symbol, symbol.weak_rev_dep),
        defaults=_defaults(held, symbol),
        ranges=tuple(f"{held.value(low)} to {held.value(high)}" for low, high, _ in symbol.ranges),
        choice=_members(held, symbol),
        help=next((node.help for node in symbol.nodes if node.help), "") or "",
        loss=next((loss for loss in losses if loss.symbol == name), None),
    )


def _definition(held: Held, node: kconfiglib.MenuNode) -> Definition:
    if not node.prompt:
        return Definition(place_of(node), "", "", False)
    text, condition = node.prompt
    shown = "" if condition is held.kconfig.y else render(condition)
    return Definition(place_of(node), text, shown, held.level(condition) > 0)


def _defaults(held: Held, symbol: Symbol) -> tuple[Source, ...]:
    return tuple(
        Source(render(value), "" if when is held.kconfig.y else render(when), held.level(when) > 0)
        for value, when in symbol.defaults
    )


def _members(held: Held, symbol: Symbol) -> tuple[Member, ...]:
    return tuple(
        Member(
            member.name,
            next((node.prompt[0] for node in member.nodes if node.prompt), ""),
            held.values.get(member.name) == "y",
        )
        for member in (symbol.choice.syms if symbol.choice else ())
    )


def main() -> None:
    """Answer the question on standard input. What Kconfig files print themselves (`$(info,…)`) is dropped."""
    question = decode(sys.stdin.buffer.read(), Question)
    out = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.environ.update(question.environment)
    reply = encode(answer(question))
    with os.fdopen(out, "wb") as stdout:
        stdout.write(reply)


if __name__ == "__main__":
    main()
