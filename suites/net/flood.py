"""As many frames out of an interface as it takes, until standard input ends: `python3 flood.py IFACE SIZE`.

It runs where the interface is, which may be another machine (its text goes there), so it needs nothing but Python.
Frames come as live frames of BPF_PROG_TEST_RUN, which is what xdp-trafficgen does, where the driver sends what XDP
gives it (Linux 5.18, ndo_xdp_xmit); else from pktgen. It prints {"how"} once frames are on their way, and at its end
{"how", "sent"}: how many frames the interface says that it has sent.
"""

from __future__ import annotations

import ctypes
import json
import platform
import socket
import struct
import sys
import threading
import time
from pathlib import Path

_BPF = {"x86_64": 321, "aarch64": 280}
_PROG_LOAD, _PROG_TEST_RUN = 5, 10  # enum bpf_cmd
_XDP, _XDP_TX, _LIVE_FRAMES = 6, 3, 2
_PKTGEN = Path("/proc/net/pktgen")
_TEST_TYPE = 0x88B5  # as in wire.py
_BURST = 1 << 14
_SOON = 0.5  # seconds after which frames are on their way, if they ever are


def main() -> int:
    name, size = sys.argv[1], int(sys.argv[2])
    over = threading.Event()
    before = sent(name)
    refused: list[str] = []
    for how, flood in (("live frames", _live_frames), ("pktgen", _pktgen)):
        thread = threading.Thread(target=_quietly, args=(flood, name, size, over, refused), daemon=True)
        thread.start()
        end = time.monotonic() + _SOON
        while sent(name) == before and time.monotonic() < end and thread.is_alive():
            time.sleep(0.01)
        if sent(name) > before:
            print(json.dumps({"how": how}), flush=True)
            sys.stdin.read()
            over.set()
            thread.join()
            print(json.dumps({"how": how, "sent": sent(name) - before}), flush=True)
            return 0
        over.set()
        thread.join()
        over.clear()
    why = "; ".join(refused) or "its driver has no ndo_xdp_xmit"
    print(json.dumps({"error": f"{name} can be flooded neither with live frames nor by pktgen: {why}"}), flush=True)
    return 1


def sent(name: str) -> int:
    """Frames that an interface has sent, as it says."""
    for line in Path("/proc/net/dev").read_text().splitlines()[2:]:
        own, _, counters = line.partition(":")
        if own.strip() == name:
            return int(counters.split()[9])
    return 0


def _quietly(flood, name: str, size: int, over: threading.Event, refused: list[str]) -> None:
    try:
        flood(name, size, over)
    except OSError as error:
        refused.append(str(error))


def _live_frames(name: str, size: int, over: threading.Event) -> None:
    """Raises OSError where the kernel refuses."""
    # r0 = XDP_TX; exit
    code = ctypes.create_string_buffer(struct.pack("=BBhi", 0xB7, 0, 0, _XDP_TX) + struct.pack("=BBhi", 0x95, 0, 0, 0))
    terms = ctypes.create_string_buffer(b"GPL")
    load = struct.pack("=IIQQ", _XDP, 2, ctypes.addressof(code), ctypes.addressof(terms))
    program = _bpf(_PROG_LOAD, load.ljust(72, b"\0"))
    frame = ctypes.create_string_buffer(_frame(size), size)
    context = struct.pack("=6I", 0, size, 0, socket.if_nametoindex(name), 0, 0)
    held = ctypes.create_string_buffer(context, len(context))
    run = struct.pack("=IIIIQQIIII", program, 0, size, 0, ctypes.addressof(frame), 0, _BURST, 0, len(context), 0)
    run += struct.pack("=QQIII", ctypes.addressof(held), 0, _LIVE_FRAMES, 0, 64)
    while not over.is_set():
        _bpf(_PROG_TEST_RUN, run.ljust(80, b"\0"))


def _frame(size: int) -> bytes:
    return (b"\xff" * 6 + b"\x02\0\0\0\0\1" + struct.pack("!H", _TEST_TYPE)).ljust(size, b"\x01")


def _bpf(command: int, attributes: bytes) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    held = ctypes.create_string_buffer(attributes, len(attributes))
    result: int = libc.syscall(_BPF[platform.machine()], command, held, len(attributes))
    if result < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return result


def _pktgen(name: str, size: int, over: threading.Event) -> None:
    """On the first processor's thread. Raises OSError where there is none (Documentation/networking/pktgen.rst)."""
    thread = _PKTGEN / "kpktgend_0"
    _write(thread, "rem_device_all")
    _write(thread, f"add_device {name}")
    frame = (f"pkt_size {size}", "dst_mac ff:ff:ff:ff:ff:ff", "dst 198.18.0.1")
    for word in ("count 0", "clone_skb 0", "delay 0", *frame):
        _write(_PKTGEN / name, word)
    # No two users of an skb: a receiver may change it in its place.
    _write(_PKTGEN / name, "flag !SHARED")
    control = _PKTGEN / "pgctrl"
    sending = threading.Thread(target=_write, args=(control, "start"), daemon=True)  # returns when it is stopped
    sending.start()
    over.wait()
    _write(control, "stop")
    sending.join()
    _write(thread, "rem_device_all")


def _write(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
