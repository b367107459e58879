"""A series becomes commits on its base, and the user's repository is only read."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace as altered
from pathlib import Path

import pytest
import small_kernel as kernel

from harness.errors import ApplyError
from harness.series.model import Series
from harness.tree import Applied, applied_repository, apply_series, choose_base, find_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return kernel.make_kernel(tmp_path / "linux")


def apply(tree: Path, series: Series, work: Path, base: str | None = None) -> Applied:
    value = find_tree(str(tree), cwd=tree, say=lambda _: None)
    return apply_series(value, choose_base(value, series, base), series, work=work, say=lambda _: None)


def read(work: Path, value: Applied, name: str) -> str:
    return kernel.git(applied_repository(work), "cat-file", "blob", f"{value.commit}:{name}")


def two_patches(tree: Path) -> Series:
    kernel.replace(tree, "net/core/xdp.c", "return 3;", "return 33;")
    kernel.commit(tree, "xdp: say 33")
    kernel.write(tree, "net/new/file.c", "int new;\n")
    kernel.replace(tree, "net/core/filter.c", "return 7;", "return 77;")
    kernel.commit(tree, "net: a new file")
    return kernel.take_series(tree, "HEAD~2")


def test_each_patch_becomes_a_commit(tree: Path, tmp_path: Path) -> None:
    value = apply(tree, two_patches(tree), tmp_path / "run")
    assert [(patch.number, patch.subject, patch.files, patch.how) for patch in value.patches] == [
        (1, "xdp: say 33", ("net/core/xdp.c",), "clean"),
        (2, "net: a new file", ("net/core/filter.c", "net/new/file.c"), "clean"),
    ]
    assert value.changed == ("net/core/filter.c", "net/core/xdp.c", "net/new/file.c")
    assert "return 33;" in read(tmp_path / "run", value, "net/core/xdp.c")
    log = kernel.git(applied_repository(tmp_path / "run"), "log", "--format=%s|%an|%cn|%cI", f"{value.base.commit}..")
    assert log.splitlines()[0] == "net: a new file|Ada|ktrial|2023-11-14T23:13:20+01:00"


def test_the_same_series_gives_the_same_commits(tree: Path, tmp_path: Path) -> None:
    series = two_patches(tree)
    first, second = (apply(tree, series, tmp_path / name) for name in ("one", "two"))
    assert first == second
    assert apply(tree, series, tmp_path / "one") == first


@pytest.mark.parametrize("date", [None, "yesterday, about noon", "Fri, 99 Foo 2023 77:00:00 +0000"])
def test_a_mail_with_a_bad_date_or_none_applies_the_same_each_time(
    tree: Path, tmp_path: Path, date: str | None
) -> None:
    series = kernel.series_of([kernel.patch(kernel.mail(NEW_FILE, date=date))])
    shown = {apply(tree, series, tmp_path / name).commit for name in ("one", "two")}
    assert len(shown) == 1


NEW_FILE = """\
 a.c | 1 +
