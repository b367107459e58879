"""A reference model of an xdp_buff: headroom, metadata, linear part, fragments, and what each operation does to them.

It knows nothing of test_run but how a frame is laid out. Rules: net/core/filter.c (bpf_xdp_adjust_head,
bpf_xdp_adjust_tail, bpf_xdp_adjust_meta, bpf_xdp_frags_increase_tail, bpf_xdp_frags_shrink_tail, bpf_xdp_pointer,
bpf_xdp_copy_buf), include/net/xdp.h (xdp_get_buff_len, xdp_metalen_invalid), net/bpf/test_run.c
(bpf_prog_test_run_xdp).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from xdp_multibuf.machine import LENGTH, LINEAR, METADATA, PEEK_META, Kind, Limits, Op, frame_of

__all__ = ["Behaviour", "Prediction", "XdpBuff", "predict"]

ETHERNET_HEADER = 14
COPY_LIMIT = 0xFFFF  # bpf_xdp_pointer: neither offset nor length past it
DIRECT_MASK = 0x7FFF  # of the machine's own, bpf/machine.bpf.c
METADATA_UNIT = 4


@dataclass(frozen=True)
class Behaviour:
    """What kernels are known to do in more than one right way. Found out by trying, never by version.

    metadata_limit: most bytes of metadata, 32 or what skb_shared_info's meta_len holds (xdp_metalen_invalid).
    splits: whether ctx_in's data_end may be less than the frame (header split).
    """

    metadata_limit: int = 255
    splits: bool = True


class Refused(Exception):
    """test_run refuses the frame. Its argument is the errno's name."""


class XdpBuff:
    """One frame, as struct xdp_buff and its skb_shared_info hold it. Positions count from data_hard_start, in bytes."""

    def __init__(self, frame: bytes, limits: Limits, behaviour: Behaviour, split: int | None = None, meta: int = 0):
        """Lay a frame out as test_run does.

        split: ctx_in's data_end, metadata counted; None for all there is. meta: ctx_in's data. Raises Refused.
        """
        head = len(frame) if split is None else split
        if meta > head or head > len(frame) or (head < len(frame) and not behaviour.splits):
            raise Refused("EINVAL")
        room = limits.headroom - limits.frame_header
        if meta % METADATA_UNIT or meta > min(behaviour.metadata_limit, room) or len(frame) - meta < ETHERNET_HEADER:
            raise Refused("EINVAL")
        head = min(head, limits.linear + meta)
        rest = frame[head:]
        if len(rest) > limits.frags * limits.page:
            raise Refused("ENOMEM")
        self.limits, self.behaviour = limits, behaviour
        self.page = bytearray(limits.page)
        self.data = limits.headroom
        self.data_meta = self.data - meta
        self.data_end = self.data_meta + head
        self.page[self.data_meta : self.data_end] = frame[:head]
        self.frags = [bytearray(rest[at : at + limits.page]) for at in range(0, len(rest), limits.page)]

    @property
    def linear(self) -> int:
        return self.data_end - self.data

    @property
    def metadata(self) -> int:
        return self.data - self.data_meta

    @property
    def length(self) -> int:
        """bpf_xdp_get_buff_len."""
        return self.linear + sum(map(len, self.frags))

    @property
    def tailroom(self) -> int:
        """Bytes by which bpf_xdp_adjust_tail may grow the frame."""
        if self.frags:
            return self.limits.page - len(self.frags[-1])
        return self.limits.headroom + self.limits.linear - self.data_end

    @property
    def headroom(self) -> int:
        """Bytes before the metadata that the program may have."""
        return self.data_meta - self.limits.frame_header

    @property
    def starts(self) -> list[int]:
        """Where the linear part and each fragment begin, and where the frame ends, as the copy helpers count."""
        marks = [0, self.linear]
        for frag in self.frags:
            marks.append(marks[-1] + len(frag))
        return marks

    def bytes(self) -> bytes:
        return bytes(self.page[self.data : self.data_end]) + b"".join(self.frags)

    def output(self) -> bytes:
        """What data_out gets: the metadata and the frame."""
        return bytes(self.page[self.data_meta : self.data]) + self.bytes()

    def adjust_head(self, by: int) -> int:
        moved = self.data + by
        if moved < self.limits.frame_header + self.metadata or moved > self.data_end - ETHERNET_HEADER:
            return -errno.EINVAL
        metadata = self.page[self.data_meta : self.data]
        self.data_meta += by
        self.data = moved
        self.page[self.data_meta : self.data] = metadata
        return 0

    def adjust_meta(self, by: int) -> int:
        moved = self.data_meta + by
        if moved < self.limits.frame_header or moved > self.data:
            return -errno.EINVAL
        size = self.data - moved
        if size % METADATA_UNIT or size > self.behaviour.metadata_limit:
            return -errno.EACCES
        self.data_meta = moved
        return 0

    def adjust_tail(self, by: int) -> int:
        if by >= 0:
            return self._grow(by)
        if self.length + by < ETHERNET_HEADER:
            return -errno.EINVAL
        less = -by
        while self.frags and less >= len(self.frags[-1]):
            less -= len(self.frags.pop())
        if self.frags:
            del self.frags[-1][len(self.frags[-1]) - less :]
        else:
            self.data_end -= less
        return 0

    def _grow(self, by: int) -> int:
        if by > self.tailroom or (not self.frags and self.linear + by < ETHERNET_HEADER):
            return -errno.EINVAL
        if self.frags:
            self.frags[-1] += bytes(by)
        else:
            self.page[self.data_end : self.data_end + by] = bytes(by)
            self.data_end += by
        return 0

    def reach(self, offset: int, length: int) -> int:
        """What a copy of `length` bytes at `offset` returns: 0, or a negative errno."""
        if not 0 <= offset <= COPY_LIMIT or length > COPY_LIMIT:
            return -errno.EFAULT
        return -errno.EINVAL if offset + length > self.length else 0

    def load(self, offset: int, length: int) -> tuple[int, bytes]:
        """The return code, and the bytes where it is 0."""
        code = self.reach(offset, length)
        return code, b"" if code else self.bytes()[offset : offset + length]

    def store(self, offset: int, data: bytes) -> int:
        if code := self.reach(offset, len(data)):
            return code
        whole = self.bytes()
        whole = whole[:offset] + data + whole[offset + len(data) :]
        self.page[self.data : self.data_end] = whole[: self.linear]
        for frag, start in zip(self.frags, self.starts[1:], strict=False):
            frag[:] = whole[start : start + len(frag)]
        return 0

    def peek(self, offset: int) -> int:
        offset &= DIRECT_MASK
        return self.page[self.data + offset] if offset < self.linear else -1

    def poke(self, offset: int, byte: int) -> int:
        offset &= DIRECT_MASK
        if offset >= self.linear:
            return -1
        self.page[self.data + offset] = byte & 0xFF
        return 0

    def peek_meta(self) -> int:
        return self.page[self.data_meta] if self.metadata else -1

    def poke_meta(self, byte: int) -> int:
        if not self.metadata:
            return -1
        self.page[self.data_meta] = byte & 0xFF
        return 0


