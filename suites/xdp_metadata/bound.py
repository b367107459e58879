"""Programs bound to a device: load one, run it there, read what the device told it (bpf/rx_kfuncs.bpf.c)."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from bpf.libbpf import BPF_F_XDP_DEV_BOUND_ONLY, LoadError, Object, find_object, has_function
from net.link import wait_for

__all__ = ["KFUNCS", "Bound", "Told", "bound", "load_error", "need"]

_TOLD = struct.Struct("<IiQIIHHI")
# The programs by what they ask, and the kernel's function for it (include/net/xdp.h:XDP_METADATA_KFUNC_xxx).
KFUNCS = {
    "rx_timestamp": "bpf_xdp_metadata_rx_timestamp",
    "rx_hash": "bpf_xdp_metadata_rx_hash",
    "rx_vlan_tag": "bpf_xdp_metadata_rx_vlan_tag",
}


@dataclass(frozen=True)
class Told:
    """What the last run was told. error: 0 or a negative errno; values count where it is 0.

    vlan_protocol: the tag's EtherType. hash_type: enum xdp_rss_hash_type. length: of the frame.
    """

    runs: int
    error: int
    timestamp: int
    hash: int
    hash_type: int
    vlan_protocol: int
    vlan_tci: int
    length: int


class Bound:
    """A loaded program of rx_kfuncs.bpf.c."""

    def __init__(self, loaded: Object, program: str) -> None:
        self.program = loaded.program(program)
        self.fd = self.program.fd
        self._told = loaded.map("told").memory()

    def told(self, runs: int = 1) -> Told:
        """What it was told, once it ran so often. Fails the test where it does not."""
        wait_for(lambda: self._now().runs >= runs, f"{runs} runs of the bound program {self.program.name}")
        return self._now()

    def _now(self) -> Told:
        values = list(_TOLD.unpack_from(self._told))
        values[5] = struct.unpack("!H", struct.pack("<H", values[5]))[0]
        return Told(*values)


def need(program: str = "rx_timestamp") -> None:
    """Skip where the kernel has no such kfunc; those of the first are also the first with bound programs."""
    kfunc = KFUNCS.get(program.removesuffix("_frags"), KFUNCS["rx_timestamp"])
    if not has_function(kfunc):
        pytest.skip(f"the kernel has no kfunc {kfunc}")


@contextlib.contextmanager
def bound(program: str, ifindex: int, flags: int = BPF_F_XDP_DEV_BOUND_ONLY) -> Iterator[Bound]:
    """Load it bound to a device; ifindex 0 and flags 0: to none. Skips without its kfunc. Raises LoadError."""
    need(program)
    with Object(find_object("xdp_metadata", "rx_kfuncs"), only=program, ifindex=ifindex, flags=flags) as loaded:
        yield Bound(loaded, program)


def load_error(program: str, ifindex: int, flags: int = BPF_F_XDP_DEV_BOUND_ONLY) -> int:
    """The errno of loading it, 0 where it loads."""
    try:
        with bound(program, ifindex, flags):
            return 0
    except LoadError as error:
        return error.errno
