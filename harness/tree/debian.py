"""Packaged kernel sources: Debian's `linux-source-X.Y`, installed or fetched, as cached git repositories."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from harness.command import Command, Completed, run
from harness.errors import ToolchainError, TreeError, UsageError
from harness.places import cache_dir
from harness.tree.model import Tree
from harness.tree.once import make_once, touch
from harness.tree.unpack import import_tarball

__all__ = ["PREFIX", "packaged_tree"]

PREFIX = "debian:"

_INSTALLED = Path("/usr/src")
_NEEDED = 1 << 30  # bytes: the packed repository takes 330 MB, the downloaded package and its tarball 150 MB each
_DOWNLOAD_DEADLINE = 3600.0  # seconds, for 150 MB on a slow line
_UPDATE_DEADLINE = 600.0
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "APT_CONFIG")


def packaged_tree(spec: str, say: Callable[[str], None], installed: Path = _INSTALLED) -> Tree:
    """The cached repository of `debian:X.Y`, made on first use. Raises UsageError, TreeError, ToolchainError.

    installed: where an installed package has its tarball. A newer package is a new repository; where no package can
    be had at all, an older cached one is used, and said.
    """
    release = spec.removeprefix(PREFIX)
    if not re.fullmatch(r"[0-9]+\.[0-9]+", release):
        raise UsageError(f"--tree {spec}: not a kernel release", hint="write debian:6.12, as in linux-source-6.12")
    package = f"linux-source-{release}"
    try:
        version, repository = _current(package, say, installed)
    except (TreeError, ToolchainError) as error:
        older = _newest_cached(package)
        if older is None:
            raise
        version, repository = older
        say(f"{error.summary}; using the cached {package} {version}")
        touch(repository)
    return Tree(repository=repository, origin=spec, label=f"{package} {version}")


def _current(package: str, say: Callable[[str], None], installed: Path) -> tuple[str, Path]:
    """(version, repository) of the installed package, or of the one that apt offers."""
    tarball = installed / f"{package}.tar.xz"
    if tarball.is_file():
        version = _installed_version(package, tarball)
        return version, _repository(package, version, say, lambda _: tarball)
    version = _offered_version(package, say)
    return version, _repository(package, version, say, lambda folder: _download(package, version, folder, say))


def _repository(package: str, version: str, say: Callable[[str], None], tarball: Callable[[Path], Path]) -> Path:
    """The cached repository of one version of a package; `tarball` is asked, for a scratch folder, only if needed."""
    target = _home() / f"{package}_{re.sub(r'[^A-Za-z0-9.+~-]', '_', version)}.git"

    def make(scratch: Path) -> Path:
        began = time.monotonic()
        _check_room(scratch, package)
        fetched = scratch / "fetched"
        fetched.mkdir()
        source = tarball(fetched)
        say(f"Unpacking {package} {version} into a git repository (once; about half a minute)")
        repository = scratch / "repository"
        repository.mkdir()
        message = f"{package} {version}\n\nThe files of Debian's {package}.tar.xz.\n"
        import_tarball(source, repository, message, lambda count: say(f"Unpacking {package}: {count} files"))
        say(f"Unpacked {package} {version} in {time.monotonic() - began:.0f} s")
        return repository

    make_once(target, make, lambda: say(f"Waiting for another ktrial that unpacks {package} {version}"))
    return target


def _home() -> Path:
    return cache_dir() / "trees"


def _newest_cached(package: str) -> tuple[str, Path] | None:
    found = sorted(_home().glob(f"{package}_*.git"), key=lambda path: path.stat().st_mtime)
    return (found[-1].name.removeprefix(f"{package}_").removesuffix(".git"), found[-1]) if found else None


def _check_room(folder: Path, package: str) -> None:
    free = shutil.disk_usage(folder).free
    if free < _NEEDED:
        raise TreeError(
            f"no room to unpack {package}: {free >> 20} MiB free in {folder.parent}, {_NEEDED >> 20} MiB needed",
            hint="free some space (ktrial cache prune), or set KTRIAL_CACHE to a folder on a larger disk",
        )


def _installed_version(package: str, tarball: Path) -> str:
    """The installed package's version; for a tarball that no package owns, its size and time stand for one."""
    try:
        done = _quiet("dpkg-query", "-W", "-f=${db:Status-Abbrev} ${Version}", package)
    except ToolchainError:
        done = None
    if done and done.ok and done.text.startswith("ii "):
        return done.text.split()[1]
    stat = tarball.stat()
    return f"unpackaged-{stat.st_size}-{stat.st_mtime_ns}"


def _offered_version(package: str, say: Callable[[str], None]) -> str:
    """The version that `apt-get download` would fetch. Raises TreeError where there is no such package.

    The lists of a new machine may be old, or lack the security archive that has the newest kernels: root updates them.
    """
    version = _known_version(package)
    if version is None and os.geteuid() == 0:
        say(f"apt knows no {package}: apt-get update")
        run(Command(("apt-get", "update", "-qq"), deadline=_UPDATE_DEADLINE, inherit=_PROXIES), check=False)
        version = _known_version(package)
    if version is not None:
        return version
    known = sorted(re.findall(r"^linux-source-([0-9]+\.[0-9]+) ", _search().text, re.MULTILINE))
    offers = "this system offers " + ", ".join(PREFIX + release for release in known)
    raise TreeError(
        f"there is no package {package}",
        hint=offers
        if known
        else "apt knows no linux-source package: run apt-get update, or give --tree a git checkout",
    )


def _known_version(package: str) -> str | None:
    done = _quiet("apt-cache", "show", "--no-all-versions", package)
    match = re.search(r"^Version: (\S+)$", done.text, re.MULTILINE)
    return match[1] if done.ok and match else None


def _search() -> Completed:
    return _quiet("apt-cache", "search", "--names-only", "^linux-source-[0-9]")


def _download(package: str, version: str, folder: Path, say: Callable[[str], None]) -> Path:
    """Fetch a package with apt's ordinary client (no root needed) and take the tarball out of it."""
    say(f"Fetching {package} {version}")
    command = Command(
        ("apt-get", "download", f"{package}={version}"),
        cwd=folder,
        deadline=_DOWNLOAD_DEADLINE,
        inherit=_PROXIES,
    )
    done = run(command, check=False)
    archives = sorted(folder.glob("*.deb"))
    if not done.ok or not archives:
        raise TreeError(
            f"{package} {version} cannot be fetched", detail=done.tail(), hint="apt-get update; apt-get download"
        )
    run(Command(("dpkg-deb", "--extract", str(archives[0]), str(folder)), deadline=_DOWNLOAD_DEADLINE))
    archives[0].unlink()
    tarball = folder / "usr" / "src" / f"{package}.tar.xz"
    if not tarball.is_file():
        raise TreeError(f"{package} {version} holds no usr/src/{package}.tar.xz")
    return tarball


def _quiet(*argv: str) -> Completed:
    return run(Command(argv, deadline=60.0), check=False, merge=False)
