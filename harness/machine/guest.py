"""Boot a kernel with virtme-ng, in a jail, and run one program in the guest.

The guest's root is the jail's file system, shared read-only over 9p: it sees the host's programs and libraries, the
Python that runs ktrial, the suites, and one writable folder of its own; nothing of the user's.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.command import Command, Jail
from harness.errors import ToolchainError
from harness.machine.model import Accelerator, GuestSpec
from harness.places import vm_dir

__all__ = [
    "GUEST_DIR",
    "guest_command",
    "guest_python",
    "guest_shell",
    "host_has_kvm",
    "interpreter_paths",
    "next_boot",
    "read_qemu_status",
    "write_program",
]

GUEST_DIR = Path("/ktrial/guest")
_KERNEL_DIR = Path("/ktrial/kernel")
_QEMU_DIR = Path("/ktrial/qemu")
_STATUS = "qemu.status"
# Mount points that virtme-ng-init expects in the guest's root, which here is the jail's.
_MOUNT_POINTS = ("/sys", "/root", "/home", "/opt", "/srv", "/var/lib", "/var/log", "/var/cache", "/var/run", "/mnt")
# Ours stands where virtme-ng-init looks for udevd, and says why; what would ask a udevd to work has nothing to ask.
_UDEVD = Path("/usr/lib/systemd/systemd-udevd")
_UDEVADM = Path("/usr/bin/udevadm")
# virtme-ng starts an interactive shell through su, which asks PAM.
_LOGIN = ("pam.d", "security", "login.defs", "profile", "bash.bashrc", "terminfo", "environment")
# A test that floods the log must not push out what the kernel said of it first: by default there is room for 128 KiB.
_LOG = "log_buf_len=4M"
# The `9pnet` default (`cache=none`) fetches every page of every import again: 4-6 s for pytest against 2.8 s.
_ROOT_FLAGS = "rootflags=version=9p2000.L,trans=virtio,access=any,msize=524288,cache=loose"


def guest_python() -> str:
    """The interpreter inside the guest: the very one that runs ktrial."""
    return sys.executable


def interpreter_paths() -> tuple[Path, ...]:
    """What must be visible for `guest_python` and our dependencies to run: the environment and the Python under it."""
    roots = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent.parent}
    return tuple(sorted(root for root in roots if root != Path("/usr")))


def next_boot(boots: Path) -> Path:
    """Make the next free numbered folder in `boots`: safe among several gateways that start at once."""
    boots.mkdir(parents=True, exist_ok=True)
    number = sum(1 for entry in boots.iterdir() if entry.name.isdigit())
    while True:
        folder = boots / f"{number:03d}"
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
            continue
        (folder / "guest").mkdir()
        (folder / "qemu").mkdir()
        return folder


def write_program(folder: Path, argv: Sequence[str], env: dict[str, str]) -> None:
    """Write the script that virtme-ng starts in the guest; its standard error goes to guest/stderr.log."""
    lines = ["#!/bin/sh", "ip link set lo up 2>/dev/null", "mount -t bpf bpf /sys/fs/bpf 2>/dev/null"]
    lines += [f"exec 2>{GUEST_DIR}/stderr.log"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(env.items())]
    lines += [f"exec {shlex.join(argv)}", ""]
    script = folder / "guest" / "start.sh"
    script.write_text("\n".join(lines))
    script.chmod(0o755)
    wrapper = folder / "qemu" / "qemu.sh"
    # virtme-ng hides QEMU's own exit status; a QEMU that was killed must not be taken for a guest that crashed.
    said = f"echo $status >{_QEMU_DIR}/{_STATUS}"
    wrapper.write_text(f'#!/bin/sh\nqemu-system-x86_64 "$@"\nstatus=$?\n{said}\nexit $status\n')
    wrapper.chmod(0o755)


def read_qemu_status(folder: Path) -> int | None:
    """QEMU's exit status as the wrapper saw it (128 + N for a signal), or None where it never came to say."""
    try:
        return int((folder / "qemu" / _STATUS).read_text())
    except (OSError, ValueError):
        return None


def guest_command(spec: GuestSpec, folder: Path) -> Command:
    """The command that boots `spec` with the program written to `folder`. Console and errors come on standard error."""
    program = ("--rwdir", str(GUEST_DIR), "--exec", str(GUEST_DIR / "start.sh"), "--verbose")
    qemu = ("--qemu", str(_QEMU_DIR / "qemu.sh"))
    return Command(_vng(spec, *qemu, *program), cwd=Path("/"), env=_host_env(), jail=_jail(spec, folder))


def guest_shell(spec: GuestSpec, folder: Path) -> Command:
    """The command that boots `spec` and gives a shell on the caller's terminal."""
    argv = _vng(spec, "--rwdir", str(GUEST_DIR), "--empty-passwords")
    jail = _jail(spec, folder)
    jail = replace(jail, terminal=True, etc=(*jail.etc, *_LOGIN))
    return Command(argv, cwd=Path("/"), env=_host_env(), jail=jail, inherit=("TERM",))


def _vng(spec: GuestSpec, *more: str) -> tuple[str, ...]:
    python = guest_python()
    vng = Path(python).parent / "vng"
    if not vng.exists():
        raise ToolchainError(f"virtme-ng is not installed beside {python}", hint="pip install virtme-ng")
    argv = [python, str(vng), "--run", str(_KERNEL_DIR / spec.image.name), "--force-9p", "--disable-microvm", *more]
    argv += [] if spec.accelerator is Accelerator.KVM else ["--disable-kvm"]
    argv += ["--cpus", str(spec.cpus), "--memory", f"{spec.memory_mib}M"]
    for argument in (_ROOT_FLAGS, _LOG, "printk.devkmsg=on", "nokaslr", *spec.kernel_args):
        argv += ["--append", argument]
    if spec.qemu_args:
        argv += [f"--qemu-opts={shlex.join(spec.qemu_args)}"]
    return tuple(argv)


def _host_env() -> dict[str, str]:
    """virtme-ng looks for its own commands in PATH."""
    return {"PATH": f"{Path(guest_python()).parent}:/usr/sbin:/usr/bin:/sbin:/bin"}


def _jail(spec: GuestSpec, folder: Path) -> Jail:
    readable = dict.fromkeys((*interpreter_paths(), *(path.resolve() for path in spec.readable)))
    return Jail(
        read_only=(*((path, path) for path in readable), (spec.image.resolve().parent, _KERNEL_DIR), *_udev()),
        read_write=((folder / "qemu", _QEMU_DIR), (folder / "guest", GUEST_DIR)),
        devices=(Path("/dev/kvm"),) if spec.accelerator is Accelerator.KVM else (),
        empty=_MOUNT_POINTS,
        hidden=(str(_UDEVD.parent),),
    )


def _udev() -> tuple[tuple[Path, Path], ...]:
    """vm/udevd for udevd, and nothing for udevadm; a system that keeps its udevd elsewhere uses that."""
    if not _UDEVD.parent.is_dir():
        return ()
    none = ((Path("/usr/bin/true"), _UDEVADM),) if _UDEVADM.exists() else ()
    return ((vm_dir() / "udevd", _UDEVD), *none)


def host_has_kvm() -> bool:
    """/dev/kvm is there and may be opened; only a boot tells whether it works (machine.accel)."""
    return os.access("/dev/kvm", os.R_OK | os.W_OK)
