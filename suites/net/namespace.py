"""Network namespaces without names: each is a file descriptor, and gone when that is closed."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from net.link import Link, ip

__all__ = ["Namespace", "namespace"]

_CLONE_NEWNET = 0x40000000
_SELF = "/proc/thread-self/ns/net"


@dataclass(frozen=True)
class Namespace:
    """A network namespace, by an open descriptor of it."""

    fd: int

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and the programs it starts, are in the namespace. A socket stays in the one it was made in."""
        home = os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call("setns", self.fd, _CLONE_NEWNET)
            try:
                yield
            finally:
                _call("setns", home, _CLONE_NEWNET)
        finally:
            os.close(home)

    def take(self, link: Link) -> None:
        """Move a link of the current namespace into this one. It goes down on the way, and keeps its name."""
        ip("link", "set", link.name, "netns", f"/proc/{os.getpid()}/fd/{self.fd}")


@contextlib.contextmanager
def namespace() -> Iterator[Namespace]:
    """A new namespace with nothing but `lo`, where links get no IPv6, and udev never looks.

    At its end virtual links in it are removed, hardware goes back to the first namespace.
    """
    fd = _new()
    try:
        yield Namespace(fd)
    finally:
        os.close(fd)


def _new() -> int:
    home = os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("unshare", _CLONE_NEWNET)
        try:
            Link.named("lo").up()
            _without_ipv6()
            return os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            _call("setns", home, _CLONE_NEWNET)
    finally:
        os.close(home)


def _without_ipv6() -> None:
    with contextlib.suppress(FileNotFoundError), Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").open("w") as file:
        file.write("1")


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
