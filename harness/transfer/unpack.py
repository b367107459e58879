"""Take the runs of an archive in. Whoever wrote it may be hostile: nothing in it is trusted before it is looked at.

Only plain files with the names that `pack` gives leave the archive, into a folder beside the runs. There each run is
checked, its paths are made those of another machine, and it is moved to its place. All come in, or none.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import lzma
import re
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, cast

import msgspec

from harness import record
from harness.errors import UsageError
from harness.places import runs_dir
from harness.report.json import read_result, write_result
from harness.run_result import RunResult
from harness.store import RunFolder, run_folders
from harness.transfer.elsewhere import machine_name, of_another_machine
from harness.transfer.model import ARRIVAL, FORMAT, MANIFEST, Arrival, Arrived, Limits, Manifest, is_wanted

__all__ = ["unpack"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,119}")
_LONGEST_HEADER = 1 << 20  # bytes that tarfile may read at once: more is a header that means harm
_CHUNK = 1 << 16
# A Python before 3.11.4 has no filters. What it would let pass is no name of a run's file either.
_FILTER: Callable[[tarfile.TarInfo, str], object] = getattr(tarfile, "data_filter", lambda member, _: member)
_BROKEN = (tarfile.TarError, EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)


def unpack(archive: Path, limits: Limits | None = None) -> Arrived:
    """Take in the runs of an archive that are not here yet. Raises UsageError where it cannot be, and takes none.

    A run that is here already and is the same is left as it is; one that has its id and is another is refused.
    """
    runs_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=runs_dir()) as scratch:
        try:
            with _opened(archive, limits or Limits()) as opened:
                manifest = _extract(opened, Path(scratch), limits or Limits())
        except _BROKEN as error:
            raise UsageError(f"{archive} is no archive of runs, or is cut off: {error}") from error
        except OSError as error:
            raise UsageError(f"{archive} cannot be read: {error.strerror or error}") from error
        return _settle(manifest, Path(scratch))


class _Limited:
    """A stream that ends in an error where more comes out of it than may: in all, and as one member's header.

    tarfile keeps a header in memory, whatever size it says it has.
    """

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._left, self._header_left = stream, most, most

    def header(self, begins: bool) -> None:
        """From now on a header is read, or what a member holds."""
        self._header_left = _LONGEST_HEADER if begins else self._left

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        self._header_left -= len(data)
        if self._left < 0:
            raise UsageError("the archive holds more than it may", hint="--max-size allows more")
        if self._header_left < 0:
            raise UsageError("the archive has a header that is no run's")
        return data


@dataclass(frozen=True)
class _Archive:
    """An archive as a stream."""

    tar: tarfile.TarFile
    limited: _Limited

    def next(self) -> tarfile.TarInfo | None:
        """The next member; its header is looked at before any of it is kept."""
        self.limited.header(True)
        member = self.tar.next()
        self.limited.header(False)
        return member

    def content(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        source = self.tar.extractfile(member)
        while source is not None and (chunk := source.read(_CHUNK)):
            yield chunk


@contextlib.contextmanager
def _opened(path: Path, limits: Limits) -> Iterator[_Archive]:
    """The archive, unpacked as it is read."""
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        magic = raw.read(6)
        raw.seek(0)
        stream: IO[bytes] = raw
        if magic.startswith(b"\x1f\x8b"):
            stream = cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=raw)))
        elif magic == b"\xfd7zXZ\0":
            stream = cast(IO[bytes], stack.enter_context(lzma.LZMAFile(raw)))
        # Headers and padding of small files come on top of what they hold.
        limited = _Limited(stream, limits.size + limits.files * 2048)
        limited.header(True)
        tar = stack.enter_context(tarfile.open(fileobj=cast(IO[bytes], limited), mode="r|", bufsize=_CHUNK))
        yield _Archive(tar, limited)


@dataclass
class _Seen:
    """What has come out of an archive so far."""

    names: set[str] = field(default_factory=set)
    size: int = 0


def _extract(archive: _Archive, scratch: Path, limits: Limits) -> Manifest:
    """Write the members to `scratch`, each as RUN/NAME. Raises UsageError at the first that does not belong."""
    first = archive.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > _LONGEST_HEADER:
        raise UsageError("the archive is none of ktrial's: it does not begin with a list of runs")
    manifest = _manifest(b"".join(archive.content(first)), limits)
    runs, seen = {run.id for run in manifest.runs}, _Seen()
    while member := archive.next():
        target = scratch / _checked(member, runs, seen, limits)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.writelines(archive.content(member))
    return manifest


def _manifest(data: bytes, limits: Limits) -> Manifest:
    try:
        manifest = record.decode(data, Manifest)
    except msgspec.DecodeError as error:
        raise UsageError(f"the archive's list of runs cannot be read: {error}") from error
    if manifest.format != FORMAT:
        raise UsageError(f"the archive has format {manifest.format}, and this ktrial reads {FORMAT}")
    if len(manifest.runs) > limits.runs:
        raise UsageError(f"the archive has {len(manifest.runs)} runs, and {limits.runs} are the most")
    for run in manifest.runs:
        if not _ID.fullmatch(run.id):
            raise UsageError(f"the archive has a run named {run.id!r}, which is no run's id")
    return manifest


def _checked(member: tarfile.TarInfo, runs: set[str], seen: _Seen, limits: Limits) -> PurePosixPath:
    """The member's place. Raises UsageError where it is none that `pack` writes."""
    try:
        _FILTER(member, "/nonexistent")  # absolute names, .., links, devices, and what else is known to do harm
    except tarfile.TarError as error:
        raise UsageError(f"the archive holds {member.name!r}, which does not belong there: {error}") from error
    run, _, name = member.name.partition("/")
    if not member.isreg() or run not in runs or not is_wanted(PurePosixPath(name)) or str(PurePosixPath(name)) != name:
        raise UsageError(f"the archive holds {member.name!r}, which is no file of its runs")
    if member.name in seen.names:
        raise UsageError(f"the archive holds {member.name!r} twice")
    seen.names.add(member.name)
    seen.size += member.size
    if seen.size > limits.size or member.size > limits.size // 2 or len(seen.names) > limits.files:
        raise UsageError(f"the archive holds more than it may, at {member.name!r}", hint="--max-size allows more")
    return PurePosixPath(member.name)


