"""Parametrised cases whose ids read well and never change: `test_shrink[frame=9000,by=4096]`."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

__all__ = ["cases"]


def cases(names: str, values: Iterable[object]) -> pytest.MarkDecorator:
    """As pytest.mark.parametrize, with ids of the form name=value,name=value."""
    split = [name.strip() for name in names.split(",")]
    params = []
    for value in values:
        row = tuple(value) if isinstance(value, tuple) else (value,)
        label = ",".join(f"{name}={_label(cell)}" for name, cell in zip(split, row, strict=True))
        params.append(pytest.param(*row, id=label))
    return pytest.mark.parametrize(names, params)


def _label(cell: object) -> str:
    return str(getattr(cell, "__name__", cell))
