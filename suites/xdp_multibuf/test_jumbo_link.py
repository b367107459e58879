"""Jumbo frames on a link of MTU 9000: programs with and without frags support, native and generic.

Rules: drivers/net/veth.c:veth_xdp_set, veth_convert_skb_to_xdp_buff; net/core/dev.c:netif_receive_generic_xdp,
bpf_prog_run_generic_xdp. A program that cannot handle fragments is refused, or gets frames that have none.
"""

from __future__ import annotations

import errno

import pytest
from net.netlink import NetlinkError
from net.wire import Wire, ethernet
from net.xdp import Mode, attach, detach
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import LENGTH, LINEAR, Machine, difference, load
from xdp_multibuf.redirect import Street

SIZES = (60, 1514, 9014)


def _through(machine: Machine, links: Street, size: int) -> tuple[tuple[int, ...], bytes]:
    """Send a frame past the program: length, linear part and result of a load as it saw them, and what it loaded."""
    operations = (LENGTH, LINEAR, load(0, size))
    machine.prepare(operations)
    with Wire(links.near_peer) as taken, Wire(links.near, 0) as wire:
        wire.send(ethernet(size))
        got = taken.receive(what=f"a frame of {size} bytes that the program passed")
    assert not difference(got, ethernet(size)), f"frame of {size} bytes passed on: {difference(got, ethernet(size))}"
    assert machine.runs == 1, f"one frame of {size} bytes: the program ran {machine.runs} times"
    done = [machine.result(index) for index in range(len(operations))]
    return tuple(result for result, _ in done), done[2][1]


@cases("size", SIZES)
@cases("mode", list(Mode)[:2])
def test_frags_program_on_a_jumbo_link(machine: Machine, links: Street, size: int, mode: Mode):
    """It is attached, sees every byte, and what it passes is whole."""
    attach(links.near_peer, machine.frags.fd, mode)
    try:
        (length, linear, loaded), data = _through(machine, links, size)
    finally:
        detach(links.near_peer, mode)
    assert (length, loaded) == (size, 0), f"{mode} frame of {size} bytes: length, load = {length, loaded}"
    assert linear <= size
    assert not difference(data, ethernet(size)), f"{mode} frame of {size} bytes: {difference(data, ethernet(size))}"


@cases("size", SIZES)
@cases("mode", list(Mode)[:2])
def test_plain_program_on_a_jumbo_link(machine: Machine, links: Street, size: int, mode: Mode):
    """It is refused (by MTU, where a driver puts large frames into several buffers), or what it gets is linear and
    whole: never the first part of a frame."""
    try:
        attach(links.near_peer, machine.plain.fd, mode)
    except NetlinkError as refusal:
        if (mode, refusal.errno) == (Mode.NATIVE, errno.ERANGE):
            return
        pytest.fail(f"plain program, {mode}, MTU 9000: {refusal}")
    try:
        seen, data = _through(machine, links, size)
    finally:
        detach(links.near_peer, mode)
    assert seen == (size, size, 0), f"{mode} frame of {size} bytes, plain program: length, linear, load = {seen}"
    assert not difference(data, ethernet(size)), f"{mode} frame of {size} bytes: {difference(data, ethernet(size))}"
