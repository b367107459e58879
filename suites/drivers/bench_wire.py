"""What each XDP action costs on a board's interface, while its cable brings as many frames as the other end can send.

With `--instrument wall` a figure is the time between two packets, which is their cost only where the device is what is
slow: a bench whose frames all came says that it cannot tell. Cycles are of all processors of the board, and need no
more frames than the board can take; with `--loop` they are the sender's as well. xdpsock's jobs are read at its laps.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from af_xdp.bench_xdpsock import MODES as SOCKETS
from af_xdp.xdpsock import Refused, assert_bound, started
from bpf.libbpf import Object, find_object
from drivers.bench_actions import SIZES
from drivers.cases import MODES
from drivers.course import cpu_entry
from drivers.rig import Rig
from drivers.rows import BOARD, Row
from laps import LAP, Laps
from meter import BATCHES, Meter
from net.lane import loaded_alone
from net.link import DEADLINE, wait_for
from net.netlink import NetlinkError
from net.remote import ssh_command
from net.veth import swift_veth
from net.xdp import Mode, attached

_FLOOD = Path(__file__).resolve().parents[1] / "net" / "flood.py"
_WARM = 64 * LAP  # packets
_KEPT_UP = 0.99  # of the frames that were sent: then it is the sender that is slow
_SECONDS = 2.0  # of a job of xdpsock's


def _on_wire(modes: Sequence[str], sizes: Sequence[int]) -> pytest.MarkDecorator:
    cases = [
        pytest.param(BOARD, mode, size, id=f"device={BOARD.name},mode={mode},size={size}")
        for mode in modes
        for size in sizes
        if os.environ.get("KTRIAL_IFACE")
    ]
    return pytest.mark.parametrize(("device", "mode", "size"), cases, indirect=["device"])


on_wire = _on_wire(MODES, SIZES)
by_socket = _on_wire(tuple(SOCKETS), SIZES[:1])


@pytest.fixture(scope="module")
def loaded() -> Iterator[Object]:
    with loaded_alone(find_object("drivers", "bench")) as programs:
        yield programs


class Flood:
    """What floods a board's interface. how: `live frames` or `pktgen`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.how = self._told()["how"]

    def stop(self) -> int:
        """Stop it; gives how many frames it has sent."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        sent: int = self._told()["sent"]
        return sent

    def _told(self) -> dict:
        assert self._process.stdout is not None
        ready = select.select([self._process.stdout], [], [], DEADLINE)[0]
        line = self._process.stdout.readline() if ready else ""
        told = json.loads(line) if line else {"error": "the sender says nothing"}
        if "error" in told:
            pytest.fail(told["error"], False)
        return told


@contextlib.contextmanager
def flood(rig: Rig, size: int) -> Iterator[Flood]:
    """Frames for the device, as many as its far end can send."""
    if rig.remote:
        argv = ssh_command(rig.remote.target, "python3", "-u", "-c", _FLOOD.read_text(), rig.remote.name, str(size))
    else:
        assert rig.peer is not None
        argv = [sys.executable, str(_FLOOD), rig.peer.name, str(size)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Flood(process)
        finally:
            process.kill()


def _measure(meter: Meter, rig: Rig, mode: Mode, size: int, loaded: Object, program: str) -> None:
    laps = Laps(loaded)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(attached(rig.link, loaded.program(program).fd, mode))
        except NetlinkError as error:
            pytest.skip(f"{rig.row.driver} refuses a program in {mode} mode: {error}")
        rig.link.wait_until_up()
        laps.forget()
        with flood(rig, size) as sender:
            wait_for(lambda: laps.packets > _WARM, f"{_WARM} packets for {program}")
            meter.flow(lambda: laps.packets, scope=sender.how)
            sent = sender.stop()
        _tell_who_was_slow(meter, rig, laps.packets, sent)


def _tell_who_was_slow(meter: Meter, rig: Rig, took: int, sent: int) -> None:
    """Skips where it was the sender."""
    if meter.is_clock and rig.remote and took >= _KEPT_UP * sent:
        pytest.skip(f"{rig.link.name} took all of {sent} frames: time is the sender's (--instrument cycles tells)")


Run = Callable[[str], None]


@pytest.fixture
def run(meter: Meter, rig: Rig, mode: Mode, size: int, loaded: Object) -> Run:
    """Measure a program of bench.bpf.c on the interface."""
    return lambda program: _measure(meter, rig, mode, size, loaded, program)


@on_wire
def bench_drop(run: Run, device: Row, mode: Mode, size: int):
    """XDP_DROP."""
    run("drop")


@on_wire
def bench_pass(run: Run, device: Row, mode: Mode, size: int):
    """XDP_PASS, to a stack that has no taker for the frame."""
    run("pass")


@on_wire
def bench_tx(run: Run, device: Row, mode: Mode, size: int):
    """XDP_TX."""
    run("tx")


@on_wire
def bench_redirect_device(run: Run, device: Row, mode: Mode, size: int, loaded: Object):
    """XDP_REDIRECT through a devmap to a veth, and a program that drops at its other end."""
    with swift_veth("ktout", "ktend") as (outlet, end), attached(end, loaded.program("drain").fd, Mode.NATIVE):
        loaded.map("devices").update(0, outlet.index)
        run("to_device")


@on_wire
def bench_redirect_cpu(run: Run, device: Row, mode: Mode, size: int, loaded: Object):
    """XDP_REDIRECT through a cpumap, whose thread makes an skb of it and gives it to the stack."""
    with cpu_entry(loaded):
        run("to_cpu")


def _job(meter: Meter, rig: Rig, mode: str, *words: str, feed: int = 0) -> None:
    """A job of xdpsock's for some seconds. feed: size of the frames that flood it. Skips where it has no such mode."""
    with meter.descriptors() as counters:
        try:
            told, scope = _done(meter, rig, [*SOCKETS[mode], f"--laps={LAP}", *words], feed, counters)
        except Refused as error:
            if error.lacks_mode(zero_copy=mode == "zc"):
                pytest.skip(f"{rig.link.name}: {error}")
            raise
    assert_bound(told, "skb" if mode == "skb" else "native", zero_copy=mode == "zc")
    laps = told["laps"][len(told["laps"]) // 10 :]  # less what only the first ones pay for
    each = len(laps) // BATCHES
    assert each, f"{len(laps)} laps of {LAP} packets in {_SECONDS:.0f} s are too few"
    batches = [laps[at : at + each] for at in range(0, each * BATCHES, each)]
    values = [sum(took for _, took in batch) / sum(packets for packets, _ in batch) for batch in batches]
    meter.record(values, "insns/packet", counts=True, scope=scope)


def _done(meter: Meter, rig: Rig, job: list[str], feed: int, counters: Sequence[int]) -> tuple[dict, str]:
    """xdpsock's summary, and what has sent to it."""
    meter.needs_wire()
    with started(rig.link, *job, counters=counters) as running:
        if not feed:
            time.sleep(_SECONDS)
            return running.stop(), ""
        with flood(rig, feed) as sender:
            time.sleep(_SECONDS)
            sent = sender.stop()
        told = running.stop()
    _tell_who_was_slow(meter, rig, told["rx"]["packets"], sent)
    return told, sender.how


@by_socket
def bench_rxdrop(meter: Meter, rig: Rig, device: Row, mode: str, size: int):
    """xdpsock -r: receive and drop."""
    _job(meter, rig, mode, "-r", feed=size)


@by_socket
def bench_l2fwd(meter: Meter, rig: Rig, device: Row, mode: str, size: int):
    """xdpsock -l: receive, swap the addresses, send back."""
    _job(meter, rig, mode, "-l", feed=size)


@_on_wire(tuple(SOCKETS), SIZES)
def bench_txonly(meter: Meter, rig: Rig, device: Row, mode: str, size: int):
    """xdpsock -t -s SIZE: as many as the interface takes."""
    _job(meter, rig, mode, "-t", f"-s{size}")
