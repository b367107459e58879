"""Say why `git am` refused a patch: which file, which hunk, what the tree has there, and what may be behind it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.command import Command, Completed, run
from harness.errors import ApplyError
from harness.series.model import Patch
from harness.tree.git import git, git_environment
from harness.tree.hunks import FileDiff, Hunk, closest_place, read_diff
from harness.tree.once import remove

__all__ = ["Attempt", "refusal"]

_SHOWN_HUNKS = 3
_SHOWN_LINES = 60  # of one hunk
_AROUND = 2  # lines of the tree above and below the place

# What git says (apply.c, builtin/am.c, mailinfo.c of git 2.39 to 2.51) and what it means to the sender of a patch.
_MEANINGS = (
    (r"invalid path '(?P<file>.*?)'", "names a path that git refuses", "a patch must stay inside the tree"),
    (r"(?P<file>\S+): beyond a symbolic link|affected file '(?P<file2>.*?)' is beyond a symbolic link",
     "writes through a symbolic link", "a patch must stay inside the tree"),
    (r"cannot apply binary patch to '(?P<file>.*?)' without full index line",
     "is a binary patch without its contents", "send it with git format-patch --binary --full-index"),
    (r"corrupt patch at (?:line |\S+:)(?P<line>\d+)", "is a damaged diff",
     "the mail was cut short, or its long lines were wrapped on the way"),
    (r"patch fragment without header at (?:line |\S+:)(?P<line>\d+)", "is a damaged diff: a hunk belongs to no file",
     "the mail was edited or cut on the way"),
    (r"git diff header lacks filename information|No valid patches in input|unrecognized input|"
     r"Patch format detection failed|Patch is empty", "holds no diff that git can read",
     "is it a cover letter, or was the diff lost on the way?"),
    (r"(?P<file>\S+): already exists in (?:index|working directory)", "creates a file that the tree already has",
     "is it applied already, or made for an older tree?"),
    (r"invalid ident|empty ident|invalid date", "has an author or date that git refuses",
     "look at its From: and Date:"),
)  # fmt: skip


@dataclass(frozen=True)
class Attempt:
    """A refused patch. head: the commit it was applied to. diff: what git am made of the mail. said: git's output.

    scratch: a folder that may be made and is removed. before: how many patches of the series were applied.
    """

    repository: Path
    head: str
    scratch: Path
    diff: bytes
    said: str
    before: int


@dataclass(frozen=True)
class _Rejected:
    """One file of the patch that did not take. hunks: the rejected ones. content: the tree's file, None if missing."""

    file: FileDiff
    hunks: tuple[Hunk, ...]
    content: list[str] | None


def refusal(attempt: Attempt, patch: Patch) -> ApplyError:
    """The error for a patch that git am refused."""
    files = read_diff(attempt.diff)
    try:
        _lay_out(attempt, files)
        plain = _plain_errors(attempt)
        meaning = _meaning(attempt.said + plain)
        if files and _applies(attempt, "--reverse"):
            return _already_there(attempt, patch, files)
        rejected = _rejected(attempt, files)
        damaged = bool(rejected) and _applies(attempt, "--ignore-whitespace")
    finally:
        remove(attempt.scratch)
    if meaning and not any(entry.hunks for entry in rejected):
        return _meant(attempt, patch, plain or attempt.said, *meaning)
    if not rejected:
        return _unexplained(attempt, patch)
    return _hunks_refused(attempt, patch, rejected, damaged)


def _named(patch: Patch) -> str:
    return f'patch {patch.number}/{patch.total} "{patch.subject}"'


def _place(attempt: Attempt, patch: Patch) -> str:
    before = {0: "no patch was", 1: "1 patch was"}.get(attempt.before, f"{attempt.before} patches were")
    return f"{patch.where}\n{before} applied before it"


def _meaning(said: str) -> tuple[str, str, str] | None:
    """(file or line, what the patch is, hint) for what git said, else None."""
    for pattern, what, hint in _MEANINGS:
        match = re.search(pattern, said)
        if match:
            groups = {name.rstrip("2"): value for name, value in match.groupdict().items() if value}
            where = groups.get("file") or (f"line {groups['line']} of its diff" if "line" in groups else "")
            return where, what, hint
    return None


