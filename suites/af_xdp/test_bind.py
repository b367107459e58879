"""What a socket may ask for, what is refused and with which errno, and that a refusal leaves nothing behind.

Rules: net/xdp/xsk.c:xsk_setsockopt, xsk_bind, xsk_create, xsk_mmap; net/xdp/xdp_umem.c:xdp_umem_reg;
net/xdp/xsk_buff_pool.c:xp_assign_dev.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import resource
import socket
import struct
from collections.abc import Callable, Iterator

import pytest
from af_xdp.cases import kinds
from af_xdp.lab import Ends, Steer, collect, pinned_pages, receiver
from af_xdp.xsk import AF_XDP, SOL_XDP, Bind, Umem, UmemFlag, Xsk, errno_of
from net.link import wait_for
from net.wire import ethernet
from xdp_multibuf.cases import cases

RX_RING, TX_RING, UMEM_REG, FILL_RING, COMPLETION_RING = 2, 3, 4, 5, 6


def refusal(call: Callable[[], object]) -> str:
    """The errno's name, "" where it was done."""
    try:
        call()
    except OSError as error:
        return errno_of(error)
    return ""


@contextlib.contextmanager
def ready(umem: Umem | None = None) -> Iterator[Xsk]:
    """A socket with everything but a binding."""
    with Xsk() as xsk:
        xsk.register(umem or Umem())
        xsk.make_rings(fill=64, completion=64, rx=64, tx=64)
        yield xsk


REGISTRATIONS = [
    ("chunk-2048", Umem(4, 2048), ""),
    ("chunk-4096", Umem(4, 4096), ""),
    ("chunk-1024", Umem(8, 1024), "EINVAL"),
    ("chunk-3000", Umem(4, 3000), "EINVAL"),
    ("chunk-8192", Umem(4, 8192), "EINVAL"),
    ("chunk-0", Umem(4, 0), "EINVAL"),
    ("unaligned-3000", Umem(4, 3000, flags=UmemFlag.UNALIGNED), ""),
    ("unaligned-2047", Umem(4, 2047, flags=UmemFlag.UNALIGNED), "EINVAL"),
    ("no-chunks", Umem(0, 2048), "EINVAL"),
    ("headroom-1000", Umem(4, 2048, 1000), ""),
    ("headroom-1800", Umem(4, 2048, 1800), "EINVAL"),
    ("headroom-2048", Umem(4, 2048, 2048), "EINVAL"),
    ("headroom-huge", Umem(4, 2048, 0xFFFFFF00), "EINVAL"),
    ("unknown-flag", Umem(4, 2048, flags=1 << 30), "EINVAL"),
]


@kinds("kind, umem, error", REGISTRATIONS)
def test_registration(kind: str, umem: Umem, error: str):
    with Xsk() as xsk:
        memory = mmap.mmap(-1, 1 << 17)
        said = refusal(lambda: xsk.register(umem, memory=memory))
        assert said == error, f"{kind}: XDP_UMEM_REG of {umem} said {said or 'yes'}"
        if error:
            again = refusal(lambda: xsk.register(Umem(4, 2048)))
            assert again == "", f"{kind} refused, and then a good umem too: {again}"


def test_memory_must_begin_at_a_page():
    with Xsk() as xsk:
        assert refusal(lambda: xsk.register(Umem(4, 2048), shift=64)) == "EINVAL"


def test_chunks_must_fill_the_umem():
    """A length that is no multiple of the chunk is refused (aligned chunks only)."""
    memory = mmap.mmap(-1, 1 << 16)
    with Xsk() as xsk:
        xsk.register(Umem(2, 2048), memory=memory)
    with Xsk() as xsk, pytest.raises(OSError, match="Invalid argument"):
        xsk.set(UMEM_REG, struct.pack("=QQIIII", 0x10000, 2 * 2048 + 1, 2048, 0, 0, 0))


def test_memory_that_is_not_there():
    with Xsk() as xsk:
        said = refusal(lambda: xsk.set(UMEM_REG, struct.pack("=QQIIII", 0x10000, 1 << 16, 2048, 0, 0, 0)))
        assert said in ("EFAULT", "ENOMEM"), f"unmapped memory: XDP_UMEM_REG said {said or 'yes'}"


