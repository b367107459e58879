"""The pairs of network cards that a suite's manifest asks for, found by the addresses that the host gave them."""

from __future__ import annotations

import json
import os

import pytest

from net.link import Link, by_mac, quiet

__all__ = ["card_pair", "lacking"]


def lacking(device: str) -> str:
    """Why there is no such pair, in one line; "" where there is. device: as in the manifest."""
    asked = _asked().get(device)
    if asked is None:
        return f"the guest was not given a {device} (the suite's manifest asks for devices)"
    if asked["missing"]:
        return str(asked["missing"])
    return "" if all(by_mac(_bytes(mac)) for mac in asked["macs"]) else f"the kernel has no driver for {device}"


def card_pair(device: str) -> tuple[Link, Link]:
    """The two cards of a device, each hearing what the other sends. Without IPv6; up or down as they were left.

    Skips the test, saying what is missing, where QEMU or the kernel has no such card.
    """
    reason = lacking(device)
    if reason:
        pytest.skip(reason)
    links = [by_mac(_bytes(mac)) for mac in _asked()[device]["macs"]]
    first, second = (link for link in links if link is not None)
    for link in (first, second):
        quiet(link)
    return first, second


def _asked() -> dict[str, dict]:
    return json.loads(os.environ.get("KTRIAL_DEVICES", "{}"))


def _bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
