"""Devices stay on the bench between tests: making one costs an emulated guest more than most tests do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from drivers.programs import Action, Programs
from drivers.rig import Rig
from drivers.rigs import rig_of
from drivers.rows import Row
from net.link import Link, veth_pair
from net.namespace import Namespace, namespace
from net.wire import Wire
from net.xdp import Mode, attached

__all__ = ["Outlet", "Rack"]


@dataclass(frozen=True)
class Outlet:
    """A veth beside the device. near: the end that is redirected to, or that redirects. wire: at its other end."""

    near: Link
    wire: Wire


@dataclass(frozen=True)
class _Held:
    """A device and where it is. private: its namespace, out of udev's sight; None for what is wired.

    stack: takes the device away, in the namespace. outer: takes the namespace away.
    """

    rig: Rig
    private: Namespace | None
    stack: contextlib.ExitStack
    outer: contextlib.ExitStack

    def entered(self) -> contextlib.AbstractContextManager[None]:
        return _entered(self.private)


def _entered(private: Namespace | None) -> contextlib.AbstractContextManager[None]:
    return private.entered() if private else contextlib.nullcontext()


class Rack:
    """The devices that were made so far. Close it to take them all away."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._held: dict[str, _Held] = {}
        self._outlets: dict[str, Outlet] = {}
        self._shared = contextlib.ExitStack()

    def learned(self, row: Row) -> Row:
        """The row as it is once the device is made."""
        if row.name not in self._held:
            self._held[row.name] = self._make(row)
        return self._held[row.name].rig.row

    @contextlib.contextmanager
    def on_bench(self, row: Row) -> Iterator[Rig]:
        """A device, ready, in its namespace for as long as the block runs. Skips where there is none."""
        self.learned(row)
        held = self._held[row.name]
        with held.entered():
            held.rig.make_ready()
            yield held.rig

    def outlet(self, row: Row) -> Outlet:
        """The veth beside a device, made when it is first asked for; frames of any length go through. In on_bench.

        What is wired has one in common, as they are all in the first namespace.
        """
        held = self._held[row.name]
        place = row.name if held.private else ""
        if place not in self._outlets:
            self._outlets[place] = self._make_outlet(held.stack if held.private else self._shared)
        outlet = self._outlets[place]
        outlet.near.wait_until_up()
        outlet.wire.pending()
        return outlet

    def _make_outlet(self, stack: contextlib.ExitStack) -> Outlet:
        near, other = stack.enter_context(veth_pair("ktnear", "ktother", mtu=9000))
        self._programs.order("witness", Action.PASS)
        stack.enter_context(attached(other, self._programs["witness"].fd, Mode.NATIVE))
        return Outlet(near, stack.enter_context(Wire(other)))

    def _make(self, row: Row) -> _Held:
        with contextlib.ExitStack() as outer:
            private = None if row.is_wired else outer.enter_context(namespace())
            with _entered(private), contextlib.ExitStack() as stack:
                rig = stack.enter_context(rig_of(row, self._programs))
                return _Held(rig, private, stack.pop_all(), outer.pop_all())

    def discard(self, row: Row) -> None:
        """Take a device away: after a failed test nothing about it is certain."""
        held = self._held.pop(row.name, None)
        self._outlets.pop(row.name, None)
        if held is not None:
            with held.outer, held.entered():
                held.stack.close()

    def close(self) -> None:
        with self._shared:
            for held in list(self._held.values()):
                self.discard(held.rig.row)
