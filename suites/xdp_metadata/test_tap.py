"""A driver without metadata: it says so, and nothing is made of what happens to lie before the frame.

Rules: include/net/xdp.h:xdp_data_meta_unsupported; net/core/filter.c:bpf_xdp_adjust_meta, xdp_get_metalen;
drivers/net/tun.c:tun_build_skb (which has metadata in later kernels).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from net.wire import difference, ethernet
from net.xdp import Mode, attached
from xdp_metadata.ingress import listen
from xdp_metadata.lab import Lab
from xdp_metadata.script import (
    LENGTH,
    METADATA,
    WRITE,
    Action,
    Frame,
    Stage,
    Step,
    adjust_head,
    adjust_meta,
    marks,
)
from xdp_metadata.tap import Tap, tap
from xdp_multibuf.cases import cases

ENOTSUPP = 524  # include/linux/errno.h
FRAME = ethernet(200)


@pytest.fixture
def device(lab: Lab) -> Iterator[Tap]:
    with tap("tap") as made:
        listen(made.link, lab.programs.fd("ingress"))
        yield made


def _received(lab: Lab, device: Tap, *steps: Step, write: bytes = b"", to_cpu: bool = False) -> Frame:
    action = Action.REDIRECT if to_cpu else Action.PASS
    lab.programs.prepare(Stage.FIRST, *steps, action=action, to_cpu=to_cpu, write=write)
    with attached(device.link, lab.programs.fd("first"), Mode.NATIVE):
        device.send(FRAME)
        return lab.programs.wait(1)[0]


def test_metadata_is_refused_or_reaches_the_skb(lab: Lab, device: Tap):
    """Success and an skb with every byte; kernels without it say -ENOTSUPP, and the skb has none."""
    seen = _received(lab, device, adjust_meta(-8), WRITE, write=marks(8))
    refused, written = lab.programs.results(Stage.FIRST, 2)
    assert (refused, written, seen.metadata) in (
        (-ENOTSUPP, 0, b""),
        (0, 8, marks(8)),
    ), f"adjust_meta said {refused}, {written} bytes were written, the skb has {seen.metadata.hex() or 'none'}"
    assert not difference(seen.head, FRAME[:64]), difference(seen.head, FRAME[:64])
    if refused:
        pytest.skip("the kernel's tap has no XDP metadata")


@cases("by", [-16, 14])
def test_the_head_moves_without_metadata(lab: Lab, device: Tap, by: int):
    """What is not there is not moved along, and the program still sees that there is none."""
    seen = _received(lab, device, METADATA, adjust_head(by), METADATA, LENGTH)
    before, moved, after, length = lab.programs.results(Stage.FIRST, 4)
    assert (moved, length) == (0, 200 - by), f"head moved by {by}: {moved}, length {length}"
    assert before == after, f"data - data_meta: {before} before, {after} after"
    assert before in (-1, 0), f"data - data_meta: {before}, not -1 (unsupported) or 0 (none)"
    assert (seen.length, seen.metadata) == (200 - by, b""), f"head moved by {by}: {seen}"


def test_no_metadata_through_a_cpumap(lab: Lab, device: Tap):
    """The size that a frame carries is never less than none (xdp_update_frame_from_buff)."""
    with lab.to_cpu():
        seen = _received(lab, device, to_cpu=True)
    assert (seen.length, seen.metadata) == (200, b""), f"a frame of 200 bytes without metadata: {seen}"
    assert not difference(seen.head, FRAME[:64]), difference(seen.head, FRAME[:64])
