"""A BPF program of traffic control at a device's ingress, through libbpf."""

from __future__ import annotations

import ctypes
import os
from ctypes import Structure, byref, c_int, c_size_t, c_uint32, sizeof

from net.link import Link

__all__ = ["listen"]

_INGRESS = 1  # BPF_TC_INGRESS
_REPLACE = 1  # BPF_TC_F_REPLACE


class _Hook(Structure):
    """struct bpf_tc_hook of libbpf."""

    _fields_ = (("sz", c_size_t), ("ifindex", c_int), ("attach_point", c_int), ("parent", c_uint32))


class _Options(Structure):
    """struct bpf_tc_opts of libbpf."""

    _fields_ = (
        ("sz", c_size_t),
        ("prog_fd", c_int),
        ("flags", c_uint32),
        ("prog_id", c_uint32),
        ("handle", c_uint32),
        ("priority", c_uint32),
    )


def listen(link: Link, program: int) -> None:
    """Run this program (direct action) on all that comes in at the device, instead of the one before; it goes with the
    device. Raises OSError: ENOENT, EOPNOTSUPP where the kernel has no clsact or cls_bpf."""
    hook = _Hook(sz=sizeof(_Hook), ifindex=link.index, attach_point=_INGRESS)
    options = _Options(sz=sizeof(_Options), prog_fd=program, flags=_REPLACE, handle=1, priority=1)
    libbpf = ctypes.CDLL("libbpf.so.1")
    if libbpf.bpf_tc_attach(byref(hook), byref(options)) == 0:
        return
    status = libbpf.bpf_tc_hook_create(byref(hook)) or libbpf.bpf_tc_attach(byref(hook), byref(options))
    if status:
        raise OSError(-status, f"a BPF program at the ingress of {link.name}: {os.strerror(-status)}")
