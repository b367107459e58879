"""The matrix: which devices and modes a test runs over, with ids that never change."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from drivers.rows import ROWS, Row
from net.xdp import Mode

__all__ = ["MODES", "on_devices", "over"]

MODES = (Mode.NATIVE, Mode.GENERIC)


def over(where: Callable[[Row], bool] = lambda _: True) -> pytest.MarkDecorator:
    """Parameters `device` and `mode`: `test_drop[device=virtio_net,mode=native]`."""
    rows = [row for row in ROWS if where(row)]
    params = [pytest.param(row, mode, id=f"device={row.name},mode={mode}") for row in rows for mode in MODES]
    return pytest.mark.parametrize(("device", "mode"), params, indirect=["device"])


def on_devices(where: Callable[[Row], bool] = lambda _: True) -> pytest.MarkDecorator:
    """Parameter `device`."""
    params = [pytest.param(row, id=f"device={row.name}") for row in ROWS if where(row)]
    return pytest.mark.parametrize("device", params, indirect=True)
