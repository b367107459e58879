"""A program bound to a device runs there, and nowhere else; and it outlives the device harmlessly.

Rules: kernel/bpf/offload.c:bpf_prog_dev_bound_init, bpf_offload_dev_match; net/core/dev.c:dev_xdp_install;
kernel/bpf/core.c:bpf_prog_map_compatible; net/bpf/test_run.c:bpf_prog_test_run_xdp.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from bpf.libbpf import BPF_F_XDP_DEV_BOUND_ONLY, Object, find_object
from net.link import made, veth_pair
from net.namespace import Namespace, namespace
from net.wire import ethernet
from net.xdp import Mode, attach, attached, refusal
from xdp_metadata.bound import KFUNCS, bound, load_error, need
from xdp_metadata.lab import Lab
from xdp_multibuf.cases import cases

NO_DEVICE = 0x7FFFFFF0
LOOPBACK = 1


@pytest.fixture(autouse=True)
def _kernel_binds_programs() -> None:
    need()


@pytest.fixture
def home() -> Iterator[Namespace]:
    """A second namespace, with nothing in it."""
    with namespace() as empty:
        yield empty


def _name(number: int) -> str:
    return errno.errorcode.get(number, str(number)) if number else "success"


@cases("device", ["left", "near"])
@cases("has", ["none", "own"])
def test_no_other_device_takes_it(lab: Lab, device: str, has: str):
    """Nor the other end of its pair, nor one that has a bound program of its own."""
    other = getattr(lab, device)
    with ExitStack() as stack:
        program = stack.enter_context(bound("nothing", lab.right.index))
        if has == "own":
            stack.enter_context(bound("nothing", other.index))
        refused = refusal(other, program.fd, Mode.NATIVE)
        assert refused is not None, f"{device} took a program that is bound to right"
        assert refused.errno == errno.EINVAL, f"{device}: {refused}"
        with attached(lab.right, program.fd, Mode.NATIVE):
            assert lab.right.state.xdp_mode == Mode.NATIVE.reported


def test_generic_mode_does_not_take_it(lab: Lab):
    with bound("nothing", lab.right.index) as program:
        refused = refusal(lab.right, program.fd, Mode.GENERIC)
    assert refused is not None, "generic XDP took a bound program"
    assert refused.errno == errno.EINVAL, f"generic XDP: {refused}"


def test_offload_mode_does_not_take_it(lab: Lab):
    """A veth has no hardware to run it."""
    with bound("nothing", lab.right.index) as program:
        refused = refusal(lab.right, program.fd, Mode.OFFLOAD)
    assert refused is not None, "a veth took a program to offload"
    assert refused.errno in (errno.EINVAL, errno.EOPNOTSUPP), f"XDP offload on a veth: {refused}"


def test_test_run_does_not_take_it(lab: Lab):
    """There is no device in a test run that could tell anything."""
    with bound("nothing", lab.right.index) as program:
        ran = program.program.test_run(ethernet(200))
    assert ran.error_name == "EINVAL", f"test_run of a bound program: {ran.error_name}"


MAPS = {"jumps": "nothing", "devices": "nothing_on_device", "cpus": "nothing_on_cpu"}


@cases("holder", MAPS)
def test_no_map_takes_it(lab: Lab, holder: str):
    """A program in a map may come to run for any device. One that is not bound is taken."""
    with Object(find_object("xdp_metadata", "maps")) as maps:
        target = maps.map(holder)

        def put(fd: int) -> int:
            first = {"jumps": b"", "devices": struct.pack("<I", lab.left.index), "cpus": struct.pack("<I", 8)}[holder]
            return target.update(0, first + struct.pack("<i", fd))

        with bound(MAPS[holder], 0, 0) as free:
            taken = put(free.fd)
        target.delete(0)
        with bound(MAPS[holder], lab.right.index) as program:
            refused = put(program.fd)
        target.delete(0)
    assert not taken, f"{holder} does not take a program that is not bound: {_name(taken)}"
    # A CPU map answers ENOMEM to whatever keeps it from making an entry.
    expected = {errno.EINVAL, errno.ENOMEM} if holder == "cpus" else {errno.EINVAL}
    assert refused in expected, f"{holder}, a bound program: {_name(refused)}"


@cases("asks", KFUNCS)
def test_only_a_bound_program_may_ask(asks: str):
    """Any other is refused at load: no device would answer."""
    error = load_error(asks, 0, 0)
    assert error == errno.EINVAL, f"a program with {KFUNCS[asks]} that is bound to no device: {_name(error)}"


def test_devices_that_cannot_have_one(lab: Lab):
    """One without a BPF operation, and one that is not there."""
    error = load_error("nothing", LOOPBACK)
    assert error == errno.EOPNOTSUPP, f"bound to the loopback device: {_name(error)}"
    error = load_error("nothing", NO_DEVICE)
    assert error == errno.EINVAL, f"bound to a device that is not there: {_name(error)}"


def test_device_of_another_namespace(network: Namespace, home: Namespace):
    """A device is looked for where the loader is: there it is found (and has no BPF operation), elsewhere it is not."""
    index = 70001
    with network.entered(), made("elsewhere", "dummy", options=("index", str(index))):
        error = load_error("nothing", index)
        assert error == errno.EOPNOTSUPP, f"bound to a dummy device: {_name(error)}"
        with home.entered():
            error = load_error("nothing", index)
    assert error == errno.EINVAL, f"bound to a device of another namespace: {_name(error)}"


def test_programs_and_flags_that_cannot_be_bound(lab: Lab):
    """Traffic control's programs, unknown flags, and offload on a device without it."""
    tc = load_error("nothing_of_tc", lab.right.index)
    assert tc == errno.EINVAL, f"a tc program bound to a device: {_name(tc)}"
    unknown = load_error("nothing", lab.right.index, BPF_F_XDP_DEV_BOUND_ONLY | 1 << 30)
    assert unknown == errno.EINVAL, f"an unknown flag: {_name(unknown)}"
    offload = load_error("nothing", lab.right.index, 0)
    assert offload == errno.EINVAL, f"offload on a veth: {_name(offload)}"


