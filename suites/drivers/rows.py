"""The table of devices. A new driver is a new row, and a maker in `rigs.py` where no present one serves.

A row says what a driver does by design; where kernels differ by what they support, the tests find out by trying
(`Row` says how), so that a series that adds the ability is seen to add it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum

from drivers.programs import Action
from net.features import Feature

__all__ = ["BOARD", "ROWS", "TABLE", "Native", "Row"]

_BASE = Feature.BASIC | Feature.REDIRECT
_ALL = (Action.PASS, Action.DROP, Action.TX, Action.REDIRECT, Action.ABORTED)
Counts = tuple[tuple[str, tuple[Action, ...]], ...]
_GONE = (Action.DROP, Action.ABORTED)
_WHOLE: Counts = (("rx_packets", _ALL), ("tx_packets", (Action.TX,)))
_WITHOUT_DROPS: Counts = (*_WHOLE, ("rx_dropped", ()), ("tx_dropped", ()))
_WITH_DROPS: Counts = (*_WHOLE, ("rx_dropped", _GONE), ("tx_dropped", ()))
_NOTHING = Feature(0)
_XMIT = Feature.NDO_XMIT | Feature.NDO_XMIT_SG


class Native(StrEnum):
    """What a driver does with a native program. STORED: takes it, and never runs it, unless it advertises basic."""

    RUNS = "runs"
    STORED = "stored"
    NONE = "none"


@dataclass(frozen=True)
class Row:
    """One device.

    name: in test ids. maker: which function of `rigs.py` makes it. card: the manifest's word, for QEMU's cards.
    driver: as `ethtool -i` says. native: as above.
    native_symbol: the driver's function that a kernel has if its driver has native XDP; "" where every kernel's has.
    jumbo: largest MTU the device itself can carry here. plain_jumbo: errno of attaching a program without frags support
    natively at MTU 9000, "" where the driver takes it. raise_mtu: errno of raising the MTU over such a program, ""
    where it is done. Each is None where nobody knows: then either may be, and what is done must be right.
    frags_jumbo: whether a natively attached frags program is meant to get jumbo frames.
    features: advertised on the bench, without a program; with_program: added while the device has one (an ability that
    needs resources of its own).
    undecided: told or not, as it happens or as the kernel is newer or older.
    forgets_program: why an MTU or ring change and `ip link set down` must not be tried with a native program, or "".
    leaks_replaced: why one native program must not be put in another's place, or "".
    deafened: frames that come while its rings change may be the last ones that QEMU's card ever takes.
    warns_of_channels: why channels must not go while frames come, or "".
    own_fragments: the fragments that a native program sees are the driver's own, not those of a copied skb.
    keeps_buffers: receive buffers from before a native program stay in use. They have no room for XDP, and a long frame
    that comes into one is dropped, and counted (virtio_net.c:mergeable_xdp_get_buf).
    generic_code: native programs, where it runs them, are run by the code of generic XDP, which takes fragments, and
    has no queue of a devmap for what they redirect.
    forgets_sent: why frames that XDP sent must not be on their way when a program goes, "" where they may.
    counts, generic_counts: which actions' frames each counter of the interface counts, in native and generic mode; a
    counter that is not named is not looked at.
    far_program: frames that XDP sends arrive only where the far end has a program itself.
    own_program: frames are redirected to it only while it has a program itself.
    """

    name: str
    maker: str
    driver: str
    card: str = ""
    native: Native = Native.RUNS
    native_symbol: str = ""
    jumbo: int = 9000
    plain_jumbo: str | None = ""
    raise_mtu: str | None = ""
    frags_jumbo: bool = True
    features: Feature = _NOTHING
    with_program: Feature = _NOTHING
    undecided: Feature = _NOTHING
    forgets_program: str = ""
    leaks_replaced: str = ""
    deafened: bool = False
    warns_of_channels: str = ""
    own_fragments: bool = False
    keeps_buffers: bool = False
    generic_code: bool = False
    forgets_sent: str = ""
    counts: Counts = _WHOLE
    generic_counts: Counts = _WHOLE
    far_program: bool = False
    own_program: bool = False

    @property
    def is_wired(self) -> bool:
        """Whether it is hardware of the first namespace, with a cable; else it is made, in a namespace of its own."""
        return bool(self.card) or self.maker == "board"

    @property
    def takes_redirects(self) -> bool:
        """Whether XDP can send frames out of it (ndo_xdp_xmit), once what it needs for that is there."""
        return bool((self.features | self.with_program) & Feature.NDO_XMIT)

    @property
    def takes_fragments(self) -> bool:
        """Whether it sends frames of several buffers by ndo_xdp_xmit."""
        return bool((self.features | self.with_program) & Feature.NDO_XMIT_SG)


TABLE = (
    Row(
        "veth",
        maker="veth",
        driver="veth",
        plain_jumbo="ERANGE",
        raise_mtu="EINVAL",
        counts=_WITHOUT_DROPS,
        features=_BASE | Feature.RX_SG | _XMIT,
        far_program=True,
    ),
    Row(
        "virtio_net",
        maker="card",
        card="virtio_net",
        driver="virtio_net",
        plain_jumbo="EINVAL",
        counts=_WITH_DROPS,
        features=_BASE | Feature.RX_SG,
        with_program=_XMIT,
        undecided=Feature.XSK_ZEROCOPY,
        own_program=True,
        own_fragments=True,
        keeps_buffers=True,
    ),
    Row(
        "virtio_net-small",  # without mergeable receive buffers
        maker="card",
        card="virtio_net:mrg_rxbuf=off",
        driver="virtio_net",
        jumbo=1500,
        plain_jumbo="EINVAL",
        counts=_WITH_DROPS,
        features=_BASE,
        with_program=_XMIT,
        undecided=Feature.XSK_ZEROCOPY,
        own_program=True,
    ),
    Row(
        "vmxnet3",
        maker="card",
        card="vmxnet3",
        driver="vmxnet3",
        native_symbol="vmxnet3_xdp",
        jumbo=1500,
        plain_jumbo="EOPNOTSUPP",
        frags_jumbo=False,
        features=_BASE,
        with_program=Feature.NDO_XMIT,
        undecided=Feature.NDO_XMIT,  # set when the device is found, cleared when the first program goes
        own_program=True,
        forgets_program="vmxnet3_rq_cleanup_all forgets the program, and its reference, at each of these",
        forgets_sent="vmxnet3_xdp_set resets the device and forgets the frames in its transmit ring",
    ),
    Row("e1000", maker="card", card="e1000", driver="e1000", native=Native.NONE),
    Row("e1000e", maker="card", card="e1000e", driver="e1000e", native=Native.NONE, deafened=True),
    Row(
        "igb",
        maker="card",
        card="igb",
        driver="igb",
        native_symbol="igb_xdp",
        plain_jumbo="EINVAL",
        raise_mtu="EINVAL",
        frags_jumbo=False,
        features=_BASE,
        with_program=Feature.NDO_XMIT,
        undecided=Feature.XSK_ZEROCOPY,
        own_program=True,
    ),
    Row(
        "tap",
        maker="tap",
        driver="tun",
        counts=(
            ("rx_packets", (Action.PASS, Action.TX, Action.REDIRECT)),
            ("tx_packets", (Action.TX,)),
            ("rx_dropped", _GONE),
        ),
        features=_BASE | Feature.NDO_XMIT,
    ),
    Row(
        "netdevsim",
        maker="netdevsim",
        driver="netdevsim",
        native=Native.STORED,
        generic_counts=(("tx_packets", (Action.TX,)),),  # it counts no frames that come in
        plain_jumbo="EINVAL",
        raise_mtu="EBUSY",
        frags_jumbo=False,
        generic_code=True,
        undecided=Feature.BASIC,  # of kernels whose netdevsim runs native programs
        features=Feature.HW_OFFLOAD,
        warns_of_channels="nsim_set_channels waits for no frame of a queue that goes; netif_get_rxqueue warns of it",
    ),
    Row(
        "bonding",
        maker="bonding",
        driver="bonding",
        leaks_replaced="bond_xdp_set keeps its reference to a program that another replaces",
        plain_jumbo="ERANGE",
        raise_mtu="EINVAL",
        counts=_WITHOUT_DROPS,
        features=_BASE | Feature.RX_SG | _XMIT,
        far_program=True,
    ),
)

# What else there is to know of it is learned on the board (wired.py).
BOARD = Row("iface", maker="board", driver="", plain_jumbo=None, raise_mtu=None)

# On a board with an interface to be tested it is that alone.
ROWS = (BOARD,) if os.environ.get("KTRIAL_IFACE") else TABLE
