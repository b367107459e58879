"""Read one line of a journal, and trust nothing in it.

The host half of vm/ktrial_pytest.py writes the lines; most of what they say comes from a guest, whose kernel is the one
under test. What leaves here has the types that the table below names. What had others is told: a test whose report
makes no sense has failed, and an event that names no test tells only why nothing can be made of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import msgspec

__all__ = ["NONSENSE", "read_event"]

NONSENSE = "nonsense"
"""The event of a line that nothing can be made of; its `why` is one line."""

_LONGEST_NAME = 1 << 16  # characters; the journal itself keeps what is cut
_LONGEST_TEXT = 1 << 24
_LONGEST_PROBLEM = 200
_PROBLEMS = 3  # told of one event

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e8)]
_Time = Annotated[float, msgspec.Meta(ge=0, le=1e11)]  # since the epoch; the largest that datetime takes is 2.5e11
# Sums and squares of figures stay far from where a float ends.
_Number = Annotated[float, msgspec.Meta(ge=-1e18, le=1e18)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]
_Packets = Annotated[int, msgspec.Meta(ge=1, le=10**9)]
_Outcome = Literal["passed", "failed", "skipped", "xfailed"]


class _Profile(msgspec.Struct):
    """Where the plugin finds a bench's samples (suites/meter.py, harness/perf/profile.py)."""

    first: _Count
    segments: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    clock: str
    per: _Packets | Annotated[list[_Packets], msgspec.Meta(max_length=100_000)]
    every: bool = False
    skip: _Count = 0
    stride: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1
    packets: bool = True


class _Figure(msgspec.Struct):
    unit: str
    values: Annotated[list[_Number], msgspec.Meta(min_length=1, max_length=100_000)]
    scope: str = ""
    profile: _Profile | msgspec.UnsetType = msgspec.UNSET


Told = tuple[Any, list[str]]
"""A value of the right type, and what was wrong with the one that came."""
Reader = Callable[[Any], Told]


def _one(kind: Any, default: Any, longest: int, value: Any) -> Told:
    try:
        found = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return default, [_cut(str(error), _LONGEST_PROBLEM)]
    return (_cut(found, longest) if isinstance(found, str) else found), []


def _figure(value: Any) -> Told:
    """An empty one is none."""
    if value == {}:
        return {}, []
    found, wrong = _one(_Figure, None, 0, value)
    return ({} if wrong else msgspec.to_builtins(found)), wrong


def _left(value: Any) -> Told:
    """What a test left behind: the test, the kind, the name (vm/health.py)."""
    found, wrong = _one(tuple[str, str, str], ("", "", ""), 0, value)
    return tuple(_cut(part, _LONGEST_NAME) for part in found), wrong


def _each(read: Reader, value: Any) -> Told:
    """A list, without those of its items that are wrong."""
    if not isinstance(value, list):
        return [], [f"Expected `array`, got `{type(value).__name__}`"]
    told = [read(each) for each in value]
    wrong = [f"{problem} - of item {number}" for number, (_, problems) in enumerate(told) for problem in problems]
    return [found for found, problems in told if not problems], wrong


def _by_name(value: Any) -> Told:
    """Texts by their names, without those that are none."""
    if not isinstance(value, dict):
        return {}, [f"Expected `object`, got `{type(value).__name__}`"]
    wrong = [f"Expected `str`, got `{type(text).__name__}`" for text in value.values() if not isinstance(text, str)]
    good = {_cut(name, _LONGEST_NAME): text for name, text in value.items() if isinstance(text, str)}
    return {name: _cut(text, _LONGEST_TEXT) for name, text in good.items()}, wrong


