"""Looking at the programs and libraries that ktrial needs."""

from __future__ import annotations

import contextlib
import ctypes
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness.command import Command, Completed, Jail, run
from harness.doctor.model import Finding, State
from harness.errors import ToolchainError

__all__ = [
    "bpf_compiler",
    "compiler",
    "header",
    "libbpf",
    "pahole",
    "program",
    "python",
    "qemu",
    "sandbox",
    "udev",
    "virtme_ng",
]

_SECONDS = 30.0
_OLDEST_PYTHON = (3, 11)
_OLDEST_PAHOLE = (1, 16)  # lib/Kconfig.debug: DEBUG_INFO_BTF
_UDEVD = ("/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd")  # virtme-ng's guest/virtme-init: find_udevd
_SYSTEM_PATH = "/usr/bin:/bin"
_BPF_PROGRAM = "#include <linux/bpf.h>\nint pass(struct xdp_md *ctx) { return XDP_PASS; }\n"


def _first_line(completed: Completed) -> str:
    return next((line.strip() for line in completed.text.splitlines() if line.strip()), "")


def _ask(*argv: str, stdin: str | None = None) -> Completed:
    """Run a program briefly, in a private home: a user's configuration must not change the answer."""
    with tempfile.TemporaryDirectory(prefix="ktrial-doctor-") as home:
        command = Command(argv, env={"HOME": home}, cwd=Path(home), deadline=_SECONDS)
        return run(command, stdin=stdin.encode() if stdin is not None else None, check=False)


def program(name: str, *arguments: str, state: State = State.MISSING) -> Callable[[], Finding]:
    """A look at a program that need only be there and say its version. state: what its absence is."""

    def look() -> Finding:
        path = shutil.which(name)
        if path is None:
            return Finding(state, f"{name} is not installed")
        answer = _ask(path, *(arguments or ("--version",)))
        if not answer.ok:
            return Finding(State.BROKEN, f"{path} does not run: {answer.tail(1)}")
        return Finding(State.OK, _first_line(answer) or path)

    return look


def python() -> Finding:
    """The interpreter that runs this, which runs in the guests too."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _OLDEST_PYTHON:
        return Finding(State.BROKEN, f"{version} is too old", "ktrial needs Python 3.11 or newer")
    return Finding(State.OK, f"{version}, {sys.executable}")


def yaml() -> Finding:
    """PyYAML of the system's own Python, which is the guest's for the kernel's tests (net/lib/py/ynl.py)."""
    path = shutil.which("python3", path=_SYSTEM_PATH)
    answer = _ask(path, "-c", "import yaml; print(yaml.__version__)") if path else None
    if answer is None or not answer.ok:
        return Finding(State.OPTIONAL_MISSING, f"{path or 'python3'} has no PyYAML: those tests are skipped")
    return Finding(State.OK, f"PyYAML {_first_line(answer)}, {path}")


def virtme_ng() -> Finding:
    """The vng command installed beside this interpreter, where harness.machine takes it from."""
    path = Path(sys.executable).parent / "vng"
    if not path.is_file():
        return Finding(State.MISSING, f"no {path}", f"{sys.executable} -m pip install virtme-ng")
    answer = _ask(str(path), "--version")
    if not answer.ok:
        return Finding(State.BROKEN, f"{path} does not run: {answer.tail(1)}")
    return Finding(State.OK, f"{_first_line(answer)}, {path}")


def header(name: str, library: str) -> Callable[[], Finding]:
    """A look at a library's development files: a program that includes its header links against it."""

    def look() -> Finding:
        source = f"#include <{name}>\nint main(void) {{ return 0; }}\n"
        try:
            built = _ask("gcc", "-x", "c", "-", "-o", "a.out", f"-l{library}", stdin=source)
        except ToolchainError:
            return Finding(State.MISSING, "cannot be looked for without gcc")
        if not built.ok:
            return Finding(State.MISSING, f"{name} and -l{library} do not build: {_first_line(built)}")
        return Finding(State.OK, f"{name}, -l{library}")

    return look


def compiler() -> Finding:
    """gcc, which must really make a program of this machine: the kernel's build makes its tools with it."""
    found = program("gcc")()
    builds = header("stdlib.h", "c")() if found.state is State.OK else found
    return found if builds.state is State.OK else builds


