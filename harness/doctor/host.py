"""Looking at the machine itself: KVM, processors, memory, disk."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from harness.doctor.model import Finding, State

__all__ = ["cores", "disk", "kvm", "memory"]

_KVM = Path("/dev/kvm")
_KVM_GET_API_VERSION = 0xAE00  # include/uapi/linux/kvm.h
_KVM_API_VERSION = 12
_GIGABYTE = 10**9
_LEAST_MEMORY = 3 * _GIGABYTE  # a compiler on each of two cores, or two guests of 1 GB
_MEMINFO = Path("/proc/meminfo")


def kvm(boots: Callable[[], bool | None] | None, device: Path = _KVM) -> Callable[[], Finding]:
    """A look at KVM. boots: tells whether a kernel booted under it in time; None where it has no kernel to try."""

    def look() -> Finding:
        opened = _open(device)
        if opened is not None:
            return opened
        booted = boots() if boots else None
        if booted is None:
            return Finding(State.OK, f"{device} opens; the first trial decides by booting a kernel")
        if booted:
            return Finding(State.OK, f"{device} boots a kernel")
        return Finding(State.OPTIONAL_MISSING, f"{device} opens, but a kernel hangs under it; TCG is used instead")

    return look


def _open(device: Path) -> Finding | None:
    """What is wrong with the device, or None where it answers as KVM does."""
    without = "guests run under TCG, which is slower and counts instructions exactly"
    if not device.exists():
        return Finding(State.OPTIONAL_MISSING, f"no {device}: {without}")
    try:
        handle = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        advice = "sudo adduser $USER kvm, then log in again" if isinstance(error, PermissionError) else ""
        return Finding(State.OPTIONAL_MISSING, f"{device}: {error.strerror}; {without}", advice)
    try:
        version = fcntl.ioctl(handle, _KVM_GET_API_VERSION)
    except OSError as error:
        return Finding(State.OPTIONAL_MISSING, f"{device} is not KVM: {error.strerror}; {without}")
    finally:
        os.close(handle)
    if version != _KVM_API_VERSION:
        return Finding(State.OPTIONAL_MISSING, f"{device} speaks API version {version}; {without}")
    return None


def cores() -> Finding:
    """The processors that this process may use."""
    count = len(os.sched_getaffinity(0))
    if count < 2:
        return Finding(State.OPTIONAL_MISSING, "1 core", "two or more: a trial runs a guest on each")
    return Finding(State.OK, f"{count} cores")


def memory(meminfo: Path = _MEMINFO) -> Finding:
    """Memory that is free or can be freed."""
    lines = meminfo.read_text(encoding="ascii").splitlines()
    available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    found = f"{available / _GIGABYTE:.1f} GB available"
    if available < _LEAST_MEMORY:
        return Finding(State.BROKEN, found, f"free some: a trial needs about {_LEAST_MEMORY // _GIGABYTE} GB")
    return Finding(State.OK, found)


def disk(directory: Path, gigabytes: float, variable: str) -> Callable[[], Finding]:
    """A look at a folder's free space and permission. variable: the environment variable that moves the folder."""

    def look() -> Finding:
        there = next(path for path in (directory, *directory.parents) if path.exists())
        if not os.access(there, os.W_OK):
            return Finding(State.BROKEN, f"{there} cannot be written to", f"set {variable} to a folder that can")
        free = shutil.disk_usage(there).free / _GIGABYTE
        found = f"{free:.1f} GB free in {directory}"
        if free < gigabytes:
            return Finding(State.BROKEN, found, f"free {gigabytes:.0f} GB there, or set {variable} to another folder")
        return Finding(State.OK, found)

    return look
