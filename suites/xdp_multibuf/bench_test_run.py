"""What each helper costs on a frame of each size: one call, in the shortest program that makes it.

The loop of bpf_test_run() (net/bpf/test_run.c) is in every figure, alike; `nothing` is that loop alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from bpf.libbpf import Object, find_object
from meter import Meter
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import Limits, Machine, frame_of

XDP_DROP = 1
SIZES = ["64", "512", "1024", "1500", "linear+1", "9000", "linear+14page"]  # helpers take offsets below 65,536
CHUNK = 64  # bytes that load and store move, as in bench.bpf.c


class Programs:
    """The programs of bench.bpf.c."""

    def __init__(self, loaded: Object) -> None:
        self._loaded = loaded

    def run(self, meter: Meter, name: str, size: int, *, offset: int = 0, by: int = 0) -> None:
        """Measure one of them on a frame of `size` bytes."""
        self._loaded.map("orders").update(0, struct.pack("=Ii", offset, by) + bytes(CHUNK))
        meter.test_run(self._loaded.program(name), frame_of(size), action=XDP_DROP)


@pytest.fixture(scope="module")
def programs(machine: Machine) -> Iterator[Programs]:
    """`machine` skips where the kernel has no programs with frags support."""
    with Object(find_object("xdp_multibuf", "bench")) as loaded:
        yield Programs(loaded)


@cases("size", SIZES)
def bench_nothing(meter: Meter, programs: Programs, limits: Limits, size: str):
    """A program that returns."""
    programs.run(meter, "nothing", limits.size(size))


@cases("size", [f"linear+{pages}page" for pages in range(1, 17)] + ["largest"])
def bench_get_buff_len_of_fragments(meter: Meter, programs: Programs, limits: Limits, size: str):
    """bpf_xdp_get_buff_len with every count of fragments, which the loop of bpf_test_run() may look at too."""
    programs.run(meter, "length", limits.size(size))


@pytest.mark.quick
@cases("size", SIZES)
def bench_get_buff_len(meter: Meter, programs: Programs, limits: Limits, size: str):
    """bpf_xdp_get_buff_len, which programs with frags support use for their frame's length."""
    programs.run(meter, "length", limits.size(size))


@cases("size", SIZES)
def bench_load_bytes_at_the_start(meter: Meter, programs: Programs, limits: Limits, size: str):
    """bpf_xdp_load_bytes of 64 bytes in the linear part."""
    programs.run(meter, "load", limits.size(size))


@cases("size", SIZES)
def bench_load_bytes_at_the_end(meter: Meter, programs: Programs, limits: Limits, size: str):
    """bpf_xdp_load_bytes of 64 bytes in the last fragment, which bpf_xdp_pointer walks to."""
    programs.run(meter, "load", limits.size(size), offset=limits.size(size) - CHUNK)


@cases("size", ["linear+page", "9000"])
def bench_load_bytes_across(meter: Meter, programs: Programs, limits: Limits, size: str):
    """bpf_xdp_load_bytes of 64 bytes, half of them in a fragment (bpf_xdp_copy_buf)."""
    programs.run(meter, "load", limits.size(size), offset=limits.linear - CHUNK // 2)


@cases("size", SIZES)
def bench_store_bytes_at_the_end(meter: Meter, programs: Programs, limits: Limits, size: str):
    """bpf_xdp_store_bytes of 64 bytes in the last fragment."""
    programs.run(meter, "store", limits.size(size), offset=limits.size(size) - CHUNK)


@pytest.mark.quick
@cases("size", ["64", "1500", "linear+100", "9000", "largest"])
def bench_adjust_tail_and_back(meter: Meter, programs: Programs, limits: Limits, size: str):
    """bpf_xdp_adjust_tail: eight bytes off, within a fragment, and on again."""
    programs.run(meter, "tail", limits.size(size), by=8)


@cases("size", ["64", "1500", "9000"])
def bench_adjust_head_and_back(meter: Meter, programs: Programs, limits: Limits, size: str):
    """bpf_xdp_adjust_head: 32 bytes more, and less again."""
    programs.run(meter, "head", limits.size(size), by=32)


@cases("size", ["64", "1500", "9000"])
def bench_adjust_meta_and_back(meter: Meter, programs: Programs, limits: Limits, size: str):
    """bpf_xdp_adjust_meta: eight bytes of metadata, and none again."""
    programs.run(meter, "meta", limits.size(size), by=8)


@cases("by", ["2", "64", "128", "200"])
def bench_adjust_head_by(meter: Meter, programs: Programs, by: str):
    """bpf_xdp_adjust_head: so many bytes more, and less again: whether it costs by the byte."""
    programs.run(meter, "head", 64, by=int(by))


@cases("by", ["4", "16", "32"])
def bench_adjust_meta_by(meter: Meter, programs: Programs, by: str):
    """bpf_xdp_adjust_meta: so many bytes of metadata, and none again."""
    programs.run(meter, "meta", 64, by=int(by))