def bpf_compiler() -> Finding:
    """Clang, which must really have the BPF target and find the kernel's headers."""
    found = program("clang")()
    if found.state is not State.OK:
        return found
    include = Path("/usr/include") / _multiarch()
    built = _ask("clang", "-target", "bpf", "-O2", "-g", "-idirafter", str(include), "-x", "c", "-", "-c", "-o", "a.o",
                 stdin=_BPF_PROGRAM)  # fmt: skip
    if not built.ok:
        return Finding(State.BROKEN, f"{found.found} compiles no BPF program: {_first_line(built)}")
    return Finding(State.OK, f"{found.found}, compiles for BPF")


def _multiarch() -> str:
    """The name of Debian's folder for headers of this machine (`x86_64-linux-gnu`), or ""."""
    with contextlib.suppress(ToolchainError):
        answer = _ask("gcc", "-print-multiarch")
        return _first_line(answer) if answer.ok else ""
    return ""


def libbpf() -> Finding:
    """libbpf as the guest's Python loads it, and its headers as the suites' programs include them."""
    try:
        library = ctypes.CDLL("libbpf.so.1")
    except OSError as error:
        return Finding(State.MISSING, str(error))
    library.libbpf_version_string.restype = ctypes.c_char_p
    version = library.libbpf_version_string().decode()
    try:
        headers = _ask("gcc", "-E", "-x", "c", "-", "-o", "a.i", stdin="#include <bpf/bpf_helpers.h>\n")
    except ToolchainError:
        return Finding(State.MISSING, f"libbpf.so.1 {version}; its headers cannot be looked for without gcc")
    if not headers.ok:
        return Finding(State.MISSING, f"libbpf.so.1 {version}, but no bpf/bpf_helpers.h")
    return Finding(State.OK, f"libbpf.so.1 {version} and bpf/bpf_helpers.h")


def pahole() -> Finding:
    """pahole, new enough for the kernel's BTF."""
    found = program("pahole")()
    version = re.fullmatch(r"v(\d+)\.(\d+).*", found.found)
    if found.state is State.OK and version and (int(version[1]), int(version[2])) < _OLDEST_PAHOLE:
        return Finding(State.BROKEN, f"{found.found} is too old", "CONFIG_DEBUG_INFO_BTF needs pahole 1.16 or newer")
    return found


def qemu() -> Finding:
    """QEMU for x86, with TCG: the accelerator that is always there and counts instructions."""
    found = program("qemu-system-x86_64")()
    if found.state is not State.OK:
        return found
    accelerators = _ask("qemu-system-x86_64", "-accel", "help").text.split()
    if "tcg" not in accelerators:
        return Finding(State.BROKEN, f"{found.found} has no TCG", "install a QEMU built with its TCG accelerator")
    return Finding(State.OK, f"{found.found}, with TCG")


def udev() -> Finding:
    """udevd where virtme-ng's guest looks for it; the guest shares the host's /usr."""
    path = next((path for path in _UDEVD if Path(path).is_file()), None) or shutil.which("udevd")
    return Finding(State.OK, path) if path else Finding(State.MISSING, "no udevd")


def sandbox() -> Finding:
    """bubblewrap, tried as ktrial uses it: a program confined by the door's own Jail."""
    if shutil.which("bwrap") is None:
        return Finding(State.MISSING, "bwrap is not installed")
    tried = run(Command(("true",), jail=Jail(), deadline=_SECONDS), check=False)
    if tried.ok:
        return Finding(State.OK, f"{_first_line(_ask('bwrap', '--version'))}, sandboxes")
    return Finding(State.BROKEN, f"bwrap cannot make a sandbox: {tried.tail(1)}", _why_no_sandbox())


def _why_no_sandbox(sysctl: Path = Path("/proc/sys")) -> str:
    """Which of the kernel's switches forbids user namespaces, and how to turn it."""
    for name, forbids, turn in (
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
    ):
        with contextlib.suppress(OSError):
            if (sysctl / name).read_text(encoding="ascii").strip() == forbids:
                return f"user namespaces are disabled: sudo sysctl -w {turn}"
    return "allow user namespaces: none can be made in a chroot, nor in a container without seccomp=unconfined"