def _meant(attempt: Attempt, patch: Patch, said: str, where: str, what: str, hint: str) -> ApplyError:
    summary = f"{_named(patch)} {what}" + (f": {where}" if where else "")
    return ApplyError(summary, detail=f"{_place(attempt, patch)}\n\n{_words(said)}", hint=hint)


def _unexplained(attempt: Attempt, patch: Patch) -> ApplyError:
    return ApplyError(
        f"{_named(patch)} is refused by git am", detail=f"{_place(attempt, patch)}\n\n{_words(attempt.said)}"
    )


def _words(said: str) -> str:
    """git's own words, without its advice on how to go on with an am that nobody can go on with."""
    lines = [line for line in said.splitlines() if not line.startswith(("hint:", "Applying:"))]
    advice = re.compile(r"When you have resolved|If you prefer to skip|To restore the original|To record the empty")
    return "git: " + "\n     ".join(line for line in lines if line.strip() and not advice.match(line))


def _already_there(attempt: Attempt, patch: Patch, files: Sequence[FileDiff]) -> ApplyError:
    names = ", ".join(file.path for file in files)
    return ApplyError(
        f"{_named(patch)} is in the tree already",
        detail=f"{_place(attempt, patch)}\nundoing it would apply cleanly to {names}",
        hint="leave it out of the series, or choose a base from before it (--base)",
    )


def _hunks_refused(attempt: Attempt, patch: Patch, rejected: Sequence[_Rejected], damaged: bool) -> ApplyError:
    first = rejected[0]
    at = f", hunk {first.hunks[0].number} (line {first.hunks[0].start})" if first.hunks else ""
    missing = "" if first.content is not None or first.file.creates else ", a file that the tree does not have"
    parts = [_place(attempt, patch), *_three_way(attempt), *(_explained(entry) for entry in rejected[:_SHOWN_HUNKS])]
    if len(rejected) > _SHOWN_HUNKS:
        parts.append("also refused: " + ", ".join(entry.file.path for entry in rejected[_SHOWN_HUNKS:]))
    return ApplyError(
        f"{_named(patch)} does not apply: {first.file.path}{at}{missing}",
        detail="\n\n".join(parts),
        hint=_hint(damaged, missing),
    )


def _hint(damaged: bool, missing: str) -> str:
    if damaged:
        return "it would apply if white space did not count: tabs or line ends were changed on the way"
    if missing:
        return "is the series for another tree or version? Name the base with --base, the tree with --tree"
    return "choose the base that the series was made for (--base, --tree), or rebase it"


def _three_way(attempt: Attempt) -> list[str]:
    conflicts = re.findall(r"^CONFLICT.*$", attempt.said, re.MULTILINE)
    if conflicts:
        return ["a 3-way merge from the blobs that the patch names ends in a conflict:\n" + "\n".join(conflicts)]
    if re.search(r"lacking or useless|lacks (?:the )?necessary blob", attempt.said):
        return ["a 3-way merge was not possible: the tree does not have the blobs that the patch was made from"]
    return []


def _explained(entry: _Rejected) -> str:
    file = entry.file
    if entry.content is None:
        return f"{file.path}: the tree has no such file"
    if not entry.hunks:
        return f"{file.path}: refused as a whole" + (" (it exists already)" if file.creates else "")
    numbers = ", ".join(str(hunk.number) for hunk in entry.hunks)
    which = f"hunk {numbers}" if len(entry.hunks) == 1 else f"hunks {numbers}"
    head = f"{file.path}: {which} of {len(file.hunks)} refused"
    return "\n".join([head, *(_hunk_and_tree(file.path, hunk, entry.content) for hunk in entry.hunks[:_SHOWN_HUNKS])])


def _hunk_and_tree(path: str, hunk: Hunk, content: list[str]) -> str:
    shown = list(hunk.lines[:_SHOWN_LINES])
    if len(hunk.lines) > _SHOWN_LINES:
        shown.append(f"... {len(hunk.lines) - _SHOWN_LINES} lines more")
    return "\n".join(["the hunk:", *(f"    {line}" for line in shown), *_tree_lines(path, hunk, content)])


