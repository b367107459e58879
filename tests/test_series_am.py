"""A patch's mail, given to the real `git am`, makes the commit that was mailed, byte by byte."""

from __future__ import annotations

import os
import quopri
import re
import subprocess
from pathlib import Path

import pytest

from harness.series import GIT_AM_OPTIONS, Series, as_mbox, read_series

_ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_COMMITTER_NAME": "Eva Committer",
    "GIT_COMMITTER_EMAIL": "eva@example.org",
}
MESSAGE = """ring: count what is free

From here on it is counted.

From mboxrd@z Thu Jan  1 00:00:00 1970
From: nobody in particular
>From below

Straße, 数え, œuvre.

Signed-off-by: Åsa Slot <asa@example.org>
"""


def git(where: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    command = ("git", "-C", str(where), *arguments)
    done = subprocess.run(command, capture_output=True, input=stdin, env=_ENV, check=False)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    return done.stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two commits on the tag `base`: odd contents, odd messages."""
    where = tmp_path / "tree"
    where.mkdir()
    git(where, "init", "-q", "-b", "master")
    write(where, "ring.c", "".join(f"int slot_{n};\n" for n in range(30)).encode())
    write(where, "latin.c", b"/* caf\xe9 */\nint a;\n")
    write(where, "dos.bat", b"echo one\r\necho two\r\n")
    commit(where, "base")
    git(where, "tag", "base")
    write(where, "latin.c", b"/* caf\xe9 au lait \xff */\nint a;\n")
    write(where, "dos.bat", b"echo one\r\necho 2\r\necho three\nlast")
    write(where, "logo.bin", bytes(range(256)))
    write(where, "täb\t.c", b"int t;\n")
    (where / "link.c").symlink_to("ring.c")
    commit(where, MESSAGE)
    git(where, "mv", "ring.c", "moved.c")
    (where / "latin.c").chmod(0o755)
    write(where, "blank.c", b"\n\n  \n-- \nFrom a@example.org Tue Nov 14 23:13:20 2023\n")
    commit(
        where, "ring: a subject so long that git folds it when it is mailed, as seventy-six columns are not enough\n\nB"
    )
    return where


def write(where: Path, name: str, data: bytes) -> None:
    (where / name).write_bytes(data)


def commit(where: Path, message: str) -> None:
    git(where, "add", "-A")
    author = ("--author=Jürgen Ring-Größe <j@example.org>", "--date=2023-11-14T23:13:20+0100")
    git(where, "commit", "-q", "--cleanup=whitespace", *author, "-F-", stdin=message.encode())


def commits(where: Path, ends: str) -> bytes:
    """Tree, author and message of each commit."""
    return git(where, "log", "--reverse", "--format=%T %an %ae %ad%n%B", ends)


def applied(where: Path, series: Series, *options: str) -> bytes:
    """What the series makes of `base` when its mails are applied one by one."""
    git(where, "checkout", "-q", "-B", "applied", "base")
    for patch in series.patches:
        git(where, "am", "-q", *GIT_AM_OPTIONS, *options, stdin=patch.mail)
    return commits(where, "base..applied")


def mailed(where: Path, *options: str) -> Series:
    return read_series("-", stdin=git(where, "format-patch", "--stdout", *options, "base..master"))


@pytest.mark.parametrize("options", [(), ("--patch-format=mbox", "-3")])
def test_a_mailed_series_becomes_the_commits_it_was(tree: Path, options: tuple[str, ...]) -> None:
    series = mailed(tree, "--pretty=mboxrd", "--binary")
    assert applied(tree, series, *options) == commits(tree, "base..master")


@pytest.mark.parametrize("options", [("--attach",), ("--inline",), ("--cover-letter", "--numbered", "--base=base")])
def test_every_form_that_git_mails_becomes_the_commits_it_was(tree: Path, options: tuple[str, ...]) -> None:
    series = mailed(tree, "--pretty=mboxrd", "--binary", *options)
    assert applied(tree, series) == commits(tree, "base..master")


def test_a_git_range_becomes_the_commits_it_was(tree: Path) -> None:
    assert applied(tree, read_series("base..master", tree=tree)) == commits(tree, "base..master")


def test_the_patches_as_one_mailbox_become_the_commits_they_were(tree: Path) -> None:
    data = as_mbox(read_series("base..master", tree=tree))
    git(tree, "checkout", "-q", "-B", "applied", "base")
    git(tree, "am", "-q", "--patch-format=mboxrd", "--keep-cr", stdin=data)
    assert commits(tree, "base..applied") == commits(tree, "base..master")
    again = read_series("-", stdin=data)
    assert [patch.mail for patch in again.patches] == [
        patch.mail for patch in read_series("base..master", tree=tree).patches
    ]


def test_a_series_from_a_mailer_that_encodes_becomes_the_commits_it_was(tree: Path) -> None:
    mails = [patch.mail for patch in read_series("base..master", tree=tree).patches]
    encoded = []
    for mail in mails:
        head, _, body = mail.partition(b"\n\n")
        head = head.replace(b"Transfer-Encoding: 8bit", b"Transfer-Encoding: quoted-printable")
        lines = [quopri.encodestring(line).replace(b"\r", b"=0D").replace(b"\n", b"\r\n") for line in body.split(b"\n")]
        encoded.append(head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + b"\r\n".join(lines))
    separator = b"From mboxrd@z Thu Jan  1 00:00:00 1970\r\n"
    data = b"".join(separator + re.sub(rb"(?m)^(>*From )", rb">\1", mail) + b"\r\n" for mail in encoded)
    assert applied(tree, read_series("-", stdin=data)) == commits(tree, "base..master")


def test_a_message_that_begins_like_headers_keeps_them(tree: Path) -> None:
    git(tree, "checkout", "-q", "-B", "master", "base")
    write(tree, "ring.c", b"int other;\n")
    commit(tree, "ring: one\n\nSubject: is a field\nof the ring.\n")
    series = read_series("base..master", tree=tree)
    assert (series.patches[0].subject, series.patches[0].message) == ("ring: one", "Subject: is a field\nof the ring.")
    assert applied(tree, series) == commits(tree, "base..master")
