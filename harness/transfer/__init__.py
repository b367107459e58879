"""Move finished runs between machines: `pack` writes an archive of them, `unpack` takes one in."""

from harness.transfer.model import Arrived, Limits
from harness.transfer.pack import pack
from harness.transfer.unpack import unpack

__all__ = ["Arrived", "Limits", "pack", "unpack"]