def _subtest(value: Any) -> Told:
    """What is wrong with a subtest that has a name is the subtest's own."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return {}, ["Expected a subtest with its name"]
    told, wrong = _fields(_SUBTEST, value)
    return _doubted(told, wrong), []


_name = partial(_one, str, "", _LONGEST_NAME)
_text = partial(_one, str, "", _LONGEST_TEXT)
_outcome = partial(_one, _Outcome, "failed", _LONGEST_NAME)
_seconds = partial(_one, _Seconds, 0.0, 0)
_whole = partial(_one, _Count, 0, 0)

Fields = Mapping[str, tuple[Reader, Any]]
"""How each field is read, and what stands for one that is not there; None for one that has to be."""

_SUBTEST: Fields = {
    "name": (_name, None),
    "outcome": (_outcome, None),
    "reason": (_name, ""),
    "details": (_text, ""),
    "seconds": (_seconds, 0.0),
}
_EVENTS: dict[str, Fields] = {
    "collected": {"tests": (partial(_each, _name), None)},
    "started": {"test": (_name, None)},
    "finished": {
        "test": (_name, None),
        "outcome": (_outcome, None),
        "reason": (_name, ""),
        "details": (_text, ""),
        "seconds": (_seconds, 0.0),
        "subtests": (partial(_each, _subtest), ()),
        "figure": (_figure, {}),
        "log": (_text, ""),
        "before": (_text, ""),
        "boot": (_name, ""),
    },
    "gone": {"test": (_name, None)},
    "not-collected": {"what": (_name, ""), "details": (_text, "")},
    "node-down": {
        "error": (_text, ""),
        "boot": (_name, ""),
        "after": (_text, ""),
        "left": (partial(_each, _left), ()),
        "kmemleak": (_by_name, {}),
    },
    "over": {"status": (_whole, 0)},
}
_OF_ALL: Fields = {"time": (partial(_one, _Time, 0.0, 0), 0.0), "worker": (_name, "")}


def read_event(line: bytes) -> dict[str, Any]:
    """An event of a line: its fields as _EVENTS has them, all of them; never an error.

    `finished`: with anything of a wrong type the outcome is `failed`, and the reason says why. `node-down`: `nonsense`
    says what was wrong, in one line, or "". A line that is no event, or whose test has no name, is a `nonsense`.
    """
    try:
        event = _decoded(line)
    except (ValueError, RecursionError) as error:
        return _nothing(f"it cannot be read: {type(error).__name__}")
    kind = event.get("event") if isinstance(event, dict) else None
    if not isinstance(kind, str) or kind not in _EVENTS:
        return _nothing("it is no event")
    told, wrong = _fields({**_OF_ALL, **_EVENTS[kind]}, event)
    if "test" in told and not told["test"]:
        return _nothing(f"{kind}: {'; '.join(wrong[:_PROBLEMS]) or 'no test is named'}")
    if kind == "finished":
        told = _doubted(told, wrong)
    elif kind == "node-down":
        told[NONSENSE] = _problems(wrong)
    return {"event": kind, **told}


def _decoded(line: bytes) -> Any:
    """JSON, and what no JSON has and Python writes: an infinite duration, half a surrogate pair."""
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError:
        return _plain(json.loads(line))


def _plain(value: Any) -> Any:
    """The same with characters of no encoding as their escapes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return {_plain(name): _plain(each) for name, each in value.items()} if isinstance(value, dict) else value


def _fields(fields: Fields, value: Mapping[str, Any]) -> Told:
    told, wrong = {}, []
    for name, (read, default) in fields.items():
        if name in value or default is None:
            told[name], problems = read(value.get(name))
            wrong += [f"{name}: {problem}" for problem in problems]
        else:
            told[name] = default
    return told, wrong


def _doubted(told: dict[str, Any], wrong: list[str]) -> dict[str, Any]:
    """A report that is not what a test's report is: no outcome in it can be believed, but that it went wrong."""
    if not wrong:
        return told
    said = f"; it said: {told['reason']}" if told["reason"] else ""
    return {**told, "outcome": "failed", "reason": f"{_problems(wrong)}{said}"}


def _problems(wrong: list[str]) -> str:
    if not wrong:
        return ""
    more = f" (and {len(wrong) - _PROBLEMS} more)" if len(wrong) > _PROBLEMS else ""
    return f"what its guest reported makes no sense: {'; '.join(wrong[:_PROBLEMS])}{more}"


def _nothing(why: str) -> dict[str, Any]:
    return {"event": NONSENSE, "time": 0.0, "worker": "", "why": why}


def _cut(text: str, longest: int) -> str:
    """Both ends of a text that is too long, and how much is not shown."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} [... {len(text) - 2 * half} characters ...] {text[-half:]}"