def test_two_programs_of_one_device(lab: Lab):
    """One goes away, the other still is the device's: bound, attached and told.

    A program goes for good only a grace period after its last user; each detaching waits for one.
    """
    with bound("rx_hash", lab.right.index) as stays:
        with bound("nothing", lab.right.index):
            pass
        for _ in range(10):
            refused = refusal(lab.right, stays.fd, Mode.NATIVE)
            assert refused is None, f"another program of the device is gone, and this one: {refused}"
        with attached(lab.right, stays.fd, Mode.NATIVE):
            lab.send(ethernet(200))
            assert stays.told().error == 0
        with bound("nothing", lab.right.index) as third, attached(lab.right, third.fd, Mode.NATIVE):
            assert lab.right.state.xdp_mode == Mode.NATIVE.reported


@cases("was", ["loaded", "attached"])
def test_a_device_goes_before_its_program(lab: Lab, was: str):
    """The device can be removed; the program is bound to nothing then, and no new device takes it."""
    with ExitStack() as stack:
        with veth_pair("brief", "short") as (_, short):
            asking = stack.enter_context(bound("rx_hash", short.index))
            if was == "attached":
                attach(short, asking.fd, Mode.NATIVE)
        refused = refusal(lab.right, asking.fd, Mode.NATIVE)
        assert refused is not None, "a device took a program whose own device is gone"
        assert refused.errno == errno.EINVAL, f"a program whose device is gone: {refused}"
        ran = asking.program.test_run(ethernet(200))
        assert ran.error_name == "EINVAL", f"test_run of a program whose device is gone: {ran.error_name}"


def test_a_bound_program_replaces_a_free_one(lab: Lab):
    """And the other way round, without the device being told apart."""
    with (
        bound("nothing", 0, 0) as free,
        bound("nothing", lab.right.index) as program,
        attached(lab.right, free.fd, Mode.NATIVE),
    ):
        attach(lab.right, program.fd, Mode.NATIVE, instead_of=free.fd)
        attach(lab.right, free.fd, Mode.NATIVE, instead_of=program.fd)
    assert lab.right.state.xdp_mode == 0
