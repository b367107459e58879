"""Links with the suite's programs on them, and what the kernel under test takes as metadata."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from bpf.libbpf import BPF_F_TEST_XDP_LIVE_FRAMES, TestRun
from net.link import Link
from net.wire import Wire, ethernet
from net.xdp import Mode, attached
from xdp_metadata.ingress import listen
from xdp_metadata.script import METADATA, Frame, Programs, Stage, Step, adjust_meta, xdp_md

__all__ = ["WAYS", "Lab", "Limits"]

_HEADROOM = 256  # XDP_PACKET_HEADROOM
_QUEUE = 64  # frames that a CPU map's entry holds
# How a program runs at a device: the mode, and which program. Generic XDP gives one with frags support a copied skb.
WAYS = {
    "native": (Mode.NATIVE, "first"),
    "generic": (Mode.GENERIC, "plain"),
    "generic-frags": (Mode.GENERIC, "first"),
}


@dataclass(frozen=True)
class Limits:
    """rule: the largest metadata by size alone (include/net/xdp.h:xdp_metalen_invalid), 32 bytes, later 252.

    room: bytes of headroom that test_run and drivers leave for it, the rest is struct xdp_frame's.
    """

    rule: int
    room: int

    @property
    def largest(self) -> int:
        """What fits both."""
        return min(self.rule, self.room)

    def require(self, size: int) -> None:
        """Skip where the kernel takes no metadata of that size."""
        if size > self.rule:
            pytest.skip(f"the kernel takes metadata of {self.rule} bytes at most")

    @classmethod
    def of_kernel(cls, programs: Programs, frame_header: int | None) -> Limits:
        """Which of the two rules the kernel has: more than 32 bytes are taken, or refused with -EACCES."""
        run = programs.run(ethernet(256), adjust_meta(-36), METADATA)
        rule = {(0, 36): 252, (-errno.EACCES, 0): 32}.get(run.results)
        assert rule, f"36 bytes of metadata: bpf_xdp_adjust_meta and the size after it are {run.results}"
        return cls(rule, _HEADROOM - (frame_header or 40))


@dataclass(frozen=True)
class Lab:
    """Two veth pairs: left sends to right, near to far. Traffic control tells what comes in at right, far and left."""

    programs: Programs
    left: Link
    right: Link
    near: Link
    far: Link

    def carry(self, size: int) -> None:
        """Let every link carry frames of that size (14 bytes of header counted), before a program is attached."""
        for link in (self.left, self.right, self.near, self.far):
            link.set_mtu(max(size - 14, 1500))

    @contextlib.contextmanager
    def receiving(
        self, mode: Mode = Mode.NATIVE, *, link: Link | None = None, program: str = "first", ingress: str = "ingress"
    ) -> Iterator[None]:
        """An XDP program on a link (right unless told otherwise), and one of traffic control behind it."""
        at = link or self.right
        listen(at, self.programs.fd(ingress))
        with attached(at, self.programs.fd(program), mode):
            yield

    def send(self, frame: bytes, *, link: Link | None = None, mark: int = 0) -> None:
        """One frame out of a link (left unless told otherwise), as a whole skb."""
        with Wire(link or self.left, 0) as wire:
            if mark:
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            wire.send(frame)

    def deliver(
        self, frame: bytes, *steps: Step, way: str, write: bytes = b"", ingress: str = "ingress", mark: int = 0
    ) -> Frame:
        """Send a frame through steps on right (way: of WAYS); gives the skb that traffic control sees."""
        if len(frame) > 1514:
            self.carry(len(frame))
        self.programs.prepare(Stage.FIRST, *steps, write=write)
        mode, program = WAYS[way]
        with self.receiving(mode, program=program, ingress=ingress):
            self.send(frame, mark=mark)
            (seen,) = self.programs.wait(1)
        return seen

    def inject(self, frame: bytes, metadata: bytes = b"", *, count: int = 1, batch: int = 0) -> TestRun:
        """Live frames through the script `second`, as if received on left. batch: at a time, all unless given."""
        whole = metadata + frame
        return self.programs.object.program("second").test_run(
            whole,
            ctx=xdp_md(len(metadata), len(whole), self.left.index),
            repeat=count,
            flags=BPF_F_TEST_XDP_LIVE_FRAMES,
            batch_size=batch or count,
        )

    @contextlib.contextmanager
    def to_near(self, program: str = "") -> Iterator[None]:
        """The device map's entry: near, with a program of its own or without."""
        value = struct.pack("<Ii", self.near.index, self.programs.fd(program) if program else -1)
        with self._entry("devices", value):
            yield

    @contextlib.contextmanager
    def to_cpu(self, program: str = "") -> Iterator[None]:
        """The CPU map's entry: the first CPU, with a program of its own or without."""
        with self._entry("cpus", struct.pack("<Ii", _QUEUE, self.programs.fd(program) if program else -1)):
            yield

    @contextlib.contextmanager
    def _entry(self, name: str, value: bytes) -> Iterator[None]:
        entries = self.programs.object.map(name)
        error = entries.update(0, value)
        assert not error, f"an entry of the map {name}: {errno.errorcode.get(error, error)}"
        try:
            yield
        finally:
            entries.delete(0)
