"""Sockets that share a umem: on one queue (one fill and completion ring), on two queues (one of each).

Rules: net/xdp/xsk.c:xsk_bind (XDP_SHARED_UMEM); net/xdp/xsk_buff_pool.c:xp_assign_dev_shared;
Documentation/networking/af_xdp.rst.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from af_xdp.lab import Ends, Steer, collect, sender, transmit
from af_xdp.test_bind import ready, refusal
from af_xdp.xsk import Bind, Desc, Umem, Xsk
from net.link import wait_for
from net.wire import difference, ethernet
from net.xdp import Mode, attached
from xdp_multibuf.cases import cases


@contextlib.contextmanager
def two_sockets(ends: Ends, second_queue: int) -> Iterator[tuple[Xsk, Xsk]]:
    """Two on one umem; the second with rings of its own where it is on another queue."""
    with ready(Umem(32, 2048)) as first, Xsk() as second:
        first.bind(ends.link, 0)
        own = 64 if second_queue else 0
        second.make_rings(fill=own, completion=own, rx=64, tx=64)
        second.bind(ends.link, second_queue, 0, first)
        yield first, second


@cases("mode", [Mode.NATIVE, Mode.GENERIC])
def test_one_queue_in_turn(veth: Ends, steer: Steer, mode: Mode):
    """Each gets the frames that the program gave it, in buffers of the one fill ring, each once."""
    with two_sockets(veth, 0) as (first, second), steer.into(veth.link, mode, first, second, program="in_turn"):
        first.give(number * 2048 for number in range(32))
        for number in range(20):
            veth.wire.send(ethernet(100 + number, start=number))
        got = collect(first, 10), collect(second, 10)
        lengths = [[desc.length for desc in one] for one in got]
        assert sorted(lengths) == [list(range(100, 120, 2)), list(range(101, 120, 2))], f"in turn: {lengths}"
        for xsk, descs in zip((first, second), got, strict=True):
            for desc in descs:
                assert not difference(xsk.data(desc), ethernet(desc.length, start=desc.length - 100))
        back = sorted(first.base(desc) for one in got for desc in one)
        assert back == [number * 2048 for number in range(20)], f"buffers came back as {back}"


def test_one_queue_both_send(veth: Ends):
    """Both sockets' buffers come back through the one completion ring, each once."""
    with two_sockets(veth, 0) as (first, second):
        veth.wire.pending()
        for number, xsk in enumerate((first, second, first, second)):
            desc = Desc(number * 2048, 200 + number)
            xsk.write(desc.address, ethernet(desc.length))
            xsk.send([desc])
        back: list[int] = []

        def all_back() -> bool:
            first.kick()
            second.kick()
            back.extend(first.completed())
            return len(back) >= 4

        wait_for(all_back, "four completions")
        assert sorted(back) == [0, 2048, 4096, 6144], f"completed {back}"
        assert sorted(len(frame) for frame in veth.wire.frames(4)) == [200, 201, 202, 203]


def test_two_queues(twin: Ends, steer: Steer):
    """Each queue has rings of its own: buffers of one never turn up in the other."""
    with two_sockets(twin, 1) as (first, second), ready(Umem(8, 2048)) as far, ready(Umem(8, 2048)) as far1:
        far.bind(twin.far, 0)
        far1.bind(twin.far, 1)
        with steer.into(twin.link, Mode.NATIVE, first, second):
            first.give([0, 2048])
            second.give([16 * 2048, 17 * 2048])
            for xsk, length in ((far, 100), (far1, 200), (far, 101), (far1, 201)):
                xsk.write(0, ethernet(length))
                xsk.send([Desc(0, length)])
                transmit(xsk, 1)
            got = collect(first, 2), collect(second, 2)
        assert [(first.base(desc), desc.length) for desc in got[0]] == [(0, 100), (2048, 101)]
        assert [(second.base(desc), desc.length) for desc in got[1]] == [(16 * 2048, 200), (17 * 2048, 201)]


