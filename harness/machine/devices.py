"""Network cards of a guest: what a suite's manifest asks for, as QEMU's arguments and as the guest's own knowledge.

A suite asks with `NAME` or `NAME:OPTION=VALUE,...` (`virtio_net`, `virtio_net:mrg_rxbuf=off`); the options are QEMU's.
Each such device is a pair of cards on a hub of their own, so that what one sends the other receives and nobody else
hears. The guest learns their hardware addresses from $KTRIAL_DEVICES (udev renames cards, and a kernel may have no
driver), and there reads of a device that this QEMU does not have why: its tests skip with that reason.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from harness.command import Command, run

__all__ = ["DEVICES_VARIABLE", "GuestDevices", "device_error", "guest_devices"]

DEVICES_VARIABLE = "KTRIAL_DEVICES"
_QEMU = "qemu-system-x86_64"
_DEADLINE = 30.0
# QEMU's name of the card and the options that ours always have.
_CARDS = {
    # ioeventfd=off: a frame is taken while the driver rings, and not by another thread some time later.
    # iommu_platform=on: the driver maps buffers as for any other card, without which it has no zero-copy AF_XDP
    # (virtqueue_dma_dev() in drivers/virtio/virtio_ring.c gives it no device).
    "virtio_net": ("virtio-net-pci", "ioeventfd=off,disable-legacy=on,iommu_platform=on"),
    "vmxnet3": ("vmxnet3", ""),
    "e1000": ("e1000", ""),
    "e1000e": ("e1000e", ""),
    "igb": ("igb", ""),
}
_OPTION = re.compile(r"[a-z][a-z0-9_-]*=[A-Za-z0-9._-]+")
# Locally administered, unicast; the vendor's half says nothing to any driver.
_MAC_PREFIX = "52:4b"


@dataclass(frozen=True)
class GuestDevices:
    """The devices of one guest. qemu_args: for QEMU. env: for the program in the guest."""

    qemu_args: tuple[str, ...]
    env: dict[str, str]


@dataclass(frozen=True)
class _Asked:
    """One device of a manifest, taken apart. options: `key=value` each."""

    text: str
    name: str
    options: tuple[str, ...]

    @staticmethod
    def of(text: str) -> _Asked:
        name, _, options = text.partition(":")
        return _Asked(text, name, tuple(options.split(",")) if options else ())

    @property
    def macs(self) -> tuple[str, str]:
        """The pair's addresses: the same on every machine, in any company."""
        digest = sha256(self.text.encode()).digest()
        middle = ":".join(f"{byte:02x}" for byte in digest[:3])
        return f"{_MAC_PREFIX}:{middle}:0a", f"{_MAC_PREFIX}:{middle}:0b"


def device_error(text: str) -> str:
    """What is wrong with a manifest's word for a device, or ""."""
    asked = _Asked.of(text)
    if asked.name not in _CARDS:
        return f"unknown device {asked.name!r} (known: {', '.join(sorted(_CARDS))})"
    wrong = [option for option in asked.options if not _OPTION.fullmatch(option)]
    if wrong or text.endswith(":"):
        return f"device {text!r}: options are OPTION=VALUE, separated by commas"
    return ""


def guest_devices(devices: Iterable[str]) -> GuestDevices:
    """Arguments for QEMU and the variable for the guest, for the devices of all picked suites, each once.

    devices: as `device_error` finds them good. Raises ToolchainError where there is no QEMU.
    """
    arguments: list[str] = []
    known: dict[str, dict[str, object]] = {}
    for text in sorted(set(devices)):
        asked = _Asked.of(text)
        missing = _missing(asked)
        if not missing:
            arguments += _arguments(asked, len(known))
        known[text] = {"macs": asked.macs, "missing": missing}
    env = {DEVICES_VARIABLE: json.dumps(known, sort_keys=True)} if known else {}
    return GuestDevices(tuple(arguments), env)


def _arguments(asked: _Asked, hub: int) -> list[str]:
    """A hub with two cards on it. No option ROM: the firmware would try to boot from each card."""
    model, always = _CARDS[asked.name]
    options = [option for option in (always, *asked.options) if option]
    words = []
    for side, mac in zip("ab", asked.macs, strict=True):
        port = f"ktrial{hub}{side}"
        words += ["-netdev", f"hubport,id={port},hubid={hub}"]
        words += ["-device", ",".join([model, f"netdev={port}", f"mac={mac}", "romfile=", *options])]
    return words


def _missing(asked: _Asked) -> str:
    """What this QEMU lacks for a device, or ""."""
    model, _ = _CARDS[asked.name]
    if model not in _models():
        return f"QEMU {_version()} emulates no {model}"
    unknown = [option for option in asked.options if option.partition("=")[0] not in _options(model)]
    return f"{model} of QEMU {_version()} has no option {unknown[0]}" if unknown else ""


@functools.cache
def _models() -> frozenset[str]:
    said = _ask("-device", "help")
    return frozenset(re.findall(r'^name "([^"]+)"', said, re.MULTILINE))


@functools.cache
def _options(model: str) -> frozenset[str]:
    return frozenset(re.findall(r"^ +([^=\s]+)=", _ask("-device", f"{model},help"), re.MULTILINE))


@functools.cache
def _version() -> str:
    found = re.search(r"version (\S+)", _ask("--version"))
    return found[1] if found else "of unknown version"


def _ask(*words: str) -> str:
    return run(Command((_QEMU, *words), deadline=_DEADLINE)).text
