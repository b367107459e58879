"""Programs come and go: what attaches where, what replaces what, and the errno of what must not.

Rules: net/core/dev.c:dev_xdp_attach, dev_xdp_install; each driver's ndo_bpf.
"""

from __future__ import annotations

import errno

import pytest
from drivers.bench import Bench, assert_same, frames_of
from drivers.cases import on_devices, over
from drivers.programs import Action, Programs
from drivers.rig import Rig
from drivers.rows import Native, Row
from faults import Faults
from net.ethtool import driver
from net.netlink import NetlinkError
from net.wire import Wire
from net.xdp import Mode, attach, attached, detach, refusal


@over()
def test_attach_and_detach(rig: Rig, device: Row, mode: Mode, programs: Programs):
    """The device reports its program and mode while there is one, and none before and after."""
    assert driver(rig.link) == device.driver
    assert rig.link.state.xdp_mode == 0
    if mode is Mode.NATIVE and device.native is Native.NONE:
        error = refusal(rig.link, programs["plain_a"].fd, mode)
        assert error is not None, f"{device.name} has no native XDP, and took a program"
        assert error.errno == errno.EOPNOTSUPP, f"{device.name}: EOPNOTSUPP expected for native XDP: {error}"
        return
    with attached(rig.link, programs["plain_a"].fd, mode):
        state = rig.link.state
        assert state.xdp_mode == mode.reported, f"attached in {mode} mode, reported {state.xdp_mode}"
        assert state.xdp_program, "a program is attached, and no id reported"
    assert rig.link.state.xdp_mode == 0, "detached, and still reported"


def _skip_unless_kept(device: Row, mode: Mode) -> None:
    if mode is Mode.NATIVE and device.native is Native.NONE:
        pytest.skip(f"{device.driver} has no native XDP (test_attach_and_detach holds it to refusing)")


@over()
def test_second_program_replaces_the_first(rig: Rig, device: Row, mode: Mode, programs: Programs):
    """Plainly, or only where what is there is what the caller thinks (XDP_FLAGS_REPLACE)."""
    _skip_unless_kept(device, mode)
    rig.skip_unless_replaced(mode)
    first, second = programs["plain_a"].fd, programs["plain_b"].fd
    with attached(rig.link, first, mode):
        before = rig.link.state.xdp_program
        attach(rig.link, second, mode)
        after = rig.link.state.xdp_program
        assert after not in (0, before), f"program {before} was to be replaced, {after} is there"
        attach(rig.link, first, mode, instead_of=second)
        assert rig.link.state.xdp_program == before
        with pytest.raises(NetlinkError) as error:
            attach(rig.link, first, mode, instead_of=second)
        assert error.value.errno == errno.EEXIST, f"replacing what is not there: {error.value}"
        with pytest.raises(NetlinkError) as error:
            attach(rig.link, second, mode, only_new=True)
        assert error.value.errno == errno.EBUSY, f"attaching only where there is none: {error.value}"
        assert rig.link.state.xdp_program == before, "a refused attach changed the program"


@on_devices(lambda row: row.native is not Native.NONE)
def test_native_and_generic_exclude_each_other(rig: Rig, device: Row, programs: Programs):
    for held, other in ((Mode.NATIVE, Mode.GENERIC), (Mode.GENERIC, Mode.NATIVE)):
        with attached(rig.link, programs["plain_a"].fd, held):
            error = refusal(rig.link, programs["plain_b"].fd, other)
            assert error is not None, f"{device.name}: {other} beside {held} was accepted"
            assert error.errno == errno.EEXIST, f"{device.name}: {other} beside {held}: {error}"
            assert rig.link.state.xdp_mode == held.reported


