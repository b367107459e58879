"""Which kernel tree a user means, and which commit of it is the base."""

from __future__ import annotations

import shutil
from dataclasses import replace as altered
from pathlib import Path

import pytest
import small_kernel as kernel

from harness.errors import TreeError, UsageError
from harness.series.model import Series
from harness.tree import Base, BaseReason, Tree, choose_base, find_tree, missing_prerequisites
from harness.tree import find as find_module

EMPTY = kernel.series_of([])


def find(spec: str | None, cwd: Path) -> Tree:
    return find_tree(spec, cwd=cwd, say=lambda _: None)


def base_of(path: Path, series: Series = EMPTY, base: str | None = None) -> Base:
    return choose_base(find(str(path), path), series, base)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return kernel.make_kernel(tmp_path / "linux")


def test_a_checkout_is_found_by_its_path_and_by_a_folder_in_it(tree: Path) -> None:
    assert find(str(tree), Path("/")).repository == tree
    assert find("net/core", tree).repository == tree


def test_without_a_spec_the_current_checkout_is_meant(tree: Path) -> None:
    assert find(None, tree / "net").repository == tree


def test_without_a_spec_elsewhere_the_packaged_kernel_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = Tree(repository=tmp_path, origin="debian:6.12", label="packaged")
    monkeypatch.setattr(find_module, "packaged_tree", lambda spec, say: altered(packaged, origin=spec))
    said: list[str] = []
    assert find_tree(None, cwd=tmp_path, say=said.append).origin == "debian:6.12"
    assert "not in a kernel checkout" in said[0]


def test_a_bare_repository_a_linked_worktree_and_a_shallow_clone_are_trees(tree: Path, tmp_path: Path) -> None:
    kernel.commit(tree, "second")
    kernel.git(tmp_path, "clone", "-q", "--bare", str(tree), "bare.git")
    kernel.git(tree, "worktree", "add", "-q", str(tmp_path / "linked"))
    kernel.git(tmp_path, "clone", "-q", "--depth=1", f"file://{tree}", "shallow")
    for name in ("bare.git", "linked", "shallow"):
        assert base_of(tmp_path / name).version == "6.12.3-rc1", name


def test_the_label_names_the_nearest_tag(tree: Path) -> None:
    kernel.git(tree, "tag", "v6.12.3")
    assert find(str(tree), tree).label == f"{tree} v6.12.3"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_text("x"), "is not a folder"),
        (lambda path: path.mkdir(), "not in a git repository"),
        (lambda path: (path.mkdir(), kernel.git(path, "init", "-q")), "without commits"),
        (
            lambda path: (path.mkdir(), kernel.git(path, "init", "-q"), (path / "a").touch(), kernel.commit(path, "a")),
            "not of a kernel",
        ),
    ],
)
def test_what_is_no_kernel_tree_is_refused_with_what_to_give_instead(tmp_path: Path, make, says: str) -> None:
    make(tmp_path / "thing")
    with pytest.raises(TreeError, match=says) as caught:
        find(str(tmp_path / "thing"), tmp_path)
    assert caught.value.hint


def test_an_unpacked_kernel_without_git_is_told_how_to_become_a_repository(tree: Path) -> None:
    shutil.rmtree(tree / ".git")
    with pytest.raises(TreeError) as caught:
        find(str(tree), tree)
    assert "git -C" in caught.value.hint


@pytest.mark.parametrize("spec", ["debian:", "debian:sid", "debian:6", "debian:6.12.1", "debian:6.12 -o x"])
def test_a_release_that_cannot_be_is_bad_usage(spec: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a kernel release"):
        find(spec, tmp_path)


def test_the_base_is_the_option_before_all_else(tree: Path) -> None:
    first = kernel.git(tree, "rev-parse", "HEAD").strip()
    second = kernel.commit(tree, "second")
    base = base_of(tree, altered(EMPTY, base_commit=second), "HEAD~1")
    assert (base.commit, base.reason) == (first, BaseReason.OPTION)
    assert base.why == f"--base HEAD~1 ({first[:12]})"


def test_the_base_is_the_series_base_commit_if_the_tree_has_it(tree: Path) -> None:
    first = kernel.git(tree, "rev-parse", "HEAD").strip()
    kernel.commit(tree, "second")
    base = base_of(tree, altered(EMPTY, base_commit=first))
    assert (base.commit, base.reason) == (first, BaseReason.BASE_COMMIT)


def test_the_base_is_head_if_the_tree_lacks_the_base_commit_and_the_report_says_so(tree: Path) -> None:
    base = base_of(tree, altered(EMPTY, base_commit="1234abcd" * 5))
    assert base.reason is BaseReason.HEAD
    assert "(the series' base-commit 1234abcd1234 is not in this tree)" in base.why


@pytest.mark.parametrize("written", ["--all", "HEAD~0", "@{upstream}", "master", "xyz"])
def test_a_base_commit_from_a_mail_is_a_commit_id_and_nothing_else(tree: Path, written: str) -> None:
    assert base_of(tree, altered(EMPTY, base_commit=written)).reason is BaseReason.HEAD


def test_the_base_of_a_range_is_where_it_starts(tree: Path) -> None:
    first = kernel.git(tree, "rev-parse", "HEAD").strip()
    commits = (kernel.commit(tree, "second"), kernel.commit(tree, "third"))
    for written in (first, ""):
        base = base_of(tree, altered(EMPTY, commits=commits, base_commit=written))
        assert (base.commit, base.reason) == (first, BaseReason.RANGE)


def test_uncommitted_changes_are_said_to_be_left_out(tree: Path) -> None:
    kernel.write(tree, "net/core/xdp.c", "int edited;\n")
    assert "uncommitted changes to 1 files are left out" in base_of(tree).why


def test_a_base_that_the_tree_does_not_know_is_bad_usage_with_the_nearest_names(tree: Path) -> None:
    kernel.git(tree, "branch", "net-next")
    with pytest.raises(UsageError) as caught:
        base_of(tree, EMPTY, "net-nxt")
    assert caught.value.hint == "did you mean net-next?"
    with pytest.raises(UsageError):
        base_of(tree, EMPTY, "--all")


def test_a_base_that_is_no_kernel_is_refused(tree: Path) -> None:
    kernel.git(tree, "checkout", "-q", "--orphan", "other")
    kernel.git(tree, "rm", "-q", "-r", "-f", ".")
    other = kernel.commit(tree, "nothing")
    kernel.git(tree, "checkout", "-q", "master")
    with pytest.raises(TreeError, match="not a kernel"):
        base_of(tree, EMPTY, other)


def test_prerequisites_in_the_base_are_silent_and_others_are_remarked(tree: Path) -> None:
    kernel.replace(tree, "net/core/xdp.c", "return 3;", "return 33;")
    kernel.commit(tree, "needed")
    known = kernel.git(tree, "patch-id", "--stable", stdin=kernel.git(tree, "show").encode()).split()[0]
    tree_value = find(str(tree), tree)
    base = base_of(tree)
    assert missing_prerequisites(tree_value, base, altered(EMPTY, prerequisite_patch_ids=(known,))) == ()
    remark = missing_prerequisites(tree_value, base, altered(EMPTY, prerequisite_patch_ids=(known, "ab" * 20)))
    assert "1 of 2 prerequisite patches" in remark[0]
    assert "abababababab" in remark[0]
