"""The bracketed prefix of a patch's subject: `[PATCH RESEND net-next v3 02/14] net: do a thing`.

What may stand in it is custom, not a standard: Documentation/process/submitting-patches.rst and maintainer-netdev.rst
of the kernel, `git format-patch --subject-prefix`, what mailing lists put before it (`[Intel-wired-lan]`), and how
Patchwork writes it (`[bpf-next,v3,1/2]`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Prefix", "parse_subject", "tree_tag"]

_REPLY = re.compile(r"(?:re|aw|sv|vs|antw|fwd?|wg|回复|答复)(?:\[\d+\])?\s*[:：]\s*", re.IGNORECASE)
_GROUP = re.compile(r"\[([^\[\]]*)\]\s*")
_PLACE = re.compile(r"(?:PATCH)?(\d{1,4})/(\d{1,4})", re.IGNORECASE | re.ASCII)
_SPELLED_PLACE = re.compile(r"\b(\d{1,4})\s+of\s+(\d{1,4})\b", re.ASCII)
_VERSION = re.compile(r"v(\d{1,4})(?:\.\d+)*", re.IGNORECASE | re.ASCII)
_PATCH = re.compile(r"(?:RFC[-/_]?)?PATCH(?:[-/_]?(RFC))?(?:[-_]?v(\d{1,4}))?", re.IGNORECASE | re.ASCII)
_RFC = re.compile(r"RFC(?:[-_]?v(\d{1,4}))?", re.IGNORECASE | re.ASCII)
_RESEND = frozenset({"resend", "resent", "repost"})
_STABLE = re.compile(r"(?:stable-)?\d+\.\d+(?:\.[\dy]+)?(?:-stable)?", re.ASCII)
# fmt: off
_TREES = frozenset({
    "ath", "bluetooth", "bpf", "can", "driver-core", "ethtool", "for-linus", "iproute2", "ipsec", "iwl-net", "kvm",
    "libbpf", "mlx5", "mm", "mm-hotfixes", "mm-stable", "mm-unstable", "net", "nf", "rdma", "sched_ext", "stable",
    "staging", "tip", "vhost", "wireless", "xfs",
})
# fmt: on


@dataclass(frozen=True)
class Prefix:
    """What a subject says before its title.

    title: the subject without `Re:` and without brackets in front, as `git am` would commit it.
    number, total: of `3/14`; None where the subject has none. version: 1 where no vN is given.
    tags: the other words, as written. patch: whether some bracket is a patch's at all.
    """

    title: str
    reply: bool
    patch: bool
    version: int
    number: int | None
    total: int | None
    tags: tuple[str, ...]

    @property
    def rfc(self) -> bool:
        return any(tag.lower() == "rfc" for tag in self.tags)

    @property
    def resend(self) -> bool:
        return any(tag.lower() in _RESEND for tag in self.tags)

    @property
    def place(self) -> str:
        """`3/14`, or "" where the subject has no number."""
        return "" if self.number is None else f"{self.number}/{self.total}"


def parse_subject(subject: str) -> Prefix:
    """Take a decoded, unfolded subject apart. Never fails: any text is a title."""
    reply, groups, title = _strip(" ".join(subject.split()))
    words = _Words()
    for group in groups:
        words.read(group)
    number, total = words.place or (None, None)
    return Prefix(title, reply, words.patch, words.version or 1, number, total, tuple(dict.fromkeys(words.tags)))


def tree_tag(tags: tuple[str, ...]) -> str:
    """The first tag that names a kernel tree (`net`, `bpf-next`, anything that ends in -next, `6.1.y`), or ""."""
    return next((tag for tag in tags if _names_tree(tag)), "")


def _names_tree(tag: str) -> bool:
    word = tag.lower()
    return word in _TREES or word.endswith("-next") or _STABLE.fullmatch(word) is not None


def _strip(rest: str) -> tuple[bool, list[str], str]:
    """Whether `Re:` is there, the texts in brackets, and what is left: what git's mailinfo.c:cleanup_subject strips."""
    reply, groups = False, []
    while True:
        rest = rest.lstrip(" :")
        if match := _REPLY.match(rest):
            reply = True
        elif match := _GROUP.match(rest):
            groups.append(match[1])
        else:
            return reply, groups, rest
        rest = rest[match.end() :]


class _Words:
    """Gathers what the words of the brackets say; the first word that says a thing holds."""

    def __init__(self) -> None:
        self.patch = False
        self.version: int | None = None
        self.place: tuple[int, int] | None = None
        self.tags: list[str] = []

    def read(self, group: str) -> None:
        """Read one bracket. A list's own name (`[Intel-wired-lan]`) says nothing and is dropped."""
        words = _SPELLED_PLACE.sub(r"\1/\2", group).replace(",", " ").replace(";", " ").split()
        tags = [word for word in words if not self._special(word)]
        special = len(tags) < len(words)
        self.patch = self.patch or special
        if special or all(_names_tree(word) or word.lower() in _RESEND for word in tags):
            self.tags += tags

    def _special(self, word: str) -> bool:
        """Take note of a word with a meaning of its own; False for any other."""
        if match := _PLACE.fullmatch(word):
            self.place = self.place or (int(match[1]), int(match[2]))
        elif match := _VERSION.fullmatch(word):
            self.version = self.version or int(match[1])
        elif (match := _PATCH.fullmatch(word)) or (match := _RFC.fullmatch(word)):
            version = match[match.re.groups]
            self.version = self.version or (int(version) if version else None)
            self.tags += ["RFC"] if "rfc" in word.lower() else []
        else:
            return False
        return True
