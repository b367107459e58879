"""Let modprobe know what is built in, of a kernel that has no modules.

Tests ask for what they need with modprobe, and skip where it fails. It knows what is built in from indices below
/lib/modules that depmod makes of make's lists (modules.builtin, modules.builtin.modinfo): without a folder there,
modprobe finds nothing at all.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from harness.build.store import made
from harness.command import Command, Jail, run

__all__ = ["index_builtin"]

_LISTS = ("modules.builtin", "modules.builtin.modinfo")
_RELEASE = re.compile(r"\w[\w.+~-]{,63}")  # as long as uname(2) has room for
_INSIDE = Path("/ktrial/modules")
_DEADLINE = 60.0
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"  # as the jail has it; depmod is not in every user's


def index_builtin(objects: Path, target: Path) -> bool:
    """Make `target`/lib/modules/<release> from the lists in `objects`; False where there are none, or no depmod.

    The lists and the release are the series' own words, so depmod is confined. Raises BuildError where a list is a link
    to the host's files.
    """
    release = _release(objects)
    lists = [path for path in (made(objects, name) for name in _LISTS) if path.is_file()]
    if not release or _LISTS[0] not in (path.name for path in lists) or shutil.which("depmod", path=_PATH) is None:
        return False
    folder = target / "lib" / "modules" / release
    folder.mkdir(parents=True)
    for path in lists:
        shutil.copyfile(path, folder / path.name)
    (folder / "modules.order").touch()
    depmod = ("depmod", "-b", str(_INSIDE), release)
    done = run(Command(depmod, deadline=_DEADLINE, jail=Jail(read_write=((target, _INSIDE),))), check=False)
    if not done.ok:
        shutil.rmtree(target)
    return done.ok


def _release(objects: Path) -> str:
    """What `uname -r` says of the kernel; "" where that is no plain name."""
    record = made(objects, "include/config/kernel.release")
    release = record.read_text("utf-8", "replace").strip() if record.is_file() else ""
    return release if _RELEASE.fullmatch(release) else ""