@over()
def test_only_the_attached_program_runs(rig: Rig, device: Row, mode: Mode, programs: Programs):
    """After a replacement the old one sees nothing more; after a detach neither does."""
    bench = Bench(rig, mode, programs)
    rig.skip_unless_replaced(mode)
    frames = frames_of(60, 1514, 200)
    programs.order("plain_b", Action.PASS)
    with bench.running("plain_a", Action.PASS) as near:
        bench.send(frames, "plain_a")
        attach(rig.link, programs["plain_b"].fd, mode)
        bench.send(frames, "plain_b")
        assert programs.sight("plain_a").runs == len(frames), "the program that was replaced ran again"
        assert_same(near.frames(6), frames * 2, f"{bench.who}: frames around a replacement")
        detach(rig.link, mode)
        rig.link.wait_until_up()
        for frame in frames:
            rig.far.send(frame)
        assert_same(near.frames(3), frames, f"{bench.who}: frames after the detach")
        assert programs.sight("plain_b").runs == len(frames), "the program that was detached ran again"


@on_devices(lambda row: row.native is Native.RUNS)
def test_program_attached_while_down_runs_once_up(rig: Rig, device: Row, programs: Programs):
    """What a driver sets up for XDP at attach on a running device, it sets up at open on one that was down."""
    bench = Bench(rig, Mode.NATIVE, programs)
    rig.link.down()
    programs.order("plain_a", Action.PASS)
    try:
        with attached(rig.link, programs["plain_a"].fd, Mode.NATIVE):
            rig.link.up()
            with bench.running("plain_a", Action.PASS) as near:
                bench.send(frames_of(60, 1514), "plain_a")
                assert_same(near.frames(2), frames_of(60, 1514), bench.who)
    finally:
        rig.link.up()


# The other cards take seconds to come back from each attach.
@on_devices(lambda row: row.native is Native.RUNS and (row.card == "" or row.driver == "virtio_net"))
def test_each_allocation_of_an_attach_may_fail(rig: Rig, device: Row, programs: Programs, faults: Faults):
    """Rings and page pools for XDP, one allocation of them failing: the attach is refused, and the device goes on."""
    refused = 0
    for number, error in faults.each(lambda: _attach_error(rig, programs)):
        assert error in ("", "ENOMEM", "ENOBUFS", "ENFILE"), f"{device.name}: allocation {number} failed: {error}"
        refused += bool(error)
        if rig.link.state.xdp_mode:
            # ENOBUFS: of the answer (net/netlink/af_netlink.c:netlink_ack), when all was done.
            assert error in ("", "ENOBUFS"), f"{device.name}: allocation {number} failed ({error}), and it is attached"
            detach(rig.link, Mode.NATIVE)
    detach(rig.link, Mode.NATIVE)  # of the call that none failed in
    assert refused, f"{device.name}: no allocation that failed made an attach fail"
    bench = Bench(rig, Mode.NATIVE, programs)
    frames = frames_of(60, 1514)
    with bench.running("plain_a", Action.PASS) as near:
        bench.send(frames, "plain_a")
        assert_same(near.frames(len(frames)), frames, f"{bench.who}: frames after attaches that failed")


def _attach_error(rig: Rig, programs: Programs) -> str:
    """The errno's name of a native attach, "" where it was done."""
    try:
        attach(rig.link, programs["plain_a"].fd, Mode.NATIVE)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return ""


@on_devices(lambda row: row.maker == "bonding")
def test_port_of_a_bond_has_its_program_while_it_is_one(rig: Rig, device: Row, programs: Programs):
    """bond_enslave gives it, __bond_release_one takes it back, and who has one of its own may not join."""
    bench = Bench(rig, Mode.NATIVE, programs)
    (port,) = rig.ports
    frames = frames_of(60, 1514)
    with bench.running("plain_a", Action.PASS) as near:
        try:
            port.enslave(None)
            port.up()
            port.wait_until_up()
            with Wire(port) as alone:
                for frame in frames:
                    rig.far.send(frame)
                assert_same(alone.frames(len(frames)), frames, "frames of a port that left its bond")
            assert programs.sight("plain_a").runs == 0, "the bond's program ran on a port that left it"
            port.down()
            with attached(port, programs["plain_b"].fd, Mode.NATIVE), pytest.raises(NetlinkError) as error:
                port.enslave(rig.link)
            assert error.value.errno == errno.EOPNOTSUPP, f"a port with a program of its own: {error.value}"
        finally:
            port.down()
            port.enslave(rig.link)
            port.up()
        rig.link.wait_until_up()
        bench.send(frames, "plain_a")
        assert_same(near.frames(len(frames)), frames, f"{bench.who}: frames of a port that came back")
