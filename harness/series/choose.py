"""Choose, from all the letters of a mailbox, the one complete series that is meant.

The letters are grouped by revision; the newest complete group is the series. Where no group is complete, a mailbox that
mixes revisions is accepted if each missing patch is there exactly once, as another revision's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.errors import SeriesError
from harness.series.letters import Kind, Letter
from harness.series.message import essence

__all__ = ["Choice", "choose", "in_order"]

_Key = tuple[bool, int, bool, bool]


@dataclass(frozen=True)
class Choice:
    """What is to be applied: the patches in order, their cover; every other letter with the reason why it is not."""

    patches: tuple[Letter, ...]
    cover: Letter | None = None
    others: tuple[tuple[Letter, str], ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass
class _Group:
    """The letters of one revision, by number. total: 0 while nothing says it. fault: why it cannot be chosen."""

    key: _Key
    total: int = 0
    covers: list[Letter] = field(default_factory=list)
    patches: dict[int, Letter] = field(default_factory=dict)
    claims: dict[int, Letter] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    fault: SeriesError | None = None

    @property
    def name(self) -> str:
        final, version, resend, _ = self.key
        return ("" if final else "RFC ") + f"v{version}" + (" (resent)" if resend else "")

    @property
    def missing(self) -> list[int]:
        return [number for number in range(1, self.total + 1) if number not in self.patches]

    @property
    def complete(self) -> bool:
        return bool(self.patches) and not self.missing


def in_order(letters: Sequence[Letter]) -> Choice:
    """The choice where the source itself says the order, whatever the subjects say (a quilt series, a git range)."""
    return Choice(tuple(letters))


def choose(letters: Sequence[Letter], source: str, revision: int | None = None, *, ordered: bool = False) -> Choice:
    """Choose the newest complete revision, or `revision`.

    ordered: the order of letters without numbers was meant (files by name), so no remark is due.
    Raises SeriesError naming what is missing, doubled or unreadable.
    """
    groups = _groups(_candidates(letters), revision)
    if not any(group.patches for group in groups):
        raise _nothing(letters, source, revision)
    remarks: list[str] = []
    for group in groups:
        if group.fault:
            raise group.fault
        if group.complete:
            return _chosen(group, letters, remarks, ordered)
        if group.patches or group.claims:
            remarks.append(f"{group.name} is there too, but without {_list_missing(group)}")
    main = max((group for group in groups if group.patches), key=lambda group: len(group.patches))
    mixed = _mixed(main, groups, letters) if revision is None else None
    if mixed is None:
        raise _incomplete(main, groups, source)
    return _finish(main, mixed, letters, [*main.remarks, _tell_mixture(main, mixed)])


def _candidates(letters: Sequence[Letter]) -> list[Letter]:
    """Letters that may belong to a series. Where some patches are numbered, one without a number that answers another
    letter is a suggestion made in the discussion, and no series of its own."""
    known = {letter.mail.message_id for letter in letters}
    numbered = any(letter.kind is Kind.PATCH and letter.prefix.number for letter in letters)
    return [
        letter
        for letter in letters
        if letter.kind is not Kind.REPLY
        and (letter.prefix.number is not None or not (numbered and letter.mail.in_reply_to in known))
    ]


def _groups(letters: Sequence[Letter], revision: int | None) -> list[_Group]:
    """The revisions, the newest first: real ones before RFCs, numbered patches before single ones."""
    groups: dict[_Key, _Group] = {}
    for letter in letters:
        prefix = letter.prefix
        if revision is None or prefix.version == revision:
            key = (not prefix.rfc, prefix.version, prefix.resend, prefix.number is not None)
            _enter(groups.setdefault(key, _Group(key)), letter)
    return sorted(groups.values(), key=lambda group: group.key, reverse=True)


def _enter(group: _Group, letter: Letter) -> None:
    number, total = letter.prefix.number, letter.prefix.total
    if number is None or total is None:
        number = _free_number(group, letter)
        total = max(group.total, number)
    elif number > total:
        _blame(group, f"{letter}: there cannot be a patch {number} of {total}", "correct the number in its subject")
    elif group.total not in (0, total):
        _disagree(group, letter)
    group.total = max(total, group.total)
    if letter.kind is Kind.COVER:
        group.covers.append(letter)
    elif letter.kind is Kind.CLAIM:
        group.claims.setdefault(number, letter)
    elif number in group.patches:
        _double(group, number, letter)
    else:
        group.patches[number] = letter


def _blame(group: _Group, summary: str, hint: str) -> None:
    group.fault = group.fault or SeriesError(summary, hint=hint)


def _free_number(group: _Group, letter: Letter) -> int:
    """The place of a letter without a number: after those before it, or that of the same letter seen before."""
    for number, other in group.patches.items():
        if letter.kind is Kind.PATCH and _same(letter, other):
            return number
    return group.total + 1


def _double(group: _Group, number: int, letter: Letter) -> None:
    other = group.patches[number]
    if _same(letter, other):
        group.remarks.append(f"{letter} is a copy of {other.mail.origin} and was dropped")
        return
    _blame(
        group,
        f"two different patches are number {letter.prefix.place} of {group.name}: {other} and {letter}",
        "take one of them out of the mailbox, or choose another revision with --revision",
    )


def _same(one: Letter, other: Letter) -> bool:
    same_title = one.prefix.title == other.prefix.title
    return same_title and essence(one.lines, one.scan.end) == essence(other.lines, other.scan.end)


def _chosen(group: _Group, letters: Sequence[Letter], remarks: list[str], ordered: bool) -> Choice:
    if not group.key[3] and group.total > 1 and not ordered:
        remarks.append("the patches have no numbers and were taken in the order of the mailbox")
    return _finish(group, [group.patches[number] for number in sorted(group.patches)], letters, remarks + group.remarks)


def _mixed(main: _Group, groups: Sequence[_Group], letters: Sequence[Letter]) -> list[Letter] | None:
    """The patches of a mailbox that mixes revisions, in order; None where it is not plain which stands for which.

    Either every patch in the mailbox, taken in order, is one of the series and those of the main revision stand at
    their own numbers; or each missing number is there exactly once in another revision.
    """
    if set(main.claims) & set(main.missing):
        return None
    strangers = [patch for group in groups if group is not main for patch in group.patches.values()]
    wanted = {id(letter) for letter in (*main.patches.values(), *strangers)}
    in_file = [letter for letter in letters if id(letter) in wanted]
    if len(in_file) != main.total:
        return None
    if all(in_file[number - 1] is patch for number, patch in main.patches.items()):
        return in_file
    by_number = {letter.prefix.number: letter for letter in strangers} | dict(main.patches)
    return [by_number[number] for number in range(1, main.total + 1)] if _numbers_fit(main, strangers) else None


def _numbers_fit(main: _Group, strangers: Sequence[Letter]) -> bool:
    return sorted(letter.prefix.number or 0 for letter in strangers) == main.missing


def _tell_mixture(main: _Group, patches: Sequence[Letter]) -> str:
    foreign = [
        f"patch {number}/{main.total} is v{letter.prefix.version}'s {letter.prefix.place} ({letter.prefix.title!r})"
        for number, letter in enumerate(patches, 1)
        if main.patches.get(number) is not letter
    ]
    return f"no revision is complete, so revisions are mixed: {', '.join(foreign)}; the others are {main.name}'s"


def _finish(group: _Group, patches: Sequence[Letter], letters: Sequence[Letter], remarks: Sequence[str]) -> Choice:
    cover = _cover(group, letters)
    used = {id(letter) for letter in (*patches, *([cover] if cover else []))}
    others = tuple((letter, _why_not(letter, group)) for letter in letters if id(letter) not in used)
    suggested = [
        f"{letter} holds a diff that is no part of the series and is not applied"
        for letter, _ in others
        if letter.kind is Kind.PATCH and letter.prefix.number is None
    ]
    return Choice(tuple(patches), cover, others, (*remarks, *suggested))


def _cover(group: _Group, letters: Sequence[Letter]) -> Letter | None:
    """The group's own cover, else one of the same revision and length that is only tagged differently (RFC, RESEND)."""
    akin = [
        letter
        for letter in letters
        if letter.kind is Kind.COVER and (letter.prefix.version, letter.prefix.total) == (group.key[1], group.total)
    ]
    return next(iter([*group.covers, *akin]), None)


