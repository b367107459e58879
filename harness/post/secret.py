"""Read a password or token from where the settings say it is. It is never in an argument, a log or an error."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from harness.command import Command, run
from harness.errors import UsageError

__all__ = ["read_secret"]

_DEADLINE = 60.0
_AGENTS = ("GNUPGHOME", "GPG_TTY", "PASSWORD_STORE_DIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "SSH_AUTH_SOCK")


def read_secret(what: str, *, file: str = "", command: Sequence[str] = (), variable: str = "") -> str:
    """The first line of a file, or of what a command prints, or an environment variable; "" where none is named.

    what: the setting's name without `_file`, for errors. Raises UsageError where what is named gives nothing.
    """
    if variable and os.environ.get(variable):
        return _checked(os.environ[variable].strip(), f"${variable}")
    if file:
        return _checked(_first_line(_content(what, file)), f"{what}_file {file}")
    if command:
        return _checked(_first_line(_printed(what, command)), f"{what}_command {command[0]}")
    return ""


def _content(what: str, file: str) -> str:
    try:
        return Path(file).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no UTF-8"
        raise UsageError(f"{what}_file {file} cannot be read: {why}") from None


def _printed(what: str, command: Sequence[str]) -> str:
    done = run(Command(tuple(command), deadline=_DEADLINE, inherit=_AGENTS), check=False, merge=False)
    if not done.ok:
        how = "did not end in time" if done.timed_out else f"exited with status {done.status}"
        raise UsageError(f"{what}_command: {command[0]} {how}", detail=done.errors.decode("utf-8", "replace")[-2000:])
    return done.text


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "").strip()


def _checked(secret: str, where: str) -> str:
    if not secret or not secret.isprintable():
        raise UsageError(f"{where} holds no usable {'secret' if secret else 'secret: it is empty'}")
    return secret
