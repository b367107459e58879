"""Make cases for the model: frames, splits and operations that crowd around the boundaries.

Every choice is asked of a Source, so that one description serves the fixed cases of every run (Seeded, no import that
costs an emulated guest anything) and Hypothesis, which drives the fuzzing and shrinks what it finds. The model is run
along, so that an operation aims at the boundaries of the frame as the operations before it left it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from xdp_multibuf.case import Case
from xdp_multibuf.machine import (
    LENGTH,
    LINEAR,
    METADATA,
    PEEK_META,
    Limits,
    Op,
    adjust_head,
    adjust_meta,
    adjust_tail,
    frame_of,
    ink,
    load,
    peek,
    poke,
    poke_meta,
    store,
)
from xdp_multibuf.model import Behaviour, Refused, XdpBuff, execute

__all__ = ["Seeded", "Source", "T", "generate"]

T = TypeVar("T")
MOST_OPERATIONS = 12
_METADATA = (*(0,) * 9, 4, 8, 12, 16, 32, 32, 36, 64, 216, 220, 6)
MOST_COPIED = 100_000  # bytes of all loads and stores of a case: machine.bpf.c's buffer holds 128 KiB


class Source(Protocol):
    """Where choices come from. The simplest is the lowest, the first: Hypothesis shrinks towards it."""

    def integer(self, low: int, high: int) -> int:
        """One of low, ..., high."""

    def choice(self, values: Sequence[T]) -> T:
        """One of the values."""


class Seeded:
    """The same choices for the same seed everywhere: random() is what Python promises never to change."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def integer(self, low: int, high: int) -> int:
        return low + int(self._random.random() * (high - low + 1))

    def choice(self, values: Sequence[T]) -> T:
        return values[self.integer(0, len(values) - 1)]


def generate(source: Source, limits: Limits) -> Case:
    """A case. Its choices follow from the source and the limits alone, never from what a kernel can do."""
    size = _size(source, limits)
    meta = source.choice(_METADATA)
    split = _split(source, limits, size, meta) if source.integer(0, 2) else None
    behaviour = Behaviour()
    try:
        buff = XdpBuff(frame_of(size), limits, behaviour, split, meta)
    except Refused:
        return Case(size, split, meta, (LENGTH,))
    operations, copied = [], 0
    for _ in range(source.integer(1, MOST_OPERATIONS)):
        op = source.choice(_MAKERS)(source, buff)
        copied += op.length if op.data or op.kind == load(0, 1).kind else 0
        if copied > MOST_COPIED:
            break
        operations.append(op)
        execute(buff, op)
    return Case(size, split, meta, (*operations, LENGTH, LINEAR, METADATA))


def _size(source: Source, limits: Limits) -> int:
    """Mostly small frames and such of a few fragments: a large one costs an emulated guest a millisecond."""
    whole = source.choice((0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 5, 16, 17))
    near = limits.linear + whole * limits.page
    sizes = (source.integer(60, 1514), _near(source, near), near + source.integer(-limits.page, limits.page))
    return max(13, source.choice((*sizes, sizes[1])))


def _split(source: Source, limits: Limits, size: int, meta: int) -> int:
    """Somewhere from nothing of the frame to all of it, and seldom a byte beyond."""
    marks = (meta, meta + 14, meta + 64, meta + limits.linear, meta + 1500, size)
    return min(max(meta, _near(source, source.choice(marks))), size + (source.integer(0, 15) == 15))


def _near(source: Source, mark: int) -> int:
    """The mark, or a byte or few off it."""
    return mark + source.choice((0, 0, -1, 1, 0, -2, 7, -14, 4))


def _copied(source: Source, buff: XdpBuff) -> tuple[int, int]:
    """Offset and length of a copy that starts or ends near a boundary, or spans some."""
    starts = buff.starts
    offset = _near(source, source.choice((*starts, source.integer(0, buff.length), 0xFFFF)))
    end = source.choice((offset + source.integer(1, 64), _near(source, source.choice(starts))))
    return offset, min(max(1, end - offset), 0x10001)


def _load(source: Source, buff: XdpBuff) -> Op:
    return load(*_copied(source, buff))


def _store(source: Source, buff: XdpBuff) -> Op:
    offset, length = _copied(source, buff)
    return store(offset, ink(length))


def _tail(source: Source, buff: XdpBuff) -> Op:
    """To a boundary that is in the frame, or into the tailroom, all of it and a byte more."""
    left = source.choice((*buff.starts, source.integer(0, buff.length)))
    grown = source.choice((buff.tailroom, source.integer(0, max(0, buff.tailroom))))
    return adjust_tail(_near(source, source.choice((left - buff.length, left - buff.length, grown))))


def _head(source: Source, buff: XdpBuff) -> Op:
    """Into the headroom, all of it and a byte more, and down to an Ethernet header in the linear part."""
    marks = (0, 14, -14, source.integer(-64, 64), -buff.headroom, buff.linear - 14)
    return adjust_head(_near(source, source.choice(marks)))


def _meta(source: Source, buff: XdpBuff) -> Op:
    words = 4 * source.integer(-16, 4)
    marks = (words, words, words, buff.metadata, buff.metadata - 32, buff.metadata - 252, -buff.headroom)
    return adjust_meta(source.choice((0, 0, 0, 1)) * _near(source, 0) + source.choice(marks))


def _peek(source: Source, buff: XdpBuff) -> Op:
    return peek(max(0, _near(source, source.choice((0, buff.linear, source.integer(0, max(0, buff.linear)))))))


def _poke(source: Source, buff: XdpBuff) -> Op:
    return poke(_peek(source, buff).offset, source.integer(0, 255))


def _meta_bytes(source: Source, buff: XdpBuff) -> Op:
    return source.choice((PEEK_META, poke_meta(0xAB)))


def _asked(source: Source, buff: XdpBuff) -> Op:
    return source.choice((LENGTH, LINEAR, METADATA))


_MAKERS: tuple[Callable[[Source, XdpBuff], Op], ...] = (
    *(_tail,) * 5,
    *(_load,) * 3,
    *(_store,) * 3,
    *(_head,) * 2,
    *(_meta,) * 2,
    _peek,
    _poke,
    _meta_bytes,
    _asked,
)
