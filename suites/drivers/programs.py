"""The programs of bpf/actions.bpf.c: tell each what to do with frames, and read what it saw."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from bpf.libbpf import LoadError, Object, Program

__all__ = ["Action", "Programs", "Sight", "Target", "Trace"]

_ORDER, _SIGHT, _TRACE = struct.Struct("=IiiI"), struct.Struct("=5Q"), struct.Struct("=6Q")
_SLOTS = ("frags_a", "frags_b", "plain_a", "plain_b", "witness")
_TRACEPOINTS = {
    "on_exception": b"xdp_exception",
    "on_redirect_error": b"xdp_redirect_err",
    "on_devmap_xmit": b"xdp_devmap_xmit",
}
_CPUMAP_QUEUE = 192  # frames


class Action(IntEnum):
    """enum xdp_action, and one that is none."""

    ABORTED = 0
    DROP = 1
    PASS = 2
    TX = 3
    REDIRECT = 4
    UNKNOWN = 42


class Target(IntEnum):
    """Where XDP_REDIRECT sends: enum target of bpf/actions.bpf.c."""

    DEVICE = 0
    CPU = 1


@dataclass(frozen=True)
class Sight:
    """What a program saw since its order. length, linear: bytes of its last frame. failed: refused adjustments."""

    runs: int
    bytes: int
    length: int
    linear: int
    failed: int


@dataclass(frozen=True)
class Trace:
    """What XDP's tracepoints told since the last `forget`, of all devices. The last errno is positive."""

    exceptions: int
    last_exception: int
    redirect_errors: int
    last_redirect_error: int
    devmap_sent: int
    devmap_dropped: int


class Programs:
    """The loaded object. One for the whole session: a load costs an emulated guest a second."""

    def __init__(self, loaded: Object) -> None:
        self._object = loaded
        self._orders = loaded.map("orders").memory()
        self._sights = loaded.map("sights").memory()
        self._traces = loaded.map("traces").memory()

    def __getitem__(self, name: str) -> Program:
        """A program: `frags_a`, `frags_b` and `witness` take fragments, `plain_a` and `plain_b` do not."""
        return self._object.program(name)

    def order(self, name: str, action: Action, *, head: int = 0, tail: int = 0, target: Target = Target.DEVICE) -> None:
        """What a program does with each frame from now on; what it saw before is forgotten."""
        slot = _SLOTS.index(name)
        _SIGHT.pack_into(self._sights, slot * _SIGHT.size, *[0] * 5)
        _ORDER.pack_into(self._orders, slot * _ORDER.size, action, head, tail, target)

    def sight(self, name: str) -> Sight:
        return Sight(*_SIGHT.unpack_from(self._sights, _SLOTS.index(name) * _SIGHT.size))

    def redirecting_to(self, index: int) -> contextlib.AbstractContextManager[None]:
        """XDP_REDIRECT to Target.DEVICE goes to the device of this index."""
        return self._entry("devices", 0, index)

    def redirecting_to_cpu(self, cpu: int = 0) -> contextlib.AbstractContextManager[None]:
        """XDP_REDIRECT to Target.CPU goes to this processor."""
        return self._entry("cpus", cpu, _CPUMAP_QUEUE)

    @contextlib.contextmanager
    def _entry(self, name: str, key: int, value: int) -> Iterator[None]:
        """An entry in the maps of both kinds of programs."""
        maps = [self._object.map(f"{kind}_{name}") for kind in ("frags", "plain")]
        try:
            for one in maps:
                _must(one.update(key, value), f"an entry in {one.name}")
            yield
        finally:
            for one in maps:
                one.delete(key)

    @contextlib.contextmanager
    def traced(self) -> Iterator[None]:
        """Listen to XDP's tracepoints."""
        _TRACE.pack_into(self._traces, 0, *[0] * 6)
        with contextlib.ExitStack() as stack:
            for name, tracepoint in _TRACEPOINTS.items():
                stack.callback(os.close, _open_tracepoint(tracepoint, self[name].fd))
            yield

    @property
    def trace(self) -> Trace:
        return Trace(*_TRACE.unpack_from(self._traces, 0))


def _must(error: int, what: str) -> None:
    if error:
        raise OSError(error, f"{what}: {os.strerror(error)}")


def _open_tracepoint(name: bytes, program: int) -> int:
    """A descriptor that keeps a raw tracepoint program attached. Raises LoadError."""
    libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
    descriptor = int(libbpf.bpf_raw_tracepoint_open(name, program))
    if descriptor < 0:
        raise LoadError(f"the tracepoint {name.decode()} cannot be opened: {os.strerror(-descriptor)}")
    return descriptor
