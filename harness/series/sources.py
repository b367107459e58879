"""Get at the bytes of a series: a file, standard input, a Maildir, a directory of mails or patches."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from pathlib import Path

from harness.errors import SeriesError, UsageError
from harness.series.diffscan import holds_diff
from harness.series.letters import Letter, read_letter
from harness.series.mailbox import looks_like_mail, split
from harness.series.mime import decode_piece

__all__ = ["letters_of_bytes", "letters_of_directory", "read_bytes"]

_LIMIT = 256 << 20
_SUFFIXES = frozenset({".patch", ".eml", ".mbox", ".mail"})
_GZIP = b"\x1f\x8b"
_ARCHIVE = "get the series from its archive: `b4 am MESSAGE-ID`, or https://lore.kernel.org/all/MESSAGE-ID/t.mbox.gz"
_FORMAT_PATCH = (
    "commit the change and run `git format-patch --stdout BASE.. >series.mbox`, or give the range BASE..HEAD"
)


def read_bytes(path: Path) -> bytes:
    """A file's bytes. Raises UsageError where it cannot be read, SeriesError where it is huge."""
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > _LIMIT:
        raise SeriesError(f"{path}: larger than {_LIMIT >> 20} MiB, which no patch series is")
    return data


def letters_of_bytes(data: bytes, source: str) -> list[Letter]:
    """The letters of a mailbox or of a single mail. Raises UsageError where there is nothing, SeriesError where it is
    something else: a web page, a bare diff, a binary file."""
    data = _unpacked(data, source)
    if not data.strip(b"\xef\xbb\xbf \t\r\n"):
        raise UsageError(f"{source}: empty", hint="give an mbox file, a directory of patches, or a git range A..B")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not looks_like_mail(data):
        raise _no_mailbox(data, source)
    mails = [mail for piece in split(data, source) for mail in decode_piece(piece)]
    return [read_letter(mail) for mail in mails]


def letters_of_directory(directory: Path) -> list[Letter]:
    """The letters of a Maildir, or of all mails and patches in a directory, by name in natural order."""
    files = _maildir(directory) if (directory / "cur").is_dir() or (directory / "new").is_dir() else _patches(directory)
    if not files:
        raise UsageError(
            f"{directory}: no series in it (a Maildir's messages, *.patch or *.eml files, a quilt series)",
            hint="run git format-patch -o DIRECTORY BASE.. and give that directory",
        )
    return [letter for file in files for letter in letters_of_bytes(read_bytes(file), str(file))]


def _maildir(directory: Path) -> list[Path]:
    return _by_name(file for part in ("cur", "new") for file in _files(directory / part) if file.name[:1] != ".")


def _patches(directory: Path) -> list[Path]:
    return _by_name(file for file in _files(directory) if file.suffix.lower() in _SUFFIXES)


def _files(directory: Path) -> list[Path]:
    try:
        return [file for file in directory.iterdir() if file.is_file()] if directory.is_dir() else []
    except OSError as error:
        raise UsageError(f"cannot read {directory}: {error.strerror}") from error


def _by_name(files: Iterable[Path]) -> list[Path]:
    """`2-b.patch` before `10-a.patch`."""
    return sorted(files, key=lambda file: [(part.isdigit(), part.zfill(20)) for part in re.split(r"(\d+)", file.name)])


def _unpacked(data: bytes, source: str) -> bytes:
    """What gzip packed (the archives' t.mbox.gz), up to the limit."""
    if not data.startswith(_GZIP):
        return data
    try:
        unpacker = zlib.decompressobj(wbits=31)
        plain = unpacker.decompress(data, _LIMIT)
    except zlib.error as error:
        raise SeriesError(f"{source}: a damaged gzip file: {error}", hint="fetch it again") from error
    if not unpacker.eof:
        raise SeriesError(f"{source}: a gzip file that is cut off, or unpacks to more than {_LIMIT >> 20} MiB")
    return plain


def _no_mailbox(data: bytes, source: str) -> SeriesError:
    """The error for a text that is no mail, by what it looks like."""
    first = data.lstrip().split(b"\n", 1)[0][:120].decode("utf-8", "replace").strip()
    if b"\0" in data[:65536]:
        return SeriesError(f"{source}: a binary file, not a mailbox", hint=_ARCHIVE)
    if re.match(rb"\s*<(?:!doctype|html|\?xml)", data, re.IGNORECASE):
        return SeriesError(f"{source}: a web page, not a mailbox", detail=f"line 1: {first}", hint=_ARCHIVE)
    if holds_diff(data):
        return SeriesError(
            f"{source}: a bare diff: it lacks the mail headers (From, Date, Subject) that name its author and purpose",
            detail=f"line 1: {first}",
            hint=_FORMAT_PATCH,
        )
    return SeriesError(
        f"{source}: not a mailbox: it begins neither with a `From ` line nor with a mail's headers (From, Subject)",
        detail=f"line 1: {first}",
        hint=_ARCHIVE,
    )
