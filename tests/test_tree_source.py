"""A tree's files for the build: what they hold, and the time stamps that make compiles by."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import small_kernel as kernel

from harness.errors import TreeError
from harness.tree import (
    Applied,
    Base,
    Source,
    applied_repository,
    apply_series,
    base_source,
    choose_base,
    discard,
    find_tree,
    freshen,
    patched_source,
)
from harness.tree.source import OLD

ROOT = Path(__file__).resolve().parent.parent

CHILD = """
import os, signal, sys, time
from pathlib import Path
from harness.record import load
from harness.tree import source, Applied, Base
def rest(*_):
    Path(sys.argv[4]).touch()
    time.sleep(60)
if sys.argv[1] == "base":
    source._files = rest
    source.base_source(Path(sys.argv[2]), load(Path(sys.argv[3]), Base))
else:
    source._replace = rest
    applied = load(Path(sys.argv[3]), Applied)
    source.patched_source(Path(sys.argv[2]), applied.base, applied, Path(sys.argv[5]))
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KTRIAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tree(tmp_path: Path, cache: Path) -> Path:
    return kernel.make_kernel(tmp_path / "linux")


def base_of(tree: Path) -> Base:
    return choose_base(find_tree(str(tree), cwd=tree, say=lambda _: None), kernel.series_of([]), None)


def applied(tree: Path, work: Path, change: Callable[[Path], object]) -> Applied:
    """A series of one patch, applied."""
    value = find_tree(str(tree), cwd=tree, say=lambda _: None)
    change(tree)
    kernel.commit(tree, "change")
    series = kernel.take_series(tree, "HEAD~1", options=("--binary", "--full-index"))
    return apply_series(value, base_of(tree), series, work=work, say=lambda _: None)


def patched(work: Path, value: Applied) -> Source:
    return patched_source(applied_repository(work), value.base, value, work / "source")


def contents(directory: Path) -> dict[str, tuple[str, bytes]]:
    """Of each file: what it is, and what it holds."""
    found = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.is_symlink():
            found[name] = ("link", os.fsencode(path.readlink()))
        elif path.is_file():
            found[name] = ("script" if path.stat().st_mode & 0o100 else "file", path.read_bytes())
    return found


def new_files(directory: Path) -> set[str]:
    files = [path for path in directory.rglob("*") if path.is_symlink() or path.is_file()]
    return {str(path.relative_to(directory)) for path in files if path.lstat().st_mtime != OLD}


def test_a_base_source_has_every_file_and_one_old_time_stamp(tree: Path, cache: Path) -> None:
    base = base_of(tree)
    source = base_source(tree, base)
    assert source.directory == cache / "sources" / base.tree_id
    found = contents(source.directory)
    assert {name: text.decode() for name, (_, text) in found.items() if name != "net/link.c"} == kernel.FILES
    assert (found["scripts/check.sh"][0], found["net/link.c"]) == ("script", ("link", b"core/xdp.c"))
    assert new_files(source.directory) == set()


def test_attributes_of_the_tree_and_of_the_user_change_no_byte(tree: Path) -> None:
    kernel.write(tree, ".gitattributes", "*.c text eol=crlf ident filter=x\n*.txt export-ignore export-subst\n")
    kernel.write(tree, "net/core/id.c", "/* $Id$ */\n")
    kernel.write(tree, "doc.txt", "$Format:%H$\n")
    kernel.commit(tree, "attributes")
    kernel.git(tree, "config", "filter.x.smudge", "touch /tmp/never; cat")
    kernel.git(tree, "config", "core.autocrlf", "true")
    found = contents(base_source(tree, base_of(tree)).directory)
    assert found["net/core/id.c"][1] == b"/* $Id$ */\n"
    assert found["doc.txt"][1] == b"$Format:%H$\n"
    assert b"\r" not in b"".join(text for _, text in found.values())


def test_a_base_source_is_exported_once_and_the_repository_is_only_read(tree: Path) -> None:
    base = base_of(tree)
    before = kernel.fingerprint(tree)
    source = base_source(tree, base)
    os.utime(source.directory, (0, 0))
    assert base_source(tree, base, pytest.fail) == source
    assert source.directory.stat().st_mtime > time.time() - 60
    assert kernel.fingerprint(tree) == before


def test_a_partial_clone_that_lacks_files_is_told_so(tree: Path, tmp_path: Path) -> None:
    kernel.git(tree, "config", "uploadpack.allowFilter", "true")
    kernel.git(tmp_path, "clone", "-q", "--bare", "--filter=blob:none", f"file://{tree}", "partial.git")
    with pytest.raises(TreeError, match="cannot be exported") as caught:
        base_source(tmp_path / "partial.git", base_of(tree))
    assert "partial clone" in caught.value.hint


