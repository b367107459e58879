"""What a device tells a bound program of the frame it received, and how it says that it cannot.

Rules: net/core/xdp.c:bpf_xdp_metadata_rx_timestamp and its siblings; drivers/net/veth.c:veth_xdp_rx_timestamp,
veth_xdp_rx_hash, veth_xdp_rx_vlan_tag; kernel/bpf/offload.c:bpf_dev_bound_resolve_kfunc.
"""

from __future__ import annotations

import errno
import struct

from net.link import made
from net.wire import ethernet
from net.xdp import Mode, attached
from xdp_metadata.bound import KFUNCS, Bound, bound
from xdp_metadata.ingress import listen
from xdp_metadata.lab import Lab
from xdp_metadata.packets import tcp, udp
from xdp_metadata.script import Action, Frame, Stage
from xdp_metadata.tap import tap
from xdp_multibuf.cases import cases

L4 = 1 << 3  # XDP_RSS_L4
LOCAL_FRAME = ethernet(200)
FLOWS = {"udp": udp(bytes(100)), "tcp": tcp(0, bytes(100), mac=b"\xff" * 6), "local": LOCAL_FRAME}


def _asked(lab: Lab, asking: Bound, frame: bytes) -> Frame:
    """Send a frame from left to right, where the program is; gives what traffic control sees behind it."""
    if len(frame) > 1514:
        lab.carry(len(frame))
    listen(lab.right, lab.programs.fd("ingress"))
    with attached(lab.right, asking.fd, Mode.NATIVE):
        lab.send(frame)
        asking.told()
        return lab.programs.wait(1)[0]


def test_timestamp_of_a_veth(lab: Lab):
    """That of the skb, whose hardware took none: zero, and success."""
    with bound("rx_timestamp", lab.right.index) as asking:
        _asked(lab, asking, LOCAL_FRAME)
        told = asking.told()
    assert (told.error, told.timestamp) == (0, 0), f"timestamp of an skb without one: {told}"


@cases("flow", FLOWS)
def test_hash_of_a_veth(lab: Lab, flow: str):
    """The skb's: traffic control computes the same. It covers ports where there are some, and the type says so."""
    with bound("rx_hash", lab.right.index) as asking:
        seen = _asked(lab, asking, FLOWS[flow])
        told = asking.told()
    assert told.error == 0, f"hash of a {flow} frame: {told.error}"
    assert told.hash == seen.hash, f"{flow}: {told.hash:#x} was told, the skb's is {seen.hash:#x}"
    expected = 0 if flow == "local" else L4
    assert told.hash_type == expected, f"hash type of a {flow} frame is {told.hash_type:#x}, not {expected:#x}"


def test_hash_tells_flows_apart(lab: Lab):
    """One flow has one hash. Four flows all of one hash would be one chance in 2^96."""
    hashes = []
    with bound("rx_hash", lab.right.index) as asking, attached(lab.right, asking.fd, Mode.NATIVE):
        for run, port in enumerate((1, 2, 3, 4, 1), 1):
            lab.send(udp(bytes(100), port=port))
            hashes.append(asking.told(run).hash)
    assert hashes[0] == hashes[4], f"the same flow twice: {hashes[0]:#x}, {hashes[4]:#x}"
    assert len(set(hashes)) > 1, f"four flows have the hash {hashes[0]:#x}"


def test_hash_of_a_fragmented_frame(lab: Lab):
    """A bound program may support fragments too."""
    frame = udp(bytes(8000))
    with bound("rx_hash_frags", lab.right.index) as asking:
        seen = _asked(lab, asking, frame)
        told = asking.told()
    assert (told.error, told.length, told.hash_type) == (0, len(frame), L4), f"a frame of {len(frame)} bytes: {told}"
    assert told.hash == seen.hash, f"{told.hash:#x} was told, the skb's is {seen.hash:#x}"


PROTOCOLS = {"802.1Q": 0x8100, "802.1ad": 0x88A8}
TAGS = [("802.1Q", 5, 3), ("802.1Q", 4094, 0), ("802.1ad", 100, 7)]


@cases("protocol, tag, priority", TAGS)
def test_vlan_tag_of_a_veth(lab: Lab, protocol: str, tag: int, priority: int):
    """A VLAN device's tag travels beside the frame: its protocol in network order, its control information not."""
    kind = ("vlan", "proto", protocol, "id", str(tag), "egress-qos-map", f"0:{priority}")
    with (
        bound("rx_vlan_tag", lab.right.index) as asking,
        attached(lab.right, asking.fd, Mode.NATIVE),
        made("tagged", *kind, options=("link", "left")) as tagged,
    ):
        tagged.up()
        lab.send(LOCAL_FRAME, link=tagged)
        told = asking.told()
    assert told.error == 0, f"a frame tagged {protocol} {tag}: {told.error}"
    assert told.vlan_protocol == PROTOCOLS[protocol], f"protocol of a tag {protocol}: {told.vlan_protocol:#06x}"
    assert told.vlan_tci == priority << 13 | tag, f"priority {priority}, id {tag}: {told.vlan_tci:#06x}"
    assert told.length == len(LOCAL_FRAME), f"the frame has {told.length} bytes: the tag was to be beside it"


@cases("tag", ["none", "inside"])
def test_no_vlan_tag_beside_the_frame(lab: Lab, tag: str):
    """-ENODATA without a tag, and where the tag is part of the frame, as it came."""
    frame = LOCAL_FRAME
    if tag == "inside":
        frame = frame[:12] + struct.pack("!HH", 0x8100, 5) + frame[12:]
    with bound("rx_vlan_tag", lab.right.index) as asking, attached(lab.right, asking.fd, Mode.NATIVE):
        lab.send(frame)
        told = asking.told()
    assert told.error == -errno.ENODATA, f"tag: {tag}: {told}"
    assert told.length == len(frame)


@cases("asks", KFUNCS)
def test_a_veth_knows_nothing_of_an_xdp_frame(lab: Lab, asks: str):
    """A frame that another program redirected has no skb: -ENODATA to everything."""
    lab.programs.prepare(Stage.SECOND, action=Action.TX)
    with bound(asks, lab.right.index) as asking, attached(lab.right, asking.fd, Mode.NATIVE):
        ran = lab.inject(udp(bytes(100)))
        assert ran.error_name == "success", f"live frames sent from left: test_run said {ran.error_name}"
        told = asking.told()
    assert told.error == -errno.ENODATA, f"{KFUNCS[asks]} of an xdp_frame: {told.error}"


@cases("asks", KFUNCS)
def test_a_device_that_tells_nothing(lab: Lab, asks: str):
    """-EOPNOTSUPP from the kernel's own stub: a tap has none of the operations."""
    with (
        tap("dumb") as device,
        bound(asks, device.link.index) as asking,
        attached(device.link, asking.fd, Mode.NATIVE),
    ):
        device.send(LOCAL_FRAME)
        told = asking.told()
    assert told.error == -errno.EOPNOTSUPP, f"{KFUNCS[asks]} on a tap: {told.error}"