@cases("flags", ["COPY", "ZERO_COPY", "NEED_WAKEUP"])
def test_flags_are_the_first_socket_s(veth: Ends, flags: str):
    with ready() as first, Xsk() as second:
        first.bind(veth.link)
        second.make_rings(rx=64)
        assert refusal(lambda: second.bind_at_once(veth.link, 0, Bind[flags], first)) == "EINVAL"


def test_what_may_not_be_shared(veth: Ends):
    """Own rings on the same queue, none on another one, an unbound socket, one with a umem of its own."""
    with ready() as first, ready() as whole, Xsk() as bare, Xsk() as ringed, Xsk() as late:
        bare.make_rings(rx=64)
        assert refusal(lambda: bare.bind_at_once(veth.link, 0, 0, first)) == "EBADF", "shared with an unbound socket"
        first.bind(veth.link)
        assert refusal(lambda: whole.bind_at_once(veth.link, 0, 0, first)) == "EINVAL", "a umem of its own"
        ringed.make_rings(fill=64, completion=64, rx=64)
        assert refusal(lambda: ringed.bind_at_once(veth.link, 0, 0, first)) == "EINVAL", "rings on the same queue"
        late.make_rings(rx=64)
        assert refusal(lambda: late.bind_at_once(veth.link, 1, 0, first)) == "EINVAL", "no rings on another queue"
        assert refusal(lambda: bare.bind_at_once(veth.link, 0, 0, first)) == "", "and at last as it should be"


def test_the_umem_outlives_its_first_socket(twin: Ends, steer: Steer):
    """The second socket goes on with the memory and the rings when the first is closed."""
    with two_sockets(twin, 1) as (first, second), ready(Umem(8, 2048)) as far:
        memory = first.memory
        far.bind(twin.far, 1)
        with steer.into(twin.link, Mode.NATIVE, second, second):
            second.give([0, 2048])
            first.socket.close()
            far.write(0, ethernet(300))
            far.send([Desc(0, 300)])
            transmit(far, 1)
            (desc,) = collect(second, 1)
            assert memory is not None
            assert not difference(second.data(desc), ethernet(300))


def test_two_devices(veth: Ends, twin: Ends, steer: Steer):
    """One umem, each device with rings of its own (xp_assign_dev_shared); each gets and sends its own buffers."""
    with ready(Umem(32, 2048)) as first, Xsk() as second:
        first.bind(veth.link, 0)
        second.make_rings(fill=64, completion=64, rx=64, tx=64)
        second.bind(twin.link, 1, 0, first)
        plain = steer.object.program("plain").fd
        with steer.into(veth.link, Mode.NATIVE, first, second), attached(twin.link, plain, Mode.NATIVE):
            first.give([0, 2048])
            second.give([16 * 2048, 17 * 2048])
            with sender(Ends(twin.far, twin.link, twin.wire), queue=1) as far:
                for number in range(2):
                    veth.wire.send(ethernet(100 + number, start=number))
                    far.write(0, ethernet(200 + number, start=number))
                    far.send([Desc(0, 200 + number)])
                    transmit(far, 1)
            for xsk, base, length in ((first, 0, 100), (second, 16 * 2048, 200)):
                got = collect(xsk, 2)
                assert [(xsk.base(d), d.length) for d in got] == [(base, length), (base + 2048, length + 1)]
                for number, desc in enumerate(got):
                    assert not difference(first.data(desc), ethernet(length + number, start=number))
        for xsk, wire, address in ((first, veth.wire, 4096), (second, twin.wire, 20 * 2048)):
            wire.pending()
            first.write(address, ethernet(300, start=address % 251))
            xsk.send([Desc(address, 300)])
            assert transmit(xsk, 1) == [address]
            assert not difference(wire.receive(), ethernet(300, start=address % 251))
