"""Read what a packet cost off stamps that a BPF program took at every 64th (bpf/include/ktrial_laps.h)."""

from __future__ import annotations

import struct
from itertools import pairwise

from bpf.libbpf import Object

__all__ = ["LAP", "PACKETS", "Laps"]

LAP = 64
BATCHES = 15  # as in meter.py
PACKETS = (BATCHES + 1) * LAP  # packets of one figure: a stamp at the beginning of each batch


class Laps:
    """The map `laps` of a loaded object."""

    def __init__(self, loaded: Object) -> None:
        self._memory = loaded.map("laps").memory()

    def forget(self) -> None:
        """Count from 0 again."""
        struct.pack_into("=2Q", self._memory, 0, 0, 0)

    @property
    def packets(self) -> int:
        """Packets that the program under measure saw."""
        return int(struct.unpack_from("=Q", self._memory, 0)[0])

    @property
    def drained(self) -> int:
        """Frames that came to their end in `drain`."""
        return int(struct.unpack_from("=Q", self._memory, 8)[0])

    def readings(self) -> list[float]:
        """Nanoseconds of the guest's clock a packet, for each batch of LAP packets."""
        count = (self.packets + LAP - 1) // LAP
        stamps = struct.unpack_from(f"={count}Q", self._memory, 16)
        return [(after - before) / LAP for before, after in pairwise(stamps)]
