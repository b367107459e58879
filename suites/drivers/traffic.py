"""Frames that keep coming while something changes, each with its number, so that what arrives can be told apart."""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from collections.abc import Iterable, Iterator

from drivers.rig import Far
from net.link import wait_for
from net.wire import difference, ethernet

__all__ = ["Traffic", "numbered", "traffic"]

_PAUSE = 0.001  # seconds between frames: the thread that changes things runs too, on the one processor
_SIZES = (60, 1514, 200, 700)


def numbered(number: int) -> bytes:
    """The frame of a number; its size and payload follow from it."""
    frame = ethernet(_SIZES[number % len(_SIZES)], start=number)
    return frame[:14] + struct.pack("!I", number) + frame[18:]


class Traffic:
    """What was sent. refused: sends that the far end's device did not take (it was down, or its queue was full)."""

    def __init__(self, far: Far) -> None:
        self._far = far
        self._over = threading.Event()
        self._may_send = threading.Lock()
        self.sent = 0
        self.refused = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        number = 0
        while not self._over.is_set():
            with self._may_send:
                self._send(numbered(number))
            number += 1
            time.sleep(_PAUSE)

    def _send(self, frame: bytes) -> None:
        try:
            self._far.send(frame)
            self.sent += 1
        except OSError:
            self.refused += 1

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is sent while the block runs."""
        with self._may_send:
            yield

    def wait_for_more(self, frames: int = 5) -> None:
        """Until so many more have been sent."""
        wanted = self.sent + frames
        wait_for(lambda: self.sent >= wanted, f"{frames} more frames sent")

    def assert_intact(self, received: Iterable[bytes], what: str, *, ordered: bool = True) -> list[int]:
        """Each frame is one that was sent, whole, none came twice, nor (ordered) out of order; gives their numbers."""
        numbers: list[int] = []
        for frame in received:
            (number,) = struct.unpack_from("!I", frame, 14)
            wrong = difference(frame, numbered(number))
            assert not wrong, f"{what}: frame {number} was damaged: {wrong}"
            numbers.append(number)
        assert len(numbers) == len(set(numbers)), f"{what}: frames came twice: {len(numbers) - len(set(numbers))}"
        assert not ordered or numbers == sorted(numbers), f"{what}: frames came out of order: {_disorder(numbers)}"
        return numbers


def _disorder(numbers: list[int]) -> str:
    at = next(i for i in range(1, len(numbers)) if numbers[i] <= numbers[i - 1])
    return f"{numbers[at]} after {numbers[at - 1]}"


@contextlib.contextmanager
def traffic(far: Far) -> Iterator[Traffic]:
    """Frames from the far end for as long as the block runs; at its end none is on the way any more to be sent."""
    flow = Traffic(far)
    flow.start()
    try:
        yield flow
    finally:
        flow.stop()
