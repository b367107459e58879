"""Bound and offloaded programs on a device that has both: which port takes which.

Rules: drivers/net/netdevsim/bpf.c:nsim_setup_prog_checks, nsim_setup_prog_hw_checks; kernel/bpf/offload.c:
__bpf_offload_dev_match, bpf_dev_bound_kfunc_check.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator

import pytest
from net.link import Link
from net.namespace import namespace
from net.xdp import Mode, attached, refusal
from xdp_metadata.bound import KFUNCS, bound, load_error, need
from xdp_multibuf.cases import cases

BUS = "/sys/bus/netdevsim"
FIRST, SECOND = 7110, 7111  # ids on the bus


@pytest.fixture(autouse=True)
def _kernel_binds_programs() -> None:
    need()


def _write(name: str, text: str) -> None:
    descriptor = os.open(f"{BUS}/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _device(number: int, ports: int) -> Iterator[list[Link]]:
    """A simulated device with that many ports, in the current namespace. Skips where the kernel has none."""
    if not os.path.isdir(BUS):  # noqa: PTH112 - pathlib is slow here
        pytest.skip("the kernel has no netdevsim (CONFIG_NETDEVSIM)")
    before = {index for index, _ in socket.if_nameindex()}
    _write("new_device", f"{number} {ports}")
    try:
        yield [Link(name, index) for index, name in socket.if_nameindex() if index not in before]
    finally:
        _write("del_device", str(number))


@pytest.fixture
def ports() -> Iterator[tuple[Link, Link, Link]]:
    """Two ports of one device and one of another, in a namespace of their own."""
    with namespace() as home, home.entered(), _device(FIRST, 2) as (one, two), _device(SECOND, 1) as (other,):
        yield one, two, other


def _refused(link: Link, fd: int, mode: Mode, what: str) -> None:
    error = refusal(link, fd, mode)
    assert error is not None, f"{what} was taken"
    assert error.errno == errno.EINVAL, f"{what}: {error}"


@cases("asks", KFUNCS)
def test_a_program_that_asks_is_bound_but_not_offloaded(ports: tuple[Link, Link, Link], asks: str):
    """A device without the operations has the kernel's stubs. Hardware cannot call a kernel function."""
    error = load_error(asks, ports[0].index)
    assert not error, f"bound to a netdevsim: {errno.errorcode.get(error, error)}"
    error = load_error("rx_timestamp_alone", ports[0].index, 0)
    assert error == errno.EINVAL, f"offloaded with a kfunc: {errno.errorcode.get(error, error) or 'success'}"


def test_a_bound_program_belongs_to_one_port(ports: tuple[Link, Link, Link]):
    """Native XDP of its own port refuses it with -EINVAL, or takes it in later kernels; no other port ever does."""
    one, two, other = ports
    with bound("nothing", one.index) as program:
        own = refusal(one, program.fd, Mode.NATIVE)
        assert own is None or own.errno == errno.EINVAL, f"its own port: {own}"
        _refused(two, program.fd, Mode.NATIVE, "a program bound to the other port of the device")
        _refused(other, program.fd, Mode.NATIVE, "a program bound to another device")
        _refused(one, program.fd, Mode.GENERIC, "a bound program in generic mode")
        _refused(one, program.fd, Mode.OFFLOAD, "a program that is bound, but not made for offload")


def test_an_offloaded_program_belongs_to_the_device(ports: tuple[Link, Link, Link]):
    """Any port of it takes the program, in offload mode only; another device does not."""
    one, two, other = ports
    with bound("nothing", one.index, 0) as program:
        for port in (one, two):
            with attached(port, program.fd, Mode.OFFLOAD):
                assert port.state.xdp_mode == Mode.OFFLOAD.reported
        _refused(other, program.fd, Mode.OFFLOAD, "a program offloaded to another device")
        for mode in (Mode.NATIVE, Mode.GENERIC):
            _refused(one, program.fd, mode, f"an offloaded program in {mode} mode")


def test_a_port_goes_before_its_program():
    """A bound program whose device is gone is harmless, and closed last."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(namespace())
        with home.entered(), _device(FIRST, 1) as (port,):
            program = stack.enter_context(bound("nothing", port.index))
        with home.entered(), _device(FIRST, 1) as (port,):
            _refused(port, program.fd, Mode.OFFLOAD, "a program whose device is gone")
            _refused(port, program.fd, Mode.NATIVE, "a program whose device is gone")
