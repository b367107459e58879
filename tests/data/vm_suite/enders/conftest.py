"""What the kernel says when a guest's worker has sent home its last words, and nobody is left to read the log."""

import os

_WARNING = (
    "WARNING: CPU: 0 PID: 1 at net/core/xdp.c:42 xdp_planted+0x10/0x20",
    "RIP: 0010:xdp_planted+0x10/0x20",
    "Call Trace:",
    " xdp_outer+0x10/0x20",
    "---[ end trace 0000000000000000 ]---",
)


def pytest_unconfigure():
    for line in _WARNING if "KTRIAL_BOOT" in os.environ else ():  # not on the host, which collects the tests
        descriptor = os.open("/dev/kmsg", os.O_WRONLY)
        os.write(descriptor, f"<4>{line}\n".encode())
        os.close(descriptor)