diff --git a/a.c b/a.c
new file mode 100644
index 0000000..9aae3a1
--- /dev/null
+++ b/a.c
@@ -0,0 +1 @@
+int a;
"""


def test_the_users_repository_is_left_as_it_was(tree: Path, tmp_path: Path) -> None:
    series = two_patches(tree)
    kernel.write(tree, "net/core/xdp.c", "int being_edited;\n")
    bad = kernel.series_of([kernel.patch(kernel.mail(NEW_FILE.replace("/dev/null", "a/a.c")))])
    before = kernel.fingerprint(tree)
    apply(tree, series, tmp_path / "run")
    with pytest.raises(ApplyError):
        apply(tree, bad, tmp_path / "run")
    assert kernel.fingerprint(tree) == before


def test_only_our_repository_is_left_in_the_work_folder(tree: Path, tmp_path: Path) -> None:
    series = two_patches(tree)
    apply(tree, series, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["series.git"]
    with pytest.raises(ApplyError):
        apply(tree, kernel.series_of([series.patches[1], series.patches[1]]), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["series.git"]


def test_work_cut_off_by_a_kill_is_no_hindrance(tree: Path, tmp_path: Path) -> None:
    series = two_patches(tree)
    value = apply(tree, series, tmp_path / "run")
    kernel.write(tmp_path / "run", "applying/net/core/xdp.c", "half\n")
    kernel.write(tmp_path / "run", "series.git/rebase-apply/next", "1\n")
    kernel.write(tmp_path / "run", "series.git/index.lock", "")
    assert apply(tree, series, tmp_path / "run") == value


def test_hooks_filters_and_signing_of_the_user_are_not_run(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = two_patches(tree)
    touched = tmp_path / "ran"
    for name in ("post-checkout", "pre-applypatch", "applypatch-msg", "post-applypatch", "reference-transaction"):
        kernel.write(tree, f".git/hooks/{name}", f"#!/bin/sh\ntouch {touched}\n")
        (tree / ".git" / "hooks" / name).chmod(0o755)
    settings = f"[core]\n\tfsmonitor = touch {touched}\n\thooksPath = {tree}/.git/hooks\n[commit]\n\tgpgSign = true\n"
    settings += f'[filter "x"]\n\tsmudge = touch {touched}\n[am]\n\tkeepcr = true\n'
    (tmp_path / ".gitconfig").write_text(settings)
    with (tree / ".git" / "config").open("a") as config:
        config.write(settings)
    kernel.write(tree, ".git/info/attributes", "* filter=x\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    apply(tree, series, tmp_path / "run")
    assert not touched.exists()


def test_attributes_that_a_series_brings_change_no_byte(tree: Path, tmp_path: Path) -> None:
    kernel.write(tree, ".gitattributes", "* text eol=crlf ident\n")
    kernel.write(tree, "id.c", "/* $Id$ */\n")
    kernel.commit(tree, "attributes")
    kernel.write(tree, "id.c", "/* $Id$ */\nint x;\n")
    kernel.commit(tree, "more")
    value = apply(tree, kernel.take_series(tree, "HEAD~2"), tmp_path / "run")
    assert read(tmp_path / "run", value, "id.c") == "/* $Id$ */\nint x;\n"


def test_a_patch_whose_blobs_are_known_is_merged_three_ways(tree: Path, tmp_path: Path) -> None:
    kernel.replace(tree, "net/core/xdp.c", "\treturn 3;", "\treturn 33;")
    kernel.commit(tree, "xdp: say 33")
    series = kernel.take_series(tree, "HEAD~1")
    kernel.replace(tree, "net/core/xdp.c", "int xdp_3(void)", "int xdp_three(void)")
    kernel.commit(tree, "context changes")
    kernel.git(tree, "branch", "-f", "keep", "HEAD~1")
    value = apply(tree, series, tmp_path / "run")
    assert [patch.how for patch in value.patches] in (["3-way"], ["clean"])
    assert "int xdp_three(void)\n{\n\treturn 33;" in read(tmp_path / "run", value, "net/core/xdp.c")


def test_renames_modes_links_and_full_binaries_apply(tree: Path, tmp_path: Path) -> None:
    kernel.git(tree, "mv", "net/core/xdp.c", "net/core/moved.c")
    (tree / "Kbuild").chmod(0o755)
    (tree / "alias.c").symlink_to("net/core/moved.c")
    kernel.write(tree, "blob.bin", bytes(range(256)))
    kernel.commit(tree, "all sorts")
    expected = kernel.git(tree, "rev-parse", "HEAD^{tree}").strip()
    series = kernel.take_series(tree, "HEAD~1", options=("--binary", "-M"))
    assert apply(tree, series, tmp_path / "run").tree_id == expected


def test_the_commits_of_a_range_on_its_base_are_taken_as_they_are(tree: Path, tmp_path: Path) -> None:
    first = kernel.git(tree, "rev-parse", "HEAD").strip()
    kernel.write(tree, "a.c", "int a;\n")
    one = kernel.commit(tree, "one")
    kernel.write(tree, "a.c", "int b;\r\n")
    two = kernel.commit(tree, "two")
    mails = kernel.git(tree, "format-patch", "--stdout", f"{first}..").encode()
    series = kernel.series(mails, commits=(one, two), base_commit=first)
    value = apply(tree, series, tmp_path / "run")
    assert [(patch.commit, patch.how) for patch in value.patches] == [(one, "commit"), (two, "commit")]
    assert value.commit == two
    kernel.git(tree, "checkout", "-q", first)
    kernel.write(tree, "other.c", "int other;\n")
    elsewhere = kernel.commit(tree, "elsewhere")
    value = apply(tree, series, tmp_path / "run", elsewhere)
    assert [patch.how for patch in value.patches] == ["clean", "clean"]
    assert read(tmp_path / "run", value, "a.c") == "int b;\r\n"


@pytest.mark.parametrize("kind", ["bare", "linked", "shared", "shallow", "submodule"])
def test_every_kind_of_repository_can_be_the_tree(tree: Path, tmp_path: Path, kind: str) -> None:
    series = two_patches(tree)
    where = tmp_path / kind
    if kind == "bare":
        kernel.git(tmp_path, "clone", "-q", "--bare", str(tree), str(where))
    elif kind == "linked":
        kernel.git(tree, "worktree", "add", "-q", str(where))
    elif kind == "shared":
        kernel.git(tmp_path, "clone", "-q", "--shared", str(tree), str(tmp_path / "between"))
        kernel.git(tmp_path, "clone", "-q", "--shared", str(tmp_path / "between"), str(where))
    elif kind == "shallow":
        kernel.commit(tree, "second")
        kernel.git(tmp_path, "clone", "-q", "--depth=1", f"file://{tree}", str(where))
    else:
        kernel.git(tmp_path, "init", "-q", "outer")
        kernel.git(tmp_path / "outer", "submodule", "--quiet", "add", str(tree), "inner")
        where = tmp_path / "outer" / "inner"
    before = kernel.fingerprint(where)
    assert len(apply(where, series, tmp_path / "run").patches) == 2
    assert kernel.fingerprint(where) == before


def test_a_tree_whose_path_has_blanks_and_colons_is_a_tree(tree: Path, tmp_path: Path) -> None:
    series = two_patches(tree)
    odd = tmp_path / 'my "kernel": süß #1'
    shutil.move(tree, odd)
    assert len(apply(odd, series, tmp_path / "run: here").patches) == 2


def test_a_message_line_that_looks_like_a_separator_does_not_split_a_quoted_mail(tree: Path, tmp_path: Path) -> None:
    mail = kernel.mail(NEW_FILE).replace(b"Why.\n", b"Why.\n>From ada Mon Sep 17 10:00:00 2001\n>>From me\n")
    value = apply(tree, kernel.series_of([kernel.patch(mail)]), tmp_path / "run")
    body = kernel.git(applied_repository(tmp_path / "run"), "log", "-1", "--format=%B", value.commit)
    assert "\nFrom ada Mon Sep 17 10:00:00 2001\n>From me\n" in body


def test_a_message_line_that_looks_like_a_separator_does_not_split_a_bare_message(tree: Path, tmp_path: Path) -> None:
    line = b"From ada@example.org Mon Sep 17 10:00:00 2001\n"
    mail = kernel.mail(NEW_FILE).split(b"\n", 1)[1].replace(b"Why.\n", b"Why.\n\n" + line + b">From me\n")
    value = apply(tree, kernel.series_of([altered(kernel.patch(b"x\n" + mail), mail=mail)]), tmp_path / "run")
    body = kernel.git(applied_repository(tmp_path / "run"), "log", "-1", "--format=%B", value.commit)
    assert f"\n{line.decode()}>From me\n" in body


def test_a_series_without_patches_leaves_the_base(tree: Path, tmp_path: Path) -> None:
    value = apply(tree, kernel.series_of([]), tmp_path / "run")
    assert (value.commit, value.tree_id, value.changed) == (value.base.commit, value.base.tree_id, ())


def test_a_range_in_another_number_of_patches_goes_through_am(tree: Path, tmp_path: Path) -> None:
    series = two_patches(tree)
    head = kernel.git(tree, "rev-parse", "HEAD").strip()
    value = apply(tree, altered(series, commits=(head,), base_commit=head), tmp_path / "run")
    assert [patch.how for patch in value.patches] == ["clean", "clean"]


def test_nothing_of_ours_depends_on_the_callers_umask_or_terminal(tree: Path, tmp_path: Path) -> None:
    series = two_patches(tree)
    old = os.umask(0o077)
    try:
        value = apply(tree, series, tmp_path / "one")
    finally:
        os.umask(old)
    assert apply(tree, series, tmp_path / "two").commit == value.commit