def test_memory_of_which_a_part_is_not_there():
    """What was pinned before the hole is let go again (xdp_umem_pin_pages)."""
    pages = 64
    with mmap.mmap(-1, pages * mmap.PAGESIZE) as memory:
        umem = Umem(pages + 4096, 4096)
        before = pinned_pages()
        for _ in range(4):
            with Xsk() as xsk:
                said = refusal(lambda xsk=xsk: xsk.register(umem, memory=memory))
                assert said in ("ENOMEM", "EFAULT"), f"memory with a hole: {said or 'yes'}"
        wait_for(lambda: pinned_pages() <= before, "pages of refused umems to be let go")


@contextlib.contextmanager
def limited_memory(limit: int) -> Iterator[None]:
    """This thread counts against RLIMIT_MEMLOCK (bytes): it lays down CAP_IPC_LOCK for as long as the block runs."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3
    before = ctypes.create_string_buffer(24)
    assert libc.capget(header, before) == 0
    words = list(struct.unpack("=6I", before.raw))
    words[0] &= ~(1 << 14)
    old = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, old[1]))
        assert libc.capset(header, struct.pack("=6I", *words)) == 0
        yield
    finally:
        libc.capset(header, before.raw)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, old)


def test_memory_is_accounted():
    """ENOBUFS above RLIMIT_MEMLOCK, and what was accounted is given back, over and over."""
    pages = 512
    with limited_memory(pages * mmap.PAGESIZE):
        with Xsk() as xsk:
            said = refusal(lambda: xsk.register(Umem(pages + 1, mmap.PAGESIZE)))
            assert said == "ENOBUFS", f"{pages + 1} pages with a limit of {pages}: {said or 'accepted'}"
        for _ in range(4):
            with Xsk() as xsk:
                whole = Umem(pages * 2 // 3, mmap.PAGESIZE)
                wait_for(lambda xsk=xsk, whole=whole: refusal(lambda: xsk.register(whole)) == "", "room for a umem")


def test_one_umem_a_socket():
    with Xsk() as xsk:
        xsk.register(Umem(4, 2048))
        kept = xsk.memory
        assert refusal(lambda: xsk.register(Umem(4, 2048))) == "EBUSY"
        assert kept is not None


@cases("ring", ["rx", "tx", "fill", "completion"])
@cases("entries, error", [(0, "EINVAL"), (3, "EINVAL"), (48, "EINVAL"), (1, ""), (64, "")])
def test_ring_sizes(ring: str, entries: int, error: str):
    kind = {"rx": RX_RING, "tx": TX_RING, "fill": FILL_RING, "completion": COMPLETION_RING}[ring]
    with Xsk() as xsk:
        said = refusal(lambda: xsk.set(kind, struct.pack("=I", entries)))
        assert said == error, f"a {ring} ring of {entries} entries: {said or 'accepted'}"


def test_a_ring_is_made_once():
    with Xsk() as xsk:
        xsk.make_rings(rx=64)
        assert refusal(lambda: xsk.set(RX_RING, struct.pack("=I", 64))) == "EINVAL"


def test_options_want_their_whole_value():
    with Xsk() as xsk:
        assert refusal(lambda: xsk.set(RX_RING, b"\x40\0")) == "EINVAL"
        assert refusal(lambda: xsk.set(UMEM_REG, bytes(8))) == "EINVAL"
        assert refusal(lambda: xsk.set(99, bytes(4))) == "ENOPROTOOPT"
        assert refusal(lambda: xsk.socket.getsockopt(SOL_XDP, 7, 16)) == "EINVAL"
        assert refusal(lambda: xsk.socket.getsockopt(SOL_XDP, 99, 64)) == "EOPNOTSUPP"


def test_old_sizes_of_options_still_serve():
    """struct xdp_statistics and xdp_mmap_offsets had fewer members once (5.3): who asks for these gets these."""
    with ready() as xsk:
        assert len(xsk.socket.getsockopt(SOL_XDP, 7, 24)) == 24
        assert len(xsk.socket.getsockopt(SOL_XDP, 1, 96)) == 96


def test_socket_kinds():
    for kind, protocol, error in ((socket.SOCK_DGRAM, 0, "ESOCKTNOSUPPORT"), (socket.SOCK_RAW, 1, "EPROTONOSUPPORT")):
        assert refusal(lambda kind=kind, protocol=protocol: socket.socket(AF_XDP, kind, protocol)) == error


BINDINGS = [
    ("copy", 0, Bind.COPY, ""),
    ("need-wakeup", 0, Bind.COPY | Bind.NEED_WAKEUP, ""),
    ("kernel-chooses", 0, 0, ""),
    ("both-modes", 0, Bind.COPY | Bind.ZERO_COPY, "EINVAL"),
    ("unknown-flag", 0, 1 << 12, "EINVAL"),
    ("last-queue", 1, Bind.COPY, ""),
    ("no-such-queue", 2, Bind.COPY, "EINVAL"),
    ("queue-65535", 65535, Bind.COPY, "EINVAL"),
]


@kinds("kind, queue, flags, error", BINDINGS)
def test_binding(veth: Ends, kind: str, queue: int, flags: int, error: str):
    with ready() as xsk:
        said = refusal(lambda: xsk.bind(veth.link, queue, flags))
        assert said == error, f"{kind}: bind said {said or 'yes'}"


def test_binding_without_parts(veth: Ends):
    """No umem, no fill or completion ring, or neither a receive nor a transmit ring: EINVAL."""
    for missing in ("umem", "fill", "completion", "rx and tx"):
        sizes = {"fill": 64, "completion": 64, "rx": 64} | ({missing: 0} if missing != "rx and tx" else {"rx": 0})
        with Xsk() as xsk:
            if missing != "umem":
                xsk.register(Umem())
            xsk.make_rings(**{name: entries for name, entries in sizes.items() if entries and name != "umem"})
            said = refusal(lambda xsk=xsk: xsk.bind_at_once(veth.link, 0, Bind.COPY))
            assert said == "EINVAL", f"without {missing}: bind said {said or 'yes'}"


def test_no_such_device(veth: Ends):
    with ready() as xsk:
        assert refusal(lambda: xsk.bind_at_once(0x7FFFFFFF, 0, Bind.COPY)) == "ENODEV"


def test_a_queue_has_one_umem(veth: Ends):
    """A second socket with a umem of its own is refused, and may have the queue when the first is gone."""
    with ready() as second:
        with ready() as first:
            first.bind(veth.link)
            assert refusal(lambda: second.bind_at_once(veth.link, 0, Bind.COPY)) == "EBUSY"
        second.bind(veth.link)


def test_a_socket_is_bound_once(veth: Ends):
    with ready() as xsk:
        xsk.bind(veth.link)
        assert refusal(lambda: xsk.bind_at_once(veth.link, 1, Bind.COPY)) == "EBUSY"
        assert refusal(lambda: xsk.set(TX_RING, struct.pack("=I", 64))) == "EBUSY"


def test_refused_zero_copy_leaves_the_queue_free(veth: Ends, steer: Steer):
    """veth has none: EOPNOTSUPP, the same socket may ask again, and so may others (err_unreg_pool)."""
    with ready() as xsk:
        said = refusal(lambda: xsk.bind(veth.link, 0, Bind.ZERO_COPY))
        if not said:
            pytest.skip("this kernel's veth has zero-copy sockets")
        assert said == "EOPNOTSUPP", f"zero-copy on veth: bind said {said}"
        again = refusal(lambda: xsk.bind_at_once(veth.link, 0, Bind.COPY))
        assert again == "", f"copy mode after zero-copy was refused: {again}"
        assert not xsk.zero_copy
    with receiver(veth, steer) as xsk:
        veth.wire.send(ethernet(100))
        collect(xsk, 1)


def test_closing_lets_go_of_memory(veth: Ends):
    """Every page of every umem, bound or not, registered and closed over and over."""
    before = pinned_pages()
    for turn in range(12):
        with ready(Umem(256, 4096)) as xsk:
            if turn % 3:
                xsk.bind(veth.link)
    wait_for(lambda: pinned_pages() <= before, "pages of closed sockets to be let go")


def test_unbound_socket_does_nothing(veth: Ends):
    with ready() as xsk:
        assert xsk.kick() == "ENXIO"


def test_link_that_is_down(short_lived: Ends):
    """Binding is allowed, sending says ENETDOWN until it is up."""
    short_lived.link.down()
    with ready() as xsk:
        xsk.bind(short_lived.link)
        assert xsk.kick() == "ENETDOWN"
        short_lived.link.up()
        assert xsk.kick() == ""