def _settle(manifest: Manifest, scratch: Path) -> Arrived:
    """Check every run, then move those that are not here to their places."""
    machine, present = machine_name(manifest.machine), run_folders()
    known, coming = [], []
    for run in manifest.runs:
        result = _result(scratch / run.id, run.id)
        if run.id in present:
            _same(present[run.id], run.digest)
            known.append(run.id)
            continue
        arrival = Arrival(machine, datetime.now(UTC).isoformat(timespec="seconds"), run.digest)
        coming.append((run.id, result, arrival))
    for name, result, arrival in coming:
        place = runs_dir() / name
        moved = of_another_machine(result, machine, scratch / name, place)
        write_result(scratch / name / "result.json", moved)
        record.save(scratch / name / ARRIVAL, arrival)
    for name, _, _ in coming:
        (scratch / name).rename(runs_dir() / name)
    return Arrived(machine, tuple(name for name, _, _ in coming), tuple(known))


def _result(folder: Path, name: str) -> RunResult:
    """A run's result. Raises UsageError where the folder is no run of that name."""
    run = RunFolder(folder)
    if not folder.is_dir() or run.id != name:
        raise UsageError(f"the archive does not hold the run {name}")
    try:
        result = read_result(run.result)
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"the result of {name} cannot be read by this ktrial: {error}") from error
    if result.run != name:
        raise UsageError(f"the result of {name} is of another run: {result.run!r}")
    return result


def _same(folder: RunFolder, digest: str) -> None:
    """Raises UsageError where the run that is here is another than the archive's."""
    arrival = record.load_if(folder.path / ARRIVAL, Arrival)
    here = arrival.digest if arrival else _digest(folder)
    if here != digest:
        raise UsageError(f"run {folder.id} is here already, and is another", hint=f"ktrial runs rm {folder.id}")


def _digest(folder: RunFolder) -> str:
    return hashlib.sha256(folder.result.read_bytes()).hexdigest() if folder.result.is_file() else ""
