"""What a patch series is, once read."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Cover", "Envelope", "Patch", "Reply", "Series"]


@dataclass(frozen=True)
class Envelope:
    """The headers of a message that whoever answers it goes by.

    subject: as sent, with its brackets. sender, reply_to, to, cc: `Name <address>`, or an address alone.
    references: the messages that it answers itself, the oldest first. automatic: the header that says that a machine
    sent it (RFC 3834), or "".
    """

    message_id: str
    subject: str = ""
    sender: str = ""
    reply_to: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    automatic: str = ""


@dataclass(frozen=True)
class Patch:
    """One patch, ready for `git am`.

    number, total: from `[PATCH 3/14]` (1 and 1 for a single patch).
    subject: without its bracketed prefix. author: `Name <address>`. date: RFC 2822, as sent.
    message: the commit message below the subject, without the diffstat. trailers: its `Key: value` lines.
    touched: paths that the diff changes, relative to the tree, sorted.
    mail: one bare message (no mailbox separator, no quoting), transfer encoding undone, headers in UTF-8, for
    `git am --keep-cr`.
    where: where it came from, for error messages (`series.mbox, message 3, line 412`).
    """

    number: int
    total: int
    subject: str
    author: str
    date: str
    message_id: str
    message: str
    trailers: tuple[tuple[str, str], ...]
    touched: tuple[str, ...]
    mail: bytes
    where: str


@dataclass(frozen=True)
class Cover:
    """The 0/N message. `body` is its text without the signature; `message_id` is what a reply answers."""

    subject: str
    author: str
    date: str
    message_id: str
    body: str


@dataclass(frozen=True)
class Reply:
    """A message of the thread that is no patch of the chosen revision: review, tag, bot mail, or another version."""

    subject: str
    author: str
    message_id: str
    why: str


@dataclass(frozen=True)
class Series:
    """A complete patch series, in order.

    title: the cover's subject, or the only patch's. version: 1 where no vN is given.
    tags: the other words of the prefix (`bpf-next`, `RFC`); tree_tag: the one that names a tree, or "".
    change_id: b4's name of the series over all its revisions, or "".
    envelope: of the message that a reply to the series answers: the cover, or the first patch; None where it has no id.
    commits: for a git range, the commit ids of the patches, in order; else empty.
    remarks: what a reader should know ("patch 3 is v5's, the rest v3's"), one sentence each.
    """

    source: str
    title: str
    version: int
    tags: tuple[str, ...]
    tree_tag: str
    author: str
    cover: Cover | None
    patches: tuple[Patch, ...]
    replies: tuple[Reply, ...] = ()
    base_commit: str = ""
    prerequisite_patch_ids: tuple[str, ...] = ()
    commits: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    change_id: str = ""
    envelope: Envelope | None = None

    @property
    def touched(self) -> tuple[str, ...]:
        """Every path that some patch changes, sorted."""
        return tuple(sorted({path for patch in self.patches for path in patch.touched}))

    @property
    def message_ids(self) -> tuple[str, ...]:
        """Of the cover first, then of the patches."""
        cover = (self.cover.message_id,) if self.cover else ()
        return cover + tuple(patch.message_id for patch in self.patches)