_EXECUTE: dict[int, Callable[[XdpBuff, Op], int]] = {
    LENGTH.kind: lambda buff, op: buff.length,
    LINEAR.kind: lambda buff, op: buff.linear,
    METADATA.kind: lambda buff, op: buff.metadata,
    PEEK_META.kind: lambda buff, op: buff.peek_meta(),
    Kind.ADJUST_HEAD: lambda buff, op: buff.adjust_head(op.offset),
    Kind.ADJUST_TAIL: lambda buff, op: buff.adjust_tail(op.offset),
    Kind.ADJUST_META: lambda buff, op: buff.adjust_meta(op.offset),
    Kind.STORE: lambda buff, op: buff.store(op.offset, op.data),
    Kind.PEEK: lambda buff, op: buff.peek(op.offset),
    Kind.POKE: lambda buff, op: buff.poke(op.offset, op.length),
    Kind.POKE_META: lambda buff, op: buff.poke_meta(op.length),
}


@dataclass(frozen=True)
class Prediction:
    """What the kernel must say and give back; fields as those of machine.Run.

    loaded: None where a load is refused, for then the buffer holds no byte of the frame. meta, linear: of ctx_out,
    where there is one.
    """

    error: str = ""
    results: tuple[int, ...] = ()
    loaded: tuple[bytes | None, ...] = ()
    data: bytes = b""
    meta: int = 0
    linear: int = 0


def execute(buff: XdpBuff, op: Op) -> tuple[int, bytes | None]:
    """Do one operation: its return code and, for a load, the bytes (None where it is refused)."""
    if op.kind == Kind.LOAD:
        code, got = buff.load(op.offset, op.length)
        return code, None if code else got
    return _EXECUTE[op.kind](buff, op), b""


def predict(
    size: int, operations: Iterable[Op], limits: Limits, behaviour: Behaviour, split: int | None = None, meta: int = 0
) -> Prediction:
    """Run operations over a frame of `size` bytes, by the rules alone."""
    try:
        buff = XdpBuff(frame_of(size), limits, behaviour, split, meta)
    except Refused as refusal:
        return Prediction(error=str(refusal))
    done = [execute(buff, op) for op in operations]
    return Prediction(
        results=tuple(code for code, _ in done),
        loaded=tuple(got for _, got in done),
        data=buff.output(),
        meta=buff.metadata,
        linear=buff.metadata + buff.linear,
    )
