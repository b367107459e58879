"""What the tests of the matrix share: a program on a device, frames sent through, and what must have come of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from drivers.programs import Action, Programs, Target
from drivers.rig import Rig
from net.link import wait_for
from net.netlink import NetlinkError
from net.wire import Wire, difference, ethernet
from net.xdp import Mode, attach, attached, detach

__all__ = ["Bench", "assert_same", "frames_of"]

LINEAR_SIZES = (60, 100, 590, 1000, 1514)


def frames_of(*sizes: int) -> list[bytes]:
    """A broadcast frame of each size, no two of them alike."""
    return [ethernet(size, start=17 * number) for number, size in enumerate(sizes)]


def assert_same(got: Sequence[bytes], expected: Sequence[bytes], what: str) -> None:
    """Frame by frame, in order. what: `frames passed by veth in native mode`."""
    for number, (one, other) in enumerate(zip(got, expected, strict=True), 1):
        wrong = difference(one, other)
        assert not wrong, f"{what}: frame {number} of {len(expected)}: {wrong}"


class Bench:
    """A device in one mode, and the programs."""

    def __init__(self, rig: Rig, mode: Mode, programs: Programs) -> None:
        """Skips where the driver has no such mode by design (Rig.skip_unless_runs)."""
        rig.skip_unless_runs(mode)
        self.rig, self.mode, self.programs = rig, mode, programs
        self.who = f"{rig.row.name} in {mode} mode"

    @contextlib.contextmanager
    def running(
        self, name: str, action: Action, *, head: int = 0, tail: int = 0, target: Target = Target.DEVICE
    ) -> Iterator[Wire]:
        """A program on the device; gives the socket where what it passes is received."""
        self.programs.order(name, action, head=head, tail=tail, target=target)
        with attached(self.rig.link, self.programs[name].fd, self.mode):
            self.rig.link.wait_until_up()
            with Wire(self.rig.link) as near:
                yield near

    @contextlib.contextmanager
    def running_jumbo(
        self, name: str, action: Action, *, tail: int = 0, target: Target = Target.DEVICE
    ) -> Iterator[Wire]:
        """As `running`, with both ends at the row's large MTU.

        A driver that refuses a frags program there and does not advertise rx-sg lacks the ability: a skip. Frames come
        into buffers that were made for XDP.
        """
        self.rig.set_mtu(self.rig.row.jumbo)
        try:
            attach(self.rig.link, self.programs[name].fd, self.mode)
        except NetlinkError as error:
            self.rig.skip_without_rx_sg(error)
            raise
        detach(self.rig.link, self.mode)
        with self.running(name, action, tail=tail, target=target) as near:
            if self.mode is Mode.NATIVE and self.rig.row.keeps_buffers:
                self.rig.use_up_buffers()
            yield near

    def send(self, frames: Sequence[bytes], name: str) -> None:
        """Send frames from the far end and wait until the program has seen as many. Fails where it does not."""
        seen = self.programs.sight(name).runs + len(frames)
        for frame in frames:
            self.rig.far.send(frame)
        wait_for(
            lambda: self.programs.sight(name).runs >= seen,
            lambda: f"{self.who}: the program was to see {seen} frames, saw {self.programs.sight(name).runs}",
        )
        assert self.programs.sight(name).runs == seen, f"{self.who}: {self.programs.sight(name).runs} runs for {seen}"

    def assert_nothing_but(self, near: Wire, name: str, marker: bytes) -> None:
        """What was sent before did not reach the stack: a frame that is passed after it is the first that comes."""
        self.programs.order(name, Action.PASS)
        self.rig.far.send(marker)
        assert_same(near.frames(1), [marker], f"{self.who}: frames on the stack after what the program took")
        assert not near.pending(), f"{self.who}: more frames on the stack than were passed"
