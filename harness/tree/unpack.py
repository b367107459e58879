"""Turn a packaged kernel source (a .tar.xz) into a git repository with one commit.

The tar stream is rewritten for `git fast-import` as it is decompressed: no file is ever unpacked to disk, which is
about twice as fast as unpacking, `git add` and `git commit` (6.12 on two cores: 26 s against 55 s) and needs a fifth
of the disk. The commit depends on the contents and the package's name alone.
"""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from harness.command import Command, started
from harness.errors import TreeError
from harness.tree.git import WHO, git, git_environment

__all__ = ["import_tarball"]

_BRANCH = "refs/heads/packaged"
_DATE = "1577836800 +0000"  # 2020-01-01, any fixed moment: the commit id must not depend on when it was made
_PROGRESS = 20_000  # files between two calls of `progress`
# Level 1 packs 1.5 GB into 325 MB at disk speed; no deltas, since files of one tree are seldom alike.
_FAST = ("-c", "core.compression=1", "-c", "pack.compression=1", "-c", "fastimport.unpackLimit=0")


def import_tarball(tarball: Path, repository: Path, message: str, progress: Callable[[int], None]) -> None:
    """Make `repository` (an empty directory) a bare git repository whose HEAD holds the tarball's files.

    progress: called with the count of files so far. Raises TreeError where the tarball or the disk is at fault.
    """
    git(repository, "init", "--quiet", "--bare", "--template=", f"--initial-branch={Path(_BRANCH).name}", ".")
    with ExitStack() as stack:
        unxz = stack.enter_context(started(Command(("xz", "-dc", "-T2", str(tarball))), merge=False))
        importer = stack.enter_context(started(_importer(repository), stdin=subprocess.PIPE))
        assert unxz.stdout
        assert importer.stdin
        trouble: Exception | None = None
        try:
            _feed(unxz.stdout, importer.stdin, message, progress)
            importer.stdin.close()
        except (tarfile.TarError, OSError) as error:
            trouble = error
        if trouble or importer.wait() or unxz.wait():
            raise _failure(tarball, trouble, unxz, importer)


def _importer(repository: Path) -> Command:
    arguments = ("fast-import", "--quiet", "--depth=0", "--done", "--date-format=raw")
    return Command(("git", "-C", str(repository), *_FAST, *arguments), env=git_environment())


def _failure(
    tarball: Path, trouble: Exception | None, unxz: subprocess.Popen[bytes], importer: subprocess.Popen[bytes]
) -> TreeError:
    for process in (unxz, importer):
        process.kill()
    seen = [str(trouble or "")]
    seen += [pipe.read().decode("utf-8", "replace") for pipe in (unxz.stderr, importer.stdout) if pipe]
    return TreeError(
        f"{tarball} cannot be unpacked into a git repository",
        detail="\n".join(text.strip() for text in seen if text.strip()),
        hint="is the file whole, and is there room on the disk? (df -h)",
    )


def _feed(archive: IO[bytes], sink: IO[bytes], message: str, progress: Callable[[int], None]) -> None:
    text = message.encode()
    who = f"{WHO} <{WHO}@localhost> {_DATE}".encode()
    sink.write(b"feature done\ncommit %s\nauthor %s\ncommitter %s\n" % (_BRANCH.encode(), who, who))
    sink.write(b"data %d\n%s\n" % (len(text), text))
    for count, (path, mode, data) in enumerate(_files(archive), 1):
        sink.write(b"M %s inline %s\ndata %d\n" % (mode, _quoted(path), len(data)))
        sink.write(data)
        sink.write(b"\n")
        if count % _PROGRESS == 0:
            progress(count)
    sink.write(b"done\n")
    sink.flush()


def _files(archive: IO[bytes]) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(path below the top folder, git mode, contents) of each file and symbolic link."""
    with tarfile.open(fileobj=archive, mode="r|") as tar:
        for member in tar:
            tar.members = []  # type: ignore[attr-defined]  # it keeps every header it has seen otherwise
            path = member.name.partition("/")[2].encode("utf-8", "surrogateescape")
            if member.isreg():
                body = tar.extractfile(member)
                assert body is not None
                yield path, b"100755" if member.mode & 0o100 else b"100644", body.read()
            elif member.issym():
                yield path, b"120000", member.linkname.encode("utf-8", "surrogateescape")
            elif not member.isdir():
                raise tarfile.TarError(f"{member.name}: neither file, folder nor symbolic link")


def _quoted(path: bytes) -> bytes:
    """A path as fast-import reads it: in quotes where it holds one, a backslash or a line feed."""
    if not any(byte in path for byte in (b'"', b"\\", b"\n")):
        return path
    return b'"' + path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'
