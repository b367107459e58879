"""Let modprobe know what is built in, of a kernel that has no modules.

Tests ask for what they need with modprobe, and skip where it fails. It knows what is built in from indices below
/lib/modules that depmod makes of make's lists (modules.builtin, modules.builtin.modinfo): without a folder there,
modprobe finds nothing at all.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from harness.command import Command, Jail, run

__all__ = ["index_builtin"]

_LISTS = ("modules.builtin", "modules.builtin.modinfo")
_RELEASE = re.compile(r"\w[\w.+~-]*")
_INSIDE = Path("/ktrial/modules")
_DEADLINE = 60.0
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"  # as the jail has it; depmod is not in every user's


def index_builtin(objects: Path, target: Path) -> bool:
    """Make `target`/lib/modules/<release> from the lists in `objects`; False where there are none, or no depmod.

    The lists and the release are the series' own words, so depmod is confined.
    """
    record = objects / "include" / "config" / "kernel.release"
    release = record.read_text("utf-8", "replace").strip() if record.is_file() else ""
    if (
        not _RELEASE.fullmatch(release)
        or not (objects / _LISTS[0]).is_file()
        or shutil.which("depmod", path=_PATH) is None
    ):
        return False
    folder = target / "lib" / "modules" / release
    folder.mkdir(parents=True)
    for name in _LISTS:
        if (objects / name).is_file():
            shutil.copyfile(objects / name, folder / name)
    (folder / "modules.order").touch()
    depmod = ("depmod", "-b", str(_INSIDE), release)
    done = run(Command(depmod, deadline=_DEADLINE, jail=Jail(read_write=((target, _INSIDE),))), check=False)
    if not done.ok:
        shutil.rmtree(target)
    return done.ok