def _why_not(letter: Letter, group: _Group) -> str:
    prefix = letter.prefix
    if letter.kind is Kind.REPLY:
        return "a reply" if prefix.reply or letter.mail.in_reply_to else "not a patch"
    what = "cover letter" if letter.kind is Kind.COVER else f"patch {prefix.place}".strip()
    of_other = prefix.version != group.key[1]
    return f"{what} of v{prefix.version}" if of_other else f"{what}, a copy or not part of the series"


def _list_missing(group: _Group) -> str:
    numbers = group.missing
    return f"patch{'es' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))} of {group.total}"


def _unreadable(letter: Letter) -> SeriesError:
    return SeriesError(f"{letter}: it has a patch's subject but {letter.complaint}", hint=_fetch(letter))


def _disagree(group: _Group, letter: Letter) -> None:
    other = next(iter([*group.covers, *group.patches.values(), *group.claims.values()]))
    _blame(
        group,
        f"{group.name} has {other.prefix.total} patches by {other}, but {letter.prefix.total} by {letter}",
        "are these two series? put each into a mailbox of its own, or choose a revision with --revision",
    )


def _incomplete(main: _Group, groups: Sequence[_Group], source: str) -> SeriesError:
    """The error for the revision that lacks least; better said: that a patch is there but cannot be read."""
    unread = [main.claims[number] for number in main.missing if number in main.claims]
    if unread:
        return _unreadable(unread[0])
    there = [
        f"{letter.prefix.place} {letter.prefix.title} ({group.name}, {letter.mail.origin})"
        for group in groups
        for _, letter in sorted(group.patches.items())
    ]
    missing = f"{source}: {main.name} lacks {_list_missing(main)}"
    return SeriesError(
        missing, detail="patches that are there:\n  " + "\n  ".join(there), hint=_fetch(*main.patches.values())
    )


