"""Compare what two kernels load into memory: every allocated section of vmlinux and of each module, byte by byte.

Left out are `.notes` and `.note.*`: the build id covers debug information, which names the line of every instruction.
Kept are symbol tables, exception and bug tables and BTF: they change what a kernel prints or accepts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section

from harness.build.model import Identity, Kernel
from harness.errors import TreeError
from harness.record import load_if, save

__all__ = ["digest_sections", "identical", "kernel_sections"]

RECORD = "sections.json"
NOTES = (".notes", ".note.")


def identical(base: Kernel, patched: Kernel) -> Identity:
    """Whether the two kernels' code and data are the same, and which sections are not."""
    ours, theirs = kernel_sections(base.directory), kernel_sections(patched.directory)
    differing = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    return Identity(not differing, tuple(differing))


def kernel_sections(directory: Path) -> dict[str, str]:
    """SHA-256 by section of a built kernel (`.text`, `kernel/net/foo.ko:.text`); computed once, then read back."""
    record = directory / RECORD
    known = load_if(record, dict[str, str])
    if known is None:
        known = _sections(directory / "vmlinux") | _modules(directory / "modules")
        save(record, known)
    return known


def digest_sections(sections: Mapping[str, str]) -> str:
    """One SHA-256 over all of them, hex."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(sections.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _modules(directory: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for module in sorted(directory.rglob("*.ko")):
        # modules/lib/modules/<release>/kernel/net/foo.ko: the release may differ without any code doing so.
        inside = module.relative_to(directory).parts
        name = "/".join(inside[inside.index("kernel") :] if "kernel" in inside else inside)
        found.update({f"{name}:{section}": digest for section, digest in _sections(module).items()})
    return found


def _sections(path: Path) -> dict[str, str]:
    """SHA-256 of each section that is loaded. Sections of one name (possible in a module) are taken together."""
    found: dict[str, str] = {}
    try:
        with path.open("rb") as file:
            for section in ELFFile(file).iter_sections():
                if _is_loaded(section):
                    earlier = found.get(section.name, "")
                    found[section.name] = hashlib.sha256(earlier.encode() + _content(section)).hexdigest()
    except (ELFError, OSError) as error:
        raise TreeError(f"{path} cannot be read as a kernel: {error}") from error
    return found


def _is_loaded(section: Section) -> bool:
    return bool(section["sh_flags"] & SH_FLAGS.SHF_ALLOC) and not section.name.startswith(NOTES)


def _content(section: Section) -> bytes:
    """A section's bytes; of one without (.bss), its size."""
    if section["sh_type"] == "SHT_NOBITS":
        return str(section["sh_size"]).encode()
    data: bytes = section.data()
    return data
