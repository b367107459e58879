"""Post a run's checks to the patches of a series in Patchwork, by its REST API (1.2, of Patchwork 2.2 and later).

Patchwork keeps every check that was posted and counts the newest of each user and context. So what stands is read
first: what is unchanged is not repeated, and `pending` never takes the place of something that was known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from harness.errors import UsageError
from harness.post.checks import Check, CheckState
from harness.post.rest import PutOff, Rest
from harness.report import safe
from harness.run_result import SeriesInfo

__all__ = ["Action", "Step", "api_root", "post_checks"]

_API = "api/1.2/"
_VERSIONED = re.compile(r"/api(?:/\d+\.\d+)?/?\Z")


class Action(StrEnum):
    POSTED = "posted"
    UNCHANGED = "unchanged"  # the same stands already
    KEPT = "kept"  # something conclusive stands, and this is pending


@dataclass(frozen=True)
class Step:
    """What became of one check on one patch. stands: the state that Patchwork shows now."""

    patch: int
    context: str
    action: Action
    stands: CheckState


@dataclass(frozen=True)
class _User:
    username: str = ""


@dataclass(frozen=True)
class _Standing:
    """A check as Patchwork has it. Fields that are null there are None here."""

    id: int
    date: str
    state: CheckState
    context: str
    description: str | None = None
    target_url: str | None = None
    user: _User = _User()


@dataclass(frozen=True)
class _Patch:
    id: int
    name: str
    msgid: str = ""


@dataclass(frozen=True)
class _Series:
    id: int
    patches: tuple[_Patch, ...] = ()
    name: str | None = None


def api_root(url: str) -> str:
    """The root of the API for a server's URL, or for that of its API; with a final slash."""
    if re.search(r"/api/\d+\.\d+/?\Z", url):
        return f"{url.rstrip('/')}/"
    return f"{_VERSIONED.sub('', url.rstrip('/')).rstrip('/')}/{_API}"


def post_checks(
    server: Rest,
    series_id: int,
    series: SeriesInfo | None,
    checks: Sequence[Check],
    *,
    user: str = "",
    tell: Callable[[Step], None] = lambda step: None,
) -> tuple[Step, ...]:
    """Post checks to every patch of a series. user: whose checks are ours, "" for anybody's.

    Raises UsageError where the series there is another than the one that was tried, or the server refuses; MachineLost
    where it stays away. What was posted until then is told, and not posted again another time.
    """
    found = _read(server.get(f"series/{series_id}/"), _Series, "series")
    _check_same(found, series)
    steps = []
    for patch in found.patches:
        standing = _newest(server, patch.id, user)
        for check in checks:
            steps.append(_post(server, patch.id, check, standing.get(check.context), user))
            tell(steps[-1])
    return tuple(steps)


def _post(server: Rest, patch: int, check: Check, standing: _Standing | None, user: str) -> Step:
    """Post one check unless what stands is as good. After a failure that may have been none, look again first."""

    def attempt() -> Step:
        nonlocal standing
        if standing is not None and _same(standing, check):
            return Step(patch, check.context, Action.UNCHANGED, check.state)
        if standing is not None and check.state is CheckState.PENDING and standing.state is not CheckState.PENDING:
            return Step(patch, check.context, Action.KEPT, standing.state)
        try:
            made = _read(server.post(f"patches/{patch}/checks/", _body(check)), _Standing, "check")
        except PutOff:
            standing = _newest(server, patch, user).get(check.context)
            if standing is not None and _same(standing, check):
                return Step(patch, check.context, Action.POSTED, check.state)
            raise
        _check_made_by(made, user)
        return Step(patch, check.context, Action.POSTED, check.state)

    done = server.retry.call(attempt)
    assert isinstance(done, Step)
    return done


def _body(check: Check) -> dict[str, Any]:
    body = {"state": str(check.state), "context": check.context, "description": check.description}
    return body | ({"target_url": check.target_url} if check.target_url else {})


def _same(standing: _Standing, check: Check) -> bool:
    told = (standing.state, standing.description or "", standing.target_url or "")
    return told == (check.state, check.description, check.target_url)


def _newest(server: Rest, patch: int, user: str) -> dict[str, _Standing]:
    """The newest check of every context on a patch, as Patchwork counts them (models.py: filter_unique_checks)."""
    query = {"user": user} if user else {}
    items = server.pages(f"patches/{patch}/checks/", per_page="100", **query)
    known = [_read(item, _Standing, "check") for item in items]
    ours = [check for check in known if _is_of(check, user)]
    return {check.context: check for check in sorted(ours, key=lambda check: (check.date, check.id))}


def _check_made_by(made: _Standing, user: str) -> None:
    """Raises UsageError where a check that was just posted is another user's than the settings say we are."""
    if not _is_of(made, user):
        who = safe.line(made.user.username, 80)
        hint = f'patchwork.user = "{who}"; what stands is not found otherwise, and posted anew each time'
        raise UsageError(f"patchwork.user is {user}, and the token is {who}'s: a check was posted as theirs", hint=hint)


def _is_of(check: _Standing, user: str) -> bool:
    """Whether a user made a check. Patchwork finds users without regard to case (filters.py: username__iexact)."""
    return not user or check.user.username.casefold() == user.casefold()


def _check_same(found: _Series, series: SeriesInfo | None) -> None:
    """Raises UsageError unless the patches there are those that were tried: by message id, else by subject."""
    if not found.patches:
        raise UsageError(f"series {found.id} has no patches in Patchwork yet", hint="try again when they have arrived")
    if series is None:
        return
    tried = {identifier.strip("<>") for identifier in series.message_ids[-len(series.patches) :] if identifier}
    if tried:
        there = {patch.msgid.strip("<>") for patch in found.patches}
        strangers = [patch.name for patch in found.patches if patch.msgid.strip("<>") not in tried]
        same = tried == there
    else:
        subjects = [patch.subject for patch in series.patches]
        strangers = [patch.name for patch in found.patches if not patch.name.endswith(tuple(subjects))]
        same = len(found.patches) == len(subjects) and not strangers
    if not same:
        name = safe.line(found.name or "without a name", 200)
        detail = "\n".join(safe.line(stranger, 200) for stranger in strangers[:10])
        raise UsageError(f"series {found.id} ({name}) is not the one that was tried, {series.title}", detail=detail)


def _read(value: Any, kind: type[Any], what: str) -> Any:
    """An answer's object, of which only the fields that are known here are looked at."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"the server's {what} is not as Patchwork's API has it: {error}") from None
