"""Write the flow's frozen values to a run's folder, and read them back.

Every value between two stages is a frozen dataclass. `save` writes one as JSON through a temporary file and a rename,
so that a reader (or a resumed run) sees the whole value or none.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, TypeVar

import msgspec

__all__ = ["atomic_write", "decode", "encode", "load", "load_if", "save"]

T = TypeVar("T")


def _to_json(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"cannot record a {type(value).__name__}")


def _from_json(kind: type, value: Any) -> Any:
    if kind is Path or (isinstance(kind, type) and issubclass(kind, Path)):
        return Path(value)
    raise NotImplementedError(f"cannot read back a {kind}")


def encode(value: Any) -> bytes:
    """JSON of a dataclass (bytes become base64, paths strings), indented, with a final newline."""
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=_to_json), indent=2) + b"\n"


def decode(data: bytes, kind: type[T]) -> T:
    """The value of type `kind` that `encode` wrote. Raises msgspec.DecodeError on anything else."""
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=_from_json)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"it is no UTF-8: {error}") from error


def atomic_write(path: Path, data: bytes) -> None:
    """Replace `path` with `data`, whole or not at all, surviving a kill at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def save(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically."""
    atomic_write(path, encode(value))


def load(path: Path, kind: type[T]) -> T:
    """Read the value of type `kind` that `save` wrote. Raises OSError, msgspec.DecodeError."""
    return decode(path.read_bytes(), kind)


def load_if(path: Path, kind: type[T]) -> T | None:
    """As `load`, or None where the file is missing or was written by another version."""
    try:
        return load(path, kind)
    except (OSError, msgspec.DecodeError):
        return None
