"""All the checks, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.doctor import host, programs
from harness.doctor.accelerator import kvm_boots
from harness.doctor.instruments import instruments
from harness.doctor.model import Check, Finding, State
from harness.doctor.system import packages_for, this_system
from harness.errors import KtrialError
from harness.places import cache_dir, runs_dir

__all__ = ["examine"]

_CACHE_GIGABYTES = 10.0  # a kernel's source in git and unpacked, two object directories, ccache
_RUNS_GIGABYTES = 1.0


@dataclass(frozen=True)
class _Look:
    name: str
    why: str
    look: Callable[[], Finding]


def examine(*, boot: bool = True) -> tuple[Check, ...]:
    """Look at everything that ktrial needs on this machine.

    boot: judge KVM by booting a kernel, once for a machine (up to 30 s), where the cache has one; else by its device.
    """
    return tuple(_check(look) for look in (*_programs(), *_machine(kvm_boots if boot else None)))


def _check(look: _Look) -> Check:
    try:
        finding = look.look()
    except KtrialError as error:
        finding = Finding(State.BROKEN, error.summary, error.hint)
    packages = packages_for(look.name) if this_system().debian else ()
    return Check(look.name, finding.state, finding.found, look.why, packages, finding.advice)


def _programs() -> tuple[_Look, ...]:
    program = programs.program
    return (
        _Look("python", "runs ktrial, and the tests in the guests", programs.python),
        _Look("setpriv", "a killed ktrial takes the programs it started with it", program("setpriv")),
        _Look("sandbox", "confines the build of strangers' patches and the guest", programs.sandbox),
        _Look("git", "holds kernel trees and applies patches", program("git")),
        _Look("xz", "unpacks packaged kernel sources", program("xz")),
        _Look("make", "drives the kernel's build", program("make")),
        _Look("gcc", "compiles kernels and their host tools", programs.compiler),
        _Look("ld", "links kernels", program("ld")),
        _Look("bc", "computes constants in the kernel's build", program("bc")),
        _Look("bison", "generates Kconfig's parser", program("bison")),
        _Look("flex", "generates Kconfig's scanner", program("flex")),
        _Look("libelf", "objtool and resolve_btfids read object files", programs.header("libelf.h", "elf")),
        _Look("libssl", "the kernel's host tools sign and hash", programs.header("openssl/bio.h", "crypto")),
        _Look("pahole", "writes the kernel's own BTF, which BPF needs", programs.pahole),
        _Look("ccache", "compiles no file twice", program("ccache", state=State.OPTIONAL_MISSING)),
        _Look("clang", "compiles the BPF programs of the suites", programs.bpf_compiler),
        _Look("libbpf", "loads BPF programs in the guest", programs.libbpf),
        _Look("libxdp", "the rings of AF_XDP, for xdpsock", programs.header("xdp/xsk.h", "bpf")),
        _Look("virtme-ng", "boots a kernel with the host's files as its root", programs.virtme_ng),
        _Look("qemu", "is the machine that kernels boot in", programs.qemu),
        _Look("udev", "a guest starts what is in its place, for the ports through which results travel", programs.udev),
        _Look("kmod", "depmod and modprobe, for kernels with modules", program("kmod")),
        _Look("iproute2", "sets up the guest's network", program("ip", "-Version")),
        _Look("yaml", "the kernel's own tests of drivers read netlink's specifications", programs.yaml),
    )


def _machine(kvm_boots: Callable[[], bool | None] | None) -> tuple[_Look, ...]:
    cache, runs = cache_dir(), runs_dir()
    return (
        _Look("kvm", "runs guests at the processor's own speed", host.kvm(kvm_boots)),
        _Look("instruments", "read what a series costs", instruments(kvm_boots)),
        _Look("cores", "a guest and a compiler on each", host.cores),
        _Look("memory", "for compilers and guests", host.memory),
        _Look("cache", "holds trees and builds", host.disk(cache, _CACHE_GIGABYTES, "KTRIAL_CACHE")),
        _Look("runs", "holds what each run leaves", host.disk(runs, _RUNS_GIGABYTES, "KTRIAL_RUNS")),
    )
