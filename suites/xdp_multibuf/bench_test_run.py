"""What each helper costs on a frame of each size: one call, in the shortest program that makes it.

The loop of bpf_test_run() (net/bpf/test_run.c) is in every figure, alike; `nothing` is that loop alone.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from statistics import median

import pytest
from bpf.libbpf import Object, Program, find_object
from marks import marks
from meter import BATCHES, BETWEEN_TWO, Meter
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import Limits, Machine, frame_of

XDP_DROP = 1
SIZES = ["64", "512", "1024", "1500", "linear+1", "9000", "linear+14page"]  # helpers take offsets below 65,536
CHUNK = 64  # bytes that load and store move, as in bench.bpf.c
_TOOK = 8 + CHUNK  # where `took` lies in struct order
_CALLS = 16  # of a batch


class Programs:
    """The programs of bench.bpf.c."""

    def __init__(self, loaded: Object) -> None:
        self._loaded = loaded

    def run(self, meter: Meter, name: str, size: int, *, offset: int = 0, by: int = 0) -> None:
        """Measure one of them on a frame of `size` bytes."""
        self._order(offset, by)
        meter.test_run(self._loaded.program(name), frame_of(size), action=XDP_DROP)

    def alone(self, meter: Meter, name: str, size: int, by: int) -> None:
        """Measure one call of a helper that changes its frame, by the clock before and after it.

        Each call has a frame of its own, so that nothing has to put it back.
        """
        program, memory = self._loaded.program(f"{name}_alone"), self._loaded.map("orders").memory()
        self._order(0, by)
        marks().packets_enter_at(program.entry())
        first, values = marks().next, []
        for batch in range(1 + BATCHES):  # the first pays for what only the first one does
            with marks().segment():
                took = [self._took(program, frame_of(size), memory) for _ in range(_CALLS)]
            if batch:
                values.append(median(took))
        profile = {"first": first + 1, "segments": BATCHES, "per": 1, **BETWEEN_TWO}
        meter.record(values, "insns/call", profile)

    def _took(self, program: Program, frame: bytes, memory: mmap.mmap) -> int:
        run = program.test_run(frame)
        assert (run.error, run.retval) == (0, XDP_DROP), f"{program.name}: {run.error_name}, returned {run.retval}"
        return int(struct.unpack_from("=Q", memory, _TOOK)[0])

    def _order(self, offset: int, by: int) -> None:
        self._loaded.map("orders").update(0, struct.pack("=Ii", offset, by) + bytes(CHUNK + 8))


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


@cases("size", ["64", "9000"])
def bench_store_bytes_at_the_start(meter: Meter, programs: Programs, limits: Limits, size: str):
    """bpf_xdp_store_bytes of 64 bytes in the linear part."""
    programs.run(meter, "store", limits.size(size))


@cases("size", ["linear+page", "9000"])
def bench_store_bytes_across(meter: Meter, programs: Programs, limits: Limits, size: str):
    """bpf_xdp_store_bytes of 64 bytes, half of them in a fragment (bpf_xdp_copy_buf)."""
    programs.run(meter, "store", limits.size(size), offset=limits.linear - CHUNK // 2)


@cases("size", ["64", "1500", "linear+100", "9000", "largest"])
def bench_tail_shrinks(meter: Meter, programs: Programs, limits: Limits, size: str):
    """bpf_xdp_adjust_tail: eight bytes off, in the linear part or the last fragment."""
    programs.alone(meter, "tail", limits.size(size), -8)


@cases("size", ["linear+100", "linear+14page+100"])
def bench_tail_frees_a_fragment(meter: Meter, programs: Programs, limits: Limits, size: str):
    """bpf_xdp_adjust_tail: the whole last fragment off, whose page is released (bpf_xdp_frags_shrink_tail)."""
    programs.alone(meter, "tail", limits.size(size), -100)


@cases("size", ["64", "1500", "linear+100", "9000"])
def bench_tail_grows(meter: Meter, programs: Programs, limits: Limits, size: str):
    """bpf_xdp_adjust_tail: eight bytes more, which are cleared."""
    programs.alone(meter, "tail", limits.size(size), 8)


@cases("size", ["64", "9000"])
@cases("by", ["-32", "32"])
def bench_head_moves(meter: Meter, programs: Programs, limits: Limits, size: str, by: str):
    """bpf_xdp_adjust_head: 32 bytes more in front, or less."""
    programs.alone(meter, "head", limits.size(size), int(by))


@cases("size", ["64", "9000"])
def bench_meta_grows(meter: Meter, programs: Programs, limits: Limits, size: str):
    """bpf_xdp_adjust_meta: eight bytes of metadata where there were none."""
    programs.alone(meter, "meta", limits.size(size), -8)


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
