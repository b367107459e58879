"""Requests to a dynptr over an XDP frame, and the program that fulfils them (bpf/dynptr.bpf.c)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from bpf.libbpf import Object, find_object

__all__ = ["MOST", "SLICE", "Answer", "Dynptr", "Kind", "Request", "read", "slice_of", "write", "write_slice"]

SLICE = 16  # bytes of every slice: its size is a constant of the program
MOST = 16  # requests in one run
_OUTPUT = 1 << 17
_HEADER = struct.Struct("<qQ")
_REQUEST = struct.Struct("<IIIIq")


class Kind(IntEnum):
    """`enum kind` in bpf/dynptr.bpf.c."""

    END = 0
    READ = 1
    WRITE = 2
    SLICE_READ = 3
    SLICE_WRITE = 4


class Request(NamedTuple):
    """What to do with bytes of the frame. data: those that are written."""

    kind: Kind
    offset: int
    length: int
    data: bytes = b""


def read(offset: int, length: int) -> Request:
    """bpf_dynptr_read."""
    return Request(Kind.READ, offset, length)


def write(offset: int, data: bytes) -> Request:
    """bpf_dynptr_write."""
    return Request(Kind.WRITE, offset, len(data), data)


def slice_of(offset: int) -> Request:
    """bpf_dynptr_slice. Result: 0 for none, 1 for a pointer into the frame, 2 for a copy in the program's buffer."""
    return Request(Kind.SLICE_READ, offset, SLICE)


def write_slice(offset: int, data: bytes) -> Request:
    """bpf_dynptr_slice_rdwr, filled; a copy is written back with bpf_dynptr_write. Result as of `slice_of`; its bytes
    are those that the slice had before."""
    assert len(data) == SLICE
    return Request(Kind.SLICE_WRITE, offset, SLICE, data)


@dataclass(frozen=True)
class Answer:
    """made: what bpf_dynptr_from_xdp returned. got: each request's bytes. data: the frame as the program left it."""

    error: str
    made: int
    results: tuple[int, ...]
    got: tuple[bytes, ...]
    data: bytes


class Dynptr:
    """The loaded program. Raises LoadError where the kernel has no dynptrs over XDP frames (bpf_dynptr_from_xdp)."""

    def __init__(self) -> None:
        self.object = Object(find_object("xdp_multibuf", "dynptr"))
        self._requests = self.object.map("requests").memory()
        self._bytes = self.object.map("bytes").memory()

    def run(self, frame: bytes, *requests: Request, flags: int = 0) -> Answer:
        """flags: for bpf_dynptr_from_xdp."""
        assert len(requests) <= MOST
        script, at = bytearray(_HEADER.pack(1, flags)), 0
        for request in requests:
            script += _REQUEST.pack(request.kind, request.offset, request.length, at, 1)
            self._bytes[at : at + request.length] = request.data or b"\xee" * request.length
            at += request.length
        script += bytes(_REQUEST.size) * (MOST - len(requests))
        self._requests[: len(script)] = bytes(script)
        ran = self.object.program("dynptr_machine").test_run(frame, out=_OUTPUT)
        made, _ = _HEADER.unpack_from(self._requests[: _HEADER.size])
        done = [self._result(number) for number in range(len(requests))]
        results, got = tuple(result for result, _ in done), tuple(data for _, data in done)
        return Answer(ran.error_name if ran.error else "", made, results, got, ran.data[: ran.data_size])

    def _result(self, number: int) -> tuple[int, bytes]:
        start = _HEADER.size + number * _REQUEST.size
        _, _, length, at, result = _REQUEST.unpack(self._requests[start : start + _REQUEST.size])
        return result, self._bytes[at : at + length]
