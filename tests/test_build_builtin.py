"""What is built into a kernel without modules is there for modprobe."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.build.builtin import index_builtin
from harness.build.store import made
from harness.errors import BuildError

RELEASE = "6.12.44-test+"
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
needs_kmod = pytest.mark.skipif(
    not all(shutil.which(program, path=PATH) for program in ("depmod", "modprobe", "bwrap")),
    reason="NOT TESTED: kmod or bwrap not installed",
)


def objects(tmp_path: Path, release: str = RELEASE) -> Path:
    folder = tmp_path / "obj"
    (folder / "include" / "config").mkdir(parents=True)
    (folder / "include" / "config" / "kernel.release").write_text(f"{release}\n")
    (folder / "modules.builtin").write_text("kernel/net/ipv4/fou.ko\nkernel/drivers/net/veth.ko\n")
    info = ("fou.alias=net-pf-16-proto-16-family-fou", "fou.license=GPL", "veth.alias=rtnl-link-veth")
    (folder / "modules.builtin.modinfo").write_bytes(b"".join(line.encode() + b"\0" for line in info))
    return folder


def modprobe(target: Path, *words: str) -> int:
    argv = ["modprobe", "-n", "-d", str(target), "-S", RELEASE, *words]
    return subprocess.run(argv, env={"PATH": PATH}, capture_output=True, check=False).returncode


@needs_kmod
@pytest.mark.parametrize(("name", "known"), [("fou", True), ("rtnl-link-veth", True), ("vxlan", False)])
def test_modprobe_knows_what_is_built_in_by_name_and_alias(tmp_path, name, known):
    target = tmp_path / "modules"
    assert index_builtin(objects(tmp_path), target)
    assert (modprobe(target, name) == 0) == known
    assert not (target / "lib" / "modules" / RELEASE / "kernel").exists()  # no device waits for a module of it


@pytest.mark.parametrize("release", ["", "../../escaped", ".", "6.12/../../x", "-b", "6" * 300])
def test_a_release_that_is_no_plain_name_is_left_alone(tmp_path, release):
    target = tmp_path / "modules"
    assert not index_builtin(objects(tmp_path, release), target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["obj"]


def test_a_kernel_without_the_lists_has_no_folder(tmp_path):
    folder = objects(tmp_path)
    (folder / "modules.builtin").unlink()
    assert not index_builtin(folder, tmp_path / "modules")
    assert not (tmp_path / "modules").exists()


@pytest.mark.parametrize("name", ["modules.builtin", "modules.builtin.modinfo", "include/config"])
def test_a_link_to_the_host_s_files_is_no_list(tmp_path, name):
    """A stranger's makefile wrote the folder, and the guest of a stranger's kernel would read the copy."""
    folder = objects(tmp_path)
    theirs = folder / name
    theirs.rename(tmp_path / "the host's")
    theirs.symlink_to(tmp_path / "the host's")
    with pytest.raises(BuildError, match="the host's"):
        index_builtin(folder, tmp_path / "modules")
    assert not (tmp_path / "modules").exists()


def test_a_link_within_the_folder_is_the_build_s_own_affair(tmp_path):
    folder = objects(tmp_path)
    (folder / "image").symlink_to("modules.builtin")
    assert made(folder, "image").read_text() == (folder / "modules.builtin").read_text()
    assert not made(folder, "not there").exists()
