"""How an application waits: in poll(), in system calls, by busy polling, with and without the need-wakeup flag.

Rules: net/xdp/xsk.c:xsk_poll, __xsk_sendmsg, __xsk_recvmsg, xsk_no_wakeup.
"""

from __future__ import annotations

import select
import socket

from af_xdp.cases import kinds
from af_xdp.lab import Ends, Steer, collect, receiver, sender
from af_xdp.test_bind import refusal
from af_xdp.xdpsock import stamped, started
from af_xdp.xsk import Bind, Desc, Umem
from net.link import wait_for
from net.wire import difference, ethernet

COUNT = 64
WAYS = [
    ("spin", ()),
    ("poll", ("-p",)),
    ("busy-poll", ("-B", "-b16")),
    ("no-need-wakeup", ("-m",)),
    ("poll-no-need-wakeup", ("-p", "-m")),
    ("shared-umem", ("-p", "-M")),
    ("unaligned", ("-p", "-u", "-f3000")),
]


@kinds("way, words", WAYS)
def test_receiving(veth: Ends, way: str, words: tuple[str, ...]):
    with started(veth.link, "-r", "--verify", f"-C{COUNT}", *words) as running:
        for number in range(COUNT):
            veth.wire.send(stamped(number, 60 + 20 * number))
        told = running.summary()
    verified = told["verify"]
    assert (verified["checked"], verified["lost"]) == (COUNT, 0), f"{way}: {verified}"
    assert told["calls"]["polls"] > 0 if "-p" in words else told["calls"]["polls"] == 0, f"{way}: {told['calls']}"
    assert told["buffers"]["fill_held"] == 0, f"{way}: {told['buffers']}"


@kinds("way, words", WAYS)
def test_sending(veth: Ends, way: str, words: tuple[str, ...]):
    """With poll() alone the frames go too: it drives the transmitter in copy mode."""
    small = ("--frames=32", "--ring-size=32", "-b8")
    with started(veth.link, "-t", "--verify", f"-C{COUNT}", "-s1000", *words, *small) as running:
        told = running.summary()
        got = veth.wire.frames(COUNT)
    books, calls = told["buffers"], told["calls"]
    assert books["tx_returned"] == books["tx_given"] == COUNT, f"{way}: {books}"
    assert bool(calls["polls"]) == ("-p" in words), f"{way}: {calls}"
    assert bool(calls["copy_tx_sendtos"]) == ("-p" not in words), f"{way}: {calls}"
    to, from_ = got[0][:6], got[0][6:12]
    wanted = sorted(stamped(number, 1000, to=to, sender=from_) for number in range(COUNT))
    for frame, expected in zip(sorted(got), wanted, strict=True):
        assert not difference(frame, expected), f"{way}: {difference(frame, expected)}"


def test_poll_tells_what_there_is(veth: Ends, steer: Steer):
    """POLLIN from the first received descriptor to the last taken one."""
    with receiver(veth, steer) as xsk:
        poll = select.poll()
        poll.register(xsk.socket.fileno(), select.POLLIN | select.POLLOUT)
        assert poll.poll(0) == [], "nothing was received, and there is no transmit ring"
        veth.wire.send(ethernet(100), 2)
        wait_for(lambda: poll.poll(100), "POLLIN")
        assert poll.poll(0)[0][1] == select.POLLIN
        collect(xsk, 2)
        assert poll.poll(0) == [], "all was taken, and still POLLIN"


def test_poll_wakes_who_sleeps(veth: Ends, steer: Steer):
    """sock_def_readable: a sleeper in poll() is woken by a frame, not by its timeout."""
    with receiver(veth, steer) as xsk, started(veth.far, "-t", "-T20000", "-b1", "-C3"):
        poll = select.poll()
        poll.register(xsk.socket.fileno(), select.POLLIN)
        assert poll.poll(20_000), "three frames came, and poll() slept on"


def test_poll_tells_room_to_send(veth: Ends):
    """No POLLOUT while more than half of the ring waits (xsk_tx_writeable), POLLOUT with room; poll() itself sends."""
    with sender(veth, umem=Umem(16, 2048), tx=8, completion=4, flags=Bind.COPY | Bind.NEED_WAKEUP) as xsk:
        poll = select.poll()
        poll.register(xsk.socket.fileno(), select.POLLOUT)
        assert poll.poll(0)[0][1] == select.POLLOUT, "an empty ring, and no POLLOUT"
        assert xsk.tx.needs_wakeup, "in copy mode somebody must ring"
        for number in range(8):
            xsk.write(number * 2048, ethernet(100, start=number))
        xsk.send([Desc(number * 2048, 100) for number in range(8)])
        back: list[int] = []

        def all_back() -> bool:
            poll.poll(0)
            back.extend(xsk.completed())
            return len(back) >= 8

        wait_for(all_back, "poll() to send 8 frames")
        assert back == [number * 2048 for number in range(8)]
        assert len(veth.wire.frames(8)) == 8


def test_calls_never_sleep(veth: Ends, steer: Steer):
    """Without MSG_DONTWAIT they are refused; without the ring that they are for, too."""
    with sender(veth) as xsk:
        assert refusal(lambda: xsk.socket.send(b"")) == "EOPNOTSUPP", "sendto() without MSG_DONTWAIT"
        assert refusal(lambda: xsk.socket.recv(1, socket.MSG_DONTWAIT)) == "ENOBUFS", "recvfrom() without its ring"
    with receiver(veth, steer) as xsk:
        assert refusal(lambda: xsk.socket.recv(1)) == "EOPNOTSUPP", "recvfrom() without MSG_DONTWAIT"
        assert xsk.kick() == "ENOBUFS", "sendto() without its ring"
