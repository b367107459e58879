"""How an application waits: in poll(), in system calls, by busy polling, with and without the need-wakeup flag.

Rules: net/xdp/xsk.c:xsk_poll, __xsk_sendmsg, __xsk_recvmsg, xsk_no_wakeup.
"""

from __future__ import annotations

import contextlib
import select
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from af_xdp.cases import kinds
from af_xdp.lab import Ends, Steer, collect, receiver, sender
from af_xdp.test_bind import refusal
from af_xdp.xdpsock import stamped, started
from af_xdp.xsk import Bind, Desc, Umem, Xsk
from net.link import Link, run_tool, wait_for
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
    with receiver(veth, steer) as xsk, started(veth.far, "-t", "-T400000", "-b1", "-C3"):
        poll = select.poll()
        poll.register(xsk.socket.fileno(), select.POLLIN)
        for _ in range(2):
            collect(xsk, 0)
            assert poll.poll(0) == [], "all was taken, and still POLLIN"
            # At its timeout poll() looks once more (fs/select.c:do_poll): only the time tells who was not woken.
            began = time.monotonic()
            assert poll.poll(8_000), "no frame came"
            took = time.monotonic() - began
            assert took < 7, f"a frame came, and poll() slept on, until its timeout: {took:.1f} s"


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


_SO_INCOMING_NAPI_ID = 56
_SO_BUSY_POLL, _SO_PREFER_BUSY_POLL, _SO_BUSY_POLL_BUDGET = 46, 69, 70


@contextlib.contextmanager
def deferred(link: Link) -> Iterator[None]:
    """After a busy poll the device's own softirqs stay away for a minute (Documentation/networking/napi.rst)."""
    with sysfs() as root:
        folder = root / "class" / "net" / link.name
        (folder / "napi_defer_hard_irqs").write_text("100")
        (folder / "gro_flush_timeout").write_text(str(60 * 10**9))
        try:
            yield
        finally:
            (folder / "napi_defer_hard_irqs").write_text("0")
            (folder / "gro_flush_timeout").write_text("0")


def test_busy_poll_drives_the_device(veth: Ends, steer: Steer):
    """With softirqs put off nothing comes by itself, and a recvfrom() brings it (__xsk_recvmsg: sk_busy_loop)."""
    with receiver(veth, steer) as xsk, deferred(veth.link):
        for option, value in ((_SO_PREFER_BUSY_POLL, 1), (_SO_BUSY_POLL, 20), (_SO_BUSY_POLL_BUDGET, 16)):
            xsk.socket.setsockopt(socket.SOL_SOCKET, option, value)
        veth.wire.send(ethernet(100))  # the socket learns of whom it receives (sk_mark_napi_id_once_xdp)
        collect(xsk, 1)
        if not xsk.socket.getsockopt(socket.SOL_SOCKET, _SO_INCOMING_NAPI_ID):
            pytest.xfail(
                "the socket never learns of whom it receives: veth registers its queues before their NAPI has an id"
            )
        recv(xsk)
        for number in range(3):
            before = xsk.rx.waiting
            veth.wire.send(ethernet(200 + number))
            time.sleep(0.05)
            assert xsk.rx.waiting == before, "a frame came that nobody polled for: this test shows nothing"
            wait_for(lambda before=before: recv(xsk) or xsk.rx.waiting == before + 1, "a frame that was polled for", 5)


def recv(xsk: Xsk) -> None:
    refusal(lambda: xsk.socket.recv(1, socket.MSG_DONTWAIT))


@contextlib.contextmanager
def sysfs() -> Iterator[Path]:
    """sysfs of the namespace that we are in: which devices it shows is settled when it is mounted."""
    with tempfile.TemporaryDirectory() as folder:
        run_tool("mount", "-t", "sysfs", "none", folder)
        try:
            yield Path(folder)
        finally:
            run_tool("umount", folder)
