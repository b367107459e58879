"""Parametrised cases that go by the name in their first column: `test_binding[kind=no-such-queue]`."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

__all__ = ["kinds"]


def kinds(names: str, rows: Iterable[tuple[object, ...]]) -> pytest.MarkDecorator:
    """As pytest.mark.parametrize; the first name's values are the ids, so that the others may be anything."""
    first = names.partition(",")[0].strip()
    return pytest.mark.parametrize(names, [pytest.param(*row, id=f"{first}={row[0]}") for row in rows])
