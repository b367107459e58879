"""A tun has packets without Ethernet header: generic programs get them from the IP header on, native are refused.

Rules: drivers/net/tun.c:tun_netdev_ops (no ndo_bpf), tun_get_user; net/core/dev.c:bpf_prog_run_generic_xdp.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from drivers.bench import assert_same
from drivers.programs import Action, Programs
from drivers.rigs import IFF_TUN, Tap, tap_opened
from net.link import Link
from net.namespace import namespace
from net.wire import TEST_TYPE, Wire, payload
from net.xdp import Mode, attached, refusal
from xdp_multibuf.cases import cases

pytestmark = pytest.mark.skipif(bool(os.environ.get("KTRIAL_IFACE")), reason="on a board its interface is what counts")

IPV4 = 0x0800
SIZES = (20, 60, 576, 1400, 1500)


def packet(size: int, start: int = 0) -> bytes:
    """An IPv4 packet from 136.181.0.1: where a frame has its EtherType it has the tests' own."""
    assert TEST_TYPE == 136 << 8 | 181
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size, 1, 0, 64, 253, 0, bytes((136, 181, 0, 1)), bytes((192, 0, 2, 1)))
    return head + payload(size - len(head), start)


PACKETS = [packet(size, 17 * number) for number, size in enumerate(SIZES)]


@dataclass(frozen=True)
class Tun:
    """A tun, and a second one to redirect to. near: what its packets come to on the stack."""

    link: Link
    process: Tap
    near: Wire
    other: Link
    other_process: Tap

    def send(self, programs: Programs) -> None:
        """Every packet, from the process, each of which is whole for the program before the write returns."""
        before = programs.sight("plain_a").runs
        for one in PACKETS:
            self.process.send(one)
            size = programs.sight("plain_a").length
            assert size == len(one), f"of a packet of {len(one)} bytes the program saw {size}"
        runs = programs.sight("plain_a").runs - before
        assert runs == len(PACKETS), f"of {len(PACKETS)} packets the program saw {runs}"


@pytest.fixture
def tun() -> Iterator[Tun]:
    with (
        namespace() as private,
        private.entered(),
        tap_opened("ktdut", IFF_TUN) as (link, process),
        tap_opened("ktother", IFF_TUN) as (other, other_process),
        Wire(link, IPV4) as near,
    ):
        yield Tun(link, process, near, other, other_process)


def test_native_program_is_refused(tun: Tun, programs: Programs):
    error = refusal(tun.link, programs["plain_a"].fd, Mode.NATIVE)
    assert error is not None, "a tun has no native XDP, and took a program"
    assert error.name == "EOPNOTSUPP", f"EOPNOTSUPP expected of a native program on a tun: {error}"
    assert tun.link.state.xdp_mode == 0, "refused, and attached"


@cases("kind", ["plain", "frags"])
@cases("tail", [0, -8])
def test_passed(tun: Tun, programs: Programs, kind: str, tail: int):
    """What the program saw is the packet from its IP header on, and what it leaves goes on to the stack.

    bpf_xdp_adjust_tail leaves at least what an Ethernet header takes, though there is none (ETH_HLEN).
    """
    name = f"{kind}_a"
    programs.order(name, Action.PASS, tail=tail)
    with attached(tun.link, programs[name].fd, Mode.GENERIC):
        for one in (one for one in PACKETS if len(one) + tail >= 14):
            tun.process.send(one)
            assert programs.sight(name).length == len(one), f"of {len(one)} bytes it saw {programs.sight(name).length}"
            left = one[: len(one) + tail]
            assert_same(tun.near.frames(1), [left], f"a packet passed by a {kind} program, tail {tail:+}")
        assert not programs.sight(name).failed, "a shrink was refused"


def test_sent_back(tun: Tun, programs: Programs):
    programs.order("plain_a", Action.TX)
    with attached(tun.link, programs["plain_a"].fd, Mode.GENERIC):
        tun.send(programs)
        assert_same(tun.process.frames(len(PACKETS)), PACKETS, "packets sent back to the process")
        assert not tun.near.pending(), "packets were sent back, and came to the stack"


def test_redirected(tun: Tun, programs: Programs):
    programs.order("plain_a", Action.REDIRECT)
    with programs.redirecting_to(tun.other.index), attached(tun.link, programs["plain_a"].fd, Mode.GENERIC):
        tun.send(programs)
        assert_same(tun.other_process.frames(len(PACKETS)), PACKETS, "packets redirected to another tun")
        assert not tun.near.pending() + tun.process.pending(), "packets were redirected, and came elsewhere too"


@cases("action", [Action.DROP, Action.ABORTED])
def test_dropped(tun: Tun, programs: Programs, action: Action):
    programs.order("plain_a", action)
    with attached(tun.link, programs["plain_a"].fd, Mode.GENERIC), programs.traced():
        tun.send(programs)
        told = programs.trace.exceptions
        assert told == (len(PACKETS) if action is Action.ABORTED else 0), f"xdp_exception was told of {told}"
        programs.order("plain_a", Action.PASS)
        tun.process.send(PACKETS[1])
        assert_same(tun.near.frames(1), [PACKETS[1]], "the first packet on the stack after those that were dropped")
