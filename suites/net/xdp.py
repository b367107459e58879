"""XDP programs on devices: attach in a mode, replace, detach, over rtnetlink, with the kernel's words on a refusal.

Rules: net/core/rtnetlink.c:do_setlink (IFLA_XDP), net/core/dev.c:dev_xdp_attach.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from enum import StrEnum

from net.link import Link
from net.netlink import NETLINK_ROUTE, Netlink, NetlinkError, attribute, nest

__all__ = ["Mode", "attach", "attached", "detach", "refusal"]

_RTM_SETLINK = 19
_IFINFO = struct.Struct("=BxHiII")
_XDP, _FD, _FLAGS, _EXPECTED_FD = 43, 1, 3, 8
_UPDATE_IF_NOEXIST, _REPLACE = 1, 1 << 4


class Mode(StrEnum):
    """How a device runs a program. flag: XDP_FLAGS_*_MODE. reported: XDP_ATTACHED_* of RTM_GETLINK."""

    NATIVE = "native"
    GENERIC = "generic"
    OFFLOAD = "offload"

    @property
    def flag(self) -> int:
        return {"generic": 2, "native": 4, "offload": 8}[self.value]

    @property
    def reported(self) -> int:
        return {"native": 1, "generic": 2, "offload": 3}[self.value]


def attach(link: Link, program: int, mode: Mode, *, instead_of: int | None = None, only_new: bool = False) -> None:
    """Attach a program's descriptor; one that is there is replaced.

    instead_of: replace exactly this program (EEXIST where it is another). only_new: refuse where there is one (EBUSY).
    Raises NetlinkError.
    """
    flags = mode.flag | (_REPLACE if instead_of is not None else 0) | (_UPDATE_IF_NOEXIST if only_new else 0)
    attrs = [attribute(_FD, program), attribute(_FLAGS, flags)]
    if instead_of is not None:
        attrs.append(attribute(_EXPECTED_FD, instead_of))
    with Netlink(NETLINK_ROUTE) as netlink:
        netlink.ask(_RTM_SETLINK, _IFINFO.pack(0, 0, link.index, 0, 0) + nest(_XDP, *attrs))


def detach(link: Link, mode: Mode) -> None:
    """Detach whatever is there in this mode. Raises NetlinkError."""
    attach(link, -1, mode)


def refusal(link: Link, program: int, mode: Mode) -> NetlinkError | None:
    """Try to attach: the refusal, or None where it went well (and was detached again)."""
    try:
        attach(link, program, mode)
    except NetlinkError as error:
        return error
    detach(link, mode)
    return None


@contextlib.contextmanager
def attached(link: Link, program: int, mode: Mode) -> Iterator[None]:
    """A program on a device for as long as the block runs."""
    attach(link, program, mode)
    try:
        yield
    finally:
        detach(link, mode)
