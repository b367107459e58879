"""What a device says of its XDP abilities: the generic netlink family `netdev`.

Its specification: Documentation/netlink/specs/netdev.yaml.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from enum import IntFlag

from net.link import Link
from net.netlink import NETLINK_GENERIC, Netlink, NetlinkError, attribute, attributes

__all__ = ["Advertised", "Feature", "advertised", "has_netdev_family"]

_CONTROLLER, _GET_FAMILY = 0x10, 3
_FAMILY_ID, _FAMILY_NAME = 1, 2
_DEV_GET = 1
_IFINDEX, _XDP_FEATURES, _ZC_MAX_SEGS, _RX_METADATA, _XSK_FEATURES = 1, 3, 4, 5, 6


class Feature(IntFlag):
    """enum netdev_xdp_act."""

    BASIC = 1
    REDIRECT = 2
    NDO_XMIT = 4
    XSK_ZEROCOPY = 8
    HW_OFFLOAD = 16
    RX_SG = 32
    NDO_XMIT_SG = 64


@dataclass(frozen=True)
class Advertised:
    """xdp: enum netdev_xdp_act. zero_copy_segments: most fragments of an AF_XDP frame, None where it has no zero-copy.

    rx_metadata: enum netdev_xdp_rx_metadata (1 timestamp, 2 hash, 4 VLAN tag). xsk: enum netdev_xsk_flags.
    0 where the kernel does not tell.
    """

    xdp: Feature
    zero_copy_segments: int | None
    rx_metadata: int
    xsk: int


def has_netdev_family() -> bool:
    """Whether the kernel has the family at all (Linux 6.3 and later)."""
    return _family() is not None


def advertised(link: Link) -> Advertised | None:
    """What the device advertises; None on a kernel that has no such family."""
    family = _family()
    if family is None:
        return None
    with Netlink(NETLINK_GENERIC) as netlink:
        body = struct.pack("=BBH", _DEV_GET, 1, 0) + attribute(_IFINDEX, link.index)
        found = attributes(netlink.ask(family, body)[0][4:])
    numbers = {kind: int.from_bytes(value, "little") for kind, value in found.items()}
    return Advertised(
        xdp=Feature(numbers[_XDP_FEATURES]),
        zero_copy_segments=numbers.get(_ZC_MAX_SEGS),
        rx_metadata=numbers.get(_RX_METADATA, 0),
        xsk=numbers.get(_XSK_FEATURES, 0),
    )


@functools.cache
def _family() -> int | None:
    with Netlink(NETLINK_GENERIC) as netlink:
        try:
            body = struct.pack("=BBH", _GET_FAMILY, 1, 0) + attribute(_FAMILY_NAME, "netdev")
            found = attributes(netlink.ask(_CONTROLLER, body)[0][4:])
        except NetlinkError:
            return None
    return int.from_bytes(found[_FAMILY_ID], "little")
