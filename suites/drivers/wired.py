"""The board's own interface as a row of the table, and what can be learned of it before it is tested.

What a driver that nobody knows here does by design is found out by trying; whether it does it right, and whether that
is what it advertises, is for the tests. A driver of the table is known to have its peculiarities on a board too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from drivers.programs import Action, Programs
from drivers.rig import Rig, reach
from drivers.rows import TABLE, Native, Row
from net.ethtool import driver
from net.features import Feature, advertised
from net.link import Link, tuned
from net.netlink import NetlinkError
from net.remote import Remote
from net.wire import Wire
from net.xdp import Mode, attached, refusal

__all__ = ["wired"]

_LARGE = 9000


@contextlib.contextmanager
def wired(row: Row, programs: Programs) -> Iterator[Rig]:
    """`--iface`, and at the end of its cable `--loop` or `--peer`. Each is given back as it was found."""
    link = Link.named(os.environ["KTRIAL_IFACE"])
    loop, target = os.environ.get("KTRIAL_LOOP"), os.environ.get("KTRIAL_PEER")
    if not loop and not target:
        pytest.skip(f"nothing is known of the other end of {link.name}'s cable (--loop or --peer)")
    with contextlib.ExitStack() as stack:
        peer = Link.named(loop) if loop else None
        for one in (link, peer) if peer else (link,):
            _take(one, stack)
        for one in (link, peer) if peer else (link,):
            one.wait_until_up()
        far: Wire | Remote
        if peer is not None:
            far = stack.enter_context(Wire(peer))
        else:
            assert target
            far = stack.enter_context(Remote(target, link))
            with Wire(link, 0) as say:
                far.find(say.send)
        name = driver(link)
        known = next((each for each in TABLE if each.driver == name), row)
        if known.far_program and peer is not None:
            programs.order("witness", Action.PASS)
            stack.enter_context(attached(peer, programs["witness"].fd, Mode.NATIVE))
        rig = Rig(replace(known, driver=name), link, far, peer, remote=far if isinstance(far, Remote) else None)
        reach(link, far)
        yield replace(rig, row=_learned(row, rig, programs))


def _take(link: Link, stack: contextlib.ExitStack) -> None:
    """Have an interface for the tests alone: no IPv6 and no XDP program on it, up. Fails where it is in use."""
    if link.state.xdp_mode:
        pytest.fail(f"{link.name} has an XDP program already: ip link set {link.name} xdp off", False)
    stack.enter_context(_without_ipv6(link))
    stack.enter_context(tuned(link))
    if not link.state.up:
        link.up()


@contextlib.contextmanager
def _without_ipv6(link: Link) -> Iterator[None]:
    """No frames on it but a test's own, as far as that is up to us."""
    path = f"/proc/sys/net/ipv6/conf/{link.name}/disable_ipv6"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # a kernel without IPv6
        yield
        return
    try:
        before = os.read(descriptor, 16)
        os.pwrite(descriptor, b"1", 0)
        yield
        with contextlib.suppress(OSError):  # the interface may be gone
            os.pwrite(descriptor, before, 0)
    finally:
        os.close(descriptor)


def _learned(row: Row, rig: Rig, programs: Programs) -> Row:
    """What this device does, beside what is known of its driver (the rig's row).

    Where the kernel tells no xdp-features, redirects into it are expected to work.
    """
    native = Native.NONE
    told = with_program = _told(rig.link)
    if refusal(rig.link, programs["frags_a"].fd, Mode.NATIVE) is None:
        native = Native.RUNS
        with attached(rig.link, programs["frags_a"].fd, Mode.NATIVE):
            rig.link.wait_until_up()
            with_program = _told(rig.link)
    large = _large_mtu(rig)
    return replace(
        rig.row,
        name=row.name,
        maker=row.maker,
        card="",
        native=native,
        native_symbol="",
        jumbo=large,
        plain_jumbo=None,
        raise_mtu=None,
        frags_jumbo=native is Native.RUNS and large > rig.mtu and _takes_frags(rig, large, programs),
        features=told,
        with_program=with_program & ~told,
        undecided=Feature(0),
        own_program=bool(with_program & ~told & Feature.NDO_XMIT),
        # A driver of the table counts as it does there; of others nobody knows (test_counters.py has what must be).
        counts=rig.row.counts if rig.row.maker != "board" else (),
        generic_counts=rig.row.generic_counts if rig.row.maker != "board" else (),
    )


def _told(link: Link) -> Feature:
    told = advertised(link)
    return told.xdp if told else Feature.BASIC | Feature.REDIRECT | Feature.NDO_XMIT


def _large_mtu(rig: Rig) -> int:
    """9000, where both ends and the cable take it."""
    return _LARGE if _at_mtu(rig, _LARGE, lambda: True) else rig.mtu


def _takes_frags(rig: Rig, mtu: int, programs: Programs) -> bool:
    return _at_mtu(rig, mtu, lambda: refusal(rig.link, programs["frags_a"].fd, Mode.NATIVE) is None)


def _at_mtu(rig: Rig, mtu: int, ask: Callable[[], bool]) -> bool:
    """What is found at an MTU; False where it cannot be set."""
    try:
        rig.set_mtu(mtu)
        return ask()
    except NetlinkError:
        return False
    finally:
        rig.set_mtu(rig.mtu)
        reach(rig.link, rig.far)
