"""A patch that does not apply is explained: patch, file, hunk, the tree's own lines, and what may be behind it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import small_kernel as kernel

from harness.errors import ApplyError, ExitCode, TreeError
from harness.series.model import Series
from harness.tree import apply_series, choose_base, find_tree
from harness.tree.hunks import closest_place, read_diff


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return kernel.make_kernel(tmp_path / "linux")


def refused(tree: Path, series: Series, work: Path) -> ApplyError:
    value = find_tree(str(tree), cwd=tree, say=lambda _: None)
    with pytest.raises(ApplyError) as caught:
        apply_series(value, choose_base(value, series, None), series, work=work, say=lambda _: None)
    assert caught.value.exit_code == ExitCode.DOES_NOT_APPLY
    assert not (work / "refused").exists()
    return caught.value


def from_diff(diff: str) -> Series:
    return kernel.series_of([kernel.patch(kernel.mail(diff))])


def foreign(tree: Path, change: Callable[[Path], object], since: int = 1) -> Series:
    """A series whose blobs no tree has: `change` is made on an edited base that is then forgotten."""
    for name in ("net/core/xdp.c", "net/core/filter.c"):
        kernel.write(tree, name, "/* another tree */\n" + (tree / name).read_text())
    kernel.commit(tree, "another tree")
    change(tree)
    kernel.git(tree, "add", "-A")
    if kernel.git(tree, "status", "--porcelain"):
        kernel.commit(tree, "net: the change")
    mails = kernel.git(tree, "format-patch", "--stdout", f"HEAD~{since}..")
    kernel.git(tree, "reset", "-q", "--hard", f"HEAD~{since + 1}")
    kernel.git(tree, "reflog", "expire", "--expire=now", "--all")
    kernel.git(tree, "gc", "-q", "--prune=now")
    return kernel.series(mails.encode())


def test_a_refused_hunk_is_shown_beside_the_trees_own_lines(tree: Path, tmp_path: Path) -> None:
    def change(at: Path) -> None:
        kernel.replace(at, "net/core/filter.c", "return 20;", "return 2020;")
        kernel.replace(at, "net/core/filter.c", "return 3;", "return 33;")

    series = foreign(tree, change)
    kernel.replace(tree, "net/core/filter.c", "\treturn 20;", "\treturn 19 + 1;")
    kernel.commit(tree, "in the way")
    error = refused(tree, series, tmp_path / "run")
    assert error.summary == 'patch 1/1 "net: the change" does not apply: net/core/filter.c, hunk 2 (line 101)'
    assert "series.mbox, message 1\nno patch was applied before it" in error.detail
    assert "net/core/filter.c: hunk 2 of 2 refused" in error.detail
    assert "    -\treturn 20;\n    +\treturn 2020;" in error.detail
    assert re.search(r"the tree's net/core/filter\.c from line 100 \(6 of 7 lines as expected", error.detail)
    assert "  >   103 \treturn 19 + 1;" in error.detail
    assert "      101 int filter_20(void)" in error.detail
    assert "3-way merge was not possible" in error.detail


def test_the_patches_before_the_refused_one_are_counted(tree: Path, tmp_path: Path) -> None:
    def change(at: Path) -> None:
        kernel.replace(at, "net/core/xdp.c", "return 1;", "return 11;")
        kernel.commit(at, "fine")
        kernel.replace(at, "net/core/xdp.c", "return 8;", "return 88;")
        kernel.commit(at, "not so fine")

    series = foreign(tree, change, since=2)
    kernel.replace(tree, "net/core/xdp.c", "\treturn 8;", "\treturn 9 - 1;")
    kernel.commit(tree, "in the way")
    error = refused(tree, series, tmp_path / "run")
    assert error.summary.startswith('patch 2/2 "not so fine" does not apply: net/core/xdp.c, hunk 1')
    assert "series.mbox, message 2\n1 patch was applied before it" in error.detail


def test_a_conflict_of_a_three_way_merge_is_said(tree: Path, tmp_path: Path) -> None:
    kernel.replace(tree, "net/core/xdp.c", "\treturn 3;", "\treturn 33;")
    kernel.commit(tree, "xdp: say 33")
    series = kernel.take_series(tree, "HEAD~1")
    kernel.replace(tree, "net/core/xdp.c", "\treturn 3;", "\treturn 1 + 2;")
    kernel.commit(tree, "in the way")
    error = refused(tree, series, tmp_path / "run")
    assert "CONFLICT (content): Merge conflict in net/core/xdp.c" in error.detail
    assert "  >    18 \treturn 1 + 2;" in error.detail


def test_a_file_that_the_tree_lacks_is_said(tree: Path, tmp_path: Path) -> None:
    series = foreign(tree, lambda at: kernel.replace(at, "net/core/xdp.c", "return 3;", "return 33;"))
    kernel.git(tree, "rm", "-q", "net/core/xdp.c")
    kernel.commit(tree, "gone")
    error = refused(tree, series, tmp_path / "run")
    assert error.summary.endswith("does not apply: net/core/xdp.c, a file that the tree does not have")
    assert "--tree" in error.hint


def test_a_patch_that_the_tree_has_already_is_said(tree: Path, tmp_path: Path) -> None:
    series = foreign(tree, lambda at: kernel.replace(at, "net/core/xdp.c", "return 3;", "return 33;"))
    kernel.replace(tree, "net/core/xdp.c", "return 3;", "return 33;")
    kernel.commit(tree, "the same")
    error = refused(tree, series, tmp_path / "run")
    assert error.summary == 'patch 1/1 "net: the change" is in the tree already'
    assert "net/core/xdp.c" in error.detail


NEW = """\
diff --git a/{path} b/{path}
new file mode {mode}
index 0000000..9aae3a1
--- /dev/null
+++ b/{path}
@@ -0,0 +1 @@
+int a;
"""


def test_a_new_file_that_the_tree_has_with_other_contents_is_said(tree: Path, tmp_path: Path) -> None:
    error = refused(tree, from_diff(NEW.format(path="Kbuild", mode="100644")), tmp_path / "run")
    assert error.summary == 'patch 1/1 "net: change" creates a file that the tree already has: Kbuild'


@pytest.mark.parametrize(
    "path", ["../outside.c", "net/../../outside.c", ".git/hooks/pre-commit", "net/.git/config", "/etc/outside"]
)
def test_a_path_out_of_the_tree_is_refused(tree: Path, tmp_path: Path, path: str) -> None:
    before = kernel.fingerprint(tree)
    error = refused(tree, from_diff(NEW.format(path=path, mode="100644")), tmp_path / "run")
    assert error.exit_code == ExitCode.DOES_NOT_APPLY
    assert kernel.fingerprint(tree) == before
    assert not list(tmp_path.rglob("outside*"))
    assert not list(tmp_path.rglob("run/**/pre-commit"))


def test_a_write_through_a_symbolic_link_is_refused(tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    link = NEW.format(path="way-out", mode="120000").replace("+int a;\n", f"+{target}\n\\ No newline at end of file\n")
    through = NEW.format(path="way-out/a.c", mode="100644")
    for series in (
        kernel.series_of([kernel.patch(kernel.mail(link), 1, 2), kernel.patch(kernel.mail(through), 2, 2)]),
        from_diff(link + through),
    ):
        error = refused(tree, series, tmp_path / "run")
        assert "symbolic link" in error.summary
        assert list(target.iterdir()) == []


def test_a_mail_without_a_diff_is_said(tree: Path, tmp_path: Path) -> None:
    assert "holds no diff" in refused(tree, from_diff("just words\n"), tmp_path / "run").summary


def test_a_diff_that_was_cut_short_is_said(tree: Path, tmp_path: Path) -> None:
    kernel.replace(tree, "net/core/xdp.c", "return 3;", "return 33;")
    diff = kernel.git(tree, "diff")
    kernel.git(tree, "checkout", "-q", ".")
    short = "\n".join(diff.splitlines()[:-3]) + "\n"
    mail = kernel.mail(short).replace(b"-- \n2.39\n", b"")
    error = refused(tree, kernel.series_of([kernel.patch(mail)]), tmp_path / "run")
    assert re.search(r"is a damaged diff: line \d+ of its diff", error.summary)
    assert "cut short" in error.hint


def test_white_space_changed_on_the_way_is_suspected(tree: Path, tmp_path: Path) -> None:
    kernel.replace(tree, "net/core/xdp.c", "return 3;", "return 33;")
    diff = kernel.git(tree, "diff")
    kernel.git(tree, "checkout", "-q", ".")
    error = refused(tree, from_diff(diff.replace("\t", "    ").replace("index ", "index f")), tmp_path / "run")
    assert "white space" in error.hint


def test_a_binary_patch_without_its_contents_is_said(tree: Path, tmp_path: Path) -> None:
    kernel.write(tree, "blob.bin", bytes(range(256)))
    kernel.commit(tree, "binary")
    series = kernel.take_series(tree, "HEAD~1", options=("--no-binary",))
    error = refused(tree, series, tmp_path / "run")
    assert "is a binary patch without its contents: blob.bin" in error.summary
    assert "--binary" in error.hint


def test_a_mail_that_git_takes_for_two_is_said(tree: Path, tmp_path: Path) -> None:
    two = kernel.mail(NEW.format(path="a.c", mode="100644")) + kernel.mail(NEW.format(path="b.c", mode="100644"))
    assert "is 2 patches to git am" in refused(tree, kernel.series_of([kernel.patch(two)]), tmp_path / "run").summary


def test_a_base_with_missing_objects_is_the_trees_fault(tree: Path, tmp_path: Path) -> None:
    kernel.git(tree, "config", "uploadpack.allowFilter", "true")
    kernel.git(tmp_path, "clone", "-q", "--bare", "--filter=tree:1", f"file://{tree}", "partial.git")
    series = from_diff(NEW.format(path="net/core/a.c", mode="100644"))
    whole = find_tree(str(tree), cwd=tree, say=lambda _: None)
    partial = find_tree(str(tree), cwd=tree, say=lambda _: None).__class__(tmp_path / "partial.git", "partial", "")
    with pytest.raises(TreeError, match="cannot be checked out"):
        apply_series(
            partial, choose_base(whole, series, None), series, work=tmp_path / "run", say=lambda _: None
        )  # fmt: skip


def hunk_of(diff: str):
    return read_diff(diff.encode())[0].hunks[0]


def test_a_diff_without_git_headers_is_read_too() -> None:
    (file,) = read_diff(b"--- a/x.c\t2020\n+++ b/x.c\t2021\n@@ -3 +3,2 @@ int f\n-old\n+new\n+more\n-- \n2.39\n")
    assert (file.path, len(file.hunks), file.hunks[0].before) == ("x.c", 1, ("old",))
    assert file.hunks[0].lines[-1] == "+more"


def test_the_closest_place_is_the_nearest_of_the_most_alike() -> None:
    content = ["start", "same", "other", "x", "same", "other", "y"]
    assert closest_place(content, hunk_of("--- a/x\n+++ b/x\n@@ -5,2 +5 @@\n same\n-other\n")) == (5, 2)
    assert closest_place(content, hunk_of("--- a/x\n+++ b/x\n@@ -6 +6 @@\n-nothing at all\n+q\n")) == (6, 0)
    assert closest_place([], hunk_of("--- a/x\n+++ b/x\n@@ -6 +6 @@\n-nothing\n+q\n")) == (1, 0)


def test_a_line_with_mostly_the_same_words_is_closer_than_nothing() -> None:
    content = ["a", "b", "\tmax_linear = PAGE_SIZE - headroom - tailroom;", "c"]
    hunk = hunk_of("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-\tmax_data = PAGE_SIZE - headroom - tailroom;\n+q\n")
    assert closest_place(content, hunk) == (3, 0)
