"""A kernel of six files in a git repository, for tests of trees; and series made of its commits."""

from __future__ import annotations

import email
import os
import re
import subprocess
from pathlib import Path

from harness.series.model import Patch, Series

FILES = {
    "Makefile": "# SPDX-License-Identifier: GPL-2.0\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 3\nEXTRAVERSION = -rc1\n",
    "Kconfig": 'mainmenu "Small"\n',
    "Kbuild": "obj-y += net/\n",
    "net/core/filter.c": "".join(f"int filter_{n}(void)\n{{\n\treturn {n};\n}}\n\n" for n in range(40)),
    "net/core/xdp.c": "".join(f"int xdp_{n}(void)\n{{\n\treturn {n};\n}}\n\n" for n in range(10)),
    "scripts/check.sh": "#!/bin/sh\nexit 0\n",
}
_ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_AUTHOR_DATE": "1700000000 +0100",
    "GIT_COMMITTER_DATE": "1700000000 +0100",
}


def git(where: Path, *arguments: str, stdin: bytes | None = None) -> str:
    done = subprocess.run(
        ("git", "-C", str(where), "-c", "protocol.file.allow=always", *arguments),
        env=_ENV, input=stdin, capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout.decode("utf-8", "surrogateescape")


def make_kernel(where: Path) -> Path:
    """A checkout with one commit: the files above, a script that may be executed, a symbolic link."""
    where.mkdir(parents=True)
    git(where, "init", "-q", "-b", "master")
    for name, text in FILES.items():
        write(where, name, text)
    (where / "scripts" / "check.sh").chmod(0o755)
    (where / "net" / "link.c").symlink_to("core/xdp.c")
    commit(where, "base")
    return where


def write(where: Path, name: str, text: str | bytes) -> None:
    path = where / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def replace(where: Path, name: str, old: str, new: str) -> None:
    text = (where / name).read_text()
    assert old in text
    write(where, name, text.replace(old, new))


def commit(where: Path, subject: str) -> str:
    git(where, "add", "-A", "-f")
    git(where, "commit", "-q", "--allow-empty", "-m", subject)
    return git(where, "rev-parse", "HEAD").strip()


def take_series(where: Path, since: str, *, options: tuple[str, ...] = ()) -> Series:
    """The commits since a revision as a mailed series; the checkout goes back to that revision and forgets them."""
    mails = git(where, "format-patch", "--stdout", *options, f"{since}..HEAD")
    git(where, "reset", "-q", "--hard", since)
    git(where, "reflog", "expire", "--expire=now", "--all")
    git(where, "gc", "-q", "--prune=now")
    return series(mails.encode("utf-8", "surrogateescape"))


def series(mbox: bytes, **more: object) -> Series:
    """A series of the messages of a mailbox that git wrote."""
    mails = [b"From " + text for text in re.split(rb"^From (?=[0-9a-f]{40} )", mbox, flags=re.M) if text]
    return series_of([patch(mail, number, len(mails)) for number, mail in enumerate(mails, 1)], **more)


def patch(mail: bytes, number: int = 1, total: int = 1) -> Patch:
    message = email.message_from_bytes(mail.split(b"\n", 1)[1])
    subject = re.sub(r"^\[.*?\]\s*", "", str(message["Subject"]))
    touched = tuple(sorted(set(re.findall(r"^diff --git a/(\S+)", mail.decode("utf-8", "replace"), re.M))))
    return Patch(
        number=number, total=total, subject=subject, author=str(message["From"]), date=str(message["Date"] or ""),
        message_id=f"<{number}@example.org>", message="", trailers=(), touched=touched, mail=mail,
        where=f"series.mbox, message {number}",
    )  # fmt: skip


def series_of(patches: list[Patch], **more: object) -> Series:
    values: dict[str, object] = {
        "source": "series.mbox", "title": "small", "version": 1, "tags": (), "tree_tag": "", "author": "Ada",
        "cover": None, "patches": tuple(patches),
    }  # fmt: skip
    return Series(**(values | more))  # type: ignore[arg-type]


def mail(diff: str, *, subject: str = "net: change", date: str | None = "Tue, 14 Nov 2023 23:13:20 +0100") -> bytes:
    """A mail of our own making around a diff."""
    dated = f"Date: {date}\n" if date is not None else ""
    return (
        f"From {'0' * 40} Mon Sep 17 00:00:00 2001\nFrom: Ada <ada@example.org>\n{dated}Subject: [PATCH] {subject}\n\n"
        f"Why.\n---\n{diff}-- \n2.39\n"
    ).encode()


def fingerprint(where: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and folder below, .git and all: mode, size, mtime in ns."""
    return {
        str(path): ((stat := path.lstat()).st_mode, stat.st_size, stat.st_mtime_ns)
        for path in sorted([where, *where.rglob("*")])
    }
