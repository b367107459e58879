"""Packaged kernel sources as cached git repositories: made once, whole or not at all."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import small_kernel as kernel

from harness.errors import TreeError
from harness.tree import Base, Tree, choose_base
from harness.tree.debian import packaged_tree

ROOT = Path(__file__).resolve().parent.parent

CHILD = """
import sys, time
from pathlib import Path
from harness.tree import debian, unpack
unpack._PROGRESS = 1
seen = Path(sys.argv[2])
def say(text):
    print(text, flush=True)
    if sys.argv[3] in text:
        seen.touch()
        time.sleep(float(sys.argv[4]))
print(debian.packaged_tree("debian:6.12", say, Path(sys.argv[1])).repository)
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KTRIAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pack(folder: Path, extra: Callable[[tarfile.TarFile], None] = lambda tar: None) -> Path:
    """A tarball as the package has it: a folder on top, a script, a symbolic link, an ignored file, odd names."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "linux-source-6.12.tar.xz", "w:xz") as tar:
        for name, text in (kernel.FILES | {".gitignore": "*.o\n", "a.o": "kept\n", 'od d"\\né.c': "x\n"}).items():
            member = tarfile.TarInfo(f"linux-source-6.12/{name}")
            member.size = len(text.encode())
            member.mode = 0o755 if name.endswith(".sh") else 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("linux-source-6.12/net/link.c")
        link.type, link.linkname = tarfile.SYMTYPE, "core/xdp.c"
        tar.addfile(link)
        extra(tar)
    return folder


def packaged(installed: Path, say: Callable[[str], None] = lambda _: None) -> Tree:
    return packaged_tree("debian:6.12", say, installed)


def base_of(tree: Tree) -> Base:
    return choose_base(tree, kernel.series_of([]), None)


def test_a_packaged_source_becomes_a_repository_with_every_file(cache: Path, tmp_path: Path) -> None:
    tree = packaged(pack(tmp_path / "src"))
    assert tree.repository.parent == cache / "trees"
    assert tree.label.startswith("linux-source-6.12 ")
    assert base_of(tree).version == "6.12.3-rc1"
    listed = kernel.git(tree.repository, "ls-tree", "-r", "-z", "HEAD").split("\0")
    names = {entry.split("\t")[1]: entry.split(" ")[0] for entry in listed if entry}
    assert set(kernel.FILES) | {".gitignore", "a.o", 'od d"\\né.c', "net/link.c"} == set(names)
    assert (names["scripts/check.sh"], names["net/link.c"], names["Kbuild"]) == ("100755", "120000", "100644")
    kernel.git(tree.repository, "fsck", "--strict")


def test_the_tree_is_what_git_add_makes_of_the_files(cache: Path, tmp_path: Path) -> None:
    tree = packaged(pack(tmp_path / "src"))
    with tarfile.open(tmp_path / "src" / "linux-source-6.12.tar.xz") as tar:
        tar.extractall(tmp_path)  # made by this test; Debian 12's Python has no filters yet
    unpacked = tmp_path / "linux-source-6.12"
    kernel.git(unpacked, "init", "-q")
    kernel.commit(unpacked, "all")
    assert kernel.git(unpacked, "rev-parse", "HEAD^{tree}").strip() == base_of(tree).tree_id


def test_the_same_package_gives_the_same_commit_in_any_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = pack(tmp_path / "src")
    commits = []
    for name in ("one", "two"):
        monkeypatch.setenv("KTRIAL_CACHE", str(tmp_path / name))
        commits.append(base_of(packaged(installed)).commit)
    assert commits[0] == commits[1]


def test_it_is_unpacked_once_and_its_folder_remembers_its_last_use(cache: Path, tmp_path: Path) -> None:
    installed = pack(tmp_path / "src")
    repository = packaged(installed).repository
    os.utime(repository, (0, 0))
    said: list[str] = []
    assert packaged(installed, said.append).repository == repository
    assert said == []
    assert repository.stat().st_mtime > time.time() - 60


def test_another_version_of_the_package_is_another_repository(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(fake_path(tmp_path, dpkg_query="exit 1")))
    first = packaged(pack(tmp_path / "src"))
    shutil.rmtree(tmp_path / "src")
    newer = packaged(pack(tmp_path / "src", lambda tar: tar.addfile(tarfile.TarInfo("linux-source-6.12/new"))))
    assert newer.repository != first.repository
    assert newer.label.startswith("linux-source-6.12 unpackaged-")
    assert first.repository.is_dir()


def test_a_damaged_tarball_is_refused_and_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    tarball = pack(tmp_path / "src") / "linux-source-6.12.tar.xz"
    tarball.write_bytes(tarball.read_bytes()[:-300])
    with pytest.raises(TreeError, match="cannot be unpacked"):
        packaged(tmp_path / "src")
    assert [path for path in (cache / "trees").iterdir() if path.is_dir()] == []


def test_a_full_disk_is_said_before_anything_is_unpacked(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5 << 20))
    with pytest.raises(TreeError, match="5 MiB free"):
        packaged(pack(tmp_path / "src"))


def child(installed: Path, seen: Path, word: str, seconds: float) -> subprocess.Popen[str]:
    """Another ktrial, which rests for some seconds when it says `word`."""
    argv = [sys.executable, "-c", CHILD, str(installed), str(seen), word, str(seconds)]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": "."})


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.02)


def test_a_kill_in_the_middle_leaves_nothing_that_is_used(cache: Path, tmp_path: Path) -> None:
    installed = pack(tmp_path / "src")
    with child(installed, tmp_path / "seen", ": 3 files", 60) as process:
        wait_for(tmp_path / "seen")
        process.kill()
    assert not list((cache / "trees").glob("*.git"))
    assert list((cache / "trees").glob("*.partial"))
    tree = packaged(installed)
    kernel.git(tree.repository, "fsck", "--strict")
    assert not list((cache / "trees").glob("*.partial"))


def test_two_runs_at_once_unpack_once_and_get_the_same(cache: Path, tmp_path: Path) -> None:
    installed = pack(tmp_path / "src")
    with child(installed, tmp_path / "seen", ": 3 files", 1.0) as one:
        wait_for(tmp_path / "seen")
        with child(installed, tmp_path / "other", "Waiting", 0) as two:
            said = [process.communicate(timeout=60)[0] for process in (one, two)]
    assert said[0].splitlines()[-1] == said[1].splitlines()[-1]
    assert said[1].startswith("Waiting for another ktrial")
    assert "Unpacked" not in said[1]


def fake_path(tmp_path: Path, **programs: str) -> str:
    """A PATH on which some programs are shell scripts of ours: the archive and the package database of elsewhere."""
    folder = tmp_path / "fake-bin"
    folder.mkdir(exist_ok=True)
    for name, script in programs.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def make_deb(tmp_path: Path) -> Path:
    """A real .deb that holds the tarball."""
    root = tmp_path / "deb"
    pack(root / "usr" / "src")
    control = root / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text(
        "Package: linux-source-6.12\nVersion: 6.12.3-1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: x\n"
    )
    subprocess.run(["dpkg-deb", "--build", str(root), str(tmp_path / "it.deb")], check=True, capture_output=True)
    return tmp_path / "it.deb"


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb is not installed")
def test_a_package_that_is_not_installed_is_fetched_and_an_older_one_serves_where_none_can_be(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer, fetch = "echo Version: 6.12.3-1", f"cp {make_deb(tmp_path)} ."
    monkeypatch.setenv("PATH", fake_path(tmp_path, apt_cache=offer, apt_get=fetch))
    tree = packaged(tmp_path / "nothing-here")
    assert tree.label == "linux-source-6.12 6.12.3-1"
    assert base_of(tree).version == "6.12.3-rc1"
    fake_path(tmp_path, apt_cache="echo Version: 6.12.4-1", apt_get="echo no network; exit 100")
    said: list[str] = []
    assert packaged(tmp_path / "nothing-here", said.append).repository == tree.repository
    assert "using the cached linux-source-6.12 6.12.3-1" in said[-1]


def test_an_unknown_package_is_refused_with_those_there_are(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = '[ "$1" = search ] && echo "linux-source-6.1 - source"; [ "$1" = search ]'
    monkeypatch.setenv("PATH", fake_path(tmp_path, apt_cache=script))
    with pytest.raises(TreeError, match=r"no package linux-source-6\.99") as caught:
        packaged_tree("debian:6.99", lambda _: None, tmp_path)
    assert caught.value.hint == "this system offers debian:6.1"


def test_root_updates_lists_that_do_not_know_the_package(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that was installed a minute ago, before its first look at the security archive."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    updated = tmp_path / "updated"
    knows = f'[ -e {updated} ] && echo "Version: 6.99.1-1"'
    path = fake_path(tmp_path, apt_cache=knows, apt_get=f'[ "$1" = update ] && : >{updated}; exit 0')
    monkeypatch.setenv("PATH", path)
    said: list[str] = []
    with pytest.raises(TreeError, match=r"linux-source-6\.99 6\.99\.1-1 cannot be fetched"):
        packaged_tree("debian:6.99", said.append, tmp_path)
    assert said[0] == "apt knows no linux-source-6.99: apt-get update"
