"""Every allocation of a socket's life may fail, once: an error, and the next socket is as good as the first.

Rules: net/xdp/xsk.c:xsk_setsockopt, xsk_bind; net/xdp/xdp_umem.c:xdp_umem_reg; net/xdp/xsk_buff_pool.c.
"""

from __future__ import annotations

from af_xdp.lab import Ends
from af_xdp.xsk import Bind, Umem, Xsk, errno_of
from faults import Faults

# Of any allocation; of sock_alloc() (net/socket.c:__sock_create); of an id (lib/idr.c:ida_alloc_range).
_REFUSALS = ("", "ENOMEM", "ENOBUFS", "ENFILE", "ENOSPC")


def _life(veth: Ends, umem: Umem) -> str:
    """A socket with its memory, rings and binding: the errno's name of what was refused, or ""."""
    try:
        with Xsk() as xsk:
            xsk.register(umem)
            xsk.make_rings(fill=64, completion=64, rx=64, tx=64)
            xsk.bind_at_once(veth.link, 0, Bind.COPY)
    except OSError as error:
        return errno_of(error)
    return ""


def test_each_allocation_of_a_socket_may_fail(veth: Ends, faults: Faults):
    refused = 0
    for number, error in faults.each(lambda: _life(veth, Umem(16, 2048))):
        assert error in _REFUSALS, f"allocation {number} failed: {error}"
        refused += bool(error)
    assert refused > 5, f"{refused} allocations that failed made a socket fail"
    assert not _life(veth, Umem(16, 2048)), "no allocation fails any more, and no socket can be had"
