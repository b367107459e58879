"""An emulated network card for a driver test: the card, and the other end of its cable in a namespace.

The variables are those of drivers/net/README.rst in the kernel's selftests. The namespace is named in the mount
namespace that the program runs in, so it goes when the program and all that it started are gone.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from net.devices import card_pair, lacking
from net.link import wait_for

__all__ = ["Card", "plugged"]

_FAR = "ktrial-far"
_V4, _V6 = ("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")
_PREFIX_V6 = "2001:db8:2::/64"  # of no address above: NetDrvContEnv takes its namespace's from it
_SETUP = f"""
set -e
ip netns add {_FAR}
ip link set dev $KTRIAL_FAR netns {_FAR}
ip -n {_FAR} link set dev lo up
echo 0 > /proc/sys/net/ipv6/conf/$NETIF/disable_ipv6 || true
ip netns exec {_FAR} sh -c "echo 0 > /proc/sys/net/ipv6/conf/$KTRIAL_FAR/disable_ipv6" || true
ip addr add $LOCAL_V4/24 dev $NETIF
ip -n {_FAR} addr add $REMOTE_V4/24 dev $KTRIAL_FAR
ip -6 addr add $LOCAL_V6/64 dev $NETIF nodad
ip -n {_FAR} -6 addr add $REMOTE_V6/64 dev $KTRIAL_FAR nodad
ip link set dev $NETIF up
ip -n {_FAR} link set dev $KTRIAL_FAR up
set +e
"""


@dataclass(frozen=True)
class Card:
    """setup: shell lines that make the far end. env: what tells a test which card it has."""

    setup: str
    env: dict[str, str]


@contextlib.contextmanager
def plugged(device: str) -> Iterator[Card]:
    """A card of that kind, as new before and after. Skips, saying what is missing, where there is none."""
    near, far = card_pair(device)
    env = {
        "NETIF": near.name,
        "KTRIAL_FAR": far.name,
        "REMOTE_TYPE": "netns",
        "REMOTE_ARGS": _FAR,
        **dict(zip(("LOCAL_V4", "REMOTE_V4"), _V4, strict=True)),
        **dict(zip(("LOCAL_V6", "REMOTE_V6"), _V6, strict=True)),
        "LOCAL_PREFIX_V6": _PREFIX_V6,
    }
    try:
        yield Card(_SETUP, env)
    finally:
        # Once the last process is gone the namespace is, and the far end comes back (default_device_exit_net()).
        wait_for(lambda: not lacking(device), f"{far.name} has not come back from the namespace of the test")
        for link in card_pair(device):
            _reset(link.name)


def _reset(name: str) -> None:
    """No addresses, programs or queueing disciplines, the usual MTU, and down."""
    for words in (
        ("ip", "link", "set", "dev", name, "xdp", "off"),
        ("ip", "link", "set", "dev", name, "xdpgeneric", "off"),
        ("ip", "link", "set", "dev", name, "mtu", "1500", "down"),
        ("ip", "addr", "flush", "dev", name),
        ("tc", "qdisc", "del", "dev", name, "clsact"),
    ):
        subprocess.run(words, capture_output=True, check=False, timeout=30)