def _tree_lines(path: str, hunk: Hunk, content: list[str]) -> list[str]:
    """The tree's lines where the hunk belongs; `>` marks those that the hunk does not expect."""
    place, matching = closest_place(content, hunk)
    expected = set(hunk.before)
    head = f"the tree's {path} from line {place} ({matching} of {len(hunk.before)} lines as expected; > differs):"
    begin, end = max(place - 1 - _AROUND, 0), place - 1 + min(len(hunk.before), _SHOWN_LINES) + _AROUND
    lines = [
        f"  {' ' if line in expected or not begin + _AROUND <= number < end - _AROUND else '>'} {number + 1:5} {line}"
        for number, line in enumerate(content[begin:end], begin)
    ]
    return [head, *lines]


def _lay_out(attempt: Attempt, files: Sequence[FileDiff]) -> None:
    """Put the tree's version of each file of the patch into the scratch folder, which git takes for no repository."""
    remove(attempt.scratch)
    attempt.scratch.mkdir(parents=True)
    for file in files:
        content = _blob(attempt, file.path)
        if content is not None and _is_inside(file.path):
            target = attempt.scratch / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and parts[0] != "/" and not {"..", ".git"} & set(parts)


def _blob(attempt: Attempt, path: str) -> bytes | None:
    """A regular file's contents in the tree, None where it has no such file (or it is a folder or a symbolic link)."""
    listed = git(attempt.repository, "ls-tree", attempt.head, "--", path, check=False)
    if not listed.ok or not listed.output.startswith(b"100") or b"/\t" in listed.output:
        return None
    done = git(attempt.repository, "cat-file", "blob", f"{attempt.head}:{path}", check=False)
    return done.output if done.ok else None


def _git_apply(attempt: Attempt, *options: str) -> Completed:
    env = git_environment() | {"GIT_CEILING_DIRECTORIES": str(attempt.scratch.parent)}
    command = Command(
        ("git", "apply", "--whitespace=nowarn", *options, "-"), cwd=attempt.scratch, env=env, deadline=60.0
    )
    return run(command, stdin=attempt.diff, check=False)


def _plain_errors(attempt: Attempt) -> str:
    """What git has against the patch before any 3-way merge, which am does not tell where it tries one."""
    if not attempt.diff.strip():
        return ""
    env = {"GIT_INDEX_FILE": str(attempt.scratch.with_name("refused.index"))}
    try:
        git(attempt.repository, "read-tree", attempt.head, env=env)
        check = ("apply", "--cached", "--check", "--whitespace=nowarn", "-")
        return git(attempt.repository, *check, stdin=attempt.diff, env=env, check=False).tail()
    finally:
        Path(env["GIT_INDEX_FILE"]).unlink(missing_ok=True)


def _applies(attempt: Attempt, option: str) -> bool:
    return _git_apply(attempt, "--check", option).ok


def _rejected(attempt: Attempt, files: Sequence[FileDiff]) -> tuple[_Rejected, ...]:
    """The files and hunks that do not take, as `git apply --reject` finds them."""
    contents = {file.path: _text(attempt.scratch / file.path) for file in files if _is_inside(file.path)}
    said = _git_apply(attempt, "--reject", "--verbose").text
    found = []
    for file in files:
        content = contents.get(file.path)
        hunks = _rejected_hunks(said, file)
        if (
            hunks
            or (content is None and not file.creates and not file.binary)
            or (content is not None and file.creates)
        ):
            found.append(_Rejected(file, hunks, content))
    return tuple(found)


def _text(path: Path) -> list[str] | None:
    return path.read_bytes().decode("utf-8", "replace").splitlines() if path.is_file() else None


def _rejected_hunks(said: str, file: FileDiff) -> tuple[Hunk, ...]:
    """Those that git names after `Applying patch FILE with N rejects...`."""
    match = re.search(
        rf"^Applying patch {re.escape(file.path)} with \d+ rejects?\.\.\.\n(.*?)(?=^Appl|\Z)", said, re.M | re.S
    )
    numbers = {int(number) for number in re.findall(r"^Rejected hunk #(\d+)\.", match[1], re.M)} if match else set()
    return tuple(hunk for hunk in file.hunks if hunk.number in numbers)