def test_a_patched_source_differs_in_what_the_series_changes_and_only_that_is_new(tree: Path, tmp_path: Path) -> None:
    def change(at: Path) -> None:
        kernel.replace(at, "net/core/xdp.c", "return 3;", "return 33;")
        kernel.write(at, "net/new/file.c", "int new;\n")
        (at / "Kbuild").chmod(0o755)
        (at / "Kconfig").unlink()

    value = applied(tree, tmp_path / "run", change)
    base_files = base_source(tree, value.base).directory
    before = kernel.fingerprint(base_files)
    source = patched(tmp_path / "run", value)
    expected = contents(base_files)
    del expected["Kconfig"]
    expected["Kbuild"] = ("script", expected["Kbuild"][1])
    expected["net/new/file.c"] = ("file", b"int new;\n")
    expected["net/core/xdp.c"] = ("file", expected["net/core/xdp.c"][1].replace(b"return 3;", b"return 33;"))
    assert contents(source.directory) == expected
    assert new_files(source.directory) == {"Kbuild", "net/new/file.c", "net/core/xdp.c"}
    assert {k: v for k, v in kernel.fingerprint(base_files).items() if k != str(base_files)} == {
        k: v for k, v in before.items() if k != str(base_files)
    }
    untouched = "net/core/filter.c"
    assert (source.directory / untouched).stat().st_ino == (base_files / untouched).stat().st_ino


def test_folders_files_and_links_may_change_places(tree: Path, tmp_path: Path) -> None:
    def change(at: Path) -> None:
        (at / "net" / "link.c").unlink()
        kernel.write(at, "net/link.c/inside.c", "int inside;\n")
        (at / "scripts" / "check.sh").unlink()
        (at / "scripts").rmdir()
        (at / "scripts").symlink_to("/nonexistent")
        (at / "Kbuild").unlink()
        (at / "Kbuild").symlink_to("Makefile")

    value = applied(tree, tmp_path / "run", change)
    found = contents(patched(tmp_path / "run", value).directory)
    assert found["net/link.c/inside.c"] == ("file", b"int inside;\n")
    assert (found["scripts"], found["Kbuild"]) == (("link", b"/nonexistent"), ("link", b"Makefile"))


def test_a_folder_that_the_series_empties_is_gone(tree: Path, tmp_path: Path) -> None:
    value = applied(tree, tmp_path / "run", lambda at: (at / "scripts" / "check.sh").unlink())
    assert not (patched(tmp_path / "run", value).directory / "scripts").exists()


def test_make_recompiles_what_the_series_changes_even_if_the_base_was_built_last(tree: Path, tmp_path: Path) -> None:
    value = applied(tree, tmp_path / "run", lambda at: kernel.replace(at, "net/core/xdp.c", "return 3;", "return 33;"))
    source = patched(tmp_path / "run", value)
    for name in ("xdp", "filter"):
        (tmp_path / f"{name}.o").touch()
    freshen(source, value)
    rules = "%.o: SRC/net/core/%.c\n\t@echo $*\nall: xdp.o filter.o\n".replace("SRC", str(source.directory))
    (tmp_path / "rules").write_text(rules)
    done = subprocess.run(["make", "-f", "rules", "all"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["xdp"]
    assert new_files(base_source(tree, value.base).directory) == set()


def test_a_patched_source_is_found_ready_and_replaced_for_another_series(tree: Path, tmp_path: Path) -> None:
    first = applied(tree, tmp_path / "run", lambda at: kernel.write(at, "a.c", "int a;\n"))
    inode = (patched(tmp_path / "run", first).directory / "a.c").stat().st_ino
    again = patched(tmp_path / "run", first)
    assert (again.directory / "a.c").stat().st_ino == inode
    second = applied(tree, tmp_path / "run", lambda at: kernel.write(at, "b.c", "int b;\n"))
    names = contents(patched(tmp_path / "run", second).directory)
    assert "b.c" in names
    assert "a.c" not in names
    discard(again)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["series.git"]


def killed(tmp_path: Path, what: str, repository: Path, value: Base | Applied, target: Path) -> None:
    """Start an export in another process and kill it while it is at work."""
    from harness.record import save

    save(tmp_path / "value.json", value)
    argv = [sys.executable, "-c", CHILD, what, str(repository), str(tmp_path / "value.json")]
    with subprocess.Popen(
        [*argv, str(tmp_path / "seen"), str(target)], cwd=ROOT, env=os.environ | {"PYTHONPATH": "."}
    ) as process:
        deadline = time.monotonic() + 30
        while not (tmp_path / "seen").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()


def test_a_killed_export_is_not_used_and_the_next_one_works(tree: Path, tmp_path: Path, cache: Path) -> None:
    base = base_of(tree)
    killed(tmp_path, "base", tree, base, tmp_path)
    assert not (cache / "sources" / base.tree_id).exists()
    assert new_files(base_source(tree, base).directory) == set()
    assert sorted(path.name for path in (cache / "sources").iterdir()) == [base.tree_id, f"{base.tree_id}.lock"]


def test_a_killed_patched_export_is_not_used_and_the_next_one_works(tree: Path, tmp_path: Path) -> None:
    value = applied(tree, tmp_path / "run", lambda at: kernel.write(at, "a.c", "int a;\n"))
    killed(tmp_path, "patched", applied_repository(tmp_path / "run"), value, tmp_path / "run" / "source")
    assert not (tmp_path / "run" / "source").exists()
    assert "a.c" in contents(patched(tmp_path / "run", value).directory)
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["series.git", "source", "source.tree-id"]
