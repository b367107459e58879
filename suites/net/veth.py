"""Veth pairs and addresses over rtnetlink: where instructions are counted, each `ip` takes twenty million of them."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from net.link import Link, quiet
from net.namespace import Namespace
from net.netlink import NETLINK_ROUTE, Netlink, NetlinkError, attribute, nest

__all__ = ["add_address", "remove_address", "swift_veth"]

_RTM_NEWLINK, _RTM_DELLINK, _RTM_NEWADDR, _RTM_DELADDR = 16, 17, 20, 21
_CREATE, _EXCLUSIVE = 0x400, 0x200
_IFINFO, _IFADDR = struct.Struct("=BxHiII"), struct.Struct("=BBBBI")
_IFNAME, _MTU, _LINKINFO, _NET_NS_FD = 3, 4, 18, 28
_INFO_KIND, _INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2


@contextlib.contextmanager
def swift_veth(left: str, right: str, *, mtu: int = 1500, into: Namespace | None = None) -> Iterator[tuple[Link, Link]]:
    """Two ends of a veth, without IPv6, up. Both go when the first one is removed.

    into: the namespace of the second end, which is not up there and must be looked up there by its name.
    """
    try:
        _ask(_RTM_NEWLINK, _head() + _named(left, mtu) + _veth(right, mtu, into), _CREATE | _EXCLUSIVE)
    except NetlinkError as error:
        if error.errno == errno.EOPNOTSUPP:
            pytest.skip(f"the kernel makes no veth device: {error}")
        raise
    first = Link.named(left)
    try:
        second = Link(right, 0) if into else Link.named(right)
        for link in (first,) if into else (first, second):
            quiet(link)
            link.up()
        if not into:
            first.wait_until_up()
            second.wait_until_up()
        yield first, second
    finally:
        _ask(_RTM_DELLINK, _head(first.index))


def add_address(link: Link, address: str, prefix: int) -> None:
    """An IPv4 address on a link. It goes with the link."""
    _ask(_RTM_NEWADDR, _address(link, address, prefix), _CREATE | _EXCLUSIVE)


def remove_address(link: Link, address: str, prefix: int) -> None:
    _ask(_RTM_DELADDR, _address(link, address, prefix))


def _address(link: Link, address: str, prefix: int) -> bytes:
    raw = socket.inet_aton(address)
    head = _IFADDR.pack(socket.AF_INET, prefix, 0, 0, link.index)
    return head + attribute(_IFA_LOCAL, raw) + attribute(_IFA_ADDRESS, raw)


def _head(index: int = 0) -> bytes:
    return _IFINFO.pack(0, 0, index, 0, 0)


def _named(name: str, mtu: int) -> bytes:
    return attribute(_IFNAME, name) + attribute(_MTU, mtu)


def _veth(right: str, mtu: int, into: Namespace | None) -> bytes:
    """IFLA_LINKINFO: the peer is a whole message of its own (veth_newlink in drivers/net/veth.c)."""
    peer = _head() + _named(right, mtu) + (attribute(_NET_NS_FD, into.fd) if into else b"")
    return nest(_LINKINFO, attribute(_INFO_KIND, "veth"), nest(_INFO_DATA, attribute(_VETH_INFO_PEER, peer)))


def _ask(kind: int, body: bytes, flags: int = 0) -> None:
    with Netlink(NETLINK_ROUTE) as netlink:
        netlink.ask(kind, body, flags=flags)