def _nothing(letters: Sequence[Letter], source: str, revision: int | None) -> SeriesError:
    """The error where there is no patch at all, by what there is instead."""
    versions = sorted({letter.prefix.version for letter in letters if letter.kind is Kind.PATCH})
    if revision is not None and versions and revision not in versions:
        there = ", ".join(f"v{version}" for version in versions)
        return SeriesError(f"{source}: there is no revision v{revision}, only {there}", hint="leave out --revision")
    claims = [letter for letter in letters if letter.kind is Kind.CLAIM]
    if claims:
        return _unreadable(claims[0])
    covers = [letter for letter in letters if letter.kind is Kind.COVER]
    if covers:
        total = covers[0].prefix.total
        return SeriesError(
            f"{covers[0]}: a cover letter alone: none of its {total} patches is there", hint=_fetch(covers[0])
        )
    if len(letters) == 1:
        return SeriesError(f"{letters[0]}: the mail {letters[0].complaint}, so it is no patch", hint=_fetch(letters[0]))
    return SeriesError(f"{source}: none of its {len(letters)} messages is a patch", hint=_fetch(*letters))


def _fetch(*letters: Letter) -> str:
    """How to get the whole thread that some letter is of."""
    named = next((letter.mail.message_id for letter in letters if letter.mail.message_id), "<MESSAGE-ID>")
    return f"fetch the whole thread: b4 mbox '{named}', or https://lore.kernel.org/all/{named.strip('<>')}/t.mbox.gz"
