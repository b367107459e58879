"""What the verifier does with a suite's programs, as veristat tells it: instructions processed and states kept."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from bpf.binding import library, messages
from bpf.libbpf import find_object
from meter import Meter

__all__ = ["objects_of", "record_verified"]

_STATS = 4  # BPF_LOG_STATS (include/linux/bpf_verifier.h)
_LOG_SIZE = 1 << 16
# print_verification_stats() in kernel/bpf/verifier.c
_TOLD = re.compile(rb"processed (\d+) insns .* total_states (\d+) ")
_UNITS = ("insns verified", "states")


def objects_of(suite: str) -> pytest.MarkDecorator:
    """A parameter `source` for every object of a suite."""
    sources = sorted((Path(__file__).resolve().parent / suite / "bpf").glob("*.bpf.c"))
    names = [f"{suite}/{source.name.removesuffix('.bpf.c')}" for source in sources]
    return pytest.mark.parametrize("source", names, ids=lambda name: f"object={name.partition('/')[2]}")


def record_verified(meter: Meter, source: str, unit: str) -> None:
    """The sum over an object's programs, each loaded alone; those that this kernel refuses, or that need a target of
    their own, are left out, and the scope tells how many count: kernels that take different ones are not compared.
    """
    path = find_object(*source.split("/"))
    found = [counts for name in _programs(path) if (counts := _verified(path, name))]
    if not found:
        pytest.skip(f"this kernel loads no program of {source} by itself")
    total = sum(counts[_UNITS.index(unit)] for counts in found)
    meter.exact(total, unit, f"{len(found)} programs")


def _programs(path: Path) -> Iterator[bytes]:
    libbpf = library()
    with messages():
        handle = libbpf.bpf_object__open_file(os.fsencode(path), None)
    try:
        program = libbpf.bpf_object__next_program(handle, None)
        while program:
            yield libbpf.bpf_program__name(program)
            program = libbpf.bpf_object__next_program(handle, program)
    finally:
        libbpf.bpf_object__close(handle)


def _verified(path: Path, wanted: bytes) -> tuple[int, int] | None:
    """Instructions and states of one program; None where it does not load."""
    libbpf = library()
    log = ctypes.create_string_buffer(_LOG_SIZE)
    with messages():
        handle = libbpf.bpf_object__open_file(os.fsencode(path), None)
        try:
            program = libbpf.bpf_object__next_program(handle, None)
            while program:
                libbpf.bpf_program__set_autoload(program, libbpf.bpf_program__name(program) == wanted)
                if libbpf.bpf_program__name(program) == wanted:
                    libbpf.bpf_program__set_log_level(program, _STATS)
                    libbpf.bpf_program__set_log_buf(program, log, _LOG_SIZE)
                program = libbpf.bpf_object__next_program(handle, program)
            if libbpf.bpf_object__load(handle):
                return None
        finally:
            libbpf.bpf_object__close(handle)
    told = _TOLD.search(log.value)
    return (int(told[1]), int(told[2])) if told else None
