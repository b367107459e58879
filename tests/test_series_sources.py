"""The places a series can come from: standard input, a file, a Maildir, a directory, quilt, a git range."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import series_mails as mails

from harness.errors import SeriesError, UsageError
from harness.series import read_series


def git(where: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Ada Ring", "-c", "user.email=ada@example.org")
    done = subprocess.run(("git", "-C", str(where), *who, *arguments), capture_output=True, check=True, text=True)
    return done.stdout.strip()


def commit(where: Path, name: str, text: str, message: str) -> str:
    (where / name).write_text(text)
    git(where, "add", "-A")
    git(where, "commit", "-q", "-m", message)
    return git(where, "rev-parse", "HEAD")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    where = tmp_path / "tree"
    where.mkdir()
    git(where, "init", "-q", "-b", "master")
    commit(where, "a.c", "int a;\n", "first")
    git(where, "tag", "base")
    return where


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "one..two.mbox").write_bytes(mails.mbox(mails.patch(1, 1)))
    series = read_series(str(tmp_path / "one..two.mbox"))
    assert series.source == str(tmp_path / "one..two.mbox")


def test_a_directory_is_read_by_the_numbers_in_its_patches(tmp_path: Path) -> None:
    for number in range(1, 12):
        (tmp_path / f"{number}-step.patch").write_bytes(mails.patch(number, 11))
    (tmp_path / "README").write_text("not a patch\n")
    series = read_series(str(tmp_path))
    assert [patch.number for patch in series.patches] == list(range(1, 12))
    assert series.patches[9].where == str(tmp_path / "10-step.patch")


def test_a_directory_without_numbers_in_subjects_is_read_by_file_name(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        (tmp_path / f"{number}.eml").write_bytes(mails.mail(f"[PATCH] step {number}", mails.body(number)))
    series = read_series(str(tmp_path))
    assert [patch.subject for patch in series.patches] == ["step 1", "step 2", "step 10"]
    assert series.remarks == ()


def test_a_maildir_is_read_from_new_and_cur(tmp_path: Path) -> None:
    for name in ("cur", "new", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "cur" / "1700000000.1.host:2,S").write_bytes(mails.patch(2, 2))
    (tmp_path / "new" / "1700000001.1.host").write_bytes(mails.patch(1, 2))
    (tmp_path / "tmp" / "1700000002.1.host").write_bytes(b"half a")
    assert [patch.number for patch in read_series(str(tmp_path)).patches] == [1, 2]


def test_a_directory_with_no_series_in_it_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no series in it"):
        read_series(str(tmp_path))


def quilt(where: Path) -> Path:
    patches = where / "patches"
    patches.mkdir()
    (patches / "series").write_text("# ours\nfix/two.patch -p1 # later\n\none.diff\nthree.patch\n")
    (patches / "fix").mkdir()
    mailed = f"From: {mails.AUTHOR}\nSubject: ring: two\n\nWhy.\n---\n{mails.diff(2)}"
    (patches / "fix" / "two.patch").write_text(mailed)
    (patches / "one.diff").write_text("Says what it does.\n\n" + mails.diff(1).replace("diff --git a/", "Index: x/", 1))
    (patches / "three.patch").write_text(
        f"Description: ring: three\n More of it.\n .\n Even more.\nAuthor: Eva <eva@example.org>\n\n{mails.diff(3)}"
    )
    return patches


@pytest.mark.parametrize("name", ["", "patches", "patches/series"])
def test_a_quilt_series_is_read_in_the_order_of_its_series_file(tmp_path: Path, name: str) -> None:
    quilt(tmp_path)
    series = read_series(str(tmp_path / name))
    assert [(patch.number, patch.subject, patch.author) for patch in series.patches] == [
        (1, "ring: two", mails.AUTHOR),
        (2, "one", "Unknown Author <unknown@localhost>"),
        (3, "ring: three", "Eva <eva@example.org>"),
    ]
    assert [patch.message for patch in series.patches] == ["Why.", "Says what it does.", "More of it.\n\nEven more."]
    assert series.touched == ("drivers/net/ring1.c", "drivers/net/ring2.c", "drivers/net/ring3.c")
    assert ["names no author" in remark for remark in series.remarks] == [True]


@pytest.mark.parametrize(
    ("listed", "what"),
    [
        ("gone.patch", "series, line 1: there is no gone.patch"),
        ("\n../../x.patch", "line 2: ../../x.patch is outside"),
        ("one.diff -p0", "line 1: one.diff is to be applied with -p0"),
        ("text.patch", "text.patch: it has no diff"),
        ("cut.patch", "the diff is truncated"),
    ],
)
def test_what_is_wrong_with_a_quilt_series_is_told(tmp_path: Path, listed: str, what: str) -> None:
    patches = quilt(tmp_path)
    (patches / "text.patch").write_text("Only words.\n")
    (patches / "cut.patch").write_text(mails.diff(1)[:-3])
    (patches / "series").write_text(listed + "\n")
    with pytest.raises(SeriesError, match=what.replace(".", r"\.")):
        read_series(str(patches))


def test_a_quilt_series_that_lists_nothing_is_bad_usage(tmp_path: Path) -> None:
    (tmp_path / "series").write_text("# nothing\n")
    with pytest.raises(UsageError, match="lists no patches"):
        read_series(str(tmp_path))


def test_a_git_range_is_read_commit_by_commit(tree: Path) -> None:
    message = "ring: one\n\nFrom here on.\nFrom a\n\nSigned-off-by: A <a@example.org>"
    one = commit(tree, "a.c", "int a;\nint b;\n", message)
    two = commit(tree, "c.c", "int c;\r\n", "[media] ring: two")
    base = git(tree, "rev-parse", "base")
    series = read_series("base..HEAD", tree=tree)
    assert series.commits == (one, two)
    assert series.base_commit == base
    assert [patch.subject for patch in series.patches] == ["ring: one", "ring: two"]
    assert series.patches[0].message.startswith("From here on.\nFrom a\n")
    assert series.patches[0].trailers == (("Signed-off-by", "A <a@example.org>"),)
    assert series.touched == ("a.c", "c.c")
    assert series.patches[1].where == f"base..HEAD, commit {two[:12]}"
    assert read_series("base..", tree=tree).commits == (one, two)


def test_a_git_range_is_read_whatever_the_users_configuration_says(tree: Path) -> None:
    commit(tree, "a.c", "int a;\nint b;\n", "ring: one")
    plain = read_series("base..", tree=tree)
    for setting in (
        "diff.noprefix true", "format.attach x", "format.coverLetter true", "format.subjectPrefix X", "color.ui always",
        "diff.external false", "format.signOff true", "format.thread true", "log.showSignature true",
        "format.useAutoBase true", "format.outputDirectory /nonexistent", "format.pretty oneline", "diff.context 0",
        "format.notes true", "diff.renames copies", "format.encodeEmailHeaders true", "diff.mnemonicPrefix true",
    ):  # fmt: skip
        git(tree, "config", *setting.split())
    assert read_series("base..", tree=tree) == plain


def test_a_range_whose_start_is_no_ancestor_names_its_real_base(tree: Path) -> None:
    git(tree, "checkout", "-q", "-b", "side")
    commit(tree, "s.c", "int s;\n", "side")
    git(tree, "checkout", "-q", "master")
    commit(tree, "a.c", "int b;\n", "ring: one")
    series = read_series("side..master", tree=tree)
    assert series.base_commit == git(tree, "rev-parse", "base")
    assert series.remarks == (f"side is no ancestor; the base is {series.base_commit[:12]}",)


def test_a_range_with_a_merge_is_an_error_that_names_it(tree: Path) -> None:
    git(tree, "checkout", "-q", "-b", "side")
    commit(tree, "s.c", "int s;\n", "side")
    git(tree, "checkout", "-q", "master")
    commit(tree, "b.c", "int b;\n", "ring: one")
    git(tree, "merge", "-q", "--no-edit", "side")
    with pytest.raises(SeriesError, match=f"has a merge .{git(tree, 'rev-parse', 'HEAD')[:12]}") as caught:
        read_series("base..HEAD", tree=tree)
    assert "Merge branch 'side'" in caught.value.detail


def test_an_empty_range_and_an_empty_commit_are_errors(tree: Path) -> None:
    with pytest.raises(SeriesError, match="an empty range"):
        read_series("HEAD..base", tree=tree)
    git(tree, "commit", "-q", "--allow-empty", "-m", "nothing")
    with pytest.raises(SeriesError, match="changes nothing"):
        read_series("base..HEAD", tree=tree)


@pytest.mark.parametrize("source", ["base..nowhere", "base...HEAD", "a..b..c", "--all..HEAD", "--output=x..HEAD"])
def test_a_range_that_git_cannot_know_is_bad_usage(tree: Path, source: str) -> None:
    with pytest.raises(UsageError):
        read_series(source, tree=tree)


def test_a_range_needs_a_tree_that_is_a_repository(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a tree"):
        read_series("a..b")
    with pytest.raises(UsageError, match="no git repository"):
        read_series("a..b", tree=tmp_path)
