"""The pairs of network cards that a suite's manifest asks for, found by the addresses that the host gave them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from net.ethtool import rings
from net.link import Link, by_mac, quiet
from net.wire import FLUSH_TYPE, Wire, ethernet

__all__ = ["card_pair", "lacking", "use_up_buffers"]

_MTU = 1500  # bytes


def lacking(device: str) -> str:
    """Why there is no such pair, in one line; "" where there is. device: as in the manifest."""
    asked = _asked().get(device)
    if asked is None:
        return f"the guest was not given a {device} (the suite's manifest asks for devices)"
    if asked["missing"]:
        return str(asked["missing"])
    return "" if all(by_mac(_bytes(mac)) for mac in asked["macs"]) else f"the kernel has no driver for {device}"


def card_pair(device: str) -> tuple[Link, Link]:
    """The two cards of a device, each hearing what the other sends.

    They have the MTU of Ethernet and no IPv6, and are up or down as they were left.
    Skips the test, saying what is missing, where QEMU or the kernel has no such card.
    """
    reason = lacking(device)
    if reason:
        pytest.skip(reason)
    links = [by_mac(_bytes(mac)) for mac in _asked()[device]["macs"]]
    first, second = (link for link in links if link is not None)
    for link in (first, second):
        quiet(link)
        if link.state.mtu != _MTU:
            link.set_mtu(_MTU)
    return first, second


def use_up_buffers(link: Link, send: Callable[[bytes, int], object]) -> None:
    """Have a device receive until each buffer that it has now is used; a small frame takes one, and is passed.

    Those from before its program may have no room for XDP (virtio_net.c:mergeable_xdp_get_buf). send: puts a frame on
    the device's wire so often.
    """
    count = rings(link).rx
    with Wire(link, FLUSH_TYPE) as hear:
        send(ethernet(60, kind=FLUSH_TYPE), count)
        hear.frames(count)


def _asked() -> dict[str, dict]:
    return json.loads(os.environ.get("KTRIAL_DEVICES", "{}"))


def _bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
