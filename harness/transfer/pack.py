"""Write finished runs into one archive."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import platform
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Literal

from harness import __version__, record
from harness.errors import UsageError
from harness.store import RunFolder
from harness.transfer.model import ARRIVAL, FORMAT, MANIFEST, Arrival, Manifest, Packed, is_log, is_wanted

__all__ = ["pack"]

Mode = Literal["w:gz", "w:xz", "w"]
_MODES: dict[str, Mode] = {".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.xz": "w:xz", ".tar": "w"}


def pack(runs: Sequence[RunFolder], out: Path, *, logs: bool = True) -> int:
    """Write runs to the archive `out`, whole or not at all; gives its size in bytes.

    logs: with the logs of builds, tests and guests. Raises UsageError where a run is not finished or `out` cannot be.
    """
    mode = next((mode for suffix, mode in _MODES.items() if out.name.endswith(suffix)), None)
    if mode is None:
        raise UsageError(f"{out}: an archive ends in {', '.join(_MODES)}", hint=f"{out.name}.tar.gz")
    for run in runs:
        if not run.result.is_file():
            raise UsageError(f"run {run.id} is not finished", hint=f"ktrial run --resume {run.id}")
    try:
        with _replacing(out) as name, tarfile.open(name, mode, format=tarfile.PAX_FORMAT) as archive:
            _add(archive, MANIFEST, record.encode(_manifest(runs)))
            for run in runs:
                _add_run(archive, run, logs)
        return out.stat().st_size
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def _replacing(out: Path) -> Iterator[str]:
    """A file that becomes `out` once all is in it."""
    handle, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    os.close(handle)
    try:
        yield name
        Path(name).chmod(0o644)
        Path(name).replace(out)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _manifest(runs: Sequence[RunFolder]) -> Manifest:
    packed = tuple(Packed(run.id, _digest(run)) for run in runs)
    return Manifest(FORMAT, platform.node(), datetime.now(UTC).isoformat(timespec="seconds"), __version__, packed)


def _digest(run: RunFolder) -> str:
    """Of the result as it was where the run was made: importing changes the paths in it."""
    arrival = record.load_if(run.path / ARRIVAL, Arrival)
    return arrival.digest if arrival else hashlib.sha256(run.result.read_bytes()).hexdigest()


def _add_run(archive: tarfile.TarFile, run: RunFolder, logs: bool) -> None:
    for path in sorted(_files(run.path)):
        inside = PurePosixPath(path.relative_to(run.path).as_posix())
        if is_wanted(inside) and (logs or not is_log(inside)):
            _add(archive, f"{run.id}/{inside}", path.read_bytes(), path.stat().st_mtime)


def _files(folder: Path) -> Iterator[Path]:
    """Plain files; what is linked to is no part of a run."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _add(archive: tarfile.TarFile, name: str, data: bytes, mtime: float = 0.0) -> None:
    """A member that tells nothing of who wrote it."""
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(data), 0o644, int(mtime)
    archive.addfile(member, io.BytesIO(data))
