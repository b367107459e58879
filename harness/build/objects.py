"""Object folders: begin one from another kernel's, and make one ready for others to begin from."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

from harness.build.store import Entry, link_or_copy
from harness.command import Command, run

__all__ = ["borrow", "discard", "forget_last", "lend"]

# The linker's products are half of a folder's bytes. They are kept beside obj/ and linked into each copy: ld and
# objcopy put a new file in the place of an old one (bfd/cache.c: unlink_if_ordinary; lld renames), so a copy's link
# never writes to ours.
LINKED = ("vmlinux", "vmlinux.o", "vmlinux.unstripped")
# Passing steps of scripts/link-vmlinux.sh, made anew by every link.
PASSING = ".tmp_vmlinux*"
# A killed build's last objects, by age before the last line of its log: what was said of them may be lost. Nanoseconds.
LAST = 2_000_000_000
# A dependency of Kbuild's `.foo.o.cmd` files outside the tree.
HOST_FILE = re.compile(rb"(?<=\s)/usr/[^\s:)\\]+")


def lend(place: Entry, source: Path) -> None:
    """Prepare a finished object folder to be started from.

    All in it gets one time stamp, just after the newest file it was made from. It is then older than whatever a
    series changes, even where the changed files were written before, or while, these objects were compiled.
    """
    for passing in place.objects.glob(PASSING):
        passing.unlink()
    for name in LINKED:
        if (place.objects / name).exists():
            # Not `replace` over it: a rename between two names of one file does nothing.
            (place.directory / name).unlink(missing_ok=True)
            (place.objects / name).rename(place.directory / name)
    stamp = min(time.time_ns(), max(_newest(source), _newest_of_host(place.objects)) + 1_000_000_000)
    for folder, _, names in os.walk(place.objects, topdown=False):
        for name in (*names, "."):
            os.utime(Path(folder) / name, ns=(stamp, stamp), follow_symlinks=False)
    for name in LINKED:
        if (place.directory / name).exists():
            os.utime(place.directory / name, ns=(stamp, stamp))


def borrow(lender: Entry, place: Entry) -> None:
    """Begin `place`'s object folder as a copy of a finished one's, time stamps kept. Whole or not at all."""
    discard(place)
    place.directory.mkdir(parents=True, exist_ok=True)
    place.borrowed.write_text(lender.directory.name + "\n")
    partial = place.directory / "obj.partial"
    run(Command(("cp", "-a", "--reflink=auto", "--", str(lender.objects), str(partial))))
    for name in LINKED:
        if (lender.directory / name).exists():
            link_or_copy(lender.directory / name, partial / name)
    partial.rename(place.objects)


def discard(place: Entry) -> None:
    """Remove a folder's objects, and the record that would vouch for them."""
    place.record.unlink(missing_ok=True)
    for folder in (place.objects, place.directory / "obj.partial"):
        if folder.exists():
            shutil.rmtree(folder)
    place.borrowed.unlink(missing_ok=True)


def forget_last(place: Entry) -> None:
    """Remove a killed build's last objects: they may be torn, and their warnings may not have reached the log."""
    since = place.log.stat().st_mtime_ns - LAST
    for path in place.objects.rglob("*.o"):
        if path.stat().st_mtime_ns > since:
            path.unlink()


def _newest_of_host(objects: Path) -> int:
    """The newest modification time among this machine's own headers that host programs (objtool) were made from."""
    names: set[bytes] = set()
    for path in objects.rglob(".*.cmd"):
        names.update(HOST_FILE.findall(path.read_bytes()))
    return max((status.st_mtime_ns for name in names if (status := _status(name))), default=0)


def _status(name: bytes) -> os.stat_result | None:
    try:
        return Path(os.fsdecode(name)).stat()
    except OSError:
        return None


def _newest(source: Path) -> int:
    """The newest modification time among the files of a tree, in nanoseconds."""
    newest = 0
    folders = [str(source)]
    while folders:
        with os.scandir(folders.pop()) as items:
            for item in items:
                if item.is_dir(follow_symlinks=False):
                    folders.append(item.path)
                else:
                    newest = max(newest, item.stat(follow_symlinks=False).st_mtime_ns)
    return newest
