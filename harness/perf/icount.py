"""The instrument `icount`: QEMU's TCG counts instructions, and the guest's clock is that count.

With `-icount shift=0` a nanosecond of the virtual clock is one guest instruction (QEMU, docs/devel/tcg-icount.rst), so
what the kernel measures as time, on any machine and at any load, is instructions. With sleep=off an idle guest skips to
its next timer instead of waiting for it.
"""

from __future__ import annotations

from dataclasses import replace

from harness.machine.model import Accelerator, GuestSpec
from harness.perf.model import Instrument

__all__ = ["INSTRUMENT_VARIABLE", "counting"]

INSTRUMENT_VARIABLE = "KTRIAL_INSTRUMENT"
_MACHINE = (
    # Where the clock starts must not come from the host.
    ("-rtc", "base=2024-01-01,clock=vm"),
    # `rep movs` counts one instruction for each byte or word: with ERMS the kernel copies by bytes, and a copy of
    # 9,000 bytes is most of a packet's figure.
    ("-cpu", "max,-erms,-fsrm"),
)
# What a virtio card sends leaves at once, on the guest's clock, and not when QEMU's main loop comes by.
_VIRTIO_NET = ("-global", "virtio-net-device.tx=timer", "-global", "virtio-net-device.x-txtimer=1")
# An emulator that counts runs a few times slower than one that does not.
_SLOWER = 3.0


def counting(guest: GuestSpec, seed: int) -> GuestSpec:
    """A guest whose clock counts instructions. seed: what the guest's random numbers follow from.

    One processor: with icount QEMU runs all of them in one thread, in turns.
    """
    arguments = ("-icount", "shift=0,sleep=off", "-seed", str(seed), *(word for pair in _MACHINE for word in pair))
    if any("virtio-net" in word for word in guest.qemu_args):
        arguments += _VIRTIO_NET
    return replace(
        guest,
        accelerator=Accelerator.TCG,
        cpus=1,
        env={**guest.env, INSTRUMENT_VARIABLE: str(Instrument.ICOUNT)},
        qemu_args=(*guest.qemu_args, *arguments),
        deadlines=replace(guest.deadlines, scale=guest.deadlines.scale * _SLOWER),
    )
