"""Every allocation of a run may fail, once: an error, and nothing that is kept or freed twice.

Rules: net/bpf/test_run.c:bpf_prog_test_run_xdp, bpf_test_init, xdp_test_run_setup, and their ways back.
"""

from __future__ import annotations

import errno

from bpf.libbpf import BPF_F_TEST_XDP_LIVE_FRAMES as LIVE
from bpf.libbpf import TestRun
from faults import Faults
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import XDP_DROP, Limits, Machine, difference, frame_of

_REFUSALS = (0, errno.ENOMEM)


@cases("frame", ["60", "linear", "9000", "largest"])
def test_each_allocation_of_a_run_may_fail(machine: Machine, limits: Limits, faults: Faults, frame: str):
    sent = frame_of(limits.size(frame))
    machine.prepare([])

    def run() -> TestRun:
        return machine.frags.test_run(sent, out=len(sent))

    refused = 0
    for number, ran in faults.each(run):
        assert ran.error in _REFUSALS, f"allocation {number} failed: test_run said {ran.error_name}"
        refused += bool(ran.error)
        if not ran.error:
            wrong = difference(ran.data[: ran.data_size], sent)
            assert not wrong, f"allocation {number} failed, the run did not, and its frame is another: {wrong}"
    assert refused > len(sent) // (2 * limits.page), f"{refused} allocations made a run fail that has a frame to copy"
    ran = run()
    assert not ran.error, f"no allocation fails any more: test_run said {ran.error_name}"


def test_each_allocation_of_live_frames_may_fail(machine: Machine, faults: Faults):
    """A page pool, its pages, and a batch of frames."""
    machine.prepare([], XDP_DROP)
    refused = 0
    for number, ran in faults.each(lambda: machine.frags.test_run(frame_of(60), flags=LIVE, repeat=200, batch_size=64)):
        assert ran.error in _REFUSALS, f"allocation {number} failed: test_run said {ran.error_name}"
        refused += bool(ran.error)
    assert refused, "no allocation that failed made a run of live frames fail"
